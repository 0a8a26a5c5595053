"""Group `monitoring`: how right the scores were, how right they probably are, and whether that was promised."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets.assets.automation import FOLLOWS_ITS_INPUTS
from ml_assets.assets.frames import LazyFrame
from ml_assets.assets.metadata import made_from, record_output, table_of
from ml_assets.assets.partitioned_checks import partitioned_check
from ml_assets.attributing import Accountant
from ml_assets.core.releases import champions
from ml_assets.core.windows import Window
from ml_assets.observing import BOUNDS_VERSION, REALISED
from ml_assets.partitions import windows_through
from ml_assets.problem import Pipeline
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.materializations import Made
from ml_assets.resources.models import Models
from ml_assets.resources.reports import Reports
from ml_assets.resources.storage import Store

if TYPE_CHECKING:
    from ml_assets.core.monitored import Monitor

TREND_PARTITIONS = 36
PROMISE = "not_worse_than_promised"
REFRESH_AT = "refresh_at"
"""Metadata: the first instant as of which measuring again is worth it."""


def performance(pipeline: Pipeline) -> dg.AssetsDefinition:
    """`<p>/performance`: the realised error of a partition where labels are known, the estimated one elsewhere."""
    key = pipeline.key("performance")

    @dg.asset(
        key=key,
        ins={
            "features": dg.AssetIn(key=pipeline.key("features")),
            "predictions": dg.AssetIn(key=pipeline.key("predictions")),
        },
        description="Realised error on labels known by the end of the newest partition that has landed: champion, "
        "first champion, naive baseline and the champion before, while it scores on; estimated error of the rows "
        "without a label; what was promised, and what the last retraining was worth.",
        group_name="monitoring",
        kinds={"json"},
        partitions_def=pipeline.table.partitions,
        automation_condition=FOLLOWS_ITS_INPUTS,
        code_version=pipeline.bounds_versions["performance"],
        io_manager_key="records",
        check_specs=[promise_spec(pipeline)],
    )
    def performance_partition(
        context: dg.AssetExecutionContext,
        store: Store,
        models: Models,
        ledger: Ledger,
        reports: Reports,
        features: LazyFrame,
        predictions: LazyFrame,
    ) -> Iterator[dg.Output[Any] | dg.AssetCheckResult]:
        window = pipeline.table.window(context.partition_key)
        at = known_by(pipeline, store, window)
        record = monitor(pipeline, models, ledger).record(features, predictions, known_by=at)
        worth = Accountant(pipeline, store, models, ledger).settle(window, at)
        record |= {"partition": window.key, "worth": worth}
        picture = reports.picture(key, window.key, "trend", trend(pipeline, store, ledger, record))
        read = made_from(store, {pipeline.key(noun): [window.key] for noun in ("features", "predictions")})
        bounds = {BOUNDS_VERSION: pipeline.bounds_versions["performance"]}
        yield record_output(record, {**shown(record, pipeline.config.metric), **picture, **bounds, **read})
        yield promise_kept(key, record)

    return performance_partition


def monitor(pipeline: Pipeline, models: Models, ledger: Ledger) -> "Monitor":
    """How the pipeline's champions are watched."""
    from ml_assets.core.monitored import Monitor
    from ml_assets.core.promises import promise_on

    config, events = pipeline.config, ledger.events(pipeline.name)
    return Monitor(
        task=config.label.task,
        metric=config.metric,
        slices=config.evaluation.slices,
        bundle=models.load,
        promise=lambda sha256: promise_on(events, sha256, config.metric),
        alpha=pipeline.alpha,
        costs=pipeline.costs,
        bound=config.monitoring.performance.bound(),
        seed=config.model.seed,
        threads=config.model.threads,
    )


def landed(pipeline: Pipeline, store: Store) -> Window | None:
    """The newest partition of the table that has landed; None before the first."""
    return pipeline.table.newest(store.partitions(pipeline.key("raw")))


def known_by(pipeline: Pipeline, store: Store, window: Window) -> datetime:
    """As of when labels count: the end of the newest partition that has landed, or of this one if that is later.

    So it is told by the data and not by the clock: a replay of history never looks ahead of what has landed.
    """
    newest = landed(pipeline, store)
    return window.end if newest is None else max(window.end, newest.end)


