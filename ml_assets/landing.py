"""The sensor `<table>_new_data`: asks for the ingestion of what the source has and we don't hold.

What follows from what it reads is decided in `core.landing`; the rest of the chain follows by declarative automation.
It keeps no cursor: runs and materializations are what it remembers by. Two daemons by mistake ask with the same run
keys; at worst a partition is ingested twice with the same content, which changes nothing downstream.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache

import dagster as dg
from dagster._core.storage.tags import PARTITION_NAME_TAG, RUN_KEY_TAG

from ml_assets.core.errors import SourceError
from ml_assets.core.landing import Attempt, Ingested, Landing, State, decide, outstanding, refuse_other_source
from ml_assets.core.windows import Window
from ml_assets.jobs import ingest_name
from ml_assets.partitions import windows_through
from ml_assets.problem import Table
from ml_assets.resources.clock import Clock
from ml_assets.resources.materializations import latest
from ml_assets.resources.sources.interface import Source, make_source

STATES = {
    dg.DagsterRunStatus.NOT_STARTED: State.CREATED,
    dg.DagsterRunStatus.SUCCESS: State.SUCCEEDED,
    dg.DagsterRunStatus.FAILURE: State.FAILED,
    dg.DagsterRunStatus.CANCELED: State.FAILED,
}
"""All others wait or run."""

ASKED_AT_ONCE = 500
"""Partitions in one question to the run storage."""


def new_data(table: Table) -> dg.SensorDefinition:
    """Ask for partitions that the source has and we don't, and for those that changed there since.

    The source is made at the first tick and kept: it may remember what it read of a file that did not change.
    """
    source = cache(lambda: make_source(table.config.source, table.folder))

    @dg.sensor(
        name=f"{table.name}_new_data",
        job_name=ingest_name(table),
        description=f"New partitions of {table.name} are ingested, and those that changed in the source once more.",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=int(table.config.check_interval.total_seconds()),
    )
    def landed(context: dg.SensorEvaluationContext, clock: Clock) -> dg.SensorResult | dg.SkipReason:
        landing, faults = look(table, source(), context.instance, clock.now())
        said = landing.in_words(table.name)
        if not landing.requests:
            if faults:  # nothing else gets lost: the on-call sees a failed tick
                raise together(table, faults)
            return dg.SkipReason(said)
        for fault in faults.values():
            context.log.error(str(fault))
        context.log.info(said)
        return dg.SensorResult(
            [dg.RunRequest(request.run_key, partition_key=request.partition) for request in landing.requests]
        )

    return landed


def look(
    table: Table, source: Source, instance: dg.DagsterInstance, now: datetime
) -> tuple[Landing, dict[str, SourceError]]:
    """What to ingest now, and the partitions of which the source could not say how they are.

    Args:
        table, source: whose partitions.
        instance: where runs and materializations are recorded.
        now: with a time zone; partitions whose window is not over by then don't count.

    Raises:
        SourceError: the source as a whole can't be reached or read.
        ConfigError: what was ingested came from a source of another kind.
    """
    windows = windows_through(table.partitions, now=now)
    offered, faults = _offered(source, windows)
    ingested, attempts = _ingested(table, instance), list[Attempt]()
    if wanted := outstanding(offered, ingested):
        attempts = _attempts(table, instance, wanted)
        ingested = _ingested(table, instance)  # again: what an attempt stored that has ended by now must be among it
    return decide(table.name, over=len(windows), offered=offered, ingested=ingested, attempts=attempts, now=now), faults


def together(table: Table, faults: Mapping[str, SourceError]) -> SourceError:
    """One error of all."""
    if len(faults) == 1:
        return next(iter(faults.values()))
    return SourceError(
        f"source of {table.name}",
        found=[str(fault) for fault in faults.values()],
        expected="a source that says of each of its partitions whether it changed",
        cure="correct what each of them names",
    )


def _offered(source: Source, windows: Sequence[Window]) -> tuple[dict[str, str], dict[str, SourceError]]:
    there = set(source.partitions(windows))
    told = source.fingerprints([window for window in windows if window.key in there])
    faults = {key: one for key, one in told.items() if isinstance(one, SourceError)}
    return {key: one for key, one in told.items() if isinstance(one, str)}, faults


def _ingested(table: Table, instance: dg.DagsterInstance) -> dict[str, Ingested]:
    made = latest(instance, table.key("raw"))
    kinds = {str(m.metadata["source_kind"]) for m in made.values() if "source_kind" in m.metadata}
    refuse_other_source(table.name, table.config.source.kind, kinds)
    return {
        partition: Ingested(None if (f := one.metadata.get("source_fingerprint")) is None else str(f), one.run_id)
        for partition, one in made.items()
    }


def _attempts(table: Table, instance: dg.DagsterInstance, partitions: Sequence[str]) -> list[Attempt]:
    found = []
    for start in range(0, len(partitions), ASKED_AT_ONCE):
        some = partitions[start : start + ASKED_AT_ONCE]
        wanted = dg.RunsFilter(job_name=ingest_name(table), tags={PARTITION_NAME_TAG: some})
        for record in instance.get_run_records(wanted):
            run, end = record.dagster_run, record.end_time
            found.append(
                Attempt(
                    run.tags[PARTITION_NAME_TAG],
                    run.tags.get(RUN_KEY_TAG, ""),
                    run.run_id,
                    STATES.get(run.status, State.IN_FLIGHT),
                    None if end is None else datetime.fromtimestamp(end, UTC),
                )
            )
    return found
