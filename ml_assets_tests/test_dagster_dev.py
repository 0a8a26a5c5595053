"""A file dropped into the source's folder, followed through a real `ml-assets dev` to the decision on a retraining.

On the way webserver, daemon, code server and run are killed with -9, all at once, and started again: once while the
file is ingested, and once in the training that follows.
"""

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.dagster_dev import OVER, DagsterDev
from benchmarks.orchestration import RETRAINING
from benchmarks.small_project import SmallProject
from ml_assets.core.releases import DECIDED, Event, check_chain
from ml_assets.core.retraining.recorded import requests
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.sources.injections import ZoneShiftConfig

pytestmark = pytest.mark.slow(seconds=120)

ROWS = 1500
MONTH = "2018-04"
DRIFT = ZoneShiftConfig(kind="zone_shift", start=MONTH, share=0.6)
SECONDS = 400
"""After which what is waited for is given up; on quiet cores it takes a fifth of that."""
ENDED_WITHIN_SECONDS = 90
"""Of a start, a run that a kill left; on quiet cores less than a minute, of which half is the wait for a heartbeat."""


@pytest.fixture
def small(tmp_path) -> SmallProject:
    """A project with a champion, that looks at its source every few seconds and retrains for one drifted report."""
    often = {"check_every": "5s"}
    project = SmallProject(tmp_path, ROWS, table=often, pipeline={"retraining": {**RETRAINING, **often}})
    project.make_history()
    return project


def test_a_file_that_lands_is_followed_to_a_decision_through_kills_of_everything(small, tmp_path):
    ml_assets = str(Path(sys.executable).with_name("ml-assets"))
    command = [ml_assets, "dev", "--workspace", str(small.root / "workspace.yaml")]
    with DagsterDev(command, small.environment, tmp_path / "dev.log", cwd=small.home) as dev:
        dev.wait(SECONDS, dev.location)
        small.land(MONTH, injections=[DRIFT])
        killed = []
        for job in ("rides_ingest", "duration_train"):
            killed.append(dev.wait(SECONDS, lambda job=job: running(dev, job), every=0.2)["runId"])
            assert len(dev.kill()) >= 4, "webserver, daemon, code server and run"
            assert dev.processes() == []
            assert not decided(small)
            started = time.time()
            dev.start()
            left = dev.wait(SECONDS, lambda: ended(dev, killed[-1]))
            assert left["status"] == "FAILURE"
            assert left["endTime"] - started < ENDED_WITHIN_SECONDS
            assert f"run {killed[-1]} ({job}) is ended" in dev.log.read_text()
        dev.wait(SECONDS, lambda: decided(small) or None)
        dev.wait(SECONDS, lambda: True if all(run["status"] in OVER for run in dev.runs()) else None)

        verdict = dev.made("duration/drift", MONTH)[-1]
        assert verdict["texts"]["verdict"] == "drifted"
        runs = dev.runs_of(MONTH)
        assert {run["status"] for run in runs if run["runId"] in killed} == {"FAILURE"}
        asked = Counter(r["tags"]["dagster/run_key"] for r in runs if is_asked_for(r))
        assert set(asked.values()) == {1}, "one run for one cause, and Dagster's retries of it"
        assert {key.split("/")[1] for key in asked} >= {MONTH, "retrain"}
        for key in ("rides/raw", "rides/validated", "duration/features"):
            assert len({made["texts"]["sha256"] for made in dev.made(key, MONTH)}) == 1, key

    events = ledger(small)
    check_chain(events)
    assert len(decided(small)) == 1
    causes = [decision.key for _, decision in requests(events)]
    assert len(causes) == len(set(causes)), "what is asked for stands in the ledger once"


def running(dev: DagsterDev, job: str) -> dict[str, Any] | None:
    """A run of the month by this job, once it has started."""
    return next((r for r in dev.runs_of(MONTH) if r["jobName"] == job and r["status"] == "STARTED"), None)


def ended(dev: DagsterDev, run_id: str) -> dict[str, Any] | None:
    """A run, once it has ended."""
    return next((r for r in dev.runs_of(MONTH) if r["runId"] == run_id and r["status"] in OVER), None)


def is_asked_for(run: dict[str, Any]) -> bool:
    """Whether a sensor asked for a run by a key; a retry of it is no second one."""
    return "dagster/run_key" in run["tags"] and "dagster/parent_run_id" not in run["tags"]


def ledger(small: SmallProject) -> list[Event]:
    """The pipeline's events."""
    return Ledger(url=f"sqlite:///{small.data / 'ledger.db'}").events("duration")


def decided(small: SmallProject) -> list[Event]:
    """Decisions on candidates as of the month."""
    return [e for e in ledger(small) if e.kind == DECIDED and e.facts["as_of"] == MONTH]
