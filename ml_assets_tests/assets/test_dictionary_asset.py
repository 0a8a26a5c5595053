"""The asset `<table>/dictionary`, and that a rule is declared once for all who ask."""

import hashlib
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from ml_assets.assets.dictionary import dictionary, schema_version
from ml_assets.assets.metadata import table_output
from ml_assets.assets.typed_tables import DATA_DICTIONARY
from ml_assets.config.table import TableConfig
from ml_assets.core.dictionary import dictionary_rows, render_dictionary
from ml_assets.core.requests import RequestRules
from ml_assets.core.validation import judge
from ml_assets.problem import Table
from ml_assets.resources.reports import Reports
from ml_assets.resources.storage import Store
from ml_assets.resources.tables import CsvStore

SCHEMA = """
from datetime import datetime
import pandera.polars as pa
import polars as pl
from ml_assets.core.contract import column

class Ride(pa.DataFrameModel):
    \"\"\"One ride.\"\"\"
    started_at: datetime = column(unit="local time", description="meter engaged")
    miles: float = column(gt=0, unit="miles", description="by the meter"RULE)
    riders: int = column(nullable=True)
    tip_usd: float = column(nullable=True, required=False)
    yards: float = column(derived=pl.col("miles") * 1760)

    class Config:
        unique = ("started_at", "miles")
"""
KEY = dg.AssetKey(["rides", "dictionary"])
CONFIG = TableConfig.model_validate(
    {
        "source": {"kind": "simulated", "rows": 10},
        "partitions": {"cadence": "monthly", "start": "2020-01-01"},
        "event_time": "started_at",
        "schema": "schema:Ride",
    }
)


def write_schema(folder: Path, rule: str = "") -> Table:
    """The table after its schema.py has been written, as a new process sees it."""
    (folder / "schema.py").write_text(SCHEMA.replace("RULE", rule))
    sys.modules.pop(f"ml_assets_defs.{folder.name}.schema", None)
    return Table("rides", CONFIG, folder)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "rides_of_the_dictionary"
    folder.mkdir()
    yield folder
    sys.modules.pop(f"ml_assets_defs.{folder.name}.schema", None)


def definitions(table: Table, root: Path) -> dg.Definitions:
    resources = {"tables": CsvStore(root=str(root / "store")), "reports": Reports(root=str(root / "reports"))}
    return dg.Definitions([dictionary(table)], resources=resources)


def materialize(table: Table, root: Path, instance: dg.DagsterInstance | None = None) -> dg.ExecuteInProcessResult:
    job = definitions(table, root).resolve_implicit_global_asset_job_def()
    return job.execute_in_process(instance=instance)


