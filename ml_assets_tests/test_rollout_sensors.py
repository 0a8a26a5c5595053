"""The sensor of a rollout as a table of states, and on a log that a server has written."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import dagster as dg
import numpy as np
import pytest

from ml_assets.assets.rollout import CHECKS, rollout
from ml_assets.core.log_segments import microseconds
from ml_assets.core.prediction_log import Entry
from ml_assets.core.rollout.observed import Leg, Seen
from ml_assets.resources.clock import Clock
from ml_assets.resources.io_managers import JsonStore
from ml_assets.resources.prediction_log import PredictionLogs
from ml_assets.resources.reports import Reports
from ml_assets.rollout_sensors import looked, rollout_sensor
from ml_assets.serving.prediction_log import PredictionLog
from ml_assets_tests.paper import leave_undrawn
from ml_assets_tests.test_rolling_out import NOW, Rolled

GOOD = [Leg(0, 0, Seen(20, 20), Seen(0, 20))]
BAD = [Leg(0, 0, Seen(1_000, 1_000, 1), Seen(0, 1_000, 50))]


@pytest.fixture
def rolled(judged) -> Rolled:
    judged.make_live("2018-03")
    return Rolled(judged, guardrails={"estimated_loss": None})


def look(rolled: Rolled, minutes: float, cursor: str | None = None) -> Any:
    at = (NOW + timedelta(minutes=minutes)).replace(tzinfo=None).isoformat()
    return looked(rolled.desk, lambda _: rolled.seen, Clock(at=at), cursor)


def asked(result: Any) -> tuple[str, list[str]]:
    [request] = result.run_requests
    return request.run_key, [key.path[-1] for key in request.asset_selection]


def test_nothing_was_ever_rolled_out(rolled):
    assert "no candidate has been rolled out yet" in look(rolled, 0).skip_message


def test_it_answers_at_every_state(rolled):
    rolled.promoted("2018-06")
    first = look(rolled, 0.5)
    key, nouns = asked(first)
    assert (key, nouns) == ("duration/rollout/4@2020-05-01T12", ["rollout"])
    assert asked(look(rolled, 0.5))[0] == key, "a lost cursor asks for the same run"
    assert "0 of 10 requests" in look(rolled, 0.6, first.cursor).skip_message
    rolled.seen = GOOD
    assert "30 s of 1 min" in look(rolled, 0.5, first.cursor).skip_message
    moved = look(rolled, 2, first.cursor)
    assert asked(moved) == ("duration/rollout/5@2020-05-01T12", ["rollout"])
    rolled.seen = [*GOOD, Leg(1, 5_000, Seen(20, 40), Seen(20, 40))]
    ended = look(rolled, 5, moved.cursor)
    assert asked(ended) == ("duration/rollout/7", ["rollout", "champion"])
    assert look(rolled, 200, ended.cursor).skip_message == "no rollout is open"
    assert "duration/rollout/7" in asked(look(rolled, 200))[0]


def test_it_shows_once_an_hour_what_is_open_and_a_rollback_without_the_champion(rolled):
    rolled.promoted("2018-06")
    first = look(rolled, 0)
    assert asked(look(rolled, 60, first.cursor))[0] == "duration/rollout/4@2020-05-01T13"
    rolled.seen = BAD
    assert asked(look(rolled, 61, first.cursor)) == ("duration/rollout/5", ["rollout"])
    assert rolled.judged.kinds()[-1] == "rollout_ended"


def test_of_two_daemons_one_moves_it_and_the_other_says_so(rolled):
    rolled.promoted("2018-06")
    rolled.seen = GOOD

    def meanwhile(_: Any) -> list[Leg]:
        look(rolled, 5)
        return rolled.seen

    skipped = looked(rolled.desk, meanwhile, Clock(at="2020-05-01T12:05:00"), None)
    assert "somebody else wrote to the ledger" in skipped.skip_message
    assert rolled.judged.kinds().count("rollout_moved") == 1


def logged(root: str, rolled: Rolled, *, requests: int, failing: int = 0, worse: float = 0.0) -> None:
    """What a server writes of a shadow step: each request answered by the champion and scored beside."""
    log, rng = PredictionLog(root, "duration"), np.random.default_rng(0)
    at, open_one = datetime.now(UTC), rolled.desk.now()
    for i in range(requests):
        label = float(10 + rng.standard_normal())
        told = {"request_id": f"r{i}", "row": 0, "at_us": microseconds(at), "unit": "", "values": (1.0,),
                "latency_us": 900, "feature_age_s": None}  # fmt: skip
        off = rng.standard_normal()
        log.append(Entry(**told, variant="champion", role="answered", bundle=open_one.champion, prediction=label + off,
                         error=None))  # fmt: skip
        bad = i < failing
        log.append(Entry(**told, variant="candidate", role="shadow", bundle=open_one.candidate, error="no" if bad else
                         None, prediction=None if bad else label + off * (1 + worse)))  # fmt: skip
        log.append(Entry(**{**told, "values": None}, variant="", role="label", bundle="", prediction=label, error=None))
    log.close()


def resources(rolled: Rolled, tmp_path: Any, minutes: float) -> dict[str, Any]:
    at = (datetime.now(UTC) + timedelta(minutes=minutes)).replace(tzinfo=None).isoformat()
    judged = rolled.judged
    return {
        "store": judged.store, "models": judged.models, "ledger": judged.ledger, "clock": Clock(at=at),
        "prediction_logs": PredictionLogs(root=str(tmp_path / "log")),
        "reports": Reports(root=str(tmp_path / "reports")), "records": JsonStore(root=judged.store.root),
    }  # fmt: skip


def tick(rolled: Rolled, tmp_path: Any, minutes: float) -> Any:
    pipeline = rolled.release_desk.pipeline
    sensor = rollout_sensor(pipeline, pipeline.config.rollout)
    needed = {k: v for k, v in resources(rolled, tmp_path, minutes).items() if k not in ("reports", "records")}
    with dg.DagsterInstance.ephemeral() as instance:
        return sensor(dg.build_sensor_context(instance=instance, resources=needed))


@pytest.mark.parametrize(
    ("log", "kind", "reason"),
    [
        ({"requests": 300}, "rollout_moved", "from shadow to 50 %"),
        ({"requests": 300, "failing": 30}, "rollout_ended", "errors: 30 of 300"),
        ({"requests": 300, "worse": 0.5}, "rollout_ended", "loss: +50"),
        ({"requests": 9}, "rollout_begun", "it drifts"),
    ],
)
def test_it_moves_by_what_a_server_has_logged(rolled, tmp_path, log, kind, reason):
    bundle = rolled.judged.bundle("2018-06")
    rolled.judged.decide(bundle)
    rolled.carry_out("2018-06", datetime.now(UTC))
    logged(str(tmp_path / "log"), rolled, **log)
    tick(rolled, tmp_path, 5)
    last = rolled.events[-1]
    assert last.kind == kind
    assert reason in "; ".join(last.facts["reasons"])


def test_the_asset_shows_state_arms_and_evidence(rolled, tmp_path, monkeypatch):
    leave_undrawn(monkeypatch)
    pipeline = rolled.release_desk.pipeline

    @dg.asset(key=pipeline.key("decision"), partitions_def=pipeline.table.partitions)
    def decision() -> None:
        """Never run here."""

    def show() -> Any:
        with dg.DagsterInstance.ephemeral() as instance:
            return dg.materialize(
                [rollout(pipeline), decision], selection=[pipeline.key("rollout")], instance=instance,
                resources=resources(rolled, tmp_path, 5),
            )  # fmt: skip

    none = show()
    assert {e.check_name: e.passed for e in none.get_asset_check_evaluations()} == dict.fromkeys(CHECKS, True)
    rolled.promoted("2018-06")
    silent = {e.check_name: e.passed for e in show().get_asset_check_evaluations()}
    assert silent == {"guardrails_hold": True, "requests_arrive": False, "labels_arrive": False}
    logged(str(tmp_path / "log"), rolled, requests=300, failing=30)
    made = show()
    told = {e.check_name: (e.passed, e.metadata["found"].value) for e in made.get_asset_check_evaluations()}
    assert told["requests_arrive"] == (True, "300 requests")
    assert told["labels_arrive"][0]
    assert told["guardrails_hold"][0] is False
    assert "errors: 30 of 300" in told["guardrails_hold"][1]
    shown = made.asset_materializations_for_node("duration__rollout")[0].metadata
    arms = [r.data for r in shown["arms"].value.records]
    assert [(a["variant"], a["answered"], a["scored"], a["failed"]) for a in arms] == [
        ("champion", 300, 300, 0), ("candidate", 0, 300, 30)
    ]  # fmt: skip
    low, high = (float(bound.rstrip("%")) for bound in arms[1]["failed_bounds"].split(" to "))
    assert low < 10.0 < high
    assert (arms[0]["share_percent"], len(arms[0]["bundle"])) == (100.0, 12)
    [begun] = [r.data for r in shown["history"].value.records]
    assert (begun["action"], begun["share_percent"], begun["by"]) == ("advance", 0.0, "run 1")
    assert shown["state"].value == "shadow"
    assert "way_and_limits" in shown


def test_estimated_losses_come_from_each_bundles_own_estimator(rolled, tmp_path, monkeypatch):
    from ml_assets.assets.rollout_log import seen_of
    from ml_assets.core.encoding import FeatureSpec
    from ml_assets.core.estimator import Expected

    rolled.promoted("2018-06")
    logged(str(tmp_path / "log"), rolled, requests=40)
    open_one = rolled.desk.now()
    told = replace(
        open_one, rules={**open_one.rules, "guardrails": {**open_one.rules["guardrails"], "estimated_loss": 1}}
    )

    def load(_: Any, sha256: str) -> Any:
        worth = 2.0 if sha256 == open_one.champion else 3.0
        estimator = SimpleNamespace(
            expected=lambda frame, scores, specs, threads: Expected(
                np.full((2, frame.height), worth), np.zeros(len(scores))
            )
        )
        return SimpleNamespace(estimator=estimator, specs=(FeatureSpec("x", "number", None),))

    monkeypatch.setattr(type(rolled.judged.models), "load", load)
    logs = PredictionLogs(root=str(tmp_path / "log"))
    pipeline = rolled.release_desk.pipeline
    [leg] = seen_of(pipeline, told, rolled.judged.store, rolled.judged.models, logs)
    assert float(leg.estimated.pairs.difference().mean) == 1.0
    assert leg.estimated.pairs.rows == 40
    [without] = seen_of(pipeline, open_one, rolled.judged.store, rolled.judged.models, logs)
    assert without.estimated.pairs.rows == 0
