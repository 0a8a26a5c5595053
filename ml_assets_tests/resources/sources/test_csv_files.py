"""What is particular to CSV: its knobs, its numbers, its damage."""

import gzip
from datetime import datetime

import polars as pl

from ml_assets.core.errors import SourceSchemaError, SourceUnreadable


def test_whole_numbers_in_csv_keep_every_digit(tmp_path, source, fetch, caplog):
    great = 2**53 + 1
    (tmp_path / "2019-03.csv").write_text(f"a,b\n1.0,2.0\n{great},3\n,-4.00\n")
    src = source(tmp_path, "{year}-{month}.csv")
    got, _ = fetch(src, tmp_path, expected={"a": pl.Int64(), "b": pl.Int8()})
    assert got.rows() == [(1, 2), (great, 3), (None, -4)]
    got, _ = fetch(src, tmp_path, expected={"b": pl.UInt8()})
    assert got["b"].to_list() == ["2.0", "3", "-4.00"]
    assert "String '-4.00' in row 3" in caplog.text


def test_csv_knobs_change_what_is_read(tmp_path, source, fetch):
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


def test_each_knob_is_needed(tmp_path, source, fetch, refused, caplog):
    path = tmp_path / "2019-03.csv"
    path.write_text("pickup_at;x\n03/01/2019;-\n03/02/2019;1\n")
    config = {"separator": ";", "null_values": ["-"], "datetime_format": "%m/%d/%Y", "types": {"x": "int8"}}
    read = {"pickup_at": pl.Datetime("us"), "x": pl.Int8()}

    def without(**knobs):
        return source(tmp_path, "{year}-{month}.csv", **{**config, **knobs})

    assert fetch(without(), tmp_path, expected=read)[0].rows() == [
        (datetime(2019, 3, 1), None),
        (datetime(2019, 3, 2), 1),
    ]
    refused(SourceSchemaError, without(separator=","), tmp_path, expected=read)
    assert fetch(without(null_values=[]), tmp_path, expected=read)[0]["x"].to_list() == ["-", "1"]
    as_date = fetch(without(types={"x": "date"}), tmp_path, expected=read)[0]
    assert as_date["x"].to_list() == [None, "1"]
    assert "String '1' in row 2 of 2019-03.csv, expected Date" in caplog.text
    assert fetch(without(datetime_format=None), tmp_path, expected=read)[0]["pickup_at"].to_list() == [
        "03/01/2019",
        "03/02/2019",
    ]


def test_gzip_and_tab_separated(tmp_path, trips, source, fetch, refused):
    text = trips().write_csv(separator="\t", datetime_format="%Y-%m-%dT%H:%M:%S")
    (tmp_path / "2019-03.tsv.gz").write_bytes(gzip.compress(text.encode()))
    got, _ = fetch(source(tmp_path, "{year}-{month}.tsv.gz"), tmp_path)
    assert got.equals(trips())
    whole = (tmp_path / "2019-03.tsv.gz").read_bytes()
    (tmp_path / "2019-03.tsv.gz").write_bytes(whole[: len(whole) // 2])
    refused(SourceUnreadable, source(tmp_path, "{year}-{month}.tsv.gz"), tmp_path)


def test_a_damaged_row_in_the_middle_of_csv(tmp_path, trips, source, refused):
    lines = trips(500).write_csv(datetime_format="%Y-%m-%d %H:%M:%S").splitlines(keepends=True)
    lines[300] = "1,2\n"
    (tmp_path / "2019-03.csv").write_text("".join(lines))
    refused(SourceUnreadable, source(tmp_path, "{year}-{month}.csv"), tmp_path, "Expected 6 columns, got 2")
    lines[300] = lines[299].replace("trip", "tr\udcff")
    (tmp_path / "2019-03.csv").write_bytes("".join(lines).encode(errors="surrogateescape"))
    refused(SourceUnreadable, source(tmp_path, "{year}-{month}.csv"), tmp_path, "UTF")
