"""The sensors: what starts runs without a person."""

import dagster as dg

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
