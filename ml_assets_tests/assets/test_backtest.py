"""The backtest as an asset, on small simulated months: what production would have done, twice the same."""

import json
from dataclasses import replace

import dagster as dg
import pytest

from ml_assets.assets import candidates
from ml_assets.assets.backtest import gate_of, history, scores_of, trainer
from ml_assets.assets.candidates import candidate_of
from ml_assets.assets.training_set import opened
from ml_assets.core.parameters import ModelParams
from ml_assets.core.recency import Recency
from ml_assets.core.retraining.trainings import Plan
from ml_assets.core.trials import FoldScore, TrialRecord, Tuned
from ml_assets.resources.model_shelf import ModelShelf
from ml_assets_tests.paper import leave_undrawn

KEY = dg.AssetKey(["duration", "retraining_backtest"])
FEATURES = ("raw", "validated", "quarantine", "features")
MONTHS = [f"2018-0{m}" for m in range(1, 9)]


@pytest.fixture
def paper(monkeypatch):
    leave_undrawn(monkeypatch)


class Recorded:
    """A world whose pipeline has the section `retraining`, and what was materialized in it."""

    def __init__(self, world, **attributes):
        asked = world.changed(world.pipeline, **{"retraining": {}, **attributes})
        self.instance, replay = world.instance, world.replay(pipeline=asked)
        self.pipeline, self.store, self.definitions = replay.pipeline, replay.store, replay.definitions
        self.models = self.definitions.resources["models"]

    def run(self, job, partition=None, nouns=None, **options):
        selection = None if nouns is None else [self.pipeline.key(noun) for noun in nouns]
        return self.definitions.resolve_job_def(f"duration_{job}").execute_in_process(
            instance=self.instance, partition_key=partition, asset_selection=selection, **options
        )

    def features(self, months):
        for month in months:
            self.run("follow", month, FEATURES)
        return self

    def record(self, noun, partition):
        return self.store.record(self.pipeline.key(noun), partition)

    def backtest(self, **options):
        done = self.run("backtest", **options)
        [made] = done.asset_materializations_for_node("duration__retraining_backtest")
        record = json.loads((self.store.base / "duration" / "retraining_backtest.json").read_text())
        return made, record


@pytest.fixture
def recorded(world):
    return lambda **attributes: Recorded(world, **attributes)


