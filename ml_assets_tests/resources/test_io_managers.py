from pathlib import Path

import dagster as dg
import polars as pl
from upath import UPath

from ml_assets.resources.io_managers import JsonIOManager, ParquetIOManager
from ml_assets.resources.storage import Staged
from ml_assets_tests.resources.test_storage import frame


def test_tables_and_records_go_through_dagster(store, tmp_path):
    partitions = dg.StaticPartitionsDefinition(["x", "y"])

    @dg.asset(partitions_def=partitions)
    def table(context: dg.AssetExecutionContext) -> dg.Output[Staged]:
        return dg.Output(store.stage(frame(10 if context.partition_key == "x" else 20))[0])

    @dg.asset(partitions_def=partitions, io_manager_key="records")
    def record(table) -> dict[str, int]:
        return {"rows": table.select(pl.len()).collect().item()}

    base = UPath(store.root)
    for partition in ("x", "y"):
        assert dg.materialize(
            [table, record],
            resources={"io_manager": ParquetIOManager(base), "records": JsonIOManager(base)},
            partition_key=partition,
            instance=dg.DagsterInstance.ephemeral(),
        ).success
    assert store.record(dg.AssetKey("record"), "x") == {"rows": 10}
    assert store.record(dg.AssetKey("record"), "y") == {"rows": 20}
    assert store.record(dg.AssetKey("record"), "z") is None
    if Path(store.root).exists():
        assert sorted(p.name for p in Path(store.root).rglob("*") if p.is_file()) == [
            "x.json", "x.parquet", "y.json", "y.parquet",
        ]  # fmt: skip
