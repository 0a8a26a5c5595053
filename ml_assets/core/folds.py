"""Folds: the rows before the holdout, divided several times into what is learnt from and what judges.

Parameters are chosen by them, so no row of the holdout is ever in one. How the training set itself is divided is
in `split`; what is made of the folds in `tuning`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_

import polars as pl

from ml_assets.core.assignment import identified, mature
from ml_assets.core.errors import TrainingError
from ml_assets.core.features import EVENT_AT, LABEL, LABEL_KNOWN_AT
from ml_assets.core.share_split import ShareSplit
from ml_assets.core.split import UNIT, Part, Split
from ml_assets.core.stable_hash import mixed, salt
from ml_assets.core.time_split import TimeRange, TimeSplit

BEFORE_HOLDOUT: tuple[Part, ...] = ("train", "validation")


@dataclass(frozen=True, eq=False)
class Fold:
    """One division of the rows before the holdout.

    Args:
        number: from 0, the newest.
        until: the instant as of which its model is trained: ages of rows are counted from it.
        rows: all rows before the holdout, which the folds share.
        learns: which of them are learnt from, as an expression; never null.
        judges: which of them judge, likewise.
    """

    number: int
    until: datetime
    rows: pl.DataFrame
    learns: pl.Expr
    judges: pl.Expr

    @property
    def train(self) -> pl.DataFrame:
        """Rows to learn from, with the columns of a features table, `PARTITION` and `UNIT`; selected anew each time."""
        return self.rows.filter(self.learns)

    @property
    def validation(self) -> pl.DataFrame:
        """Rows that judge, likewise."""
        return self.rows.filter(self.judges)


def rows_before_holdout(history: Mapping[str, pl.LazyFrame], split: Split) -> pl.DataFrame:
    """All rows with a label that a model may learn from before the holdout judges it, oldest partition first.

    Where there is an embargo, that is more than training and validation rows: those between them are here too,
    since folds divide elsewhere.

    Args:
        history: feature partition -> its features table, oldest first.
        split: how the training set is divided.
    """
    if isinstance(split, TimeSplit):
        inside = _within(TimeRange(split.train.start, split.validation.end), known_by=split.known_by("validation"))
    else:
        inside = reduce(or_, [(split.part() == part) & mature(split, part) for part in BEFORE_HOLDOUT])
    return identified(history, split).filter(inside).collect(engine="streaming")


def make_folds(rows: pl.DataFrame, split: Split, count: int, *, min_rows: int = 1) -> tuple[Fold, ...]:
    """Divide the rows before the holdout.

    By time: fold 0 is the division into training and validation of the training set itself; each further one
    validates on the block of the same length just before, and learns from what is older (with the same embargo)
    and whose label was known by then. By group or at random: the units fall into as many parts as there are
    folds by a seeded hash, and each part judges what is learnt from the others; a single fold is the training
    set's own division.

    Args:
        rows: as `rows_before_holdout` gives them.
        split: how the training set is divided.
        count: how many, 1 or more.
        min_rows: rows to learn from at least in each fold.

    Raises:
        TrainingError: a fold has too few rows; lists all.
    """
    if count < 1:
        raise TrainingError(
            "folds of tuning", found=f"{count}", expected="1 or more", cure="correct tuning.folds in defs.yaml"
        )
    folds = tuple(
        _by_time(rows, split, n) if isinstance(split, TimeSplit) else _by_hash(rows, split, n, count)
        for n in range(count)
    )
    needed = {"learn from": max(min_rows, 1), "judge by": 1}
    few = [
        f"fold {fold.number}: {found} rows to {what}; needed: {needed[what]}"
        for fold in folds
        for what, found in zip(needed, rows.select(a=fold.learns.sum(), b=fold.judges.sum()).row(0), strict=True)
        if found < needed[what]
    ]
    if few:
        raise TrainingError(
            f"folds of tuning as of {split.as_of}",
            found=few,
            expected="rows on both sides of every fold",
            cure="take fewer tuning.folds, learn from more partitions (model.window), or change model.validation",
        )
    return folds


def refit_rows(rows: pl.DataFrame, split: Split) -> tuple[pl.DataFrame, datetime]:
    """What the final model learns from once its parameters are chosen, and the instant its rows' ages count from.

    By time: all rows up to the end of validation whose label was known by then, so that an embargo before the
    holdout holds for labels, too.

    Args:
        rows: as `rows_before_holdout` gives them.
        split: how the training set is divided.
    """
    if not isinstance(split, TimeSplit):
        return rows, split.as_of
    end = split.validation.end
    return rows.filter(_within(TimeRange(split.train.start, end), known_by=end)), end


def _by_time(rows: pl.DataFrame, split: TimeSplit, number: int) -> Fold:
    back = number * (split.validation.end - split.validation.start)
    train_end = split.train.end - back
    judged = TimeRange(split.validation.start - back, split.validation.end - back)
    learns = pl.repeat(value=False, n=pl.len(), dtype=pl.Boolean)
    if train_end > split.train.start:
        learns = _within(TimeRange(split.train.start, train_end), known_by=train_end)
    return Fold(number, train_end, rows, learns, _within(judged, known_by=split.known_by("validation") - back))


def _by_hash(rows: pl.DataFrame, split: Split, number: int, count: int) -> Fold:
    if count == 1:
        judges = split.part() == "validation"
    else:
        seed = split.seed if isinstance(split, ShareSplit) else 0
        judges = mixed(pl.col(UNIT), salt("tuning fold", seed)) % count == number
    return Fold(number, split.as_of, rows, ~judges, judges)


def _within(events: TimeRange, *, known_by: datetime) -> pl.Expr:
    known = pl.col(LABEL).is_not_null() & (pl.col(LABEL_KNOWN_AT) <= known_by)
    return events.holds(pl.col(EVENT_AT)) & known.fill_null(value=False)
