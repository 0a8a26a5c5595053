"""Proof that parts may be learnt from and judged by: counted on the very rows, whoever chose them.

It trusts nothing of `assignment`, which chooses them: an error there would otherwise look like a good model.
"""

from collections.abc import Mapping
from itertools import combinations, pairwise

import polars as pl

from ml_assets.core.errors import TrainingError
from ml_assets.core.features import EVENT_AT, LABEL, LABEL_KNOWN_AT, ROW_NUMBER
from ml_assets.core.split import PARTITION, PARTS, Part, Split

FAULTS = {
    "rows_in_two_parts": "rows are in both",
    "rows_of_groups_in_two_parts": "rows belong to groups that are in both",
    "immature_labels": "labels are missing or were not known in time",
    "labels_known_after_as_of": "labels became known after the as-of time",
    "events_not_before_as_of": "events are not before the as-of time",
    "events_within_the_embargo": "events are too close to the first of the later part",
}
"""Fault -> what its count says."""


def faults_of(parts: Mapping[Part, pl.DataFrame | pl.LazyFrame], split: Split) -> dict[str, dict[str, int]]:
    """How many rows of some parts can't be trusted: fault (see `FAULTS`) -> part or pair of parts -> rows.

    A label of a row that is known after `as_of` is counted among the immature as well. A pair is named
    `train and holdout`; of groups in two parts the rows of the later part are counted.

    Args:
        parts: part -> its rows: `label`, `label_known_at`, `event_at`, `row_number`, `PARTITION`, and the group
            column where rows are split by group; at least one part.
        split: how they should have been divided.

    Raises:
        TrainingError: columns are missing; lists all.
    """
    frames = _columns_needed(parts, split)
    first = {part: frame.select(pl.col(EVENT_AT).min()).item() for part, frame in frames.items()}
    found: dict[str, dict[str, int]] = {fault: {} for fault in FAULTS}
    for part, frame in frames.items():
        for fault, rows in frame.select(**_of_one_part(split, part)).row(0, named=True).items():
            found[fault][part] = rows
    for earlier, later in combinations(frames, 2):
        pair = f"{earlier} and {later}"
        found["rows_in_two_parts"][pair] = _shared(frames[earlier], frames[later], [PARTITION, ROW_NUMBER])
        if split.group_column is not None:
            groups = frames[earlier].select(split.group_column).unique()
            found["rows_of_groups_in_two_parts"][pair] = _shared(frames[later], groups, groups.columns)
    for earlier, later in pairwise(part for part in frames if first[part] is not None):
        gap = split.gap(earlier, later)
        if gap is not None:
            close = frames[earlier].select((pl.col(EVENT_AT) >= first[later] - gap).sum())
            found["events_within_the_embargo"][f"{earlier} and {later}"] = close.item()
    return found


def require_sound(parts: Mapping[Part, pl.DataFrame | pl.LazyFrame], split: Split) -> None:
    """Raise a TrainingError that lists every fault of `faults_of` with its count, if there is one."""
    listed = [
        f"{where}: {rows} {FAULTS[fault]}"
        for fault, places in faults_of(parts, split).items()
        for where, rows in places.items()
        if rows
    ]
    if listed:
        raise TrainingError(
            f"rows of the training set as of {split.as_of}",
            found=listed,
            expected=f"parts of a split of kind {split.kind} that share nothing and know nothing later",
            cure="take the rows from `Manifest.rows`, and materialize the features again if they were",
        )


def _of_one_part(split: Split, part: Part) -> dict[str, pl.Expr]:
    known, event = pl.col(LABEL_KNOWN_AT), pl.col(EVENT_AT)
    in_time = pl.col(LABEL).is_not_null() & (known <= split.known_by(part)).fill_null(value=False)
    return {
        "immature_labels": (~in_time).sum(),
        "labels_known_after_as_of": (known > split.as_of).sum(),
        "events_not_before_as_of": (~(event < split.as_of).fill_null(value=False)).sum(),
    }


def _shared(rows: pl.DataFrame, others: pl.DataFrame, by: list[str]) -> int:
    """Rows that are alike in some columns to one of the others; null is like null."""
    return rows.select(by).join(others.select(by), on=by, how="semi", nulls_equal=True).height


def _columns_needed(parts: Mapping[Part, pl.DataFrame | pl.LazyFrame], split: Split) -> dict[Part, pl.DataFrame]:
    """The columns that are looked at, read once, in the order of the parts."""
    frames = {part: parts[part].lazy() for part in PARTS if part in parts}
    needed = [LABEL, LABEL_KNOWN_AT, EVENT_AT, ROW_NUMBER, PARTITION]
    needed += [] if split.group_column is None else [split.group_column]
    missing = [f"{p}: no column {c}" for p, frame in frames.items() for c in needed if c not in frame.collect_schema()]
    if missing:
        raise TrainingError(
            f"rows of the training set as of {split.as_of}",
            found=missing,
            expected="rows that can be told apart and dated",
            cure="take the rows from `Manifest.rows`",
        )
    return {part: frame.select(needed).collect(engine="streaming") for part, frame in frames.items()}
