"""The sensors: what starts runs without a person, and what is done when a run is over."""

import dagster as dg

from ml_assets.resources.tracking import Tracking

OVER = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
MINIMUM_INTERVAL_SECONDS = 30


def automation() -> dg.AutomationConditionSensorDefinition:
    """Lets every asset with an automation condition follow its inputs; running from the start."""
    return dg.AutomationConditionSensorDefinition(
        "data_side",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=MINIMUM_INTERVAL_SECONDS,
        description="New rows are validated, featurised, scored and measured as soon as they are there.",
    )


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
