"""Drift through the whole graph: where it was injected, where not, and where nothing can be judged."""

import json

import dagster as dg
import polars as pl
import pytest

from ml_assets.assets.drift import NOT_DRIFTED, not_drifted
from ml_assets.core.bundle import Bundle
from ml_assets.core.drift.joint_reference import FILE as SAMPLE
from ml_assets.core.drift.policy import DriftPolicy
from ml_assets.core.drift.profile import FILE
from ml_assets.core.drift.reference import LABELLED, PREDICTED
from ml_assets.core.drift.watched import NO_SAMPLE, NOT_SCORED, DriftWatch
from ml_assets.core.scoring import no_scores
from ml_assets.replay_in_words import in_words
from ml_assets.resources.materializations import latest
from ml_assets.resources.models import Models
from ml_assets.summarize import summarize

KEY = dg.AssetKey(["duration", "drift"])
FARTHER = {"kind": "feature_shift", "column": "trip_distance", "start": "2018-04", "sigmas": 0.6}


def record(replay, partition):
    return replay.store.record(KEY, partition)


def checked(instance, partition):
    """The last evaluation of the check for a partition."""
    history = instance.event_log_storage.get_asset_check_execution_history(dg.AssetCheckKey(KEY, NOT_DRIFTED), limit=50)
    return next(
        e.event.asset_check_evaluation for e in history if e.event.asset_check_evaluation.partition == partition
    )


def inputs(replay, partition):
    store, key = replay.store, replay.pipeline.key
    return store.scan(key("features"), partition), store.scan(key("predictions"), partition)


def watch(replay, **bounds):
    return DriftWatch(replay.definitions.resources["models"].load, DriftPolicy(**bounds))


def without_profile(bundle):
    facts = {k: v for k, v in bundle.facts.items() if k != "reference"}
    return Bundle(facts, {n: c for n, c in bundle.files.items() if n != FILE})


def test_a_month_with_an_injected_shift_has_drifted_in_what_was_shifted(world):
    table = world.changed(world.table, source={"kind": "simulated", "rows": world.rows, "injections": [FARTHER]})
    replay = world.replay("2018-04", table=table)
    lines = {s.partition: in_words(replay, s) for s in replay.steps() if s.what == "follow"}
    told = record(replay, "2018-04")
    assert told["verdict"] == "drifted"
    assert {"trip_miles", PREDICTED} <= set(told["drivers"]), "longer trips are predicted to take longer"
    assert told["drifted_features"][: len(told["drivers"])] == told["drivers"]
    assert told["p"] < told["policy"]["false_alarm_rate"]
    assert {c["name"] for c in told["columns"]} >= {PREDICTED, LABELLED}
    assert sum(c["weight"] for c in told["columns"]) == pytest.approx(1)
    failed = checked(world.instance, "2018-04")
    assert (failed.passed, failed.severity, failed.blocking) == (False, dg.AssetCheckSeverity.WARN, False)
    assert "trip_miles" in failed.description

    march, april = summarize(replay, 1.0).partitions[-2:]
    assert (march.drift_verdict, march.drifted_features) == (None, [])
    assert (april.drift_verdict, april.drifted_features) == ("drifted", told["drifted_features"])
    assert "drift: drifted in " in lines["2018-04"]
    assert "drift" not in lines["2018-03"]

    made = latest(world.instance, KEY)["2018-04"]
    assert made.metadata["verdict"] == "drifted"
    assert made.made_from == {
        f"duration/{noun}": {"2018-04": replay.store.sha256(replay.pipeline.key(noun), "2018-04")}
        for noun in ("features", "predictions")
    }
    assert told["made_from"] == made.made_from
    assert {"distributions_file", "trend_file"} <= set(made.metadata)


@pytest.mark.slow(seconds=15)
def test_the_champion_that_scored_is_the_one_compared_with_and_a_newer_one_supersedes_nothing_older(world):
    replay = world.replay("2018-07")
    list(replay.steps())
    first, second = (
        replay.store.record(dg.AssetKey(["duration", "candidate"]), m)["bundle"] for m in ("2018-03", "2018-06")
    )
    champions = {m: record(replay, m)["champion"] for m in ("2018-04", "2018-06", "2018-07")}
    assert champions == {"2018-04": first, "2018-06": first, "2018-07": second}
    assert record(replay, "2018-06")["as_of"] == "2018-03"
    bundle = replay.definitions.resources["models"].load(second)
    assert bundle.profile.partitions == ("2018-04", "2018-05", "2018-06")
    assert sum(bundle.reference.weights.values()) == pytest.approx(1)


def test_before_the_first_champion_nothing_is_judged_and_that_is_no_pass(world):
    replay = world.replay("2018-02")
    list(replay.steps())
    job = replay.definitions.resolve_job_def("duration_follow")
    assert job.execute_in_process(instance=world.instance, partition_key="2018-02").success
    told = record(replay, "2018-02")
    assert (told["verdict"], told["champion"], told["words"]) == ("not_enough_rows", None, NOT_SCORED)
    failed = checked(world.instance, "2018-02")
    assert (failed.passed, failed.severity) == (False, dg.AssetCheckSeverity.WARN)


