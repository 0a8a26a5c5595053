"""Columns as they are expected; those of which a value does not fit as they are found."""

import logging
from datetime import UTC, date, datetime

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_assets.core.errors import SourceSchemaError
from ml_assets.resources.sources import conforming

FORMATS = pytest.mark.parametrize("extension", ["parquet", "csv"])


@FORMATS
def test_values_become_what_is_expected_where_nothing_is_lost(tmp_path, extension, save, source, fetch):
    frame = pl.DataFrame(
        {
            "pickup_at": [date(2019, 3, 1), date(2019, 3, 2)],
            "miles": pl.Series([1, None], dtype=pl.Int32),
            "passengers": [2.0, None],
            "small": pl.Series([300, -5], dtype=pl.Int64),
            "flag": pl.Series([None, None], dtype=pl.Float64),
            "cash": ["Y", "n"],
        }
    )
    save(frame, tmp_path / f"2019-03.{extension}")
    expected = {
        "pickup_at": pl.Datetime("us"),
        "miles": pl.Float64(),
        "passengers": pl.Int64(),
        "small": pl.Int16(),
        "flag": pl.String(),
        "cash": pl.Boolean(),
        "kind": pl.Enum(["a"]),
        "absent": pl.Int8(),
    }
    got, _ = fetch(
        source(tmp_path, "{year}-{month}." + extension),
        tmp_path,
        expected=expected,
        optional=["kind", "absent"],
    )
    assert dict(got.schema) == {name: expected[name] for name in frame.columns}
    assert got.rows() == [
        (datetime(2019, 3, 1), 1.0, 2, 300, None, True),
        (datetime(2019, 3, 2), None, None, -5, None, False),
    ]
    assert "absent" not in got.columns


def test_parquet_of_other_units_zones_and_dictionaries(tmp_path, source, fetch):
    wall = datetime(2019, 3, 1, 12, 30)
    frame = pl.DataFrame(
        {
            "ns": pl.Series([wall], dtype=pl.Datetime("ns")),
            "zoned": pl.Series([wall]).dt.replace_time_zone("America/New_York"),
            "kind": pl.Series(["a"], dtype=pl.Categorical),
            "fare": pl.Series(["12.50"]).str.to_decimal(scale=2),
        }
    )
    frame.write_parquet(tmp_path / "2019-03.parquet")
    expected = {"ns": pl.Datetime("us"), "zoned": pl.Datetime("us"), "kind": pl.Categorical(), "fare": pl.Float64()}
    got, _ = fetch(source(tmp_path), tmp_path, expected=expected)
    assert got.row(0) == (wall, wall, "a", 12.5)
    assert got.schema["kind"] == pl.String


@pytest.fixture
def passes(monkeypatch):
    """One entry for each time the rows are read to be written."""
    seen = []
    write = conforming.write_partition
    monkeypatch.setattr(conforming, "write_partition", lambda *a, **k: seen.append(1) or write(*a, **k))
    return seen


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@FORMATS
def test_all_mismatches_are_listed_with_found_columns_and_nearest_names(
    tmp_path, extension, trips, save, source, refused
):
    frame = trips().rename({"miles": "Milse", "passengers": "pasengers"}).with_columns(cash=pl.lit("maybe"))
    save(frame, tmp_path / f"2019-03.{extension}")
    error = refused(
        SourceSchemaError,
        source(tmp_path, "{year}-{month}." + extension),
        tmp_path,
        "column miles: missing, nearest names: Milse",
        "column passengers: missing, nearest names: pasengers",
        "the columns found are: pickup_at, Milse, pasengers, flag, cash, note",
    )
    assert len(error.found) == 3, "a value that does not fit is no mismatch of the partition"


def test_types_without_any_way_to_what_is_expected_are_refused_together(tmp_path, trips, source, refused):
    frame = trips().with_columns(
        miles=pl.concat_list("miles"), pickup_at=pl.int_range(pl.len()), cash=pl.lit("maybe"), flag=pl.lit(b"x")
    )
    frame.write_parquet(tmp_path / "2019-03.parquet")
    error = refused(
        SourceSchemaError,
        source(tmp_path),
        tmp_path,
        "column miles: List(Float64), expected Float64",
        "column pickup_at: Int64, expected Datetime",
        "column flag: Binary, expected String",
    )
    assert "maybe" not in str(error)


