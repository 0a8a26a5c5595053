"""What turns decisions about retraining into runs, and writes down how the runs ended; decided is in `retraining`.

A sensor looks every now and then, a schedule at the instants of its cron expression; both do the same, and what
stands in the ledger keeps them from asking twice.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from ml_assets.core.errors import LedgerConflict
from ml_assets.observing import Observer
from ml_assets.problem import Pipeline
from ml_assets.resources.clock import Clock
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.tracking_context import REASON_TAG
from ml_assets.retraining import CAUSE_TAG, PIPELINE_TAG, RetrainingDesk, end

if TYPE_CHECKING:
    from ml_assets.core.retraining.decision import Decision

JUDGING = ("predictions", "performance", "drift")
WITHOUT_CANDIDATE = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
SHOWN_LETTERS = 400


def retraining_sensor(
    pipeline: Pipeline, train: UnresolvedAssetJobDefinition, follow: UnresolvedAssetJobDefinition, every_seconds: int
) -> dg.SensorDefinition:
    """`<p>_retraining`: judges what no report covers, and retrains for a reason.

    Args:
        pipeline: which.
        train, follow: its jobs.
        every_seconds: least time between two looks.
    """

    @dg.sensor(
        name=f"{pipeline.name}_retraining",
        jobs=[train, follow],
        description="Runs the drift asset where it is stale, and trains when drift, realised error, silence, the "
        "schedule or an empty registry ask for it; every decision is in the ledger, with its reasons.",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=every_seconds,
    )
    def look(
        context: dg.SensorEvaluationContext, ledger: Ledger, clock: Clock
    ) -> Sequence[dg.RunRequest] | dg.SkipReason:
        return asked_by(f"sensor {pipeline.name}_retraining", pipeline, context.instance, ledger, clock)

    return look


def retraining_schedule(pipeline: Pipeline, train: UnresolvedAssetJobDefinition, cron: str) -> dg.ScheduleDefinition:
    """`<p>_scheduled_retraining`: the cron expression of the YAML asks for a training; rules and budget hold for it.

    What it can't have at its instant stays asked for, and the sensor decides on it again.
    """

    @dg.schedule(
        name=f"{pipeline.name}_scheduled_retraining",
        job=train,
        cron_schedule=cron,
        execution_timezone="UTC",
        description="Asks for a retraining by the clock; cooldown and budget hold, and every decision is in the "
        "ledger.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def tick(
        context: dg.ScheduleEvaluationContext, ledger: Ledger, clock: Clock
    ) -> Sequence[dg.RunRequest] | dg.SkipReason:
        asked = asked_by(f"schedule {pipeline.name}_scheduled_retraining", pipeline, context.instance, ledger, clock)
        if isinstance(asked, dg.SkipReason):
            return asked
        # A schedule has one job; the sensor asks for what is to be judged.
        trainings = [request for request in asked if request.job_name == f"{pipeline.name}_train"]
        return trainings or dg.SkipReason("no training now; what is to be judged, the sensor asks for")

    return tick


def asked_by(
    by: str, pipeline: Pipeline, instance: dg.DagsterInstance, ledger: Ledger, clock: Clock
) -> Sequence[dg.RunRequest] | dg.SkipReason:
    """Decide, and say which runs follow, or why none does."""
    desk = RetrainingDesk(Observer(pipeline, instance, clock), ledger)
    try:
        decision = desk.decide(by)
    except LedgerConflict as e:
        return dg.SkipReason(f"somebody else wrote to the ledger while this was decided; the next look goes on: {e}")
    return run_requests(pipeline, decision) or dg.SkipReason(f"{decision.action}: {'; '.join(decision.reasons)}")


def run_requests(pipeline: Pipeline, decision: "Decision") -> list[dg.RunRequest]:
    """The runs that a decision asks for; each with the cause as its key, so that one cause never has two."""
    name = pipeline.name
    requests = []
    for partition, key in decision.evidence.refreshes.items():
        findings = [f for f in decision.evidence.findings if f.subject == partition and f.action == "refresh"]
        judging = JUDGING if any(f.reason != "unprepared" for f in findings) else ()
        lacking = any(f.reason == "unprepared" or "features" not in f.versions for f in findings)
        nouns = (*(("features",) if lacking else ()), *judging)
        requests.append(
            dg.RunRequest(
                run_key=f"{name}/refresh/{partition}/{key}",
                job_name=f"{name}_follow",
                partition_key=partition,
                asset_selection=[pipeline.key(noun) for noun in nouns],
                tags={REASON_TAG: "; ".join(f.words for f in findings)},
            )
        )
    if decision.action == "retrain":
        requests.append(training_request(pipeline, decision))
    return requests


def training_request(pipeline: Pipeline, decision: "Decision") -> dg.RunRequest:
    """The run of a training that was decided on."""
    told, key = "; ".join(decision.reasons), str(decision.key)
    return dg.RunRequest(
        run_key=f"{pipeline.name}/retrain/{key}",
        job_name=f"{pipeline.name}_train",
        partition_key=decision.plan.as_of if decision.plan else None,
        tags={
            REASON_TAG: told if len(told) <= SHOWN_LETTERS else f"{told[:SHOWN_LETTERS]} …",
            CAUSE_TAG: key,
            PIPELINE_TAG: pipeline.name,
        },
    )


def unfinished(desk: RetrainingDesk) -> list[dg.RunRequest]:
    """The runs of trainings that were asked for and did not come to a decision, as they were asked for."""
    from ml_assets.core.retraining.recorded import requests

    events = desk.ledger.events(desk.pipeline.name)
    open_ones = {
        t.evidence.key for t in desk.observer.trainings(events)
        if t.evidence is not None and t.outcome in ("requested", "running", "failed")
    }  # fmt: skip
    return [training_request(desk.pipeline, d) for _, d in requests(events) if d.key in open_ones]


def trainings_end() -> list[dg.SensorDefinition]:
    """Write it to the ledger when a training that was asked for failed or was canceled: no decision will tell of it."""
    return [_trainings_end(status) for status in WITHOUT_CANDIDATE]


def _trainings_end(status: dg.DagsterRunStatus) -> dg.SensorDefinition:
    word = {dg.DagsterRunStatus.FAILURE: "failed", dg.DagsterRunStatus.CANCELED: "was canceled"}[status]

    @dg.run_status_sensor(
        run_status=status,
        name=f"trainings_end_on_{status.value.lower()}",
        description=f"A training that was asked for and {word} is told of in the ledger.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def ends(context: dg.RunStatusSensorContext, ledger: Ledger) -> dg.SkipReason:
        run = context.dagster_run
        written = end(ledger, run, "failed", f"run {run.run_id} {word}")
        return dg.SkipReason(f"run {run.run_id}: {'written to the ledger' if written else 'no training for a cause'}")

    return ends
