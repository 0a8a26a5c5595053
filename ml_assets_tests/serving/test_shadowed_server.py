"""A server in whose rollout a process scores beside: that is killed, and the server itself is, and ended in order."""

import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ml_assets.core.releases import ROLLOUT_BEGUN
from ml_assets.core.rollout.machine import begin
from ml_assets.core.rollout.recorded import begun_facts
from ml_assets.core.rollout.rules import Rules
from ml_assets.resources.prediction_log import PredictionLogs
from ml_assets_tests.serving.running import PIPELINE, Released, Server, serving, until

pytestmark = pytest.mark.slow
RULES = Rules(strategy="shadow", steps=(0,))
REQUESTS = "ml_assets_shadow_requests"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    return Released(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def released(bundles, tmp_path) -> Released:
    (tmp_path / "models").symlink_to(bundles.root / "models")
    told = object.__new__(Released)
    told.root, told.bundles = tmp_path, bundles.bundles
    told.ledger = type(bundles.ledger)(f"sqlite:///{tmp_path / 'ledger.db'}")
    told.make_live(told.version(1))
    begun = begin(RULES, datetime.now(UTC), "it was promoted")
    record = {"as_of": "", "sha256": "r"}
    facts = begun_facts("r-1", told.version(1), told.version(0), record, RULES.to_json(), begun, "a test")
    told.append(ROLLOUT_BEGUN, **facts)
    return told


def children(server: Server) -> list[int]:
    return [line["child"] for line in server.lines() if line["message"] == "scoring beside"]


def scored(server: Server) -> float:
    return server.metric(REQUESTS, '"scored"')


def asked(server: Server, number: int) -> set[str]:
    """Request ids of so many answers."""
    answers = [server.ask() for _ in range(number)]
    assert [status for status, _, _ in answers] == [200] * number
    return {answer.getheader("x-request-id") for _, _, answer in answers}


def beside(released: Released) -> dict[str, str]:
    """Request id -> bundle, of what was scored beside."""
    rows = PredictionLogs(root=str(released.root / "predictions")).rows(PIPELINE, "requests")
    return dict(rows.filter(role="shadow").select("request_id", "bundle").iter_rows())


def timed(released: Released) -> set[tuple[str, str]]:
    """Request id and bundle of what was timed beside."""
    logs = PredictionLogs(root=str(released.root / "predictions"))
    days = [logs.pieces(PIPELINE, "requests", day) for day in logs.days(PIPELINE)]
    rows = [day.rows(piece).filter(role="timed") for day in days for piece in day.pieces]
    return {found for of in rows for found in of.select("request_id", "bundle").iter_rows()}


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_process_that_is_killed_is_replaced_and_the_end_of_the_server_waits_for_what_it_was_sent(released):
    with serving(released.root, "--drain-seconds", "0") as server:
        [first] = until(lambda: children(server))
        until(lambda: asked(server, 1) and scored(server))
        os.kill(first, signal.SIGKILL)
        until(lambda: len(children(server)) == 2)
        before = scored(server)
        until(lambda: asked(server, 1) and scored(server) > before)
        last = asked(server, 100)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        died = [line for line in server.lines() if line["message"].startswith("the process that scores beside died")]
    assert [line["exit_code"] for line in died] == [-9]
    assert {beside(released)[request] for request in last} == {released.version(0)}
    assert not is_there(children(server)[-1])


def test_a_server_that_is_killed_loses_no_request_that_it_had_sent_to_be_scored_beside(released):
    with serving(released.root) as server:
        [child] = until(lambda: children(server))
        last = asked(server, 100)
        server.process.kill()
        server.process.wait()
        until(lambda: not is_there(child))
    assert beside(released).keys() >= last
    # While the candidate answers nobody, it is known of both how long they take there.
    assert timed(released) >= {(request, released.version(1)) for request in last}
