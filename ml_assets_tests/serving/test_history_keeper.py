"""The snapshot follows the store: new, changed and missing partitions, and a store that can't be read."""

import logging
import time
from datetime import datetime, timedelta

import pandera.polars as pa
import polars as pl
import pytest

from ml_assets.core.contract import Contract, column
from ml_assets.core.errors import ConfigError, PartitionMissing
from ml_assets.core.features import Feature
from ml_assets.core.history import HistoryFeature
from ml_assets.core.history_facts import microseconds
from ml_assets.core.raw_fields import RawFields
from ml_assets.resources.partition_folder import PartitionFolder
from ml_assets.serving.history_snapshot import HistoryKeeper

START = datetime(2020, 3, 1)


class Ride(pa.DataFrameModel):
    """One ride."""

    started_at: datetime = column()
    miles: float = column(known_at="started_at")


def fields(*features) -> RawFields:
    return RawFields("rides", "trips", "daily", "started_at", {}, Contract.from_model(Ride), features)


MILES = HistoryFeature("miles_3h", by=(), value="miles", window="3h", how="sum", known_at="started_at")
RIDES = fields(MILES)


class Days:
    """A store of days with a ride an hour."""

    def __init__(self, root) -> None:
        self.root = root
        self.folder = root / "trips" / "validated"

    def land(self, day: int, miles: float = 1.0, hours: int = 24) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        at = [START + timedelta(days=day - 1, hours=h) for h in range(hours)]
        frame = pl.DataFrame({"started_at": at, "miles": [miles] * hours, "row_number": range(hours)})
        scratch = self.folder / ".new"
        frame.write_parquet(scratch)
        scratch.replace(self.folder / f"2020-03-{day:02}.parquet")


@pytest.fixture
def days(tmp_path) -> Days:
    return Days(tmp_path / "store")


def keeper(days: Days, rides: RawFields = RIDES, **more) -> HistoryKeeper:
    return HistoryKeeper(rides, PartitionFolder(str(days.root), "trips"), **more)


def miles(kept: HistoryKeeper, day: int, hour: float) -> float | None:
    at = START + timedelta(days=day - 1, hours=hour)
    return kept.snapshot.figure("miles_3h", (), int(microseconds(pl.Series([at]))[0]))


def test_a_store_without_partitions_has_no_snapshot(days):
    kept = keeper(days)
    assert not kept.look()
    assert kept.snapshot is None
    assert kept.partitions == ()


def test_only_the_partitions_within_reach_are_read(days):
    for day in (1, 2, 3, 4):
        days.land(day)
    kept = keeper(days)
    assert kept.look()
    assert kept.partitions == ("2020-03-03", "2020-03-04")
    assert kept.snapshot.rows == 24 + 3, "three hours of the day before"
    assert miles(kept, 4, 1) == 3.0


def test_a_new_partition_a_changed_one_and_none(days):
    days.land(1)
    days.land(2, hours=5)
    kept = keeper(days)
    kept.look()
    before = kept.snapshot
    assert miles(kept, 2, 6) == 2.0, "hours 3 and 4; 5 has not landed"
    assert not kept.look()
    assert kept.snapshot is before, "nothing changed"
    days.land(2, hours=7)
    assert kept.look()
    assert miles(kept, 2, 6) == 3.0
    days.land(3)
    assert kept.look()
    assert kept.partitions == ("2020-03-02", "2020-03-03")
    assert before.rows == 24 - 21 + 5, "who holds it still has it"


def test_a_change_beyond_reach_is_none(days):
    for day in (1, 2, 3):
        days.land(day)
    kept = keeper(days)
    kept.look()
    days.land(1, miles=9.0)
    assert not kept.look()
    days.land(2, miles=9.0)
    assert kept.look()
    assert miles(kept, 3, 1) == 9.0 * 2 + 1.0


def test_after_a_missing_partition_history_is_missing_as_far_as_it_reaches(days):
    days.land(1)
    days.land(3)
    kept = keeper(days)
    kept.look()
    assert kept.partitions == ("2020-03-03",)
    assert miles(kept, 3, 2.9) is None
    assert miles(kept, 3, 3) == 3.0


def test_what_can_not_be_read_leaves_what_was_known_and_is_told_until_it_can(days, caplog):
    days.land(1)
    kept = keeper(days, every_seconds=0.02)
    kept.start()
    try:
        before = kept.snapshot
        assert before is not None
        with caplog.at_level(logging.ERROR, "ml_assets.serving"):
            (days.folder / "2020-03-02.parquet").write_bytes(b"no parquet")
            until(lambda: kept.failures > 1)
            assert kept.snapshot is before
        assert "history could not be read" in caplog.text
        days.land(2)
        until(lambda: kept.partitions == ("2020-03-01", "2020-03-02"))
        until(lambda: kept.failures == 0)
    finally:
        kept.close()
    days.land(3)
    time.sleep(0.1)
    assert kept.partitions == ("2020-03-01", "2020-03-02"), "closed"


def until(true, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_without_history_features_nobody_looks(days):
    days.land(1)
    kept = keeper(days, fields(Feature("hour", pl.col("started_at").dt.hour(), kind="number")))
    kept.start()
    kept.close()
    assert kept.snapshot is None


def test_a_file_of_no_partition_is_told(days):
    days.land(1)
    (days.folder / "notes.parquet").write_bytes(b"")
    with pytest.raises(ConfigError, match="notes"):
        keeper(days).look()


def test_partitions_in_memory_are_read_like_those_on_disk(days):
    from upath import UPath

    days.land(1)
    far = UPath("memory://history/store")
    (far / "trips" / "validated").mkdir(parents=True)
    (far / "trips" / "validated" / "2020-03-01.parquet").write_bytes((days.folder / "2020-03-01.parquet").read_bytes())
    folder = PartitionFolder(str(far), "trips")
    assert list(folder.stamps()) == ["2020-03-01"]
    assert folder.scan("2020-03-01").collect().height == 24
    with pytest.raises(PartitionMissing):
        folder.scan("2020-03-02")
    assert PartitionFolder("memory://nothing", "trips").stamps() == {}
