"""Bad input from the file or database to the verdict: which rows are quarantined, by which rules, and no others.

What one rule or one conversion does is in `test_validation` and `test_conversion`; here a partition is fetched by
its source, judged and split, and every row must be in exactly one half.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandera.polars as pa
import polars as pl
import pyarrow
import pyarrow.parquet as pq
import pytest

from ml_assets.core.contract import Contract, column
from ml_assets.core.errors import SourceEmpty, SourceSchemaError
from ml_assets.core.validation import judge, rule_counts, split
from ml_assets.core.windows import Window
from ml_assets.resources.sources.describing import source_columns
from ml_assets.resources.sources.interface import FilesSourceConfig, Provenance, SqlSourceConfig, make_source

MARCH = Window("2019-03", datetime(2019, 3, 1), datetime(2019, 4, 1))
ROWS = 200
KINDS = pytest.mark.parametrize("kind", ["parquet", "csv", "sqlite"])
FILES = pytest.mark.parametrize("kind", ["parquet", "csv"])
NAN, INF = float("nan"), float("inf")


class Ride(pa.DataFrameModel):
    """One ride."""

    ride: int = column(ge=0)
    started_at: datetime = column(source="start")
    paid_at: datetime = column(nullable=True)
    miles: float = column(gt=0, lt=100)
    riders: int = column(nullable=True, in_range=(0, 9))
    cash: bool = column(nullable=True)
    tip_usd: float = column(nullable=True, required=False, ge=0)

    class Config:
        unique = ("ride",)


RIDE = Contract.from_model(Ride)


@dataclass
class Outcome:
    """What became of a partition's rows: row number -> rules broken; none in `valid`."""

    raw: pl.DataFrame
    valid: pl.DataFrame
    broken: dict[int, list[str]]
    counts: dict[str, int]
    provenance: Provenance


def rides(rows: int = ROWS) -> pl.DataFrame:
    """Good rows, ten minutes apart."""
    return pl.DataFrame(
        {
            "ride": range(rows),
            "start": [MARCH.start + timedelta(minutes=10 * n) for n in range(rows)],
            "paid_at": [MARCH.start + timedelta(minutes=10 * n + 5) for n in range(rows)],
            "miles": [1 + n % 9 / 2 for n in range(rows)],
            "riders": [None if n % 7 == 0 else n % 5 for n in range(rows)],
            "cash": [n % 2 == 0 for n in range(rows)],
            "tip_usd": [n % 4 / 4 for n in range(rows)],
        }
    )


def each(rows: Iterable[int], *rules: str) -> dict[int, list[str]]:
    """The same broken rules for each of the rows."""
    return {row: list(rules) for row in rows}


def planted(frame: pl.DataFrame, name: str, values: dict[int, Any], dtype: Any = pl.String) -> pl.DataFrame:
    """The frame with other values in some rows of a column, which becomes of the dtype."""
    whole = frame[name].cast(dtype).to_list()
    for row, value in values.items():
        whole[row] = value
    return frame.with_columns(pl.Series(name, whole, dtype=dtype))


