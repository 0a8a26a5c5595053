"""Ends runs that Dagster shows as running though their processes are gone: after everything was killed at once.

Nobody else does so soon: Dagster's monitor waits for `max_runtime_seconds`. What follows is the same as for any run
that failed: the daemon retries it, and sensors ask for its cause again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import GRPC_INFO_TAG

from ml_assets.resources.processes import is_running

STARTED_BY_TAG = "ml_assets/started_by"
"""Of runs that no daemon started: who did."""
BEAT_SECONDS = 35.0
"""A daemon that lives says so every thirty seconds."""
TELLS_PROCESS = {dg.DagsterEventType.ENGINE_EVENT, dg.DagsterEventType.STEP_WORKER_STARTED}
WHY = "its process is gone (pid {pids}), and no daemon is alive: everything was killed while it ran"


@dataclass(frozen=True)
class Left:
    """A run whose processes are gone.

    Args:
        run: as Dagster has it.
        pids: of its processes, as it wrote them down.
    """

    run: dg.DagsterRun
    pids: tuple[int, ...]


def left_runs(instance: dg.DagsterInstance) -> list[Left]:
    """Runs that have not ended, and wrote down processes of this machine none of which is running; oldest first.

    A run that wrote down none, since it waits or was started elsewhere, is never among them.
    """
    found = []
    for run in reversed(instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))):
        seen = _processes(instance, run) if _is_of_this_machine(run) else {}
        if seen and not any(is_running(pid, at) for pid, at in seen.items()):
            found.append(Left(run, tuple(sorted(seen))))
    return found


def end_left_runs(
    instance: dg.DagsterInstance,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Mark the runs that a kill of everything left as failed, unless a daemon of this instance is alive.

    A daemon that lives is known by its heartbeat: where the last one is young, the next one is waited for.

    Args:
        instance: whose.
        say: is told in words what is waited for and done.
        clock, sleep: seconds since 1970, and to let some pass.

    Returns:
        How many were ended.
    """
    left = left_runs(instance)
    if not left:
        return 0
    told = f"{len(left)} runs are shown as running, and their processes are gone"
    last = _heartbeat(instance)
    if (rest := last + BEAT_SECONDS - clock()) > 0:
        say(f"{told}; looking for another daemon of this instance for {rest:.0f} s, then they are ended")
        while clock() < last + BEAT_SECONDS:
            sleep(1.0)
            if _heartbeat(instance) > last:
                say(f"{told}, but another daemon is alive: nothing is ended, see that only one works on this instance")
                return 0
    ended = 0
    for one in left:
        if _is_unfinished(instance, one.run):
            end_run(instance, one.run, WHY.format(pids=", ".join(map(str, one.pids))))
            say(f"run {one.run.run_id} ({one.run.job_name}) is ended: {WHY.format(pids=one.pids[0])}")
            ended += 1
    return ended


def end_run(instance: dg.DagsterInstance, run: dg.DagsterRun, why: str) -> None:
    """Mark a run as failed, and give back its places in pools: whoever waits for one would wait for ever.

    Args:
        instance: of the run.
        run: one whose processes are gone.
        why: is shown as the event that ends it.
    """
    instance.report_run_failed(run, why)
    if instance.event_log_storage.supports_global_concurrency_limits:
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def _is_of_this_machine(run: dg.DagsterRun) -> bool:
    # A code server on this machine is spoken to by a socket, or by a port of localhost.
    server = run.tags.get(GRPC_INFO_TAG, "")
    return '"socket"' in server or '"host": "localhost"' in server or STARTED_BY_TAG in run.tags


def _processes(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dict[int, float]:
    """Ids of the processes that a run wrote down -> when, in seconds since 1970."""
    seen: dict[int, float] = {}
    for record in instance.get_records_for_run(run.run_id, of_type=TELLS_PROCESS).records:
        event = record.event_log_entry.dagster_event
        told = event.engine_event_data.metadata.get("pid") if event is not None else None
        if told is not None:
            seen.setdefault(int(str(told.value)), record.event_log_entry.timestamp)
    return seen


def _heartbeat(instance: dg.DagsterInstance) -> float:
    """When a daemon of an instance last said that it lives, in seconds since 1970; 0 if none ever did."""
    return max((beat.timestamp for beat in instance.get_daemon_heartbeats().values()), default=0.0)


def _is_unfinished(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    now = instance.get_run_by_id(run.run_id)
    return now is not None and not now.is_finished
