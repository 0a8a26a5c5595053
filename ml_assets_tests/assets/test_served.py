"""`<p>/served` and its sensor: requests of a partition with labels, and what its checks say of tampered ones."""

from datetime import datetime, timedelta
from types import SimpleNamespace

import dagster as dg
import polars as pl
import pytest

from ml_assets.assets.served import AS_BATCH, FEATURES_AS_BATCH, LOG_VERSION, log_version_of, served
from ml_assets.config.pipeline import PipelineConfig
from ml_assets.config.table import TableConfig
from ml_assets.core.assignment import PartCounts
from ml_assets.core.bundle import Bundle
from ml_assets.core.errors import ConfigError
from ml_assets.core.features import Feature
from ml_assets.core.log_segments import microseconds
from ml_assets.core.manifest import Manifest
from ml_assets.core.models.kinds import fit_model
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.parameters import ModelParams
from ml_assets.core.prediction_log import Entry, frame_of
from ml_assets.core.time_split import TimeRange, TimeSplit
from ml_assets.problem import Pipeline, Table
from ml_assets.resources.clock import Clock
from ml_assets.resources.io_managers import JsonStore, ParquetStore
from ml_assets.resources.log_files import SegmentWriter
from ml_assets.resources.models import Models
from ml_assets.resources.prediction_log import PredictionLogs
from ml_assets.resources.storage import Store
from ml_assets.resources.whole_files import publish
from ml_assets.served_sensors import served_requests

SCHEMA = """
from datetime import datetime
import pandera.polars as pa
from ml_assets.core.contract import column


class Ride(pa.DataFrameModel):
    started_at: datetime = column()
    ended_at: datetime = column(known_at="ended_at")
    zone: str = column(nullable=True)
    miles: float = column()
    minutes: float = column(known_at="ended_at")
"""
TABLE = {
    "source": {"kind": "files", "path": "rides-{year}-{month}.csv"},
    "partitions": {"cadence": "monthly", "start": "2024-01-01", "end": "2024-07-01"},
    "event_time": "started_at",
    "schema": "schema:Ride",
}
PIPELINE = {
    "table": "rides",
    "label": {"column": "minutes", "known_at": "ended_at"},
    "features": "features:FEATURES",
    "serving": {"unit": "zone", "key": ["started_at", "zone"], "labels_within": "30d"},
    "trackers": [],
}
MONTH, T0, SERVED_AT = "2024-03", datetime(2024, 3, 1), datetime(2024, 4, 9)
FEATURES = [Feature("zone", pl.col("zone"), kind="category"), Feature("miles", pl.col("miles"), kind="number")]


def pipeline_at(folder, **serving: object) -> Pipeline:
    (folder / "schema.py").write_text(SCHEMA)
    config = {**PIPELINE, "serving": {**PIPELINE["serving"], **serving}}
    table = Table("rides", TableConfig.model_validate(TABLE), folder)
    return Pipeline("duration", PipelineConfig.model_validate(config), folder, table)


def month(rows: int = 60) -> pl.DataFrame:
    n = pl.int_range(rows, eager=True)
    return pl.DataFrame(
        {
            "row_number": n.cast(pl.UInt32),
            "started_at": [T0 + timedelta(hours=i) for i in range(rows)],
            "zone": [f"z{i % 4}" for i in range(rows)],
            "miles": (n % 17) / 3,
            "label": (n % 17) + 2.0 * (n % 4),
            "label_known_at": [T0 + timedelta(hours=i + 1) for i in range(rows)],
        }
    )


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    train = pl.concat([month()] * 8)
    spec = ModelSpec("model", "lightgbm", "regression", ModelParams(trees=15, leaves=15, min_rows_per_leaf=5))
    split = TimeSplit(*(TimeRange(datetime(2024, 1, d), datetime(2024, 1, d + 9)) for d in (1, 10, 19)), T0)
    return Bundle.of(
        fit_model(spec, train, None, features=FEATURES, seed=0, threads=1),
        pipeline="duration",
        label={"name": "minutes", "unit": "minutes", "task": "regression"},
        spec=spec,
        seed=0,
        manifest=Manifest("2024-02", {"2024-02": "ab" * 32}, split, PartCounts(rows={"train": 480}, immature={})),
        train=train,
        learning={"window": None, "half_life": None, "rows": 480, "refit": False},
    )