@FORMATS
def test_a_column_with_a_value_that_would_be_lost_is_kept_as_found_and_the_others_are_converted(
    tmp_path, extension, trips, save, source, fetch, caplog, passes
):
    whole = trips(500).with_columns(cash=pl.when(pl.col("cash")).then(pl.lit("Y")).otherwise(pl.lit("N")))
    frame = whole.with_columns(passengers=pl.when(pl.col("note") == "trip 499").then(1.5).otherwise(2.0))
    save(frame, tmp_path / f"2019-03.{extension}")
    got, provenance = fetch(source(tmp_path, "{year}-{month}." + extension), tmp_path)
    found = {"parquet": frame["passengers"], "csv": frame["passengers"].cast(pl.String)}[extension]
    assert got["passengers"].equals(found)
    assert got.drop("passengers").equals(trips(500).drop("passengers"))
    [line] = warnings(caplog)
    kind = {"parquet": "Float64 1.5", "csv": "String '1.5'"}[extension]
    assert f"column passengers: {kind} in row 500 of 2019-03.{extension}, expected Int64" in line
    assert "kept as found" in line
    assert (len(passes), provenance.rows) == (2, 500)


def test_a_clean_partition_is_read_once_and_says_nothing(tmp_path, trips, save, source, fetch, caplog, passes):
    save(trips(500), tmp_path / "2019-03.parquet")
    fetch(source(tmp_path), tmp_path)
    assert (len(passes), warnings(caplog)) == (1, [])


def test_however_many_columns_are_at_fault_the_rows_are_read_twice_and_each_has_one_line(
    tmp_path, trips, save, source, fetch, caplog, passes
):
    frame = trips(50).cast(dict.fromkeys(("miles", "passengers", "cash"), pl.String))
    frame[3, "miles"], frame[20, "miles"], frame[45, "passengers"], frame[30, "cash"] = "12,5", "n/a", "two", "maybe"
    save(frame, tmp_path / "2019-03.parquet")
    got, _ = fetch(source(tmp_path), tmp_path)
    assert got.equals(frame)
    assert len(passes) == 2
    lines = warnings(caplog)
    assert len(lines) == 3
    assert "column miles: String '0.0' in row 1 of" in lines[0], "text is at fault where numbers have a type"
    assert "column cash: String 'maybe' in row 31" in lines[2]


def test_the_first_offending_csv_value_of_each_column_is_named(tmp_path, trips, save, source, fetch, caplog):
    frame = trips().cast({"miles": pl.String, "pickup_at": pl.String})
    frame[3, "miles"], frame[4, "miles"], frame[7, "pickup_at"] = "12,5", "n/a", "01/03/2019"
    save(frame, tmp_path / "2019-03.csv")
    got, _ = fetch(source(tmp_path, "{year}-{month}.csv"), tmp_path)
    assert got["miles"].equals(frame["miles"])
    assert got["pickup_at"].equals(frame["pickup_at"])
    assert len(warnings(caplog)) == 2
    assert "column miles: String '12,5' in row 4 of 2019-03.csv, expected Float64" in caplog.text
    assert "column pickup_at: String '01/03/2019' in row 8" in caplog.text
    assert "n/a" not in caplog.text


def test_integers_beyond_the_digits_of_a_float_keep_them(tmp_path, source, fetch, caplog):
    great = pl.DataFrame({"miles": [*range(9), 2**53 + 1, 2**53 + 3]})
    great.write_parquet(tmp_path / "2019-03.parquet")
    got, _ = fetch(source(tmp_path), tmp_path, expected={"miles": pl.Float64()})
    assert got.equals(great)
    assert "Int64 9007199254740993 in row 10" in caplog.text


@pytest.mark.parametrize("wanted", [pl.Int64(), pl.Boolean()], ids=str)
@pytest.mark.parametrize("also", [1.0, 1.5])
def test_nan_where_numbers_are_expected_that_have_none_is_missing(tmp_path, source, fetch, wanted, also):
    frame = pl.DataFrame({"x": [0.0, float("nan"), None, also]})
    frame.write_parquet(tmp_path / "2019-03.parquet")
    got, _ = fetch(source(tmp_path), tmp_path, expected={"x": wanted})
    assert got["x"].to_list() == [0, None, None, also]
    assert got["x"].dtype == (wanted if also == 1.0 else pl.Float64)


def test_times_beyond_the_expected_unit_become_text_that_tells_the_good_from_the_bad(tmp_path, source, fetch, caplog):
    good = int(datetime(2019, 3, 1, 5, tzinfo=UTC).timestamp() * 1000)
    for zone, wall in ((None, "05"), ("America/New_York", "00")):
        times = pa.array([good, 2**62, None, -(2**62)], pa.timestamp("ms", zone))
        pq.write_table(pa.table({"at": times}), tmp_path / "2019-03.parquet")
        got, _ = fetch(source(tmp_path), tmp_path, expected={"at": pl.Datetime("us")})
        assert got["at"][0] == f"2019-03-01 {wall}:00:00.000"
        assert [value is None for value in got["at"]] == [False, False, True, False]
        assert "out of range" in got["at"][1]
        assert "in row 2" in caplog.text