def refresh_times(made: Mapping[str, Made]) -> dict[str, datetime | None]:
    """Partition -> the first instant as of which measuring it again is worth it; None where it never is."""
    told = {partition: one.metadata.get(REFRESH_AT) for partition, one in made.items()}
    return {partition: datetime.fromisoformat(at) if at else None for partition, at in told.items()}


def shown(record: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """What the asset's page shows of a record; the rest is in the record."""
    told = {f"{metric}_{who}": of[metric] for who, of in record["metrics"].items()}
    told |= {f"{metric}_{n}": record[n]["estimate"] for n in ("estimated", "expected") if record[n]}
    told |= {n: record[n] for n in ("rows_mature", "coverage", "known_by", REFRESH_AT) if record.get(n) is not None}
    told |= {f"{n}_said": record[n]["words"] for n in ("promise", "outlook", "agreement")}
    if (found := judged(record)) is not None:
        told[REALISED] = found
    if record["worth"]:
        told["worth_said"] = record["worth"]["words"]
    if record["by_bundle"]:
        told["label_delay_hours"] = record["label_delay_hours"]
        told["champions"] = table_of([champion_row(b, of, metric) for b, of in record["by_bundle"].items()])
    return told


def judged(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a partition's error says of its champion: value, bound, whether that is surely broken; None of nothing."""
    interval, promise = record["interval"], record["promise"]
    if interval is None or promise["excess"] is None:
        return None
    return {
        "champion": record["bundle"],
        "value": interval["estimate"],
        "bound": interval["estimate"] - promise["excess"]["estimate"],
        "broken": promise["outcome"] == "broken",
        "rows": record["rows_mature"],
    }


def champion_row(bundle: str, of: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """One champion's line in the table of those that scored."""
    interval, promised = of["interval"] or {}, of["promised"] or {}
    return {
        "champion": bundle[:12],
        "rows": of["rows"],
        "rows_mature": of["rows_mature"],
        metric: interval.get("estimate"),
        "low": interval.get("low"),
        "high": interval.get("high"),
        "promised": promised.get("estimate"),
        "promise": of["promise"]["outcome"],
        "estimate": of["agreement"]["outcome"],
    }


def promise_spec(pipeline: Pipeline) -> dg.AssetCheckSpec:
    """The check of a partition's performance."""
    return partitioned_check(
        PROMISE,
        pipeline.key("performance"),
        pipeline.table.partitions,
        "The champion's realised error is not surely worse, by more than the margin, than its decision promised; "
        "without enough known labels it is not judged, which is no pass.",
    )


def promise_kept(key: dg.AssetKey, record: Mapping[str, Any]) -> dg.AssetCheckResult:
    """Whether what was promised at promotion holds; a warning, since what follows from it is decided elsewhere."""
    promise = record["promise"]
    return dg.AssetCheckResult(
        check_name=PROMISE,
        asset_key=key,
        passed=promise["outcome"] in ("kept", "open"),
        severity=dg.AssetCheckSeverity.WARN,
        description=promise["words"],
        metadata={
            "outcome": promise["outcome"],
            "found": promise["words"],
            "outlook": record["outlook"]["words"],
            "estimate": record["agreement"]["words"],
        },
    )


def trend(pipeline: Pipeline, store: Store, ledger: Ledger, newest: dict[str, Any]) -> bytes:
    """The error over the last partitions as a picture, with marks where the champion changed."""
    from ml_assets.core.pictures import error_over_time

    metric = pipeline.config.metric
    windows = windows_through(pipeline.table.partitions, newest["partition"], TREND_PARTITIONS)
    earlier = (store.record(pipeline.key("performance"), w.key) for w in windows[:-1])
    records = [r for r in (*earlier, newest) if r is not None and (r["metrics"] or r.get("expected"))]
    keys = [r["partition"] for r in records]
    contenders = {who: None for r in records for who in r["metrics"]}
    series = {who: [r["metrics"].get(who, {}).get(metric) for r in records] for who in contenders}
    trained = [c.as_of for c in champions(ledger.events(pipeline.name)) if c.as_of in keys]
    expected = {r["partition"]: r["expected"] for r in records if r.get("expected") and r.get(REFRESH_AT)}
    expected |= {r["partition"]: r["expected"] for r in records if r.get("expected") and not r["metrics"]}
    return error_over_time(keys, series, trained, expected, metric=metric, unit=pipeline.metric_unit)
