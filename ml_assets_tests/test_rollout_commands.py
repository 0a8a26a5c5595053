"""`rollout status`, `pause`, `resume`, `abort`: as a person on call types them, and as a program reads them."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ml_assets import rollout_commands
from ml_assets.cli import main
from ml_assets.core.rollout.routes import routing_of
from ml_assets_tests.test_rolling_out import Rolled


@pytest.fixture
def rolled(judged, monkeypatch, tmp_path) -> Rolled:
    judged.make_live("2018-03")
    told = Rolled(judged)
    monkeypatch.setenv("ML_ASSETS_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(rollout_commands, "desk_of", lambda _: told.release_desk)
    monkeypatch.setattr(rollout_commands, "person", lambda: "ann")
    return told


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["rollout", *arguments, "--pipeline", "duration"])


def done(result: Result) -> Any:
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_before_any_rollout(rolled):
    assert "no candidate has been rolled out yet" in done(call("status"))
    assert json.loads(done(call("status", "--json"))) == {"pipeline": "duration", "rollout": None}
    refused = call("pause", "--reason", "?")
    assert refused.exit_code == 1
    assert "none is open" in refused.output


def test_a_rollout_is_paused_resumed_and_aborted(rolled):
    bundle = rolled.promoted("2018-06")
    assert "paused; weights stay" in done(call("pause", "--reason", "lunch"))
    assert "nothing changed: paused already" in done(call("pause", "--reason", "lunch"))
    assert "paused since" in (told := done(call("status")))
    assert all(word in told for word in ("shadow", "lunch", "by ann", bundle[:12], "canary"))
    assert json.loads(done(call("resume", "--reason", "fed", "--json")))["rollout"]["state"]["paused"] is None
    ended = json.loads(done(call("abort", "--reason", "complaints", "--json")))
    assert (ended["changed"], ended["rollout"]["open"], ended["rollout"]["state"]["phase"]) == (True, False, "aborted")
    assert len(routing_of(rolled.events).arms) == 1
    assert [e["facts"]["action"] for e in ended["rollout"]["events"]] == ["advance", "pause", "resume", "abort"]
    assert call("resume", "--reason", "too late").exit_code == 1


def test_what_it_waits_for_is_told_and_nothing_is_written(rolled):
    rolled.judged.decide(rolled.judged.bundle("2018-06"))
    rolled.carry_out("2018-06", datetime.now(UTC))
    before = rolled.events
    told = done(call("status"))
    assert "a look now: stay" in told
    assert "shadow: 0 of 10 requests" in told
    assert "shadow: 0 of 10 requests" in json.loads(done(call("status", "--json")))["rollout"]["now"]
    assert rolled.events == before
    done(call("abort", "--reason", "complaints"))
    assert "a look now" not in done(call("status"))
    assert json.loads(done(call("status", "--json")))["rollout"]["now"] is None


@pytest.mark.parametrize("action", ["pause", "resume", "abort"])
def test_whoever_acts_says_why(rolled, action):
    rolled.promoted("2018-06")
    assert call(action).exit_code == 2
    assert "says nothing" in call(action, "--reason", " ").output
    assert call(action, "--help").exit_code == 0
    assert len(rolled.desk.now().events) == 1
