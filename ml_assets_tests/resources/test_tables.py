"""Tables as CSV: whole or not at all, and read back as they were declared."""

from typing import Any

import dagster as dg
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from ml_assets.assets.typed_tables import TypedColumn, TypedTable
from ml_assets.core.errors import PartitionMissing
from ml_assets.resources.tables import SCHEMA, CsvStore, csv_bytes

NOTES = TypedTable(
    "Notes",
    (
        TypedColumn("code", "text"),
        TypedColumn("said", "text", nullable=True),
        TypedColumn("n", "integer"),
        TypedColumn("seen", "integer", nullable=True),
        TypedColumn("share", "number"),
        TypedColumn("bias", "number", nullable=True),
    ),
    "Notes.",
)
FRAME = NOTES.frame(
    [
        {"code": "007", "said": 'a "b",\nc', "n": 2**53 + 1, "seen": None, "share": 0.1 + 0.2, "bias": None},
        {"code": "NA", "said": None, "n": -1, "seen": 2**53 + 1, "share": 1e-300, "bias": 1 / 3},
    ]
)
KEYS = dg.StaticPartitionsDefinition(["a", "b"])


def written(frame: pd.DataFrame, partitions: dg.PartitionsDefinition | None = None) -> dg.AssetsDefinition:
    @dg.asset(
        key=["t", "notes"], partitions_def=partitions, metadata={SCHEMA: NOTES.schema()}, io_manager_key="tables",
        dagster_type=NOTES.dagster_type,
    )  # fmt: skip
    def notes() -> Any:
        return frame

    return notes


def reader(seen: list[Any], partitions: dg.PartitionsDefinition | None = None) -> dg.AssetsDefinition:
    @dg.asset(ins={"notes": dg.AssetIn(key=["t", "notes"])}, partitions_def=partitions)
    def read(notes: Any) -> None:
        seen.append(notes)

    return read


@pytest.fixture
def store(tmp_path) -> dict[str, Any]:
    return {"tables": CsvStore(root=str(tmp_path))}


def test_what_is_read_is_what_was_written(store, tmp_path) -> None:
    seen: list[Any] = []
    assets = [written(FRAME), reader(seen)]
    with dg.DagsterInstance.ephemeral() as instance:
        assert dg.materialize(assets[:1], resources=store, instance=instance).success
        assert dg.materialize(assets, resources=store, instance=instance, selection=[assets[1]]).success
    assert_frame_equal(seen[0], FRAME)
    assert seen[0]["said"].tolist() == ['a "b",\nc', None]
    assert (tmp_path / "t/notes.csv").read_bytes() == csv_bytes(FRAME)
    assert csv_bytes(seen[0]) == csv_bytes(FRAME)


def test_each_partition_is_a_file(store, tmp_path) -> None:
    seen: list[Any] = []
    assert dg.materialize([written(FRAME, KEYS), reader(seen, KEYS)], resources=store, partition_key="b").success
    assert_frame_equal(seen[0], FRAME)
    assert [p.name for p in (tmp_path / "t/notes").iterdir()] == ["b.csv"]


def test_a_failing_write_leaves_the_old_table(store, tmp_path, monkeypatch) -> None:
    assert dg.materialize([written(FRAME)], resources=store).success
    monkeypatch.setattr("ml_assets.resources.whole_files.publish", lambda *_: 1 / 0)
    assert not dg.materialize([written(FRAME.head(1))], resources=store, raise_on_error=False).success
    assert (tmp_path / "t/notes.csv").read_bytes() == csv_bytes(FRAME)


def test_a_table_that_is_not_there_is_named(store) -> None:
    assets = [written(FRAME), reader([])]
    result = dg.materialize(assets, resources=store, selection=[assets[1]], raise_on_error=False)
    [failure] = result.get_step_failure_events()
    error = failure.step_failure_data.error
    while error.cause is not None:
        error = error.cause
    assert PartitionMissing.__name__ in str(error)
    assert "t/notes" in str(error)


def test_tables_go_to_a_bucket_too() -> None:
    import fsspec

    seen: list[Any] = []
    remote = {"tables": CsvStore(root="memory://ml_assets_test_tables")}
    assert dg.materialize([written(FRAME), reader(seen)], resources=remote).success
    assert_frame_equal(seen[0], FRAME)
    fsspec.filesystem("memory").rm("/ml_assets_test_tables", recursive=True)
