"""The assets `decision` and `champion` in real runs; which decisions are made is in `test_gate`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ml_assets.assets.release import champion, decision
from ml_assets.core.decision_record import own_sha256
from ml_assets.core.errors import ReleaseRefused
from ml_assets.ledger_audit import audit
from ml_assets.resources.clock import Clock
from ml_assets.resources.io_managers import JsonStore
from ml_assets.resources.tracking import Tracking
from ml_assets.resources.tracking_context import REASON_TAG
from ml_assets.rolling_out import NO_TRAFFIC_TAG

AS_OF = "2018-06"
KEY = dg.AssetKey(["duration", "champion"])


def run(judged: Any, evaluation: dict[str, Any] | None, as_of: str = AS_OF, **tags: str) -> Any:
    """The training side from the evaluation on, in a run for a partition; or one asset of it."""

    @dg.asset(
        key=judged.pipeline.key("evaluation"), partitions_def=judged.pipeline.table.partitions, io_manager_key="records"
    )
    def judging() -> Any:
        return evaluation

    resources = {
        "store": judged.store, "models": judged.models, "ledger": judged.ledger,
        "records": JsonStore(root=judged.store.root),
        "tracking": Tracking(uri="sqlite:///never.db", queue="never"), "clock": Clock(),
    }  # fmt: skip
    told = {"partition_key": as_of, "tags": tags}
    if evaluation is None:
        told = {"selection": [KEY], "tags": {"dagster/partition": as_of, **tags}}
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            [judging, decision(judged.pipeline), champion(judged.pipeline)],
            resources=resources,
            instance=instance,
            **told,
        )


def shown(judged: Any, noun: str) -> dict[str, Any]:
    return json.loads((Path(judged.store.root) / f"duration/{noun}.json").read_text())


def test_a_better_candidate_is_decided_on_released_and_shown(judged):
    judged.make_live("2018-03")
    bundle = judged.bundle(AS_OF)
    result = run(judged, judged.evaluation(bundle), **{REASON_TAG: "it drifts"})
    record = shown(judged, f"decision/{AS_OF}")
    assert (record["verdict"], record["bundle"], record["sha256"]) == ("promote", bundle, own_sha256(record))
    now = shown(judged, "champion")
    assert (now["bundle"], now["as_of"], now["scores_from"]) == (bundle, AS_OF, "2018-07-01T00:00:00")
    decided, released = judged.desk.events()[-2:]
    assert (decided.facts["reason"], decided.facts["record"]) == ("it drifts", record["sha256"])
    assert released.facts["by"] == f"run {result.run_id}"
    assert released.facts["forced"] is False

    made = result.asset_materializations_for_node("duration__decision")[0]
    assert made.tags["dagster/data_version"] == record["sha256"], "its version is the hash that the ledger names"
    assert made.metadata["verdict"].value == "promote"
    checks = made.metadata["checks"].value.records
    assert {r.data["name"] for r in checks} >= {"beats_champion", "beats_naive", "slices", "calibration"}
    assert result.asset_materializations_for_node("duration__champion")[0].metadata["decision"].value == "promote"
    [check] = result.get_asset_check_evaluations()
    assert check.passed
    assert audit(judged.desk)[1] == []


def test_run_again_it_says_the_same_and_writes_nothing(judged):
    judged.make_live("2018-03")
    evaluation = judged.evaluation(judged.bundle(AS_OF))
    run(judged, evaluation)
    before = (judged.desk.events(), shown(judged, f"decision/{AS_OF}"), shown(judged, "champion"))
    run(judged, evaluation)
    # Evaluated anew, the champion would be compared with itself.
    run(judged, judged.evaluation(evaluation["bundle"]))
    assert (judged.desk.events(), shown(judged, f"decision/{AS_OF}"), shown(judged, "champion")) == before


def test_what_is_live_is_decided_on_anew_where_its_record_is_damaged(judged):
    bundle = judged.make_live(AS_OF)
    [kept] = Path(judged.store.root).glob("duration/decision/records/*.json")
    kept.write_text("{}")
    run(judged, judged.evaluation(bundle))
    assert shown(judged, f"decision/{AS_OF}")["verdict"] == "reject"
    assert "this very bundle" in shown(judged, f"decision/{AS_OF}")["reasons"][0]
    assert judged.desk.live().bundle == bundle


def test_a_rejected_candidate_leaves_the_champion_and_the_run_succeeds(judged):
    live = judged.make_live("2018-03")
    assert run(judged, judged.evaluation(judged.bundle(AS_OF), champion_learnt_holdout=True)).success
    assert shown(judged, f"decision/{AS_OF}")["verdict"] == "reject"
    assert shown(judged, "champion")["bundle"] == live
    assert judged.kinds() == ["decided", "released", "decided"]


def test_without_a_champion_a_rejection_says_why_there_is_none(judged):
    naive = {"differences": {"naive": {"estimate": 1.0, "low": 0.5, "high": 1.5}}}
    result = run(judged, judged.evaluation(judged.bundle(AS_OF), **naive))
    assert shown(judged, f"decision/{AS_OF}")["verdict"] == "reject", "the decision stands"
    assert shown(judged, "champion") == {"bundle": None}
    told = result.asset_materializations_for_node("duration__champion")[0].metadata
    assert "surely not reached" in str(told["reasons"].value)
    [check] = result.get_asset_check_evaluations()
    assert not check.passed


def test_a_partition_without_a_decision(judged):
    judged.make_live("2018-03")
    with pytest.raises(ReleaseRefused, match="duration_train for 2018-06"):
        run(judged, None)


def test_a_decision_that_was_carried_out_is_not_carried_out_again(judged):
    first, second = judged.make_live("2018-03"), judged.make_live(AS_OF)
    run(judged, None, as_of="2018-03")
    assert shown(judged, "champion")["bundle"] == second
    judged.desk.roll_back(to=None, by="ann", reason="complaints", not_before=None)
    run(judged, None)
    assert shown(judged, "champion")["bundle"] == first, "what a person went back from stays so"


def test_a_damaged_champion_fails_its_check(judged):
    bundle = judged.make_live(AS_OF)
    (Path(judged.models.root) / bundle / "manifest.json").write_text("{}")
    [check] = run(judged, None).get_asset_check_evaluations()
    assert not check.passed
    assert "cure: " in check.metadata["found"].value


def test_the_policy_is_what_the_yaml_says(judged, monkeypatch):
    told = {"metric": "rmse", "margin": 0.02, "non_inferiority": 0.03, "slice_margin": 0.04, "calibration_margin": 0.05}
    evaluation = judged.pipeline.config.evaluation.model_copy(update={**told, "min_labels": 7})
    pipeline = replace(judged.pipeline, config=judged.pipeline.config.model_copy(update={"evaluation": evaluation}))
    assert pipeline.policy.to_json() == {**told, "min_labels": 7}


@pytest.mark.parametrize(("tags", "kind"), [({}, "rollout_begun"), ({NO_TRAFFIC_TAG: "yes"}, "released")])
def test_with_a_strategy_a_run_begins_a_rollout_and_a_replay_of_history_releases(judged, tags, kind):
    from ml_assets.config.rollout import Rollout

    live = judged.make_live("2018-03")
    config = judged.pipeline.config.model_copy(update={"rollout": Rollout()})
    judged.pipeline = replace(judged.pipeline, config=config)
    judged.desk = replace(judged.desk, pipeline=judged.pipeline)
    bundle = judged.bundle(AS_OF)
    judged.decide(bundle)
    assert run(judged, None, **tags).success
    assert judged.desk.events()[-1].kind == kind
    assert shown(judged, "champion")["bundle"] == (live if kind == "rollout_begun" else bundle)
    assert run(judged, None, **tags).success, "run again, it does nothing more"
    assert judged.desk.events()[-1].kind == kind
