"""The sensors: what starts runs without a person, and what is done when a run is over."""

import dagster as dg
from dagster._core.storage.tags import RUN_KEY_TAG

from ml_assets.assets.monitoring import landed, refresh_times
from ml_assets.problem import Pipeline
from ml_assets.resources.materializations import latest
from ml_assets.resources.storage import Store
from ml_assets.resources.tracking import Tracking

OVER = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
MINIMUM_INTERVAL_SECONDS = 30
AUTOMATION_INTERVAL_SECONDS = 10
"""Shorter than of the sensors that ask for ingestion, or what those start would always have to wait for a look."""
MOST_REQUESTS = 100
"""Of one look, as of `core.landing`."""


def automation() -> dg.AutomationConditionSensorDefinition:
    """Lets every asset with an automation condition follow its inputs; running from the start."""
    return dg.AutomationConditionSensorDefinition(
        "data_side",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=AUTOMATION_INTERVAL_SECONDS,
        description="New rows are validated, featurised, scored and measured as soon as they are there.",
    )


def late_labels(pipeline: Pipeline) -> dg.SensorDefinition:
    """Measure partitions again when a newer one has landed by whose end enough more of their labels are known.

    A declarative condition can't tell: it would have to look into records, or make every partition depend on all.
    """
    key = pipeline.key("performance")

    @dg.sensor(
        name=f"{pipeline.name}_late_labels",
        target=dg.AssetSelection.assets(key),
        description="Partitions are measured again as their labels become known.",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=MINIMUM_INTERVAL_SECONDS,
    )
    def late(context: dg.SensorEvaluationContext, store: Store) -> dg.SensorResult | dg.SkipReason:
        from ml_assets.core.maturity import due

        newest = landed(pipeline, store)
        if newest is None:
            return dg.SkipReason(f"nothing of {pipeline.table.name} has landed yet")
        told = refresh_times(latest(context.instance, key))
        asked = due(told, newest.end)
        if not asked:
            waiting = sum(at is not None for at in told.values())
            return dg.SkipReason(
                f"{len(told)} partitions are measured, {waiting} of which wait for labels known after {newest.end}"
            )
        keys = {partition: f"{pipeline.name}/late_labels/{partition}/{newest.key}" for partition in sorted(asked)}
        # What was asked for is due until its run has ended, and for ever if that failed: it must not take all places.
        runs = context.instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: list(keys.values())}))
        known = {run.tags[RUN_KEY_TAG] for run in runs}
        new = [dg.RunRequest(key, partition_key=partition) for partition, key in keys.items() if key not in known]
        if not new:
            return dg.SkipReason(f"{len(asked)} partitions are to be measured again, and are asked for already")
        return dg.SensorResult(new[:MOST_REQUESTS])

    return late


def tracking_ends() -> list[dg.SensorDefinition]:
    """End what the tracker shows as running when its run is over, whoever started it and however it ended."""
    return [_tracking_ends(status) for status in OVER]


def _tracking_ends(status: dg.DagsterRunStatus) -> dg.SensorDefinition:
    @dg.run_status_sensor(
        run_status=status,
        name=f"tracking_ends_on_{status.value.lower()}",
        description="Runs that the tracker shows as running and whose run is over get its status.",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=MINIMUM_INTERVAL_SECONDS,
    )
    def ends(context: dg.RunStatusSensorContext, tracking: Tracking) -> dg.SkipReason:
        ended = tracking.settle(context.instance, context.log.warning)
        return dg.SkipReason(f"{len(ended)} tracked runs were ended")

    return ends
