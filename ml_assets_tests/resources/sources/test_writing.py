"""One Parquet file: the same bytes for the same rows."""

import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_assets.core.errors import SourceEmpty
from ml_assets.resources.sources import writing
from ml_assets.resources.sources.writing import write_partition

SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.large_string())])
ROWS = 1000


def batches(size):
    numbers = list(range(ROWS))
    table = pa.table([numbers, [None if n % 7 == 0 else str(n % 50) for n in numbers]], SCHEMA)
    return table.to_batches(size)


@pytest.fixture(autouse=True)
def small_row_groups(monkeypatch):
    monkeypatch.setattr(writing, "ROW_GROUP_ROWS", 300)


def test_bytes_do_not_depend_on_the_batches(tmp_path):
    written = set()
    for size in (1, 7, 299, 300, 301, 650, ROWS):
        assert write_partition(batches(size), SCHEMA, tmp_path / "out", thing="t", columns=dict) == ROWS
        written.add((tmp_path / "out").read_bytes())
    assert len(written) == 1
    file = pq.ParquetFile(tmp_path / "out")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [300, 300, 300, 100]
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert file.read()["n"].to_pylist() == list(range(ROWS))


def test_a_failure_leaves_nothing(tmp_path):
    def broken():
        yield from batches(400)[:2]
        raise RuntimeError("cut")

    with pytest.raises(RuntimeError, match="cut"):
        write_partition(broken(), SCHEMA, tmp_path / "out", thing="t", columns=dict)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("empty", [[], [pa.RecordBatch.from_pylist([], SCHEMA)]])
def test_no_rows(tmp_path, empty):
    with pytest.raises(SourceEmpty):
        write_partition(empty, SCHEMA, tmp_path / "out", thing="t", columns=dict)
    assert not list(tmp_path.iterdir())


def test_bytes_do_not_depend_on_the_number_of_threads(tmp_path):
    code = """
import sys, hashlib
from datetime import datetime
from pathlib import Path
import polars as pl
from ml_assets.core.windows import Window
from ml_assets.resources.sources.interface import FilesSourceConfig, make_source
folder = Path(sys.argv[1])
source = make_source(FilesSourceConfig(kind="files", path="{year}.csv"), folder)
window = Window("2019", datetime(2019, 1, 1), datetime(2020, 1, 1))
source.fetch(window, folder / "out", {"a": pl.Int64(), "b": pl.Float64()})
print(hashlib.sha256((folder / "out").read_bytes()).hexdigest())
"""
    (tmp_path / "2019.csv").write_text("a,b,c\n" + "".join(f"{n}, {n}.5,x{n % 9}\n" for n in range(50_000)))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    got = {
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            env={**env, "POLARS_MAX_THREADS": threads, "OMP_NUM_THREADS": threads},
            capture_output=True, text=True, check=True,
        ).stdout
        for threads in ("1", "2")
    }  # fmt: skip
    assert len(got) == 1
