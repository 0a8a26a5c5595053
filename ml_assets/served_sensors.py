"""The sensor that lets `<p>/served` follow the prediction log, which no run of Dagster writes."""

from datetime import UTC, datetime

import dagster as dg

from ml_assets.assets.served import LOG_VERSION
from ml_assets.config.serving import Serving
from ml_assets.core.log_versions import Ingested, log_versions, to_ingest
from ml_assets.partitions import windows_through
from ml_assets.problem import Pipeline
from ml_assets.resources.clock import Clock
from ml_assets.resources.materializations import Made, latest
from ml_assets.resources.prediction_log import PredictionLogs

MINIMUM_INTERVAL_SECONDS = 30
MOST_AT_ONCE = 20
"""Runs asked for in one look; what is left waits for the next."""


def served_requests(pipeline: Pipeline, told: Serving) -> dg.SensorDefinition:
    """Read a partition from the log when requests or labels of it came in, or its features changed."""
    key = pipeline.key("served")

    @dg.sensor(
        name=f"{pipeline.name}_served_requests",
        target=dg.AssetSelection.assets(key),
        description="Served requests and their labels are read from the prediction log as they come in.",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=MINIMUM_INTERVAL_SECONDS,
    )
    def ingests(
        context: dg.SensorEvaluationContext, prediction_logs: PredictionLogs, clock: Clock
    ) -> dg.SensorResult | dg.SkipReason:
        days = {day: prediction_logs.segments(pipeline.name, day) for day in prediction_logs.days(pipeline.name)}
        if not days:
            return dg.SkipReason(f"no server has logged a request of {pipeline.name} yet")
        now = clock.now()
        windows = windows_through(pipeline.table.partitions)
        versions = log_versions(windows, days, label_wait=told.label_wait, today=now.date().isoformat())
        made = latest(context.instance, key)
        by_key = latest(context.instance, pipeline.key("features")) if told.key else {}
        features = {partition: one.data_version for partition, one in by_key.items()}
        ingested = {partition: ingested_of(pipeline, partition, one) for partition, one in made.items()}
        asked = to_ingest(versions, ingested, features, now.replace(tzinfo=None))
        if not asked:
            return dg.SkipReason(
                f"{len(versions)} partitions have requests, all of which are read or were a moment ago"
            )
        return dg.SensorResult(
            [
                dg.RunRequest(f"{pipeline.name}/served/{partition}/{cause}", partition_key=partition)
                for partition, cause in sorted(asked.items(), reverse=True)[:MOST_AT_ONCE]
            ]
        )

    return ingests


def ingested_of(pipeline: Pipeline, partition: str, made: Made) -> Ingested:
    """What a materialization has read."""
    read = made.made_from.get(pipeline.key("features").to_user_string(), {})
    at = datetime.fromtimestamp(made.timestamp, UTC).replace(tzinfo=None)
    return Ingested(str(made.metadata.get(LOG_VERSION, "")), read.get(partition, ""), at)
