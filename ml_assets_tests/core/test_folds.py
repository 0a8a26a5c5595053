"""Folds: never a row of the holdout, never a label that was not known, by time in order, by group undivided."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest

from ml_assets.core.assignment import rows_of
from ml_assets.core.errors import TrainingError
from ml_assets.core.folds import make_folds, refit_rows, rows_before_holdout
from ml_assets.core.share_split import ShareSplit
from ml_assets.core.split import UNIT
from ml_assets.core.time_split import time_split
from ml_assets.core.windows import Window

DAYS = [datetime(2019, 1, d) for d in range(1, 8)]
WINDOWS = [Window(f"{a:%Y-%m-%d}", a, b) for a, b in pairwise(DAYS)]
ROWS = 240


def partition(window: Window, delay=timedelta(hours=1)) -> pl.LazyFrame:
    number = pl.int_range(ROWS, dtype=pl.UInt32)
    event = pl.lit(window.start) + (window.end - window.start) / ROWS * number
    return pl.select(
        number.alias("row_number"),
        event.alias("event_at"),
        label=pl.when(number % 60 != 0).then(number.cast(pl.Float64)),
        label_known_at=event + delay,
        slice_vendor="v" + (number * 7 % 31).cast(pl.String),
    ).lazy()


HISTORY = {w.key: partition(w) for w in WINDOWS}
BY_TIME = time_split(WINDOWS, validation=0.5, holdout=0.5, embargo=0.25)
RANDOM = ShareSplit("random", validation=0.2, holdout=0.3, seed=0, start=DAYS[0], as_of=DAYS[-1])
SPLITS = {
    "time": BY_TIME,
    "time without embargo": time_split(WINDOWS, validation=0.5, holdout=0.5),
    "random": RANDOM,
    "group": replace(RANDOM, kind="group", group="vendor"),
}


def identities(frame: pl.DataFrame) -> set[tuple[str, int]]:
    return set(frame.select(pl.col("@partition").cast(pl.String), "row_number").iter_rows())


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
@pytest.mark.parametrize("count", [1, 3])
def test_no_fold_and_no_final_model_sees_a_row_of_the_holdout(split, count):
    holdout = identities(rows_of(HISTORY, split, "holdout").collect())
    rows = rows_before_holdout(HISTORY, split)
    folds = make_folds(rows, split, count)
    assert [f.number for f in folds] == list(range(count))
    for frame in (rows, refit_rows(rows, split)[0], *(f.train for f in folds), *(f.validation for f in folds)):
        assert frame.height
        assert frame["label"].null_count() == 0
        assert not identities(frame) & holdout
    for fold in folds:
        assert not identities(fold.train) & identities(fold.validation)
    for one, other in pairwise(folds):
        assert not identities(one.validation) & identities(other.validation)


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
def test_a_single_fold_is_the_training_set_itself(split):
    (fold,) = make_folds(rows_before_holdout(HISTORY, split), split, 1)
    for part, frame in (("train", fold.train), ("validation", fold.validation)):
        assert identities(frame) == identities(rows_of(HISTORY, split, part).collect())


def test_by_time_each_fold_is_a_block_earlier_and_learns_only_what_was_known_then():
    rows = rows_before_holdout(HISTORY, BY_TIME)
    folds = make_folds(rows, BY_TIME, 4)
    length, gap = timedelta(hours=12), timedelta(hours=6)
    for fold in folds:
        start, end = (BY_TIME.validation.start - fold.number * length, BY_TIME.validation.end - fold.number * length)
        assert fold.until == start - gap
        assert fold.train["label_known_at"].max() <= fold.until
        assert fold.train["event_at"].max() < fold.until - timedelta(minutes=54)
        assert start <= fold.validation["event_at"].min() < start + timedelta(minutes=12)
        assert end - timedelta(minutes=12) <= fold.validation["event_at"].max() < end
    until = BY_TIME.validation.end
    final, counted_from = refit_rows(rows, BY_TIME)
    assert counted_from == until
    assert final["label_known_at"].max() <= until < rows["label_known_at"].max()
    assert final.height > folds[0].train.height + folds[0].validation.height / 2


def test_labels_that_come_late_are_not_learnt():
    late = {w.key: partition(w, timedelta(days=2)) for w in WINDOWS}
    split = time_split(WINDOWS, validation=1, holdout=1)
    with pytest.raises(TrainingError, match="fold 0: 0 rows to judge by"):
        make_folds(rows_before_holdout(late, split), split, 1)


@pytest.mark.parametrize("kind", ["random", "group"])
def test_by_hash_each_row_judges_once_and_units_stay_together(kind):
    split = SPLITS[kind]
    rows = rows_before_holdout(HISTORY, split)
    folds = make_folds(rows, split, 4)
    assert sum(f.validation.height for f in folds) == rows.height
    for fold in folds:
        assert fold.train.height + fold.validation.height == rows.height
        assert not set(fold.train[UNIT]) & set(fold.validation[UNIT])
        assert fold.until == split.as_of
    other = make_folds(rows, replace(split, seed=1), 4)
    assert not folds[0].validation.equals(other[0].validation)


def test_folds_without_rows_are_refused_together():
    rows = rows_before_holdout(HISTORY, BY_TIME)
    with pytest.raises(TrainingError) as caught:
        make_folds(rows, BY_TIME, 14)
    found = caught.value.found
    assert {f.split(":")[0] for f in found} == {f"fold {n}" for n in range(9, 14)}
    assert found[-2:] == ["fold 13: 0 rows to learn from; needed: 1", "fold 13: 0 rows to judge by; needed: 1"]
    with pytest.raises(TrainingError, match=r"fold 0: \d+ rows to learn from; needed: 2000"):
        make_folds(rows, BY_TIME, 1, min_rows=2000)
    with pytest.raises(TrainingError, match=r"tuning\.folds"):
        make_folds(rows, BY_TIME, 0)
