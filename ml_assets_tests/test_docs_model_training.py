"""Every YAML example of docs/model-training.md, built and trained on small simulated months."""

import re
from pathlib import Path

import pytest
import yaml

from ml_assets.core.releases import decisions
from ml_assets.resources.materializations import latest
from ml_assets_tests.paper import leave_undrawn

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = (REPOSITORY / "docs/model-training.md").read_text()
EXAMPLES = {
    heading: yaml.safe_load(block)
    for heading, block in re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?```yaml\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
}


@pytest.fixture
def paper(monkeypatch):
    leave_undrawn(monkeypatch)


def trained(world, heading: str, **attributes):
    """The replay of an example's first training, and its assets' last metadata."""
    said = EXAMPLES[heading]
    # Months of 1,500 rows are no evidence, and DVC is another page's matter.
    small = {"evaluation": {"min_labels": 300}, "versioning": "off", **attributes}
    replay = world.replay(last="2018-03", pipeline=world.changed(said, **small))
    assert [s.partition for s in replay.steps() if s.what == "train"] == ["2018-03"]

    def told(noun: str):
        return latest(world.instance, replay.pipeline.key(noun))["2018-03"].metadata

    return replay, told


def bundle_of(replay, noun: str = "candidate"):
    record = replay.store.record(replay.pipeline.key(noun), "2018-03")
    return (replay.definitions.resources or {})["models"].load(record["bundle"])


def test_every_example_is_here():
    assert list(EXAMPLES) == [
        "One model", "Tuning (level 3)", "Several models and an ensemble (level 5)", "Tracking",
    ]  # fmt: skip


def test_one_model(world):
    replay, told = trained(world, "One model", trackers=[])
    bundle = bundle_of(replay)
    assert bundle.facts["learning"]["half_life"] == 2
    assert bundle.facts["models"][0]["params"]["monotone"] == {"trip_miles": 1}
    features = replay.store.scan(replay.pipeline.key("features"), "2018-03").collect().head(50)
    near, far = (features.with_columns(trip_miles=features["trip_miles"] * by) for by in (1.0, 3.0))
    near_minutes, far_minutes = (bundle.predict(bundle.feature_frame(f)) for f in (near, far))
    assert (far_minutes >= near_minutes).all()
    assert (far_minutes > near_minutes).any()
    assert told("candidate")["validation_rows_learnt"] is False


def test_tuning(world):
    replay, told = trained(world, "Tuning (level 3)", trackers=[])
    record = replay.store.record(replay.pipeline.key("tuning"), "2018-03")["models"]["model"]
    assert [t["number"] for t in record["trials"]] == list(range(6))
    assert record["trials"][0]["origin"] == "untuned"
    assert told("tuning")["model_loss"] <= told("tuning")["model_loss_untuned"]
    bundle = bundle_of(replay)
    assert bundle.facts["learning"]["window"] == record["recency"]["window"]
    assert bundle.facts["tuning"]["model"]["study"] == record["study"]
    assert told("candidate")["validation_rows_learnt"] is True
    # The study is there already: nothing is tried again, and the same bundle comes of it.
    again = world.replay(last="2018-03", pipeline=world.changed(EXAMPLES["Tuning (level 3)"], evaluation={
        "min_labels": 300}, versioning="off", trackers=[]))  # fmt: skip
    assert list(again.steps()) == []


def test_several_models_and_an_ensemble(world):
    replay, told = trained(world, "Several models and an ensemble (level 5)", trackers=[])
    names = ("trees", "forest", "by_vendor", "linear", "extra_trees")
    losses = {name: told("out_of_fold")[f"loss_{name}"] for name in names}
    weights = {name: told("ensemble")[f"weight_{name}"] for name in names}
    assert sum(weights.values()) == pytest.approx(1, abs=1e-3)
    assert min(weights.values()) >= 0
    assert told("ensemble")["loss"] <= min(losses.values()) + 1e-4
    assert told("candidate")["model"] in (*names, "ensemble")
    [decided] = decisions(replay.ledger.events("duration"))
    assert decided.facts["bundle"] == bundle_of(replay).sha256
    bundle, features = bundle_of(replay, "ensemble"), replay.store.scan(replay.pipeline.key("features"), "2018-03")
    rows = features.collect().head(20)
    assert set(bundle.reference.weights) == {s.name for s in bundle.specs}, "drift is judged for an ensemble, too"
    members = {name: bundle_of(replay, f"model_{name}") for name in names}
    blended = sum(w * members[n].predict(members[n].feature_frame(rows)) for n, w in weights.items())
    assert bundle.predict(bundle.feature_frame(rows)) == pytest.approx(blended, rel=1e-3)


def test_tracking(world):
    pytest.importorskip("tensorboardX")
    _, told = trained(world, "Tracking")
    assert told("candidate")["tracked_by"] == "mlflow, tensorboard"
    nouns = ("training_set", "candidate", "evaluation", "decision")
    assert len({told(noun)["mlflow_run_id"] for noun in nouns if "mlflow_run_id" in told(noun)}) == 1
