"""Files, Parquet and CSV alike: what is fetched, and that each fault is named with source, partition and cure."""

import hashlib
import os
from datetime import date, datetime, timedelta

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
from ml_assets.resources.sources.describing import source_columns
from ml_assets.resources.sources.interface import FilesSourceConfig, make_source

MARCH = Window("2019-03", datetime(2019, 3, 1), datetime(2019, 4, 1))
APRIL = Window("2019-04", datetime(2019, 4, 1), datetime(2019, 5, 1))
MAY = Window("2019-05", datetime(2019, 5, 1), datetime(2019, 6, 1))
FORMATS = pytest.mark.parametrize("extension", ["parquet", "csv"])


@FORMATS
def test_a_partition_arrives_typed_in_order_and_with_its_provenance(tmp_path, extension, trips, save, source, fetch):
    path = save(trips(), tmp_path / f"2019-03.{extension}")
    got, provenance = fetch(source(tmp_path, "{year}-{month}." + extension), tmp_path)
    assert got.equals(trips())
    assert got.schema == trips().schema
    assert provenance.rows == 10
    assert provenance.source == str(path)
    assert provenance.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert provenance.bytes == path.stat().st_size
    assert source_columns(tmp_path / "scratch/out.parquet") == provenance.columns
    assert list(provenance.columns) == trips().columns


def test_same_rows_make_the_same_bytes_in_any_row_groups_and_the_same_table_from_either_format(
    tmp_path, trips, save, source, fetch
):
    save(trips(500), tmp_path / "2019-03.csv")
    from_csv, _ = fetch(source(tmp_path, "{year}-{month}.csv"), tmp_path)
    written = set()
    for size in (7, 500):
        trips(500).write_parquet(tmp_path / "2019-03.parquet", row_group_size=size)
        got, _ = fetch(source(tmp_path), tmp_path)
        assert got.equals(from_csv)
        written.add((tmp_path / "scratch/out.parquet").read_bytes())
    assert len(written) == 1


def test_daily_partitions_of_monthly_files_and_the_other_way_round(tmp_path, trips, save, source, fetch):
    save(trips(20), tmp_path / "2019-03.parquet")
    day = Window("2019-03-02", datetime(2019, 3, 2), datetime(2019, 3, 3))
    refused_config = source(tmp_path)
    with pytest.raises(ConfigError, match="event_time"):
        refused_config.fetch(day, tmp_path / "out", {})
    got, _ = fetch(source(tmp_path, event_time="pickup_at"), tmp_path, day)
    assert got["pickup_at"].dt.date().unique().to_list() == [date(2019, 3, 2)]

    week = Window("2019-04-29", datetime(2019, 4, 29), datetime(2019, 5, 2))
    daily = source(tmp_path, "d{year}{month}{day}.parquet")
    for n in range(3):
        assert daily.partitions([week]) == []
        save(trips(5, week.start + timedelta(days=n)), tmp_path / f"d{week.start + timedelta(days=n):%Y%m%d}.parquet")
    assert daily.partitions([week]) == [week.key]
    assert len(fetch(daily, tmp_path, week)[0]) == 15


def test_partitions_are_the_windows_whose_files_are_there(tmp_path, trips, save, source):
    save(trips(), tmp_path / "2019-03.parquet")
    save(trips(), tmp_path / "2019-05.parquet")
    assert source(tmp_path).partitions([MARCH, APRIL, MAY]) == ["2019-03", "2019-05"]
    assert source(tmp_path, "{year}/{month}.parquet").partitions([MARCH]) == [], "folders of files may land, too"


def test_a_folder_that_is_not_there_is_not_an_empty_one(tmp_path, source):
    with pytest.raises(SourceNotFound, match=r"no folder .*nowhere") as caught:
        source(tmp_path, "nowhere/{year}-{month}.parquet").partitions([MARCH])
    assert "mount it" in caught.value.cure


@FORMATS
def test_fingerprint_changes_with_content_and_configuration_only(tmp_path, extension, trips, save, source):
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
def test_a_missing_month_and_a_wrong_path_say_what_is_there(tmp_path, extension, trips, save, source, refused):
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
def test_a_web_page_in_place_of_the_file(tmp_path, extension, page, source, refused):
    (tmp_path / f"2019-03.{extension}").write_text(page)
    refused(SourceUnreadable, source(tmp_path, "{year}-{month}." + extension), tmp_path, "web page")


@FORMATS
def test_the_other_format(tmp_path, extension, trips, save, source, refused):
    other = {"csv": "parquet", "parquet": "csv"}[extension]
    save(trips(), tmp_path / f"2019-03.{other}").rename(tmp_path / f"2019-03.{extension}")
    src = source(tmp_path, "{year}-{month}." + extension)
    refused(SourceUnreadable, src, tmp_path, "source.format", {"csv": "a Parquet file", "parquet": "text"}[extension])


@FORMATS
def test_a_truncated_file(tmp_path, extension, trips, save, source, refused):
    path = save(trips(100), tmp_path / f"2019-03.{extension}")
    whole = path.read_bytes()
    src = source(tmp_path, "{year}-{month}." + extension)
    cut = len(whole) // 2 if extension == "parquet" else whole.rindex(b",Y,")
    path.write_bytes(whole[:cut])
    refused(SourceUnreadable, src, tmp_path, "cut off" if extension == "parquet" else "Expected 6 columns")


@FORMATS
def test_no_rows(tmp_path, extension, trips, save, source, refused):
    path = save(trips().clear(), tmp_path / f"2019-03.{extension}")
    src = source(tmp_path, "{year}-{month}." + extension)
    refused(SourceEmpty, src, tmp_path, "no rows")
    refused(SourceSchemaError, src, tmp_path, "column x: missing", expected={"x": pl.Int8()})
    path.write_bytes(b"")
    refused(SourceEmpty if extension == "csv" else SourceUnreadable, src, tmp_path)


def test_a_file_that_changes_while_it_is_read_leaves_nothing_behind(
    tmp_path, monkeypatch, trips, save, source, refused
):
    from ml_assets.resources.sources import conforming

    path = save(trips(), tmp_path / "2019-03.parquet")
    write = conforming.write_partition

    def write_then_touch(*args, **kwargs):
        rows = write(*args, **kwargs)
        os.utime(path, ns=(1, 1))
        return rows

    monkeypatch.setattr(conforming, "write_partition", write_then_touch)
    refused(SourceUnreadable, source(tmp_path), tmp_path, "changed while it was read")


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


def test_real_files(tlc, tmp_path, fetch):
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