def save(frame: pl.DataFrame, folder: Path, kind: str) -> None:
    path = folder / f"2019-03.{kind}"
    if kind == "parquet":
        frame.write_parquet(path, row_group_size=max(64, len(frame) // 4))
    elif kind == "csv":
        frame.write_csv(path, datetime_format="%Y-%m-%d %H:%M:%S")
    else:
        times = [name for name, dtype in frame.schema.items() if dtype == pl.Datetime]
        with sqlite3.connect(path) as database:
            database.execute(f"CREATE TABLE rides ({', '.join(frame.columns)})")
            marks = ", ".join("?" * len(frame.columns))
            rows = frame.with_columns(pl.col(times).dt.to_string("%Y-%m-%d %H:%M:%S")).rows()
            database.executemany(f"INSERT INTO rides VALUES ({marks})", rows)
        database.close()


def outcome(
    folder: Path, kind: str, contract: Contract = RIDE, judged_by: str = "started_at", **config: Any
) -> Outcome:
    """Fetch, judge, split; every raw row is in exactly one half."""
    if kind == "sqlite":
        # rows whose time is none are the database's to place: here it gives them all
        query = "SELECT * FROM rides WHERE :start < :end ORDER BY rowid"
        source = make_source(SqlSourceConfig(kind="sql", url="sqlite:///2019-03.sqlite", query=query), folder)
    else:
        path = "{year}-{month}." + kind
        source = make_source(FilesSourceConfig(kind="files", **{"path": path, **config}), folder)
    target = folder / "raw.parquet"
    provenance = source.fetch(MARCH, target, contract.source_schema, optional=contract.optional_sources)
    raw = pl.scan_parquet(target)
    good, bad = (half.collect() for half in split(judge(raw, contract, event_time=judged_by, window=MARCH)))
    halves = [*good["row_number"], *bad["row_number"]]
    assert sorted(halves) == list(range(provenance.rows))
    assert raw.collect().height == provenance.rows
    assert good.schema == {**contract.schema, "row_number": pl.UInt32}
    assert source_columns(target) == provenance.columns
    broken = dict(zip(bad["row_number"], bad["broken_rules"].to_list(), strict=True))
    return Outcome(raw.collect(), good, broken, rule_counts(bad), provenance)


def cannot_be_fetched(folder: Path, kind: str, error: type[Exception], says: str, **config: Any) -> None:
    with pytest.raises(error, match=says):
        outcome(folder, kind, **config)
    assert not (folder / "raw.parquet").exists()


@KINDS
def test_good_rows_are_all_valid(tmp_path: Path, kind: str) -> None:
    save(rides(), tmp_path, kind)
    got = outcome(tmp_path, kind)
    assert got.broken == {}
    assert got.valid.drop("row_number").rows() == rides().rows()


@KINDS
def test_no_rows(tmp_path: Path, kind: str) -> None:
    save(rides(0), tmp_path, kind)
    cannot_be_fetched(tmp_path, kind, SourceEmpty, "2019-03: no rows\n.*expected: at least one row\n.*cure: ")


@KINDS
@pytest.mark.parametrize("every", [1, 2, 20], ids=["all", "50 %", "5 %"])
def test_a_share_of_rows_with_a_value_that_is_no_number(tmp_path: Path, kind: str, every: int) -> None:
    bad = list(range(0, ROWS, every))
    save(planted(rides(), "miles", dict.fromkeys(bad, "n/a")), tmp_path, kind)
    got = outcome(tmp_path, kind)
    assert got.broken == each(bad, "miles_type")
    assert got.counts == {"miles_type": ROWS // every}
    kept = [row for n, row in enumerate(rides().rows()) if n % every]
    assert got.valid.drop("row_number").rows() == kept, "the others are what they are without bad neighbours"


@KINDS
def test_all_rows_with_an_event_time_that_is_none_and_a_value_out_of_range(tmp_path: Path, kind: str) -> None:
    save(rides().with_columns(start=pl.lit("soon"), riders=pl.lit(10)), tmp_path, kind)
    got = outcome(tmp_path, kind)
    assert got.counts == {"riders_in_range": ROWS, "started_at_type": ROWS}
    assert len(got.valid) == 0


@KINDS
def test_rows_whose_event_time_is_none_arrive_and_are_quarantined(tmp_path: Path, kind: str) -> None:
    save(planted(rides(), "start", {3: "soon", 8: None, 9: "03/01/2019"}), tmp_path, kind)
    got = outcome(tmp_path, kind)
    assert got.broken == {3: ["started_at_type"], 8: ["started_at_not_null"], 9: ["started_at_type"]}
    assert got.raw["start"][3] == "soon"


def test_with_a_format_of_its_own_only_the_time_that_does_not_keep_it_is_quarantined(tmp_path: Path) -> None:
    american = rides().with_columns(pl.col("start", "paid_at").dt.to_string("%m/%d/%Y %H:%M"))
    save(planted(american, "start", {3: "13/31/2019 00:00"}), tmp_path, "csv")
    got = outcome(tmp_path, "csv", datetime_format="%m/%d/%Y %H:%M")
    assert got.broken == {3: ["started_at_type"]}
    assert got.valid["started_at"].to_list() == [t for n, t in enumerate(rides()["start"]) if n != 3]


@FILES
def test_where_the_event_time_decides_the_partition_one_that_is_none_is_an_error(tmp_path: Path, kind: str) -> None:
    save(planted(rides(), "start", {3: "soon"}), tmp_path, kind)
    said = {"csv": "String 'soon' in row 4", "parquet": r"String '2019-03-01 00:00:00\.000000' in row 1"}[kind]
    cannot_be_fetched(tmp_path, kind, SourceSchemaError, f"column start: {said}", event_time="start")
    save(planted(rides(), "start", {8: None}, pl.Datetime("us")), tmp_path, kind)
    assert outcome(tmp_path, kind, event_time="start").provenance.rows == ROWS - 1


@FILES
def test_floats_that_are_no_numbers(tmp_path: Path, kind: str) -> None:
    frame = planted(rides(), "miles", {2: NAN, 5: INF, 7: -INF}, pl.Float64)
    save(planted(frame, "tip_usd", {2: NAN, 11: INF}, pl.Float64), tmp_path, kind)
    got = outcome(tmp_path, kind)
    assert got.broken == {
        2: ["miles_finite", "miles_lt", "tip_usd_finite"],
        5: ["miles_finite", "miles_lt"],
        7: ["miles_finite", "miles_gt"],
        11: ["tip_usd_finite"],
    }
    assert got.counts == {"miles_finite": 3, "miles_lt": 2, "tip_usd_finite": 2, "miles_gt": 1}


@pytest.mark.parametrize(
    ("zone", "hours"),
    [("UTC", 0), ("America/New_York", -4), ("Asia/Tokyo", 9), ("+02:00", 2), ("+05:30", 5.5), ("-03:30", -3.5)],
)
def test_times_with_a_zone_count_by_the_clock_of_that_zone(tmp_path: Path, zone: str, hours: float) -> None:
    """The last row is late on 31 March or early on 1 April, whatever clock its zone has."""
    utc = [datetime(2019, 3, 20, 12, n % 60, tzinfo=UTC) for n in range(ROWS - 1)] + [datetime(2019, 4, 1, tzinfo=UTC)]
    table = rides().to_arrow()
    at = pyarrow.array(utc, pyarrow.timestamp("us", zone))
    table = table.set_column(1, "start", at).set_column(2, "paid_at", at)
    pq.write_table(table, tmp_path / "2019-03.parquet")
    got = outcome(tmp_path, "parquet")
    assert got.broken == ({} if hours < 0 else {ROWS - 1: ["started_at_in_partition"]})
    wall = [time.replace(tzinfo=None) + timedelta(hours=hours) for time in utc]
    assert got.valid["started_at"].to_list() == (wall if hours < 0 else wall[:-1])
    assert got.provenance.columns["start"] == f"timestamp[us, tz={zone}]"


@KINDS
def test_text_with_mixed_offsets_is_no_time_of_the_table(tmp_path: Path, kind: str) -> None:
    """Whose clock a row means would be a guess that moves it by hours."""
    mixed = {1: "2019-03-02T00:00:00Z", 2: "2019-03-02 00:00:00+02:00", 3: "2019-03-02T00:00:00-05:00",
             4: "2019-03-02T00:00:00", 5: "2019-03-02 00:00:00.5"}  # fmt: skip
    save(planted(rides(), "start", mixed), tmp_path, kind)
    got = outcome(tmp_path, kind)
    assert got.broken == each([1, 2, 3], "started_at_type")
    assert got.valid["started_at"][2] == datetime(2019, 3, 2, microsecond=500_000)


@KINDS
def test_dates_outside_the_partition(tmp_path: Path, kind: str) -> None:
    far = {0: datetime(2099, 1, 1), 4: datetime(9999, 12, 31, 23, 59, 59), 6: MARCH.end, 9: datetime(1900, 1, 1)}
    frame = planted(rides(), "start", far, pl.Datetime("us"))
    save(planted(frame, "paid_at", {12: datetime(2099, 1, 1)}, pl.Datetime("us")), tmp_path, kind)
    got = outcome(tmp_path, kind)
    assert got.broken == each(far, "started_at_in_partition")
    assert got.valid.filter(row_number=12)["paid_at"].item() == datetime(2099, 1, 1)


@pytest.mark.parametrize("unit", ["us", "ms"])
def test_times_beyond_the_calendar(tmp_path: Path, unit: str) -> None:
    """Some 146,000 years from now in microseconds; in milliseconds beyond what microseconds hold."""
    table = rides().to_arrow()
    for position, name in enumerate(("start", "paid_at"), start=1):
        ticks = table.column(name).cast(pyarrow.timestamp(unit)).cast(pyarrow.int64()).to_pylist()
        ticks[3], ticks[5] = 2**62, -(2**62)
        table = table.set_column(position, name, pyarrow.array(ticks).cast(pyarrow.timestamp(unit)))
    pq.write_table(table, tmp_path / "2019-03.parquet")
    got = outcome(tmp_path, "parquet")
    rules = {"us": ["started_at_in_partition"], "ms": ["started_at_type", "paid_at_type"]}[unit]
    assert got.broken == {3: rules, 5: rules}
    assert got.valid["started_at"].to_list() == [t for n, t in enumerate(rides()["start"]) if n not in (3, 5)]


def test_years_of_five_digits_in_text(tmp_path: Path) -> None:
    save(planted(rides(), "start", {3: "300000-01-01", 4: "9999-12-31 23:59:59.999999"}), tmp_path, "csv")
    assert outcome(tmp_path, "csv").broken == {3: ["started_at_type"], 4: ["started_at_in_partition"]}


@KINDS
def test_an_extra_column_is_kept_in_raw_and_breaks_nothing(tmp_path: Path, kind: str) -> None:
    save(rides().with_columns(weather=pl.lit("rain"), later=None), tmp_path, kind)
    got = outcome(tmp_path, kind)
    assert got.broken == {}
    assert got.raw["weather"].unique().to_list() == ["rain"]
    assert got.provenance.columns["weather"] == ("text" if kind == "csv" else "string")
    assert got.provenance.columns["later"] == "empty"


@KINDS
def test_a_missing_column(tmp_path: Path, kind: str) -> None:
    save(rides().drop("tip_usd"), tmp_path, kind)
    got = outcome(tmp_path, kind)
    assert got.broken == {}
    assert got.valid["tip_usd"].null_count() == ROWS
    assert "tip_usd" not in got.provenance.columns
    (tmp_path / "raw.parquet").unlink()
    (tmp_path / f"2019-03.{kind}").unlink()
    save(rides().rename({"miles": "mile"}), tmp_path, kind)
    cannot_be_fetched(tmp_path, kind, SourceSchemaError, "column miles: missing, nearest names: mile")


@KINDS
def test_whole_numbers_that_turned_float(tmp_path: Path, kind: str) -> None:
    """1.0 is 1; NaN is how a tool without nullable integers writes a missing one."""
    frame = planted(rides().cast({"ride": pl.Float64}), "riders", {1: 1.5, 3: 12.0, 7: None}, pl.Float64)
    missing = [7]
    if kind == "parquet":
        frame = planted(frame, "riders", {2: NAN, 4: NAN}, pl.Float64)
        missing += [2, 4]
    save(frame, tmp_path, kind)
    got = outcome(tmp_path, kind)
    assert got.broken == {1: ["riders_type"], 3: ["riders_in_range"]}
    assert got.valid["ride"].to_list() == [n for n in range(ROWS) if n not in (1, 3)]
    assert got.valid.filter(pl.col("row_number").is_in(missing))["riders"].to_list() == [None] * len(missing)
    assert got.provenance.columns["riders"] == ("text" if kind == "csv" else "double")


def test_nan_in_a_key_that_must_not_be_missing(tmp_path: Path) -> None:
    save(planted(rides(), "ride", {5: NAN}, pl.Float64), tmp_path, "parquet")
    assert outcome(tmp_path, "parquet").broken == {5: ["ride_not_null"]}


@KINDS
def test_text_in_numbers(tmp_path: Path, kind: str) -> None:
    texts = {0: "12.5", 1: "abc", 2: " 7 ", 3: "1,5", 4: "$3", 5: "1e1", 6: "", 7: "0x10", 8: "-1", 9: None}
    frame = planted(rides(), "miles", texts)
    save(planted(frame, "riders", {1: "two", 2: "2.0", 3: "2.5"}), tmp_path, kind)
    got = outcome(tmp_path, kind)
    assert got.broken == {
        1: ["miles_type", "riders_type"],
        3: ["miles_type", "riders_type"],
        4: ["miles_type"],
        6: ["miles_type"],
        7: ["miles_type"],
        8: ["miles_gt"],
        9: ["miles_not_null"],
    }
    assert got.valid["miles"].to_list()[:3] == [12.5, 7.0, 10.0]
    assert got.valid.filter(row_number=2)["riders"].item() == 2


def test_text_among_numbers_of_a_database_that_has_both(tmp_path: Path) -> None:
    """SQLite stores a text in a column of numbers beside them, not in place of them."""
    save(rides(), tmp_path, "sqlite")
    with sqlite3.connect(tmp_path / "2019-03.sqlite") as database:
        database.execute("UPDATE rides SET miles = 'far', riders = '' WHERE ride = 4")
        database.execute("UPDATE rides SET miles = '12.5', riders = '3' WHERE ride = 5")
    database.close()
    got = outcome(tmp_path, "sqlite")
    assert got.broken == {4: ["miles_type", "riders_type"]}
    assert got.valid.filter(row_number=5).select("miles", "riders").row(0) == (12.5, 3)


@KINDS
def test_a_key_that_is_there_twice(tmp_path: Path, kind: str) -> None:
    """The first good row of a key stays; the one that stays need not be the first."""
    frame = planted(rides(), "ride", {10: 3, 20: 3, 31: 30}, pl.Int64)
    save(planted(frame, "miles", {30: "n/a"}), tmp_path, kind)
    got = outcome(tmp_path, kind)
    assert got.broken == {10: ["unique"], 20: ["unique"], 30: ["miles_type", "unique"]}
    assert got.counts == {"unique": 3, "miles_type": 1}


def test_a_type_that_can_hold_no_value_stops_the_partition(tmp_path: Path) -> None:
    save(rides().with_columns(miles=pl.concat_list("miles"), start=pl.col("ride")), tmp_path, "parquet")
    cannot_be_fetched(tmp_path, "parquet", SourceSchemaError, r"column start: Int64(.|\n)*column miles: List")