class Place:
    """A pipeline with a bundle, a stored month, a log and an instance."""

    def __init__(self, root, instance: dg.DagsterInstance, bundle: Bundle) -> None:
        self.root, self.instance, self.bundle, self.pipeline = root, instance, bundle, pipeline_at(root)
        self.store, self.models = Store(root=str(root / "store")), Models(root=str(root / "models"))
        self.logs = PredictionLogs(root=str(root / "predictions"))
        self.writer = SegmentWriter(self.logs.root, "duration", "a.1")
        self.clock = Clock(at=SERVED_AT.isoformat())
        self.models.save(bundle)

    def land(self, frame: pl.DataFrame) -> None:
        at = {"features": frame, "validated": frame.select("row_number", "started_at", "zone", "miles")}
        for noun, rows in at.items():
            [staged] = self.store.stage(rows.lazy())
            publish(staged.path, self.store.path(self.pipeline.key(noun), MONTH))

    def entries(self, rows: pl.DataFrame) -> list[Entry]:
        scores = self.bundle.predict(self.bundle.feature_frame(rows)).tolist()
        at = microseconds(SERVED_AT)
        return [
            Entry(f"r{n}", 0, at + n, zone, "champion", "answered", self.bundle.sha256, (zone, miles), score, 300,
                  None, 1.0, (when.isoformat(), zone), microseconds(when))
            for (n, when, zone, miles), score in zip(
                rows.select("row_number", "started_at", "zone", "miles").iter_rows(), scores, strict=True)
        ]  # fmt: skip

    def log(self, entries: list[Entry], kind: str = "requests") -> None:
        self.writer.write(kind, frame_of(entries))

    def run(self, pipeline: Pipeline | None = None) -> dg.ExecuteInProcessResult:
        pipeline = pipeline or self.pipeline
        return dg.materialize(
            [served(pipeline, pipeline.config.serving)],
            partition_key=MONTH,
            instance=self.instance,
            resources={
                "store": self.store, "models": self.models, "prediction_logs": self.logs, "clock": self.clock,
                "io_manager": ParquetStore(root=self.store.root), "records": JsonStore(root=self.store.root),
            },
        )  # fmt: skip

    def table(self) -> pl.DataFrame:
        return self.store.scan(self.pipeline.key("served"), MONTH).collect()

    def tick(self) -> SimpleNamespace:
        told = self.pipeline.config.serving
        sensor = served_requests(self.pipeline, told)
        resources = {"prediction_logs": self.logs, "clock": self.clock}
        every = {**resources, "store": self.store, "models": self.models, "io_manager": ParquetStore(root="/nowhere")}
        repository = dg.Definitions([served(self.pipeline, told)], sensors=[sensor], resources=every)
        with dg.build_sensor_context(
            instance=self.instance, repository_def=repository.get_repository_def(), resources=resources
        ) as context:
            told = sensor.evaluate_tick(context)
        return SimpleNamespace(asked={r.partition_key: r.run_key for r in told.run_requests}, why=told.skip_message)


@pytest.fixture
def place(tmp_path, bundle):
    with dg.DagsterInstance.ephemeral(str(tmp_path)) as instance:
        yield Place(tmp_path, instance, bundle)


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {e.check_name: e for e in result.get_asset_check_evaluations()}


def test_the_requests_of_a_partition_with_their_labels_and_passing_checks(place):
    place.land(month())
    place.log(place.entries(month())[:10])
    place.log(place.entries(month())[10:20])
    place.log([place.entries(month())[0]._replace(role="label", prediction=99.0, values=None, event_us=None)], "labels")
    result = place.run()
    table = place.table()
    assert table["request_id"].to_list() == [f"r{n}" for n in range(20)]
    assert table["label"].to_list() == [99.0, *month()["label"][1:20]]
    assert table["label_from"].to_list() == ["request", *["key"] * 19]
    assert table["row_number"].to_list() == list(range(20))
    assert table["feature_miles"].to_list() == month()["miles"][:20].to_list()
    assert all(e.passed for e in checks(result).values())
    assert set(checks(result)) == {AS_BATCH, FEATURES_AS_BATCH}
    [told] = result.asset_materializations_for_node("duration__served")
    assert told.metadata["answered"].value == 20
    assert told.metadata["labelled"].value == 20
    assert checks(result)[AS_BATCH].metadata["requests"].value == 20


def test_a_partition_without_requests_is_an_empty_table(place):
    result = place.run()
    assert place.table().is_empty()
    assert all(e.passed for e in checks(result).values())
    assert checks(result)[AS_BATCH].metadata["requests"].value == 0


def test_before_the_partition_lands_labels_come_by_request_only(place):
    place.log(place.entries(month())[:3])
    place.run()
    assert place.table()["label"].null_count() == 3
    assert "key" not in place.table().columns


