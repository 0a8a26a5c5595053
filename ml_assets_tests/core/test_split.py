"""What every split keeps, whatever its kind."""

from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl
import pytest

from ml_assets.core.manifest import SPLITS
from ml_assets.core.share_split import ShareSplit
from ml_assets.core.split import PARTITION, PARTS, UNIT, Split
from ml_assets.core.time_split import TimeRange, TimeSplit

START = datetime(2019, 1, 1)
DAY = timedelta(days=1)
TIME = TimeSplit(
    TimeRange(START, START + 4 * DAY),
    TimeRange(START + 4 * DAY, START + 5 * DAY),
    TimeRange(START + 5 * DAY, START + 6 * DAY),
    START + 6 * DAY,
)
RANDOM = ShareSplit("random", validation=0.2, holdout=0.3, seed=3, start=START, as_of=START + 6 * DAY)
GROUP = replace(RANDOM, kind="group", group="vendor")
ALL = {"time": TIME, "random": RANDOM, "group": GROUP}


def test_every_kind_can_be_read_back():
    assert set(SPLITS) == set(ALL)


@pytest.mark.parametrize("kind", ALL)
def test_each_kind(kind):
    split = ALL[kind]
    assert isinstance(split, Split)
    record = split.to_json()
    assert (record["kind"], record["as_of"]) == (kind, "2019-01-07T00:00:00")
    assert SPLITS[kind].from_json(record) == split
    assert all(split.known_by(p) <= split.as_of for p in PARTS)
    assert split.learns_until <= split.as_of

    hours = pl.int_range(-24, 8 * 24, eager=True)
    rows = pl.DataFrame({"row_number": hours + 24, "event_at": pl.Series([START + h * DAY / 24 for h in hours]),
                         "slice_vendor": hours % 40})  # fmt: skip
    parts = rows.with_columns(split.unit("2019-01").alias(UNIT)).select("event_at", part=split.part())
    assert parts.schema["part"] == pl.String
    assert set(parts["part"].drop_nulls()) == set(PARTS)
    assert parts.filter(pl.col("part").is_not_null())["event_at"].is_between(START, split.as_of, closed="left").all()


def test_columns_beside_are_no_identifiers():
    assert not PARTITION.isidentifier()
    assert not UNIT.isidentifier()
