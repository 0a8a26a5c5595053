"""Counts are those of the rows, whatever the split, and identities stay with their rows."""

from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl
import pytest

from ml_assets.core.assignment import count_rows, identified, rows_of
from ml_assets.core.errors import TrainingError
from ml_assets.core.share_split import ShareSplit
from ml_assets.core.split import PARTITION, PARTS, UNIT
from ml_assets.core.time_split import TimeRange, TimeSplit

START = datetime(2019, 1, 1)
HOUR = timedelta(hours=1)
RANDOM = ShareSplit("random", validation=0.3, holdout=0.3, seed=0, start=START, as_of=START + 200 * HOUR)
GROUP = replace(RANDOM, kind="group", group="vendor")
TIME = TimeSplit(
    TimeRange(START, START + 100 * HOUR),
    TimeRange(START + 110 * HOUR, START + 150 * HOUR),
    TimeRange(START + 160 * HOUR, START + 200 * HOUR),
    START + 200 * HOUR,
)
SPLITS = pytest.mark.parametrize("split", [TIME, RANDOM, GROUP], ids=lambda s: s.kind)


def partition(first: int) -> pl.LazyFrame:
    at = [START + (first + i) * HOUR for i in range(100)]
    return pl.LazyFrame(
        {
            "row_number": range(100),
            "event_at": at,
            "label": [None if i % 9 == 0 else float(i) for i in range(100)],
            "label_known_at": [a + (i % 7) * 10 * HOUR for i, a in enumerate(at)],
            "slice_vendor": [f"v{i % 13}" for i in range(100)],
        },
        schema_overrides={"row_number": pl.UInt32},
    )


HISTORY = {"a": partition(0), "b": partition(100), "c": partition(200)}


@SPLITS
def test_counts_are_those_of_the_rows(split):
    counts = count_rows(HISTORY, split, min_rows=1)
    assert counts.rows == {p: rows_of(HISTORY, split, p).collect().height for p in PARTS}
    assert all(counts.rows.values())
    in_parts = identified(HISTORY, split).filter(split.part().is_not_null()).collect().height
    assert sum(sum(c.values()) for c in (counts.rows, counts.immature, counts.unlabelled)) == in_parts
    assert in_parts == (180 if split.kind == "time" else 200)  # nothing of c, and of time not the gaps
    assert all(counts.immature.values())
    assert all(counts.unlabelled.values())


@SPLITS
def test_rows_keep_their_order_and_their_identity(split):
    rows = rows_of(HISTORY, split, "train").collect(engine="streaming")
    assert rows.select(PARTITION, "row_number").is_duplicated().sum() == 0
    assert rows["event_at"].is_sorted()
    assert rows.schema[PARTITION] == pl.Enum(["a", "b", "c"])
    assert rows.schema[UNIT] == pl.UInt64
    # The unit of a row is its own, whichever other partitions are read.
    alone = rows_of({"b": HISTORY["b"]}, split, "train").collect()
    of_b = rows.filter(pl.col(PARTITION) == "b")
    assert of_b[UNIT].to_list() == alone[UNIT].to_list()


@pytest.mark.parametrize("name", ["part", "mature", "partition", "unit"])
def test_features_may_have_any_name(name):
    history = {k: frame.with_columns(pl.lit("mine").alias(name)) for k, frame in HISTORY.items()}
    assert count_rows(history, RANDOM, min_rows=1) == count_rows(HISTORY, RANDOM, min_rows=1)
    assert rows_of(history, RANDOM, "train").collect()[name].unique().to_list() == ["mine"]


def test_a_part_that_got_no_group_is_named_with_what_can_be_done():
    history = {k: frame.with_columns(slice_vendor=pl.lit("all")) for k, frame in HISTORY.items()}
    with pytest.raises(TrainingError, match="0 rows") as caught:
        count_rows(history, GROUP, min_rows=1)
    assert len(caught.value.found) == 2
    assert "a column of more groups" in caught.value.cure
