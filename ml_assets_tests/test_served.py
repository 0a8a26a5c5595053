"""What the server reads of `defs`: the same as the code location, without Dagster."""

import subprocess
import sys

import pytest

from ml_assets.core.errors import ConfigError
from ml_assets.core.features import columns_among
from ml_assets.project import pipeline_named
from ml_assets.served import pipelines_written_in, raw_fields_of

PIPELINE = """
type: ml_assets.components.Table
attributes:
  name: prices
  source: {kind: simulated, rows: "{{ env.ROWS }}"}
  partitions: {cadence: daily, start: 2018-01-01}
  event_time: happened_at
  schema: schema:Row
---
type: ml_assets.components.Pipeline
attributes:
  name: price
  table: prices
  label: {column: price_usd, known_at: paid_at}
  features: features:FEATURES
"""
SCHEMA = """
from datetime import datetime
import pandera.polars as pa
from ml_assets.core.contract import column
class Row(pa.DataFrameModel):
    happened_at: datetime
    paid_at: datetime = column(known_at="paid_at")
    price_usd: float = column(known_at="paid_at", unit="USD")
"""
FEATURES = """
import polars as pl
from ml_assets.core.features import Feature
from ml_assets.core.history import HistoryFeature
FEATURES = [
    Feature("hour", pl.col("happened_at").dt.hour(), kind="number"),
    HistoryFeature("past", by=(), value="price_usd", window="40h", how="mean", delay="2h"),
]
"""


@pytest.fixture
def defs(tmp_path):
    folder = tmp_path / "defs" / "prices"
    folder.mkdir(parents=True)
    (folder / "defs.yaml").write_text(PIPELINE)
    (folder / "schema.py").write_text(SCHEMA)
    (folder / "features.py").write_text(FEATURES)
    return tmp_path / "defs"


@pytest.mark.parametrize("name", ["trip_duration", "high_tip"])
def test_the_shipped_pipelines_are_read_as_the_code_location_reads_them(name):
    read, pipeline = raw_fields_of(name), pipeline_named(name)
    assert (read.table, read.cadence) == (pipeline.table.name, pipeline.table.config.partitions.cadence)
    assert read.event_time == pipeline.table.config.event_time
    assert read.known_late == pipeline.known_late
    assert list(read.features) == columns_among(pipeline.features)
    assert (read.reach, read.partitions_before) == (pipeline.reach, pipeline.partitions_before)
    assert read.contract.schema == pipeline.table.contract.schema
    assert read.key == pipeline.natural_key


def test_all_pipelines_are_found():
    assert pipelines_written_in() == ["high_tip", "trip_duration"]


def test_a_folder_of_ones_own_is_read_with_templates_where_requests_do_not_depend_on_them(defs):
    read = raw_fields_of("price", defs)
    assert (read.table, read.partitions_before, read.answer) == ("prices", 2, "price_usd in USD")
    assert read.online.names == ("hour", "past")
    assert read.features[1].known_at == "paid_at"
    assert [c.name for c in read.online.rules.fields] == ["happened_at"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("name: price\n", "name: other\n", "'price' below"),
        ("table: prices", "table: nothing", "'nothing' below"),
        ("table: prices", 'table: "{{ env.TABLE }}"', "without templates"),
        ("cadence: daily", "cadence: yearly", "cadence"),
        ("event_time: happened_at", "event_times: happened_at", "event_time"),
        ("name: price\n", "name: price\n  serving: {keys: []}\n", "keys"),
    ],
)
def test_what_can_not_be_served_is_told(defs, old, new, told):
    (defs / "prices" / "defs.yaml").write_text(PIPELINE.replace(old, new))
    with pytest.raises(ConfigError, match=told):
        raw_fields_of("price", defs)


def test_what_tells_requests_apart_is_a_field_of_them_whether_or_not_a_feature_reads_it(defs):
    (defs / "prices" / "defs.yaml").write_text(PIPELINE + "  serving: {unit: shop, key: [happened_at, shop]}\n")
    (defs / "prices" / "schema.py").write_text(SCHEMA + "    shop: int\n")
    read = raw_fields_of("price", defs)
    assert (read.unit, read.key) == ("shop", ("happened_at", "shop"))
    assert [c.name for c in read.online.rules.fields] == ["happened_at", "shop"]
    (defs / "prices" / "defs.yaml").write_text(PIPELINE + "  serving: {key: [paid_at]}\n")
    with pytest.raises(ConfigError, match="paid_at is known at paid_at, after the event"):
        _ = raw_fields_of("price", defs).online


@pytest.mark.slow
def test_reading_needs_no_dagster_and_reading_apart_no_pandera():
    """Of memory, pandera takes as much as everything else together."""
    for more, heavy in (("", ["pandera"]), (", apart=True", [])):
        code = f"from ml_assets.served import raw_fields_of as r; r('trip_duration'{more}).online; import sys; "
        code += "print([m for m in ('dagster', 'mlflow', 'lightgbm', 'sklearn', 'pandera') if m in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str(heavy)


@pytest.mark.slow
def test_a_schema_that_is_read_apart_says_the_same(defs, monkeypatch):
    asked = []
    run = subprocess.run
    monkeypatch.setattr("subprocess.run", lambda *given, **more: asked.append(given) or run(*given, **more))
    apart, here = raw_fields_of("price", defs, apart=True), raw_fields_of("price", defs)
    assert len(asked) == 1
    assert apart.contract == here.contract
    assert apart.online.names == here.online.names
    record = {"happened_at": "2020-03-05T12:00:00", "more": 1}
    assert apart.online.rules.faults([record]) == here.online.rules.faults([record])


@pytest.mark.slow
def test_a_schema_that_can_not_be_read_apart_says_why(defs):
    (defs / "prices" / "schema.py").write_text(SCHEMA.replace("class Row(pa.DataFrameModel)", "class Row"))
    with pytest.raises(ConfigError, match="derived from pandera"):
        raw_fields_of("price", defs, apart=True)