def test_without_a_key_labels_come_by_request_only(place, tmp_path):
    place.land(month())
    place.log(place.entries(month())[:3])
    place.run(pipeline_at(tmp_path, key=[]))
    assert place.table()["row_number"].null_count() == 3


def test_a_tampered_segment_fails_the_check_and_names_request_feature_and_values(place):
    place.land(month())
    entries = place.entries(month())
    entries[7] = entries[7]._replace(values=("z0", entries[7].values[1]))
    place.log(entries)
    found = checks(place.run())
    assert not found[AS_BATCH].passed
    assert found[AS_BATCH].severity == dg.AssetCheckSeverity.ERROR
    assert found[AS_BATCH].description.startswith(f"request r7, row 0: served {entries[7].prediction}")
    assert "served as with zone = z3, and z0 is in the log" in found[AS_BATCH].description
    assert found[AS_BATCH].metadata["differing"].value == 1
    assert not found[FEATURES_AS_BATCH].passed
    assert "request r7 was served with z0, the data side has z3" in found[FEATURES_AS_BATCH].description


def test_features_that_came_to_one_side_only_are_a_warning_and_the_predictions_still_match(place):
    place.land(month().with_columns(miles=pl.col("miles") + 1))
    place.log(place.entries(month()))
    found = checks(place.run())
    assert found[AS_BATCH].passed
    assert not found[FEATURES_AS_BATCH].passed
    assert found[FEATURES_AS_BATCH].severity == dg.AssetCheckSeverity.WARN
    assert found[FEATURES_AS_BATCH].metadata["features"].value == ["miles"]


def test_as_many_requests_are_checked_as_yaml_says(place, tmp_path):
    place.log(place.entries(month()))
    found = checks(place.run(pipeline_at(tmp_path, checked=5)))
    assert found[AS_BATCH].metadata["requests"].value == 5


def test_finished_days_are_compacted_on_the_way(place):
    for n in range(3):
        place.log(place.entries(month())[n : n + 1])
    place.clock = Clock(at=(SERVED_AT + timedelta(days=1)).isoformat())
    place.run()
    assert [s.rows for s in place.logs.segments("duration", SERVED_AT.date().isoformat())] == [3]
    assert place.table().height == 3


def test_the_sensor_asks_when_there_is_something_new_and_not_again(place):
    assert "no server has logged a request" in place.tick().why
    place.log(place.entries(month())[:3])
    place.land(month())
    first = place.tick()
    assert first.asked == {MONTH: f"duration/served/{MONTH}/3 rows, labels of none, features none"}
    result = place.run()
    [told] = result.asset_materializations_for_node("duration__served")
    assert told.metadata[LOG_VERSION].value == "3 rows, labels of none"
    place.clock = Clock(at="2030-01-01")
    again = place.tick()
    assert again.asked.keys() == {MONTH}, "its features have no materialization, and it has read some"
    place.instance.report_runless_asset_event(
        dg.AssetMaterialization(
            place.pipeline.key("features"),
            partition=MONTH,
            tags={"dagster/data_version": place.store.sha256(place.pipeline.key("features"), MONTH)},
        )
    )
    assert "all of which are read" in place.tick().why
    place.log([e._replace(at_us=e.at_us + 86_400_000_000) for e in place.entries(month())[3:5]])
    assert place.tick().asked[MONTH].startswith(f"duration/served/{MONTH}/5 rows")


@pytest.mark.parametrize(("within", "labels"), [("30d", SERVED_AT.date().isoformat()), ("5d", "none")])
def test_labels_are_waited_for_as_long_as_yaml_says(place, within, labels):
    place.log(place.entries(month())[:3])
    place.log([place.entries(month())[0]._replace(role="label", values=None)], "labels")
    pipeline = pipeline_at(place.root, labels_within=within)
    later = SERVED_AT + timedelta(days=1)
    found = log_version_of(pipeline, pipeline.config.serving, place.logs, pipeline.table.window(MONTH), later)
    assert found == f"3 rows, labels of {labels}"


def test_a_key_that_no_request_can_bring_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="minutes, which is known at ended_at") as raised:
        _ = pipeline_at(tmp_path, key=["zone", "minutes"]).natural_key
    assert "leave these out" in raised.value.cure


@pytest.mark.parametrize(
    ("serving", "said"),
    [
        ({"key": ["zone", "zone"]}, "zone is named more than once"),
        ({"labels_within": "soon"}, "serving.labels_within"),
        ({"checked": 0}, "greater than or equal to 1"),
        ({"keys": []}, "Extra inputs are not permitted"),
    ],
)
def test_what_yaml_must_not_say(tmp_path, serving, said):
    with pytest.raises(ValueError, match=said):
        pipeline_at(tmp_path, **serving)