def test_zones_that_polars_does_not_know_are_read_by_their_wall_clock(tmp_path, source, fetch):
    noon = int(datetime(2019, 3, 1, 12, tzinfo=UTC).timestamp() * 10**6)
    zoned = pa.array([noon], pa.timestamp("us", "+05:30"))
    pq.write_table(pa.table({"at": zoned, "on": zoned, "further": zoned}), tmp_path / "2019-03.parquet")
    got, provenance = fetch(source(tmp_path), tmp_path, expected={"at": pl.Datetime("us"), "on": pl.Date()})
    wall = datetime(2019, 3, 1, 17, 30)
    assert got.select("at", "on").row(0) == (wall, wall), "no midnight: the column is kept, in its own clock"
    assert got.schema["further"] == pl.Datetime("us", "UTC")
    assert got["further"].dt.replace_time_zone(None).item() == datetime(2019, 3, 1, 12)
    assert provenance.columns["further"] == "timestamp[us, tz=+05:30]"


def test_a_zone_that_nobody_knows_is_refused(tmp_path, source, refused):
    zoned = pa.array([0], pa.timestamp("us", "No/Where"))
    pq.write_table(pa.table({"at": zoned}), tmp_path / "2019-03.parquet")
    refused(SourceSchemaError, source(tmp_path), tmp_path, "tz=No/Where", expected={"at": pl.Datetime("us")})


def test_text_that_only_the_configuration_can_read_is_kept_as_what_it_reads(tmp_path, source, fetch):
    (tmp_path / "2019-03.csv").write_text("at,zone,fare\n03/01/2019,01,1.50\nnever,02,\n03/02/2019,x,n/a\n")
    src = source(tmp_path, "{year}-{month}.csv", datetime_format="%m/%d/%Y", types={"zone": "int32", "fare": "float32"})
    expected = {"at": pl.Datetime("us"), "zone": pl.String(), "fare": pl.Float32()}
    got, _ = fetch(src, tmp_path, expected=expected)
    assert got.rows() == [
        ("2019-03-01 00:00:00.000000", "1", "1.50"),
        ("never", "2", None),
        ("2019-03-02 00:00:00.000000", "x", "n/a"),
    ]


def test_a_type_that_differs_between_files_is_kept_as_text_only_where_a_value_is_at_fault(
    tmp_path, trips, save, source, fetch
):
    save(trips(5), tmp_path / "2019-03.a.parquet")
    save(trips(5).cast({"miles": pl.Float32, "passengers": pl.Float64}), tmp_path / "2019-03.b.parquet")
    src = source(tmp_path, "{year}-{month}.*.parquet")
    got, provenance = fetch(src, tmp_path)
    assert got.schema == trips().schema
    assert provenance.columns["passengers"] == "int64 or double"
    other = trips(5).cast({"miles": pl.String, "passengers": pl.Float64})
    other[0, "miles"], other[1, "passengers"] = "far", 1.5
    save(other, tmp_path / "2019-03.b.parquet")
    got, _ = fetch(src, tmp_path)
    assert got["miles"].to_list()[:6] == ["0", "0.1", "0.2", repr(3 * 0.1), "0.4", "far"]
    assert got["passengers"].to_list() == [None, "1", "2", None, "4", None, "1.5", "2", None, "4"]


@FORMATS
def test_columns_and_types_as_they_were_found(tmp_path, extension, trips, save, source, fetch):
    frame = trips().with_columns(passengers=pl.lit(None, pl.Int8), kind=pl.lit("a", pl.Categorical), nothing=None)
    save(frame, tmp_path / f"2019-03.{extension}")
    src = source(tmp_path, "{year}-{month}." + extension, rename={"note": "remark"})
    _, provenance = fetch(src, tmp_path)
    found = {
        "pickup_at": "timestamp[us]",
        "miles": "double",
        "passengers": "empty",
        "flag": "string",
        "cash": "bool",
        "remark": "string",
        "kind": "string",
        "nothing": "empty",
    }
    if extension == "csv":
        found = {name: "empty" if kind == "empty" else "text" for name, kind in found.items()}
    assert provenance.columns == found
    assert list(provenance.columns) == list(found)


def test_types_are_read_before_what_is_expected_and_extra_csv_columns_stay_text(tmp_path, source, fetch):
    (tmp_path / "2019-03.csv").write_text("zone,code\n1,01\n2,02\n")
    got, _ = fetch(source(tmp_path, "{year}-{month}.csv", types={"zone": "int32"}), tmp_path,
                   expected={"zone": pl.String()})  # fmt: skip
    assert got.rows() == [("1", "01"), ("2", "02")]
