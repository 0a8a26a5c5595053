"""Group `training`: unsound rows fail the check and are not learnt from; splits by chance through the whole graph."""

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from ml_assets import components
from ml_assets.assets.training_set import sound
from ml_assets.config.pipeline import PipelineConfig
from ml_assets.core.errors import TrainingError
from ml_assets.core.features import Feature
from ml_assets.core.learning import Recipe, learn
from ml_assets.core.manifest import Manifest, make_manifest
from ml_assets.core.recency import Recency
from ml_assets.core.windows import Window
from ml_assets.replay import Replay

REPOSITORY = Path(__file__).resolve().parents[2]
WINDOW = Window("2018-01", datetime(2018, 1, 1), datetime(2018, 2, 1))
KEY = dg.AssetKey(["duration", "training_set"])
ATTRIBUTES = {
    "table": "rides",
    "label": {"column": "trip_minutes", "known_at": "dropoff_at"},
    "features": "features:FEATURES",
    "model": {"window": 1, "validation": 0.2, "min_rows": 100, "params": {"trees": 20}},
    "trackers": [],
}
CONFIGS = {
    kind: PipelineConfig.model_validate({**ATTRIBUTES, "evaluation": {"holdout": 0.2, "split": kind, **more}})
    for kind, more in (("time", {"embargo": 0.01}), ("group", {"group": "vendor"}), ("random", {}))
}
KINDS = pytest.mark.parametrize("kind", CONFIGS)


def month() -> pl.DataFrame:
    at = [WINDOW.start + i * (WINDOW.end - WINDOW.start) / 1000 for i in range(1000)]
    return pl.DataFrame(
        {
            "row_number": range(1000),
            "event_at": at,
            "label": [float(i % 17) for i in range(1000)],
            "label_known_at": [a + timedelta(minutes=20) for a in at],
            "miles": [float(i % 17) for i in range(1000)],
            "slice_vendor": [f"v{i % 50}" for i in range(1000)],
        },
        schema_overrides={"row_number": pl.UInt32},
    )


def manifest(kind: str, frame: pl.DataFrame) -> Manifest:
    split = CONFIGS[kind].split_over([WINDOW])
    return make_manifest({WINDOW.key: frame.lazy()}, [WINDOW], {WINDOW.key: "ab" * 32}, split=split, min_rows=1)


@KINDS
def test_sound_rows_pass_with_their_counts(kind):
    # Every 100th label comes too late: it is left out, counted, and no fault.
    late = pl.when(pl.col("row_number") % 100 == 0).then(WINDOW.end + timedelta(days=1)).otherwise("label_known_at")
    frame = month().with_columns(label_known_at=late)
    made = manifest(kind, frame)
    checked = sound(KEY, made, {WINDOW.key: frame.lazy()})
    assert checked.passed
    told = {name: value.value for name, value in checked.metadata.items()}
    assert told["rows_in_two_parts"] == told["immature_labels"] == told["events_within_the_embargo"] == 0
    assert {f"rows_{part}": n for part, n in made.counts.rows.items()}.items() <= told.items()
    left_out = sum(n for name, n in told.items() if name.startswith("left_out_immature"))
    assert left_out == 10
    assert sum(made.counts.rows.values()) + left_out == (980 if kind == "time" else 1000)


class Careless(Manifest):
    """A manifest that gives every part some rows it must not have."""

    def scan(self, history, part):
        rows = super().scan(history, part)
        return pl.concat([rows, super().scan(history, "holdout").head(7)]) if part == "train" else rows


@KINDS
def test_unsound_rows_fail_the_check_and_are_not_learnt_from(kind):
    history = {WINDOW.key: month().lazy()}
    careless = Careless(**vars(manifest(kind, month())))
    checked = sound(KEY, careless, history)
    assert not checked.passed
    assert checked.metadata["rows_in_two_parts"].value == 7
    spec, miles = CONFIGS[kind].specs["model"], Feature("miles", pl.col("miles"), kind="number")
    recipe = Recipe(spec, Recency(), [miles], length=WINDOW.end - WINDOW.start, seed=0, threads=1)
    with pytest.raises(TrainingError, match="train and holdout: 7 rows are in both") as caught:
        learn(recipe, careless, history)
    assert any("groups" in found for found in caught.value.found) is (kind == "group")


