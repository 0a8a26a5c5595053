"""Files, Parquet and CSV alike: what is fetched, and that each fault is named with source, partition and cure."""

import gzip
import hashlib
import os
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from ml_assets.core.errors import (
    ConfigError,
    SourceEmpty,
    SourceNotFound,
    SourceSchemaError,
    SourceUnreadable,
)
from ml_assets.core.windows import Window
from ml_assets.resources.sources.interface import FilesSourceConfig, make_source

MARCH = Window("2019-03", datetime(2019, 3, 1), datetime(2019, 4, 1))
APRIL = Window("2019-04", datetime(2019, 4, 1), datetime(2019, 5, 1))
MAY = Window("2019-05", datetime(2019, 5, 1), datetime(2019, 6, 1))
FORMATS = pytest.mark.parametrize("extension", ["parquet", "csv"])
EXPECTED = {
    "pickup_at": pl.Datetime("us"),
    "miles": pl.Float64(),
    "passengers": pl.Int64(),
    "flag": pl.String(),
    "cash": pl.Boolean(),
}


def trips(rows: int = 10, start: datetime = MARCH.start) -> pl.DataFrame:
    i = pl.int_range(rows, eager=True)
    return pl.DataFrame(
        {
            "pickup_at": [start + timedelta(hours=5 * n) for n in range(rows)],
            "miles": i * 0.1,
            "passengers": pl.select(pl.when(i % 3 != 0).then(i)).to_series(),
            "flag": ["N", "Y", None, 'é,\n"x"', "007"] * (rows // 5),
            "cash": (i % 2 == 0),
            "note": [f"trip {n}" for n in range(rows)],
        }
    )


def save(frame: pl.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        frame.write_parquet(path, row_group_size=4)
    else:
        frame.write_csv(path, datetime_format="%Y-%m-%d %H:%M:%S")
    return path


def source(tmp_path, path="{year}-{month}.parquet", **config):
    return make_source(FilesSourceConfig(kind="files", path=path, **config), tmp_path)


def fetch(src, tmp_path, window=MARCH, expected=EXPECTED, **options):
    target = tmp_path / "scratch" / "out.parquet"
    target.parent.mkdir(exist_ok=True)
    provenance = src.fetch(window, target, expected, **options)
    assert list(target.parent.iterdir()) == [target]
    return pl.read_parquet(target), provenance


def refused(error, src, tmp_path, *words, window=MARCH, expected=EXPECTED):
    """The fetch fails with the error, which names source, partition, all the words and a cure, and leaves nothing."""
    folder = tmp_path / "scratch"
    folder.mkdir(exist_ok=True)
    with pytest.raises(error) as caught:
        src.fetch(window, folder / "out.parquet", expected)
    text = str(caught.value)
    for word in (src.config.path, window.key, "expected", "cure", *words):
        assert word in text, text
    assert not list(folder.iterdir())
    return caught.value


@FORMATS
def test_a_partition_arrives_typed_in_order_and_with_its_provenance(tmp_path, extension):
    path = save(trips(), tmp_path / f"2019-03.{extension}")
    got, provenance = fetch(source(tmp_path, "{year}-{month}." + extension), tmp_path)
    assert got.equals(trips())
    assert got.schema == trips().schema
    assert provenance.rows == 10
    assert provenance.source == str(path)
    assert provenance.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert provenance.bytes == path.stat().st_size


def test_same_rows_make_the_same_bytes_from_either_format_and_any_row_groups(tmp_path):
    save(trips(500), tmp_path / "2019-03.csv")
    for size in (7, 500):
        trips(500).write_parquet(tmp_path / "2019-03.parquet", row_group_size=size)
        fetch(source(tmp_path), tmp_path)
        first = (tmp_path / "scratch/out.parquet").read_bytes()
        fetch(source(tmp_path, "{year}-{month}.csv"), tmp_path)
        assert (tmp_path / "scratch/out.parquet").read_bytes() == first


@FORMATS
def test_values_become_what_is_expected_where_nothing_is_lost(tmp_path, extension):
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
    expected = EXPECTED | {"small": pl.Int16(), "kind": pl.Enum(["a"]), "absent": pl.Int8()}
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


def test_parquet_of_other_units_zones_and_dictionaries(tmp_path):
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


@FORMATS
def test_all_mismatches_are_listed_with_found_columns_and_nearest_names(tmp_path, extension):
    frame = trips().rename({"miles": "Milse", "passengers": "pasengers"}).with_columns(cash=pl.lit("maybe"))
    save(frame, tmp_path / f"2019-03.{extension}")
    error = refused(
        SourceSchemaError,
        source(tmp_path, "{year}-{month}." + extension),
        tmp_path,
        "column miles: missing, nearest names: Milse",
        "column passengers: missing, nearest names: pasengers",
        "column cash: String 'maybe' in row 1",
        "the columns found are: pickup_at, Milse, pasengers, flag, cash, note",
        "cash: Boolean",
    )
    assert len(error.found) == 4


@FORMATS
def test_a_value_that_would_be_lost_is_named_with_its_row(tmp_path, extension):
    frame = trips(500).with_columns(passengers=pl.when(pl.col("note") == "trip 499").then(1.5).otherwise(2.0))
    save(frame, tmp_path / f"2019-03.{extension}")
    src = source(tmp_path, "{year}-{month}." + extension)
    refused(SourceSchemaError, src, tmp_path, "column passengers", "1.5", "row 500", "expected Int64")


def test_text_in_place_of_numbers_is_refused_in_parquet_even_if_it_looks_like_some(tmp_path):
    save(trips().cast({"miles": pl.String}), tmp_path / "2019-03.parquet")
    refused(SourceSchemaError, source(tmp_path), tmp_path, "column miles: String '0.0'", "expected Float64")


def test_the_first_offending_csv_value_of_each_column_is_named(tmp_path):
    frame = trips().cast({"miles": pl.String, "pickup_at": pl.String})
    frame[3, "miles"], frame[4, "miles"], frame[7, "pickup_at"] = "12,5", "n/a", "01/03/2019"
    save(frame, tmp_path / "2019-03.csv")
    src = source(tmp_path, "{year}-{month}.csv")
    error = refused(
        SourceSchemaError,
        src,
        tmp_path,
        "column miles: String '12,5' in row 4 of 2019-03.csv, expected Float64",
        "column pickup_at: String '01/03/2019' in row 8",
    )
    assert "n/a" not in str(error)


def test_integers_beyond_the_digits_of_a_float_are_refused(tmp_path):
    pl.DataFrame({"miles": [2**53 + 1]}).write_parquet(tmp_path / "2019-03.parquet")
    refused(SourceSchemaError, source(tmp_path), tmp_path, "column miles", expected={"miles": pl.Float64()})


def test_whole_numbers_in_csv_keep_every_digit(tmp_path):
    great = 2**53 + 1
    (tmp_path / "2019-03.csv").write_text(f"a,b\n1.0,2.0\n{great},3\n,-4.00\n")
    src = source(tmp_path, "{year}-{month}.csv")
    got, _ = fetch(src, tmp_path, expected={"a": pl.Int64(), "b": pl.Int8()})
    assert got.rows() == [(1, 2), (great, 3), (None, -4)]
    refused(SourceSchemaError, src, tmp_path, "String '-4.00' in row 3", expected={"b": pl.UInt8()})


def test_csv_knobs_change_what_is_read(tmp_path):
    (tmp_path / "2019-03.csv").write_bytes(
        '\ufeffAt;Miles;x;y;Code\n03/01/2019 01:02:03 PM; 1.5 ;-;+7;007\n03/02/2019 01:02:03 AM;?;3;-;""\n'.encode()
    )
    src = source(
        tmp_path,
        "{year}-{month}.csv",
        separator=";",
        null_values=["-", "?"],
        datetime_format="%m/%d/%Y %I:%M:%S %p",
        rename={"At": "pickup_at", "Miles": "miles"},
        types={"x": "int8", "y": "float32"},
    )
    got, _ = fetch(src, tmp_path, expected={"pickup_at": pl.Datetime("us"), "miles": pl.Float64()})
    assert got.rows() == [
        (datetime(2019, 3, 1, 13, 2, 3), 1.5, None, 7.0, "007"),
        (datetime(2019, 3, 2, 1, 2, 3), None, 3, None, ""),
    ]
    assert got.dtypes == [pl.Datetime("us"), pl.Float64, pl.Int8, pl.Float32, pl.String]


@pytest.mark.parametrize(
    "knobs", [{"separator": ","}, {"null_values": []}, {"datetime_format": None}, {"types": {"x": "date"}}]
)
def test_without_its_knob_the_same_csv_is_refused(tmp_path, knobs):
    (tmp_path / "2019-03.csv").write_text("pickup_at;x\n03/01/2019;-\n")
    config = {"separator": ";", "null_values": ["-"], "datetime_format": "%m/%d/%Y", "types": {"x": "int8"}}
    read = {"pickup_at": pl.Datetime("us"), "x": pl.Int8()}
    got, _ = fetch(source(tmp_path, "{year}-{month}.csv", **config), tmp_path, expected=read)
    assert got.rows() == [(datetime(2019, 3, 1), None)]
    (tmp_path / "2019-03.csv").write_text("pickup_at;x\n03/01/2019;-\n03/02/2019;1\n")
    if "types" in knobs:  # an integer as a date: the text is read as that first
        knobs = {**knobs, "null_values": ["-"]}
    src = source(tmp_path, "{year}-{month}.csv", **{**config, **knobs})
    refused(SourceSchemaError, src, tmp_path, expected=read)


def test_types_are_read_before_what_is_expected_and_extra_csv_columns_stay_text(tmp_path):
    (tmp_path / "2019-03.csv").write_text("zone,code\n1,01\n2,02\n")
    got, _ = fetch(source(tmp_path, "{year}-{month}.csv", types={"zone": "int32"}), tmp_path,
                   expected={"zone": pl.String()})  # fmt: skip
    assert got.rows() == [("1", "01"), ("2", "02")]


def test_gzip_and_tab_separated(tmp_path):
    text = trips().write_csv(separator="\t", datetime_format="%Y-%m-%dT%H:%M:%S")
    (tmp_path / "2019-03.tsv.gz").write_bytes(gzip.compress(text.encode()))
    got, _ = fetch(source(tmp_path, "{year}-{month}.tsv.gz"), tmp_path)
    assert got.equals(trips())
    whole = (tmp_path / "2019-03.tsv.gz").read_bytes()
    (tmp_path / "2019-03.tsv.gz").write_bytes(whole[: len(whole) // 2])
    refused(SourceUnreadable, source(tmp_path, "{year}-{month}.tsv.gz"), tmp_path)


@FORMATS
def test_several_files_of_a_partition_are_one_table_in_the_order_of_their_names(tmp_path, extension):
    (tmp_path / "2019" / "03").mkdir(parents=True)
    save(trips(5), tmp_path / f"2019/03/b.{extension}")
    save(
        trips(5, MARCH.start + timedelta(days=9)).select(*reversed(trips().columns)),
        tmp_path / f"2019/03/c.{extension}",
    )
    save(trips(10).head(5), tmp_path / f"2019/03/a.{extension}")
    src = source(tmp_path, "{year}/{month}/*." + extension)
    got, provenance = fetch(src, tmp_path)
    parts = [trips(10).head(5), trips(5), trips(5, MARCH.start + timedelta(days=9))]
    assert got.equals(pl.concat(parts))
    assert provenance.rows == 15
    assert "3 files" in provenance.source
    save(trips(5).rename({"note": "remark"}), tmp_path / f"2019/03/c.{extension}")
    refused(SourceSchemaError, src, tmp_path, f"c.{extension}: column note is missing", "column remark is new")


def test_a_further_column_of_another_type_in_the_second_file_is_refused_unless_null(tmp_path):
    save(trips(5).with_columns(note=pl.lit(None)), tmp_path / "2019-03.a.parquet")
    save(trips(5), tmp_path / "2019-03.b.parquet")
    src = source(tmp_path, "{year}-{month}.*.parquet")
    got, _ = fetch(src, tmp_path)
    assert got["note"].to_list()[4:6] == [None, "trip 0"]
    save(trips(5).with_columns(note=pl.lit(1.5)), tmp_path / "2019-03.a.parquet")
    refused(SourceSchemaError, src, tmp_path, "2019-03.b.parquet: column note is large_string, not double")


@FORMATS
def test_renaming(tmp_path, extension):
    save(trips().rename({"miles": "Trip_Distance"}), tmp_path / f"2019-03.{extension}")
    path = "{year}-{month}." + extension
    rename = {"Trip_Distance": "miles", "trip_distance": "miles"}
    got, _ = fetch(source(tmp_path, path, rename=rename), tmp_path)
    assert got.equals(trips())
    idle = source(tmp_path, path, rename={"Trip_Distanze": "distance"})
    refused(SourceSchemaError, idle, tmp_path, "'Trip_Distanze'", "nearest names: Trip_Distance")
    refused(
        SourceSchemaError,
        source(tmp_path, path, rename={"Trip_Distance": "flag"}),
        tmp_path,
        "two columns named 'flag'",
    )


@FORMATS
def test_one_file_for_all_partitions_is_filtered_by_event_time(tmp_path, extension):
    frame = pl.concat([trips(10, MAY.start), trips(10), trips(5, MARCH.end - timedelta(hours=10))])
    frame = frame.rename({"pickup_at": "at"})
    save(frame, tmp_path / f"all.{extension}")
    src = source(tmp_path, f"all.{extension}", event_time="pickup_at", rename={"at": "pickup_at"})
    assert src.partitions([MARCH, APRIL, MAY]) == ["2019-03", "2019-04", "2019-05"]
    assert src.partitions([MARCH, MAY, replace(APRIL, end=datetime(2019, 4, 1, 0, 0, 0, 1)), replace(
        APRIL, key="later", start=datetime(2019, 4, 10))]) == ["2019-03", "2019-05", "2019-04"]  # fmt: skip
    parts = [fetch(src, tmp_path, window)[0] for window in (MARCH, APRIL, MAY)]
    assert [len(p) for p in parts] == [12, 3, 10]
    assert parts[0]["pickup_at"].max() < MARCH.end <= parts[1]["pickup_at"].min()
    assert parts[1].equals(trips(5, MARCH.end - timedelta(hours=10)).tail(3))
    june = Window("2019-06", MAY.end, MAY.end + timedelta(days=30))
    assert src.partitions([june]) == []
    refused(SourceEmpty, src, tmp_path, "no rows", window=june)
    refused(SourceSchemaError, src, tmp_path, "column speed: missing", window=june, expected={"speed": pl.Float64()})


def test_row_numbers_in_messages_count_the_rows_of_the_file_also_when_filtered(tmp_path):
    frame = pl.concat([trips(10), trips(10, APRIL.start)]).cast({"miles": pl.String})
    frame[13, "miles"] = "far"
    save(frame, tmp_path / "all.csv")
    src = source(tmp_path, "all.csv", event_time="pickup_at")
    assert len(fetch(src, tmp_path)[0]) == 10
    refused(SourceSchemaError, src, tmp_path, "'far' in row 14 of all.csv", window=APRIL)


def test_rows_without_event_time_are_reported_and_a_wrong_one_is_refused(tmp_path, caplog):
    save(trips().with_columns(pickup_at=pl.when(pl.col("note") != "trip 2").then("pickup_at")), tmp_path / "all.csv")
    src = source(tmp_path, "all.csv", event_time="pickup_at")
    assert len(fetch(src, tmp_path)[0]) == 9
    assert "1 rows without pickup_at" in caplog.text
    refused(SourceSchemaError, source(tmp_path, "all.csv", event_time="picked_at"), tmp_path,
            "column picked_at: missing, nearest names: pickup_at")  # fmt: skip
    refused(SourceSchemaError, source(tmp_path, "all.csv", event_time="note"), tmp_path, "'trip 0' in row 1")


def test_daily_partitions_of_monthly_files_and_the_other_way_round(tmp_path):
    save(trips(20), tmp_path / "2019-03.parquet")
    day = Window("2019-03-02", datetime(2019, 3, 2), datetime(2019, 3, 3))
    refused_config = source(tmp_path)
    with pytest.raises(ConfigError, match="event_time"):
        refused_config.fetch(day, tmp_path / "out", EXPECTED)
    got, _ = fetch(source(tmp_path, event_time="pickup_at"), tmp_path, day)
    assert got["pickup_at"].dt.date().unique().to_list() == [date(2019, 3, 2)]

    week = Window("2019-04-29", datetime(2019, 4, 29), datetime(2019, 5, 2))
    daily = source(tmp_path, "d{year}{month}{day}.parquet")
    for n in range(3):
        assert daily.partitions([week]) == []
        save(trips(5, week.start + timedelta(days=n)), tmp_path / f"d{week.start + timedelta(days=n):%Y%m%d}.parquet")
    assert daily.partitions([week]) == [week.key]
    assert len(fetch(daily, tmp_path, week)[0]) == 15


def test_partitions_are_the_windows_whose_files_are_there(tmp_path):
    save(trips(), tmp_path / "2019-03.parquet")
    save(trips(), tmp_path / "2019-05.parquet")
    assert source(tmp_path).partitions([MARCH, APRIL, MAY]) == ["2019-03", "2019-05"]
    assert source(tmp_path, "nowhere/{year}-{month}.parquet").partitions([MARCH]) == []


@FORMATS
def test_fingerprint_changes_with_content_and_configuration_only(tmp_path, extension):
    path = save(trips(), tmp_path / f"2019-03.{extension}")
    save(trips(), tmp_path / f"2019-04.{extension}")
    pattern = "{year}-{month}." + extension
    before = source(tmp_path, pattern).fingerprint(MARCH)
    assert before == source(tmp_path, pattern).fingerprint(MARCH)
    assert before != source(tmp_path, pattern).fingerprint(APRIL)
    assert before != source(tmp_path, pattern, rename={"note": "remark"}).fingerprint(MARCH)
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
    assert before != source(tmp_path, pattern).fingerprint(MARCH)
    with pytest.raises(SourceNotFound):
        source(tmp_path, pattern).fingerprint(MAY)


@FORMATS
def test_a_missing_month_and_a_wrong_path_say_what_is_there(tmp_path, extension):
    save(trips(), tmp_path / f"trips_2019-03.{extension}")
    refused(SourceNotFound, source(tmp_path, "trips_{year}-{month}." + extension), tmp_path,
            f"trips_2019-03.{extension}", window=APRIL)  # fmt: skip
    refused(SourceNotFound, source(tmp_path, "trip_{year}-{month}." + extension), tmp_path,
            f"nearest names in its folder: trips_2019-03.{extension}")  # fmt: skip
    refused(SourceNotFound, source(tmp_path, "no/such/{year}." + extension, event_time="pickup_at"), tmp_path,
            f"exists as far as {tmp_path}")  # fmt: skip
    (tmp_path / "2019").mkdir()
    refused(
        SourceNotFound, source(tmp_path, "{year}", format=extension, event_time="pickup_at"), tmp_path, "is a folder"
    )


@FORMATS
@pytest.mark.parametrize(
    "page", ["<!DOCTYPE html><html>404</html>", "\n <HTML><body>", "<?xml version='1.0'?><Error/>"]
)
def test_a_web_page_in_place_of_the_file(tmp_path, extension, page):
    (tmp_path / f"2019-03.{extension}").write_text(page)
    refused(SourceUnreadable, source(tmp_path, "{year}-{month}." + extension), tmp_path, "web page")


@FORMATS
def test_the_other_format(tmp_path, extension):
    other = {"csv": "parquet", "parquet": "csv"}[extension]
    save(trips(), tmp_path / f"2019-03.{other}").rename(tmp_path / f"2019-03.{extension}")
    src = source(tmp_path, "{year}-{month}." + extension)
    refused(SourceUnreadable, src, tmp_path, "source.format", {"csv": "a Parquet file", "parquet": "text"}[extension])


@FORMATS
def test_a_truncated_file(tmp_path, extension):
    path = save(trips(100), tmp_path / f"2019-03.{extension}")
    whole = path.read_bytes()
    src = source(tmp_path, "{year}-{month}." + extension)
    cut = len(whole) // 2 if extension == "parquet" else whole.rindex(b",Y,")
    path.write_bytes(whole[:cut])
    refused(SourceUnreadable, src, tmp_path, "cut off" if extension == "parquet" else "Expected 6 columns")


def test_a_damaged_page_in_the_middle_of_parquet(tmp_path):
    """With page checksums, as we write them, every damage is noticed."""
    path = tmp_path / "2019-03.parquet"
    save(trips(5000), path)
    fetch(source(tmp_path), tmp_path)
    whole = (tmp_path / "scratch/out.parquet").read_bytes()
    (tmp_path / "scratch/out.parquet").unlink()
    for place in range(1000, len(whole) // 2, len(whole) // 20):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        refused(SourceUnreadable, source(tmp_path), tmp_path, "damaged page")


def test_a_damaged_row_in_the_middle_of_csv(tmp_path):
    lines = trips(500).write_csv(datetime_format="%Y-%m-%d %H:%M:%S").splitlines(keepends=True)
    lines[300] = "1,2\n"
    (tmp_path / "2019-03.csv").write_text("".join(lines))
    refused(SourceUnreadable, source(tmp_path, "{year}-{month}.csv"), tmp_path, "Expected 6 columns, got 2")
    lines[300] = lines[299].replace("trip", "tr\udcff")
    (tmp_path / "2019-03.csv").write_bytes("".join(lines).encode(errors="surrogateescape"))
    refused(SourceUnreadable, source(tmp_path, "{year}-{month}.csv"), tmp_path, "UTF")


@FORMATS
def test_no_rows(tmp_path, extension):
    path = save(trips().clear(), tmp_path / f"2019-03.{extension}")
    src = source(tmp_path, "{year}-{month}." + extension)
    refused(SourceEmpty, src, tmp_path, "no rows")
    refused(SourceSchemaError, src, tmp_path, "column x: missing", expected={"x": pl.Int8()})
    path.write_bytes(b"")
    refused(SourceEmpty if extension == "csv" else SourceUnreadable, src, tmp_path)


def test_a_file_that_changes_while_it_is_read_leaves_nothing_behind(tmp_path, monkeypatch):
    from ml_assets.resources.sources import file_table

    path = save(trips(), tmp_path / "2019-03.parquet")
    write = file_table.write_partition

    def write_then_touch(*args, **kwargs):
        rows = write(*args, **kwargs)
        os.utime(path, ns=(1, 1))
        return rows

    monkeypatch.setattr(file_table, "write_partition", write_then_touch)
    refused(SourceUnreadable, source(tmp_path), tmp_path, "changed while it was read")


def test_two_columns_of_one_name(tmp_path):
    (tmp_path / "2019-03.csv").write_text("miles,miles\n1,2\n")
    refused(SourceSchemaError, source(tmp_path, "{year}-{month}.csv"), tmp_path, "two columns named 'miles'")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"path": "all.csv"}, "event_time"),
        ({"path": "{yaer}.csv"}, "yaer"),
        ({"path": "{year}.xlsx"}, "set format"),
        ({"path": "{year}.parquet", "separator": ";"}, "for CSV only"),
        ({"path": "{year}.csv", "types": {"x": "number"}}, "float64"),
        ({"path": "{year}.csv", "sep": ";"}, "Extra inputs"),
    ],
)
def test_a_configuration_that_means_nothing_is_refused(config, says):
    with pytest.raises(ValidationError, match=says):
        FilesSourceConfig(kind="files", **config)


def test_real_files(tlc, tmp_path):
    src = make_source(
        FilesSourceConfig(kind="files", path=str(tlc / "yellow_tripdata_{year}-{month}.parquet")), tmp_path
    )
    expected = {"passenger_count": pl.Int64(), "store_and_fwd_flag": pl.Boolean(), "congestion_surcharge": pl.Float64()}
    got, provenance = fetch(src, tmp_path, expected=expected)
    real = pl.read_parquet(tlc / "yellow_tripdata_2019-03.parquet")
    assert provenance.rows == 10_000
    assert got.drop("passenger_count", "store_and_fwd_flag").equals(real.drop("passenger_count", "store_and_fwd_flag"))
    assert got["passenger_count"].cast(pl.Float64).equals(real["passenger_count"])
    assert got["store_and_fwd_flag"].equals((real["store_and_fwd_flag"] == "Y").alias("store_and_fwd_flag"))