@pytest.mark.slow(seconds=12)
def test_every_policy_is_replayed_and_the_second_time_nothing_is_trained(recorded, monkeypatch):
    small = recorded().features(MONTHS)
    made, record = small.backtest()
    policies = [
        "never", "every 1 on 3", "every 1 on 1", "every 3 on 3", "every 3 on 1", "drift", "performance", "configured",
    ]  # fmt: skip
    assert [h["policy"] for h in record["histories"]] == policies
    assert record["partitions"] == MONTHS[3:]
    assert record["initial"]["as_of"] == "2018-03"
    by_name = {o["policy"]: o for o in record["outcomes"]}
    assert (by_name["never"]["trainings"], by_name["every 1 on 3"]["trainings"]) == (0, 5)
    assert by_name["every 1 on 3"]["cost"] > 5 * 3000, "in rows that were learnt from"
    assert by_name["drift"]["trainings"] >= 1, "a winter's model finds spring drifted"
    assert all(h["steps"][0]["as_of"] == "2018-03" for h in record["histories"])
    assert record["recommended"] in policies
    # A month's 1,500 rows leave too few to train on: such trainings fail, and that is told.
    failed = [t for h in record["histories"] if h["policy"] == "every 1 on 1" for t in h["trainings"]]
    assert any(t["outcome"] == "failed" and "needed: 500" in t["words"] for t in failed)

    shown = made.metadata
    assert shown["recommendation"].value == record["words"]
    assert [r.data["policy"] for r in shown["policies"].records] == policies
    assert shown["loss"].value == "mean mae, minutes"
    assert {"error_over_time", "error_over_time_file"} <= set(shown)
    assert set(record["made_from"]["duration/features"]) == set(MONTHS)

    def train(*args, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr(candidates, "train", train)
    again, same = small.backtest()
    assert same == record
    assert again.tags["dagster/data_version"] == made.tags["dagster/data_version"]


@pytest.mark.slow(seconds=20)
def test_it_does_what_production_does(recorded):
    """The same bundles, losses, verdicts and decision as the assets of a training every third month."""
    small = recorded()
    for month in MONTHS[:3]:
        small.run("follow", month)
    small.run("train", "2018-03")
    for month in MONTHS[3:6]:
        small.run("follow", month)
    small.run("train", "2018-06")
    for month in MONTHS[6:]:
        small.run("follow", month)
    for month in MONTHS[3:]:
        small.run("follow", month, ["performance"])
    _, record = small.backtest()
    first, second = (small.record("candidate", m)["bundle"] for m in ("2018-03", "2018-06"))
    assert record["first_model"]["bundle"] == first

    [told] = [h for h in record["histories"] if h["policy"] == "every 3 on 3"]
    decided = small.record("decision", "2018-06")
    [training] = told["trainings"]
    outcome = {"promote": "promoted", "reject": "rejected", "undecided": "undecided"}[decided["verdict"]]
    assert (training["outcome"], training["words"]) == (outcome, "; ".join(decided["reasons"]))
    for step in told["steps"]:
        performance, drift = (small.record(noun, step["partition"]) for noun in ("performance", "drift"))
        assert step["loss"] == pytest.approx(performance["metrics"]["champion"]["mae"], abs=1e-9)
        assert step["rows"] == performance["rows_mature"]
        assert step["verdict"] == drift["verdict"]

    rows = history(small.pipeline, small.store)
    gate = gate_of(small.pipeline, small.models, rows)
    scores = scores_of(small.pipeline, small.models, rows, gate)
    for month in MONTHS[3:]:
        performance = small.record("performance", month)
        bundle = performance["bundle"]
        assert bundle in (first, second)
        found = scores.measure(bundle, month, rows.end)
        assert found.broken is (performance["promise"]["outcome"] == "broken")
        promised = gate.promise(bundle).to_json()
        assert promised == performance["promised"]


def test_too_little_history_fails_with_what_is_needed(recorded):
    small = recorded().features(MONTHS[:3])
    done = small.run("backtest", raise_on_error=False)
    [failure] = done.get_step_failure_events()
    said = failure.step_failure_data.error.cause.message
    assert "3 partitions of features are stored" in said
    assert "3 to learn from (model.window)" in said


def test_it_is_there_only_where_retraining_is_asked_for(world):
    definitions = world.replay(pipeline=world.changed(world.pipeline, retraining=None)).definitions
    keys = {key for asset in definitions.assets for key in getattr(asset, "keys", ())}
    assert KEY not in keys
    assert "duration_backtest" not in {job.name for job in definitions.jobs}


def test_parameters_are_those_that_tuning_found_for_the_first_model(recorded):
    small = recorded(tuning={"trials": 2}, model={"window": 3, "threads": 1}).features(MONTHS[:4])
    found = ModelParams(trees=7, early_stopping_rounds=0)
    trial = TrialRecord(0, "untuned", {}, "complete", 1.0, (FoldScore(1.0, 10, 7),), 1.0)
    tuned = Tuned("study", "mae", found, Recency(window=2), (trial,), "trials")
    rows, lines = history(small.pipeline, small.store), []

    def trained(first):
        own = trainer(
            small.pipeline, small.store, rows, ModelShelf(small.store, small.models, KEY), first, lines.append
        )
        return own.train("2018-03", Plan("2018-03", "tune", 3))

    untuned = trained("2018-03")
    path = small.store.path(small.pipeline.key("tuning"), "2018-03", ".json")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"as_of": "2018-03", "models": {"model": tuned.to_json()}}))
    after = trained("2018-03")
    assert (after.facts["iterations"], after.facts["learning"]["window"]) == (7, 2)
    assert untuned.facts["tuning"] is None
    assert after.facts["tuning"]["model"]["study"] == "study"
    assert trained("2018-02").sha256 == untuned.sha256, "a record of another as-of partition is not looked at"
    assert [line for line in lines if "parameters" in line] == [
        "parameters as of 2018-03: those of defs.yaml", "parameters as of 2018-03: those that tuning found",
        "parameters as of 2018-02: those of defs.yaml",
    ]  # fmt: skip


@pytest.mark.slow(seconds=20)
def test_of_several_models_it_takes_what_the_assets_take(recorded):
    several = {
        "model": {"window": 3, "threads": 1},
        "models": [{"name": "trees", "params": {"trees": 20}}, {"name": "straight", "kind": "linear"}],
        "ensemble": {"method": "stacking"},
    }
    small = recorded(**several).features(MONTHS[:3])
    small.run("train", "2018-03")
    rows = history(small.pipeline, small.store)
    manifest, frames = opened(small.pipeline, small.store, small.record("training_set", "2018-03"), rows.frames)
    told = candidate_of(small.pipeline, manifest, frames, None, lambda _: None)
    assert told.sha256 == small.record("candidate", "2018-03")["bundle"]
    alone = replace(small.pipeline, config=small.pipeline.config.model_copy(update={"ensemble": None}))
    assert candidates.inputs_told(alone, None) != candidates.inputs_told(small.pipeline, None)


def test_a_classifier_is_compared_by_its_own_loss_and_the_schedule_asks(recorded):
    small = recorded(
        label={"column": "high_tip", "known_at": "dropoff_at", "task": "binary"},
        evaluation={
            "metric": "brier",
            "min_labels": 300,
            "margin": 0.0,
            "calibration_margin": 0.5,
            "non_inferiority": 0.5,
        },
        retraining={"on_drift": None, "on_performance": None, "on_stale": None, "schedule": "0 6 2 6 *"},
    ).features(MONTHS[:6])
    made, record = small.backtest()
    assert (record["loss"], record["unit"]) == ("brier", "")
    assert made.metadata["loss"].value == "mean brier"
    assert all(0 < loss < 0.3 for o in record["outcomes"] for loss in o["losses"])
    [training] = record["histories"][-1]["trainings"]
    assert training["plan"]["as_of"] == "2018-05", "of May, which is over on June 2nd"
    assert "schedule" in training["reasons"][0]