FEATURES = """
import polars as pl
from ml_assets.core.features import Feature
from ml_assets.core.target_encoding import TargetEncoding
FEATURES = [
    Feature("pickup_zone", pl.col("pickup_zone"), kind="category"),
    Feature("dropoff_zone", pl.col("dropoff_zone"), kind="category"),
    Feature("trip_miles", pl.col("trip_miles"), kind="number", unit="miles"),
    TargetEncoding("mean_minutes_of_route", of=("pickup_zone", "dropoff_zone")),
]
"""
TABLE = {
    "type": "ml_assets.components.Table",
    "attributes": {
        "name": "rides",
        "source": {"kind": "simulated", "rows": 1500},
        "partitions": {"cadence": "monthly", "start": "2018-01-01", "end": "2018-04-01"},
        "event_time": "pickup_at",
        "schema": "schema:Trip",
    },
}


def test_a_split_by_group_and_a_target_encoding_through_the_graph(project, tmp_path, monkeypatch, paper):
    monkeypatch.setenv("ML_ASSETS_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("ML_ASSETS_SOURCE", raising=False)
    shutil.copy(REPOSITORY / "ml_assets/defs/trips/schema.py", project.folder)
    (project.folder / "features.py").write_text(FEATURES)
    evaluation = {"split": "group", "group": "pickup_zone", "slices": ["passengers"], "holdout": 0.2}
    pipeline = {
        "type": "ml_assets.components.Pipeline",
        "attributes": {**ATTRIBUTES, "name": "duration", "evaluation": evaluation},
    }
    definitions = project.load(TABLE, pipeline)
    [component] = dg.ComponentTree.for_project(project.root).get_all_components(components.Pipeline)
    with dg.DagsterInstance.ephemeral(str(tmp_path)) as instance:
        tree = dg.ComponentTree.for_project(project.root)
        replay = Replay(component.on_its_table(tree), definitions, instance, None, "2018-02")
        assert [s.partition for s in replay.steps() if s.what == "train"] == ["2018-01"]
        job = definitions.resolve_job_def("duration_train")
        assert job.execute_in_process(instance=instance, partition_key="2018-02").success
        check = dg.AssetCheckKey(replay.pipeline.key("training_set"), "sound")
        [record] = instance.event_log_storage.get_asset_check_execution_history(check, limit=1)
        assert record.status.value == "SUCCEEDED"

    def told(noun: str, partition: str = "2018-02") -> dict:
        return replay.store.record(replay.pipeline.key(noun), partition)

    made = Manifest.from_json(told("training_set"))
    history = {key: replay.store.scan(replay.pipeline.key("features"), key) for key in made.partitions}
    assert "mean_minutes_of_route" not in history["2018-02"].collect_schema()
    zones = [set(made.rows(history, part)["slice_pickup_zone"]) for part in ("train", "validation", "holdout")]
    assert sum(map(len, zones)) == len(set().union(*zones))
    # The same hash kept the champion of January from the zones of the holdout: it may be judged by them.
    assert [e.kind for e in replay.ledger.events("duration")][:2] == ["decided", "released"]
    assert set(told("evaluation")["metrics"]) == {"candidate", "champion", "naive", "linear"}
    assert list(told("evaluation")["slices"]) == ["passengers"]
    bundle = definitions.resources["models"].load(told("candidate")["bundle"])
    [encoding] = bundle.model.encodings
    assert (encoding.name, encoding.of) == ("mean_minutes_of_route", ("pickup_zone", "dropoff_zone"))
    assert [s.name for s in bundle.specs] == ["pickup_zone", "dropoff_zone", "trip_miles"]
    assert bundle.facts["training"]["split"]["group"] == "pickup_zone"
