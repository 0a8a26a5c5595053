"""Group `monitoring`: how right the scores were."""

from typing import Any

import dagster as dg

from ml_assets.assets.automation import FOLLOWS_ITS_INPUTS
from ml_assets.assets.frames import LazyFrame
from ml_assets.assets.metadata import made_from, record_output
from ml_assets.core.releases import champions
from ml_assets.partitions import windows_through
from ml_assets.problem import Pipeline
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.reports import Reports
from ml_assets.resources.storage import Store

TREND_PARTITIONS = 36


def performance(pipeline: Pipeline) -> dg.AssetsDefinition:
    """`<p>/performance`: the realised error of a partition."""
    key = pipeline.key("performance")
    evaluation, metric = pipeline.config.evaluation, pipeline.config.metric

    @dg.asset(
        key=key,
        ins={
            "features": dg.AssetIn(key=pipeline.key("features")),
            "predictions": dg.AssetIn(key=pipeline.key("predictions")),
        },
        description="Realised error on labels known by the partition's end: champion, first champion, naive baseline.",
        group_name="monitoring",
        kinds={"json"},
        partitions_def=pipeline.table.partitions,
        automation_condition=FOLLOWS_ITS_INPUTS,
        io_manager_key="records",
    )
    def performance_partition(
        context: dg.AssetExecutionContext,
        store: Store,
        ledger: Ledger,
        reports: Reports,
        features: LazyFrame,
        predictions: LazyFrame,
    ) -> dg.Output[Any]:
        from ml_assets.core.performance import measure

        window = pipeline.table.window(context.partition_key)
        measured = measure(
            features,
            predictions,
            known_by=window.end,
            task=pipeline.config.label.task,
            metric=metric,
            alpha=pipeline.alpha,
            slices=evaluation.slices,
            costs=pipeline.costs,
        )
        record = {**measured.to_json(), "partition": window.key}
        shown = {f"{metric}_{who}": of[metric] for who, of in measured.metrics.items()}
        picture = reports.picture(key, window.key, "trend", trend(pipeline, store, ledger, record))
        read = made_from(store, {pipeline.key(noun): [window.key] for noun in ("features", "predictions")})
        return record_output(record, {**shown, "rows_mature": measured.rows_mature, **picture, **read})

    return performance_partition


def trend(pipeline: Pipeline, store: Store, ledger: Ledger, newest: dict[str, Any]) -> bytes:
    """The error over the last partitions as a picture, with marks where the champion changed."""
    from ml_assets.core.pictures import error_over_time

    metric = pipeline.config.metric
    windows = windows_through(pipeline.table.partitions, newest["partition"], TREND_PARTITIONS)
    earlier = (store.record(pipeline.key("performance"), w.key) for w in windows[:-1])
    records = [r for r in (*earlier, newest) if r is not None and r["metrics"]]
    keys = [r["partition"] for r in records]
    contenders = records[-1]["metrics"] if records else {}
    series = {who: [r["metrics"][who][metric] for r in records] for who in contenders}
    trained = [c.as_of for c in champions(ledger.events(pipeline.name)) if c.as_of in keys]
    return error_over_time(keys, series, trained, metric=metric, unit=pipeline.metric_unit)
