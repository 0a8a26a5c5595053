"""Values of a row group against its own statistics: damage is seen, and no writer's files are refused."""

from datetime import datetime, timedelta

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_assets.resources.sources.parquet_statistics import GroupStatistics

ROWS = 500
TIMES = [datetime(2019, 3, 1, 0, 0, 0, 5) + timedelta(hours=n) for n in range(ROWS)]
TABLE = pa.table(
    {
        "number": pa.array([None if n % 5 == 0 else n * 0.1 - 7 for n in range(ROWS)]),
        "zeros": pa.array([-0.0, 0.0] * (ROWS // 2)),
        "nan": pa.array([np.nan, 1.0] * (ROWS // 2)),
        "all_nan": pa.array([np.nan] * ROWS),
        "null": pa.array([None] * ROWS, pa.int64()),
        "small": pa.array([n % 100 - 50 for n in range(ROWS)], pa.int8()),
        "great": pa.array([2**63 + n for n in range(ROWS)], pa.uint64()),
        "time": pa.array(TIMES, pa.timestamp("us")),
        "day": pa.array([t.date() for t in TIMES]),
        "text": pa.array([str(n) * 40 for n in range(ROWS)]),
        "flag": pa.array([n % 2 == 0 for n in range(ROWS)]),
    }
)


def contradictions(path, changed=None):
    file = pq.ParquetFile(path)
    found = []
    for group in range(file.num_row_groups):
        statistics = GroupStatistics(file.metadata.row_group(group))
        for batch in file.iter_batches(33, row_groups=[group]):
            statistics.see(batch if changed is None else changed(batch))
        found += statistics.contradictions()
    return found


@pytest.mark.parametrize("writer", ["pyarrow", "polars", "duckdb", "old", "none"])
def test_files_of_any_writer_agree_with_themselves(tmp_path, writer):
    path, trips = tmp_path / "f.parquet", TABLE
    {
        "pyarrow": lambda: pq.write_table(trips, path, row_group_size=99),
        "polars": lambda: pl.DataFrame(trips).write_parquet(path, row_group_size=99),
        "duckdb": lambda: duckdb.from_arrow(trips).write_parquet(str(path)),
        "old": lambda: pq.write_table(trips, path, version="1.0", use_deprecated_int96_timestamps=True),
        "none": lambda: pq.write_table(trips, path, write_statistics=False),
    }[writer]()
    assert contradictions(path) == []


def replaced(name, value):
    def change(batch):
        column = batch.column(name)
        new = pa.array([value, *column.to_pylist()[1:]], column.type)
        return batch.set_column(batch.schema.names.index(name), batch.schema.field(name), new)

    return change


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("zeros", 1e9, "other least"),
        ("number", 0.5, "nulls"),
        ("small", -51, "other least"),
        ("time", datetime(1970, 1, 1), "other least"),
        ("day", datetime(9999, 1, 1).date(), "other least"),
        ("zeros", None, "nulls"),
    ],
)
def test_a_value_outside_or_a_null_more_or_less_is_a_contradiction(tmp_path, name, value, says):
    pq.write_table(TABLE, tmp_path / "f.parquet")
    found = contradictions(tmp_path / "f.parquet", replaced(name, value))
    assert len(found) == 1
    assert f"column {name}" in found[0]
    assert says in found[0]