def test_without_a_shift_it_is_stable_and_what_cannot_be_judged_never_is(world, tmp_path):
    replay = world.replay("2018-04")
    lines = [in_words(replay, s) for s in replay.steps()]
    assert record(replay, "2018-04")["verdict"] == "stable"
    assert checked(world.instance, "2018-04").passed is True
    assert lines[-1].endswith("drift: stable")
    features, predictions = inputs(replay, "2018-04")
    known_by = replay.pipeline.table.window("2018-04").end
    empty = watch(replay).judge(features.head(0), no_scores("regression").lazy(), "2018-04", known_by)
    assert (empty.record["verdict"], empty.record["rows"]) == ("not_enough_rows", 0)
    few = watch(replay).judge(features.head(60), predictions.head(60), "2018-04", known_by)
    assert few.record["verdict"] == "not_enough_rows"
    assert few.record["words"] == "60 rows; needed: 200"
    assert few.record["champion"] == record(replay, "2018-04")["champion"]
    assert watch(replay, min_rows=50).judge(features.head(60), predictions.head(60), "2018-04", known_by).pairs

    models = Models(root=str(tmp_path / "old"))
    old = models.save(without_profile(replay.definitions.resources["models"].load(few.record["champion"])))
    assert models.load(old).profile is None
    scored = predictions.with_columns(model_version=pl.lit(old))
    judged = DriftWatch(models.load, DriftPolicy()).judge(features, scored, "2018-04", known_by)
    assert (judged.record["verdict"], judged.record["champion"], judged.pairs) == ("not_enough_rows", old, ())
    assert "train again" in judged.record["words"]
    for told in (empty.record, few.record, judged.record):
        assert not_drifted(KEY, told).passed is False
        json.dumps(told, allow_nan=False)


KNOBS = {"false_alarm_rate": 0.2, "false_discovery_rate": 0.4, "min_rows": 100}


def test_every_knob_changes_a_report_and_labels_count_only_when_nearly_all_are_known(world):
    monitoring = {"drift": KNOBS, "performance": {"tolerance": 0.5, "min_labels": 10_000}}
    replay = world.replay("2018-04", pipeline=world.changed(world.pipeline, monitoring=monitoring))
    list(replay.steps())
    assert record(replay, "2018-04")["policy"].items() >= KNOBS.items()
    promised = replay.store.record(dg.AssetKey(["duration", "performance"]), "2018-04")
    assert promised["promise"]["outcome"] == "unknown"
    assert "needed: 10,000" in promised["promise"]["words"]
    assert "margin of 50%" in promised["outlook"]["words"]

    features, predictions = inputs(replay, "2018-04")
    window = replay.pipeline.table.window("2018-04")

    def told(rows=world.rows, known_by=window.end, **bounds):
        return watch(replay, **bounds).judge(features.head(rows), predictions.head(rows), "2018-04", known_by).record

    usual = told()
    assert told(false_alarm_rate=0.2)["columns"][0]["threshold"] < usual["columns"][0]["threshold"]
    lenient = [c["adjusted_p"] <= 0.4 for c in usual["columns"]]
    assert [c["drifted"] for c in told(false_discovery_rate=0.4)["columns"]] == lenient
    assert (told(150)["verdict"], told(150, min_rows=100)["verdict"] == "not_enough_rows") == ("not_enough_rows", False)
    named = [{c["name"] for c in one["columns"]} for one in (told(known_by=window.start), usual)]
    assert named[1] - named[0] == {LABELLED}


CLASSIFIER = {"drift": {"domain_classifier": True}}


@pytest.mark.slow(seconds=15)
def test_a_classifier_sees_columns_that_changed_only_together_and_needs_rows_in_the_bundle(world, tmp_path):
    model = {"window": 6, "threads": 1, "params": {"trees": 30}}
    replay = world.replay("2018-07", pipeline=world.changed(world.pipeline, monitoring=CLASSIFIER, model=model))
    list(replay.steps())
    told, bundle = record(replay, "2018-07"), replay.definitions.resources["models"].load
    joint = told["domain_classifier"]
    assert (told["verdict"], joint["drifted"], joint["threshold"]) == ("stable", False, 0.005)
    assert told["policy"]["domain_classifier"] is True
    assert told["p"] == min(1.0, 2 * min(joint["columns_p"], joint["p"]))
    assert joint["words"] in told["words"]
    assert latest(world.instance, KEY)["2018-07"].metadata["domain_classifier"]["auc"] == joint["auc"]
    champion = bundle(told["champion"])
    assert SAMPLE in champion.files
    assert joint["left_out"] == champion.joint_reference.left_out
    assert "pickup_month" in joint["left_out"]

    features, predictions = inputs(replay, "2018-07")
    now = features.collect()
    shuffled = now.with_columns(pl.col("pickup_minute_of_day").shuffle(seed=1)).lazy()
    known_by = replay.pipeline.table.window("2018-07").end

    def judged(features, predictions=predictions, models=bundle, **bounds):
        return DriftWatch(models, DriftPolicy(**bounds)).judge(features, predictions, "2018-07", known_by).record

    found = judged(shuffled, domain_classifier=True)
    assert (found["verdict"], found["drivers"]) == ("drifted", [])
    assert "pickup_minute_of_day" in found["domain_classifier"]["telling"]
    assert "drifted in how columns go together, most of all " in found["words"]
    assert not_drifted(KEY, found).passed is False
    assert (judged(shuffled)["verdict"], judged(shuffled)["domain_classifier"]) == ("stable", None)
    few = judged(now.head(60).lazy(), predictions.head(60), domain_classifier=True)
    assert (few["verdict"], few["domain_classifier"]["auc"]) == ("not_enough_rows", None)

    models = Models(root=str(tmp_path / "old"))
    old = models.save(Bundle(champion.facts, {n: c for n, c in champion.files.items() if n != SAMPLE}))
    scored = predictions.with_columns(model_version=pl.lit(old))
    without = judged(shuffled, scored, models.load, domain_classifier=True)
    assert (without["verdict"], without["domain_classifier"]["drifted"]) == ("stable", None)
    assert NO_SAMPLE in without["words"]
    assert without["p"] == judged(shuffled, scored, models.load)["p"], "the columns have the whole rate"
