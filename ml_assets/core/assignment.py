"""Rows of a learning window, part by part: each with its identity, and only where its label was known in time.

By which rule a row falls into a part is in `split`; that the parts are sound is proven in `soundness`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from ml_assets.core.errors import TrainingError
from ml_assets.core.features import LABEL, LABEL_KNOWN_AT
from ml_assets.core.split import PARTITION, PARTS, UNIT, Part, Split

_PART, _MATURE = "@part", "@mature"


def identified(history: Mapping[str, pl.LazyFrame], split: Split) -> pl.LazyFrame:
    """All rows of some partitions in their order, with `PARTITION` (Enum) and `UNIT` (UInt64).

    Args:
        history: feature partition -> its features table.
        split: says what is never divided.

    Raises:
        TrainingError: a partition lacks the column by which rows are grouped; lists all.
    """
    group = split.group_column
    if group is not None:
        without = [key for key, frame in history.items() if group not in frame.collect_schema()]
        if without:
            raise TrainingError(
                f"split by group, column {group}",
                found=[f"partition {key} does not have it" for key in without],
                expected="features that were made with evaluation.group as it is now",
                cure="materialize the features of these partitions again",
            )
    keys = pl.Enum(list(history))
    return pl.concat(
        frame.with_columns(pl.lit(key, keys).alias(PARTITION), split.unit(key).alias(UNIT))
        for key, frame in history.items()
    )


def mature(split: Split, part: Part) -> pl.Expr:
    """Whether a row's label was known in time for a part."""
    known = pl.col(LABEL).is_not_null() & (pl.col(LABEL_KNOWN_AT) <= split.known_by(part))
    return known.fill_null(value=False)


def rows_of(history: Mapping[str, pl.LazyFrame], split: Split, part: Part) -> pl.LazyFrame:
    """The rows of a part whose label was known in time, in their order; see `identified` for the columns."""
    return identified(history, split).filter(split.part() == part, mature(split, part))


@dataclass(frozen=True)
class PartCounts:
    """Rows of each part, and rows left out of it: their label was not known in time, or they have none."""

    rows: Mapping[Part, int]
    immature: Mapping[Part, int]
    unlabelled: Mapping[Part, int] = field(default_factory=dict)


def count_rows(history: Mapping[str, pl.LazyFrame], split: Split, *, min_rows: int) -> PartCounts:
    """Count the rows of each part in one pass.

    Args:
        history: feature partition -> its features table.
        split: which row is in which part.
        min_rows: rows to train on at least; validation and holdout need one at least.

    Raises:
        TrainingError: a part has too few rows; lists all.
    """
    in_time = pl.lit(value=False)
    for part in PARTS:
        in_time = pl.when(pl.col(_PART) == part).then(mature(split, part)).otherwise(in_time)
    divided = identified(history, split).select(split.part().alias(_PART), LABEL, LABEL_KNOWN_AT)
    counted = divided.group_by(_PART).agg(rows=in_time.sum(), none=pl.col(LABEL).null_count(), all=pl.len())
    found = {part: told for part, *told in counted.collect(engine="streaming").iter_rows()}
    nothing = [0, 0, 0]
    rows: dict[Part, int] = {p: found.get(p, nothing)[0] for p in PARTS}
    unlabelled: dict[Part, int] = {p: found.get(p, nothing)[1] for p in PARTS}
    immature: dict[Part, int] = {p: found.get(p, nothing)[2] - rows[p] - unlabelled[p] for p in PARTS}
    needed = {"train": max(min_rows, 1), "validation": 1, "holdout": 1}
    few = [
        f"{p}: {rows[p]} rows ({immature[p]} more whose label was not known in time, {unlabelled[p]} without one); "
        f"needed: {needed[p]}"
        for p in PARTS
        if rows[p] < needed[p]
    ]
    if few:
        raise TrainingError(
            f"training set as of {split.as_of}",
            found=few,
            expected="enough rows with a known label in every part",
            cure="learn from more partitions, lower model.min_rows, or find out where the rows are lost; where "
            "labels are late (label.delay), take longer validation and holdout, or an evaluation.embargo; where rows "
            "are split by a column of few groups, take longer validation and holdout or a column of more groups",
        )
    return PartCounts(rows, immature, unlabelled)
