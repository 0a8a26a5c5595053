"""Several files as one table, and one file for several partitions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_assets.core.errors import (
    SourceEmpty,
    SourceSchemaError,
)
from ml_assets.core.windows import Window

MARCH = Window("2019-03", datetime(2019, 3, 1), datetime(2019, 4, 1))
APRIL = Window("2019-04", datetime(2019, 4, 1), datetime(2019, 5, 1))
MAY = Window("2019-05", datetime(2019, 5, 1), datetime(2019, 6, 1))
FORMATS = pytest.mark.parametrize("extension", ["parquet", "csv"])


@FORMATS
def test_several_files_of_a_partition_are_one_table_in_the_order_of_their_names(
    tmp_path, extension, trips, save, source, fetch, refused
):
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


def test_a_further_column_of_another_type_in_the_second_file_is_refused_unless_null(
    tmp_path, trips, save, source, fetch, refused
):
    save(trips(5).with_columns(note=pl.lit(None)), tmp_path / "2019-03.a.parquet")
    save(trips(5), tmp_path / "2019-03.b.parquet")
    src = source(tmp_path, "{year}-{month}.*.parquet")
    got, _ = fetch(src, tmp_path)
    assert got["note"].to_list()[4:6] == [None, "trip 0"]
    save(trips(5).with_columns(note=pl.lit(1.5)), tmp_path / "2019-03.a.parquet")
    refused(SourceSchemaError, src, tmp_path, "2019-03.b.parquet: column note is large_string, not double")


@FORMATS
def test_renaming(tmp_path, extension, trips, save, source, fetch, refused):
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
def test_one_file_for_all_partitions_is_filtered_by_event_time(
    tmp_path, extension, trips, save, source, fetch, refused
):
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


def test_row_numbers_in_messages_count_the_rows_of_the_file_also_when_filtered(
    tmp_path, trips, save, source, fetch, caplog
):
    frame = pl.concat([trips(10), trips(10, APRIL.start)]).cast({"miles": pl.String})
    frame[13, "miles"] = "far"
    save(frame, tmp_path / "all.csv")
    src = source(tmp_path, "all.csv", event_time="pickup_at")
    assert fetch(src, tmp_path)[0].schema["miles"] == pl.Float64
    assert not caplog.text
    assert fetch(src, tmp_path, APRIL)[0]["miles"].equals(frame["miles"].tail(10))
    assert "'far' in row 14 of all.csv" in caplog.text


@FORMATS
def test_an_event_time_that_is_none_is_refused_where_it_decides_the_partition_and_kept_where_it_does_not(
    tmp_path, extension, trips, save, source, fetch, refused
):
    frame = trips().cast({"pickup_at": pl.String})
    frame[7, "pickup_at"] = "soon"
    for name in ("all", "2019-03"):
        save(frame, tmp_path / f"{name}.{extension}")
    shared = source(tmp_path, f"all.{extension}", event_time="pickup_at")
    place = {"csv": "String 'soon' in row 8", "parquet": f"String '{frame[0, 'pickup_at']}' in row 1"}[extension]
    refused(SourceSchemaError, shared, tmp_path, f"column pickup_at: {place}")
    with pytest.raises(SourceSchemaError, match="pickup_at"):
        shared.partitions([MARCH])
    got, _ = fetch(source(tmp_path, "{year}-{month}." + extension), tmp_path)
    assert got["pickup_at"].equals(frame["pickup_at"])


def test_rows_without_event_time_are_counted_once_though_the_file_is_read_twice(
    tmp_path, trips, save, source, fetch, caplog
):
    frame = trips().cast({"miles": pl.String})
    frame[3, "miles"], frame[5, "pickup_at"] = "far", None
    save(frame, tmp_path / "all.csv")
    assert len(fetch(source(tmp_path, "all.csv", event_time="pickup_at"), tmp_path)[0]) == 9
    assert "1 rows without pickup_at" in caplog.text


def test_an_event_time_beyond_all_dates_does_not_look_like_damage(tmp_path, source, fetch):
    """Statistics of its row group can't be told in dates of Python."""
    times = pa.array([int(datetime(2019, 3, 5, tzinfo=UTC).timestamp() * 10**6), 2**62], pa.timestamp("us"))
    pq.write_table(pa.table({"pickup_at": times}), tmp_path / "all.parquet")
    src = source(tmp_path, "all.parquet", event_time="pickup_at")
    assert src.partitions([MARCH, APRIL]) == ["2019-03"]
    assert fetch(src, tmp_path, expected={})[0]["pickup_at"].to_list() == [datetime(2019, 3, 5)]


def test_rows_without_event_time_are_reported_and_a_wrong_one_is_refused(
    tmp_path, caplog, trips, save, source, fetch, refused
):
    save(trips().with_columns(pickup_at=pl.when(pl.col("note") != "trip 2").then("pickup_at")), tmp_path / "all.csv")
    src = source(tmp_path, "all.csv", event_time="pickup_at")
    assert len(fetch(src, tmp_path)[0]) == 9
    assert "1 rows without pickup_at" in caplog.text
    refused(SourceSchemaError, source(tmp_path, "all.csv", event_time="picked_at"), tmp_path,
            "column picked_at: missing, nearest names: pickup_at")  # fmt: skip
    refused(SourceSchemaError, source(tmp_path, "all.csv", event_time="note"), tmp_path, "'trip 0' in row 1")


def test_two_columns_of_one_name(tmp_path, source, refused):
    (tmp_path / "2019-03.csv").write_text("miles,miles\n1,2\n")
    refused(SourceSchemaError, source(tmp_path, "{year}-{month}.csv"), tmp_path, "two columns named 'miles'")