def test_it_is_a_table_and_a_page(folder, tmp_path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(write_schema(folder), tmp_path, instance)
        assert result.success
        stored = tmp_path / "store/rides/dictionary.csv"
        version = hashlib.sha256(stored.read_bytes()).hexdigest()
        [event] = result.get_asset_materialization_events()
        metadata = event.materialization.metadata
        again = materialize(write_schema(folder), tmp_path, instance)
        assert again.success
        records = instance.fetch_materializations(KEY, limit=2).records
        versions = {r.asset_materialization.tags["dagster/data_version"] for r in records}
        assert versions == {version}, "made again, it is the same"
    assert stored.read_text().splitlines()[:3] == [
        "column,type,unit,values,missing,source,known_at,description,rules",
        'started_at,"date and time (Datetime in us, no time zone)",local time,,never missing,started_at,started_at,'
        'meter engaged,"started_at_type, started_at_not_null, unique, started_at_in_partition"',
        "miles,number (Float64),miles,> 0,never missing,miles,started_at,by the meter,"
        '"miles_type, miles_not_null, miles_finite, miles_gt, unique"',
    ]
    assert metadata["sha256"].value == version
    assert metadata["dagster/row_count"].value == 5
    page = Path(str(metadata["page"].value))
    assert page == tmp_path / "reports/rides/dictionary.html"
    assert "One ride." in page.read_text()
    shown = metadata["table"]
    assert isinstance(shown, dg.TableMetadataValue)
    assert [r.data["missing"] for r in shown.records] == [
        "never missing", "never missing", "may be missing", "may be missing; the source need not have the column",
        "never missing",
    ]  # fmt: skip
    assert shown.records[4].data["source"] == "computed: miles * 1760"
    assert metadata["rules_of_the_row"].value == {
        "unique": "no two rows share started_at, miles",
        "started_at_in_partition": "started_at lies in the partition's window",
    }


def test_it_says_what_it_is_before_it_is_made(folder) -> None:
    asset = dictionary(write_schema(folder))
    [spec] = asset.specs
    assert spec.group_name == "data"
    assert spec.description
    assert spec.partitions_def is None
    [out] = asset.node_def.output_defs
    assert out.dagster_type is DATA_DICTIONARY.dagster_type


def requested(table: Table, root: Path, instance: dg.DagsterInstance, cursor: Any) -> tuple[Any, int]:
    found = dg.evaluate_automation_conditions(
        definitions(table, root), instance, cursor=cursor, asset_selection=dg.AssetSelection.assets(KEY)
    )
    return found.cursor, found.total_requested


def test_it_is_made_once_and_again_when_the_schema_changes(folder, tmp_path) -> None:
    table = write_schema(folder)
    with dg.DagsterInstance.ephemeral() as instance:
        cursor, n = requested(table, tmp_path, instance, None)
        assert n == 1, "there is none yet"
        cursor, n = requested(table, tmp_path, instance, cursor)
        assert n == 0, "it was asked for already"
        assert materialize(table, tmp_path, instance).success
        for _ in range(2):
            cursor, n = requested(table, tmp_path, instance, cursor)
            assert n == 0, "it is there"
        changed = write_schema(folder, ", lt=100")
        cursor, n = requested(changed, tmp_path, instance, cursor)
        assert n == 1, "the schema changed"
        cursor, n = requested(changed, tmp_path, instance, cursor)
        assert n == 0, "it was asked for already"
        assert materialize(changed, tmp_path, instance).success
        cursor, n = requested(changed, tmp_path, instance, cursor)
        assert n == 0
    assert "&gt; 0; &lt; 100" in (tmp_path / "reports/rides/dictionary.html").read_text()


def test_it_is_not_asked_for_where_it_was_made_by_hand(folder, tmp_path) -> None:
    table = write_schema(folder)
    with dg.DagsterInstance.ephemeral() as instance:
        assert materialize(table, tmp_path, instance).success
        assert requested(table, tmp_path, instance, None)[1] == 0


def test_its_version_is_that_of_what_it_is_made_from(folder) -> None:
    version = schema_version(write_schema(folder))
    assert schema_version(write_schema(folder)) == version
    assert schema_version(write_schema(folder, ", lt=100")) != version
    write_schema(folder)
    other = CONFIG.model_copy(update={"event_time": "ended_at"})
    assert schema_version(Table("rides", other, folder)) != version


def everywhere(table: Table, root: Path) -> dict[str, bool]:
    """Where a rule of 100 miles at most is to be found."""
    contract = table.contract
    rows = pl.LazyFrame({"started_at": [datetime(2020, 1, 5)], "miles": [500.0], "riders": [1]})
    broken = judge(rows, contract, event_time="started_at", window=table.window("2020-01"))
    [staged] = Store(root=str(root)).stage(rows)
    schema = table_output(staged, {}, contract=contract).metadata["dagster/column_schema"]
    constraints = {c.name: c.constraints.other for c in getattr(schema, "schema", schema).columns}
    miles = next(e for e in dictionary_rows(contract, "started_at") if e.column == "miles")
    request = RequestRules.of(contract, ["miles"], event_time="started_at")
    return {
        "dictionary": "< 100" in miles.constraints and "miles_lt" in miles.rules,
        "page": 'id="rule-miles_lt"' in render_dictionary("rides", contract, "started_at"),
        "table schema": "< 100" in constraints["miles"],
        "quarantine": broken.collect()["broken_rules"].to_list() == [["miles_lt"]],
        "requests": [f.rule for f in request.faults([{"miles": 500}])[0]] == ["miles_lt"],
    }


def test_a_rule_added_to_the_model_is_everywhere(folder, tmp_path) -> None:
    before = everywhere(write_schema(folder), tmp_path)
    assert set(before.values()) == {False}
    after = everywhere(write_schema(folder, ", lt=100"), tmp_path)
    assert after == dict.fromkeys(before, True)
