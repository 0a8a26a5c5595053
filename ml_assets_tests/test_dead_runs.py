"""Which runs are ended when `ml-assets dev` starts, and which are left alone."""

import os
import subprocess
import sys
import time

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._daemon.types import DaemonHeartbeat

from ml_assets.dead_runs import BEAT_SECONDS, STARTED_BY_TAG, end_left_runs, left_runs

OF_A_CODE_SERVER = {GRPC_INFO_TAG: '{"host": "localhost", "socket": "/tmp/s"}'}
ELSEWHERE = {GRPC_INFO_TAG: '{"host": "user-code.svc", "port": 4000}'}
STARTED = dg.DagsterRunStatus.STARTED


@dg.op
def work():
    """Nothing."""


@dg.job
def job():
    work()


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as shared:
        yield shared


@pytest.fixture(scope="module")
def gone() -> int:
    """The id of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    return ended.pid


def started(instance, *pids, tags=OF_A_CODE_SERVER, status=STARTED) -> dg.DagsterRun:
    """A run that wrote down processes."""
    run = instance.create_run_for_job(job, status=status, tags=tags)
    for pid in pids:
        instance.report_engine_event("Started process for run", run, EngineEventData.in_process(pid))
    return run


def beat(instance, at: float) -> None:
    instance.add_daemon_heartbeat(DaemonHeartbeat(at, "SENSOR", "somebody", []))


class Time:
    """A clock that only runs while somebody sleeps, and what happens meanwhile."""

    def __init__(self, happens=lambda now: None) -> None:
        self.now, self.happens = time.time(), happens

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.happens(self.now)


def end(instance, clock: Time) -> tuple[int, str]:
    said: list[str] = []
    return end_left_runs(instance, said.append, clock, clock.sleep), "\n".join(said)


@pytest.mark.parametrize("tags", [OF_A_CODE_SERVER, {STARTED_BY_TAG: "replay"}])
def test_a_run_whose_process_is_gone_is_ended_and_says_why(instance, gone, tags):
    run = started(instance, gone, tags=tags)
    clock = Time()
    count, said = end(instance, clock)
    assert (count, instance.get_run_by_id(run.run_id).status) == (1, dg.DagsterRunStatus.FAILURE)
    [event] = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records
    assert f"its process is gone (pid {gone})" in event.event_log_entry.dagster_event.message
    assert run.run_id in said
    assert end(instance, clock) == (0, "")


def test_runs_that_live_wait_ended_or_are_of_another_machine_are_left_alone(instance, gone):
    kept = [
        started(instance, os.getpid()),
        started(instance, gone, os.getpid()),  # the worker is gone, and the process of a step goes on writing
        started(instance),
        started(instance, status=dg.DagsterRunStatus.STARTING),
        started(instance, gone, status=dg.DagsterRunStatus.SUCCESS),
        started(instance, gone, tags=ELSEWHERE),
        started(instance, gone, tags={}),
    ]
    assert left_runs(instance) == []
    assert end(instance, Time()) == (0, "")
    assert [instance.get_run_by_id(r.run_id).status for r in kept] == [r.status for r in kept]


def test_while_another_daemon_is_alive_nothing_is_ended(instance, gone):
    run, clock = started(instance, gone), Time()
    beat(instance, clock.now - 10)
    clock.happens = lambda now: beat(instance, now) if now > clock.began + 20 else None
    clock.began = clock.now
    count, said = end(instance, clock)
    assert (count, instance.get_run_by_id(run.run_id).status) == (0, STARTED)
    assert "another daemon is alive" in said


@pytest.mark.parametrize(("ago", "waited"), [(10, BEAT_SECONDS - 10), (BEAT_SECONDS + 1, 0)])
def test_the_heartbeat_of_a_killed_daemon_is_waited_out_and_no_longer(instance, gone, ago, waited):
    run, clock = started(instance, gone), Time()
    began = clock.now
    beat(instance, began - ago)
    count, _ = end(instance, clock)
    assert (count, instance.get_run_by_id(run.run_id).status) == (1, dg.DagsterRunStatus.FAILURE)
    assert clock.now - began == pytest.approx(waited, abs=1)


def test_a_run_that_ends_well_while_it_is_waited_for_is_left_alone(instance, gone):
    run, clock = started(instance, gone), Time()
    beat(instance, clock.now - 30)
    clock.happens = lambda _: finish(instance, run)
    count, _ = end(instance, clock)
    assert (count, instance.get_run_by_id(run.run_id).status) == (0, dg.DagsterRunStatus.SUCCESS)


def finish(instance, run) -> None:
    if instance.get_run_by_id(run.run_id).status == STARTED:
        instance.report_dagster_event(
            dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, job_name=run.job_name), run.run_id
        )
