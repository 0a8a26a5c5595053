"""What a raw file's footer says of its source, and what is said where it says nothing."""

import fsspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from ml_assets.core.errors import PartitionMissing, SourceUnreadable
from ml_assets.resources.sources.describing import KEY, as_metadata, source_columns, type_name
from ml_assets.resources.sources.writing import write_partition

FOUND = {"zoné": "int64", "at": "timestamp[us, tz=UTC]", "late": "empty"}


@pytest.fixture
def raw(tmp_path):
    batch = pa.RecordBatch.from_pydict({"n": [1]})
    write_partition([batch], batch.schema, tmp_path / "raw.parquet", thing="t", columns=lambda: FOUND)
    return tmp_path / "raw.parquet"


def test_a_local_file_and_one_behind_a_url_say_the_same(raw):
    assert source_columns(raw) == FOUND
    assert source_columns(UPath(str(raw))) == FOUND
    system = fsspec.filesystem("memory")
    system.pipe_file("/described/raw.parquet", raw.read_bytes())
    assert source_columns(UPath("memory://described/raw.parquet")) == FOUND
    system.rm("/described", recursive=True)
    assert pl.read_parquet_metadata(raw)[KEY] == as_metadata(FOUND)[KEY]


def test_one_content_has_one_text():
    assert as_metadata(FOUND) == as_metadata(dict(reversed(FOUND.items())))
    assert as_metadata({"b": "x", "a": "é"})[KEY] == '{"a":"é","b":"x"}'


@pytest.mark.parametrize("said", [None, "{", "[1]", "{}", '{"a":1}'])
def test_a_file_that_does_not_say_it_is_refused(tmp_path, said):
    path = tmp_path / "other.parquet"
    metadata = None if said is None else {KEY: said}
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata(metadata), path)
    with pytest.raises(SourceUnreadable, match=r"other\.parquet.*ml_assets\.source_columns(.|\n)*cure: materialize"):
        source_columns(path)


def test_no_file_and_no_parquet(tmp_path):
    with pytest.raises(PartitionMissing, match="materialize"):
        source_columns(tmp_path / "raw.parquet")
    with pytest.raises(PartitionMissing):
        source_columns(UPath("memory://described/none.parquet"))
    (tmp_path / "raw.parquet").write_text("text")
    with pytest.raises(SourceUnreadable, match="can't be read"):
        source_columns(tmp_path / "raw.parquet")


def test_how_text_is_stored_is_no_difference():
    text = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
    assert {type_name(one) for one in text} == {"string"}
    assert {type_name(one) for one in (pa.binary(), pa.large_binary(), pa.binary_view())} == {"binary"}
    assert type_name(pa.decimal128(7, 2)) == "decimal128(7, 2)"
    assert type_name(pa.null()) == "empty"
