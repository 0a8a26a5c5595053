"""Group `serving`: what servers answered, ingested from the prediction log, with labels, and checked against the batch.

Beside `predictions` and not in it: those are one score for each row of the table by the champion that had learnt from
nothing later, and what performance and drift are measured on; these are requests, each by whichever arm answered it,
with rows that were asked for twice, never, or by shadows.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets.assets.metadata import frame_preview, made_from, table_of, table_output
from ml_assets.assets.partitioned_checks import partitioned_check
from ml_assets.config.serving import Serving
from ml_assets.core.log_versions import log_versions
from ml_assets.core.windows import Window
from ml_assets.problem import Pipeline
from ml_assets.resources.clock import Clock
from ml_assets.resources.models import Models
from ml_assets.resources.prediction_log import PredictionLogs
from ml_assets.resources.storage import Store

if TYPE_CHECKING:
    import polars as pl

AS_BATCH, FEATURES_AS_BATCH = "served_as_batch", "served_features_as_batch"
LOG_VERSION = "log_version"
"""Metadata: what the log held of the partition when it was read."""
SHOWN = 20


def served(pipeline: Pipeline, told: Serving) -> dg.AssetsDefinition:
    """`<p>/served`: the requests whose events lie in a partition, with their labels."""
    key = pipeline.key("served")

    @dg.asset(
        key=key,
        deps=[pipeline.key("features"), pipeline.key("validated")],
        description="What servers answered to requests of the partition's events, shadows and failures included, with "
        "the features as used; labels by request id, or by the natural key.",
        group_name="serving",
        kinds={"polars"},
        partitions_def=pipeline.table.partitions,
        check_specs=served_specs(pipeline),
    )
    def served_partition(
        context: dg.AssetExecutionContext, store: Store, models: Models, prediction_logs: PredictionLogs, clock: Clock
    ) -> Iterator[dg.Output[Any] | dg.AssetCheckResult]:
        from ml_assets.core.served import bundles_of, counts, joined_by_key, served_table

        window, now = pipeline.table.window(context.partition_key), clock.now()
        prediction_logs.compact(pipeline.name, before=now.date().isoformat())
        version = log_version_of(pipeline, told, prediction_logs, window, now)
        rows, labels = logged(pipeline, prediction_logs, window)
        bundles = [models.load(sha256) for sha256 in bundles_of(rows)]
        specs = {b.sha256: b.specs for b in bundles}
        classes = len(pipeline.config.label.classes) if pipeline.config.label.task == "multiclass" else 1
        table = served_table(rows, specs, labels, classes=classes)
        known = keyed_rows(pipeline, store, window)
        joined, ambiguous = joined_by_key(table, known, pipeline.natural_key)
        [staged] = store.stage(joined.lazy())
        read = made_from(store, {pipeline.key("features"): [window.key]} if known is not None else {})
        shown = {LOG_VERSION: version, **counts(joined), "ambiguous_keys": ambiguous, "bundles": sorted(specs)}
        yield table_output(staged, {**shown, "sample": frame_preview(joined.lazy()), **read})
        yield from as_batch(pipeline, told, store, window, with_rows(rows, joined), bundles)

    return served_partition


def log_version_of(pipeline: Pipeline, told: Serving, logs: PredictionLogs, window: Window, now: datetime) -> str:
    """What the log holds of a partition."""
    days = {day: logs.segments(pipeline.name, day) for day in logs.days(pipeline.name)}
    found = log_versions([window], days, label_wait=told.label_wait, today=now.date().isoformat())
    return found.get(window.key, "")


def logged(pipeline: Pipeline, logs: PredictionLogs, window: Window) -> "tuple[pl.DataFrame, pl.DataFrame]":
    """The requests of a partition, and the labels that were delivered by their ids."""
    import polars as pl

    from ml_assets.core.log_segments import microseconds

    span = microseconds(window.start), microseconds(window.end)
    rows = logs.rows(pipeline.name, "requests", span=span)
    if rows.is_empty():
        return rows, rows
    since = rows["at"].min().date().isoformat()  # type: ignore[union-attr]
    ids = pl.col("request_id").is_in(rows["request_id"].unique().implode())
    return rows, logs.rows(pipeline.name, "labels", where=ids, since=since)


def keyed_rows(pipeline: Pipeline, store: Store, window: Window) -> "pl.DataFrame | None":
    """Rows of the partition with natural key and label; None without a key, or before the partition landed."""
    from ml_assets.core.features import LABEL, LABEL_KNOWN_AT, ROW_NUMBER

    features, validated, key = pipeline.key("features"), pipeline.key("validated"), pipeline.natural_key
    if not key or not store.path(features, window.key).exists():
        return None
    labels = store.scan(features, window.key).select(ROW_NUMBER, LABEL, LABEL_KNOWN_AT)
    rows = store.scan(validated, window.key).select(ROW_NUMBER, *key)
    return labels.join(rows, on=ROW_NUMBER, how="inner", maintain_order="left").collect(engine="streaming")


def with_rows(rows: "pl.DataFrame", joined: "pl.DataFrame") -> "pl.DataFrame":
    """Rows of the log with the row of the table that each one's event has."""
    from ml_assets.core.features import ROW_NUMBER

    return rows.sort("at", maintain_order=True).with_columns(joined[ROW_NUMBER])


def as_batch(
    pipeline: Pipeline, told: Serving, store: Store, window: Window, rows: "pl.DataFrame", bundles: list[Any]
) -> Iterator[dg.AssetCheckResult]:
    """Whether the batch path gives the answers that were served, and had the features that were used."""
    import polars as pl

    from ml_assets.core.served_as_batch import Difference, Skew, differences, sampled, skews

    features = pipeline.key("features")
    there = store.path(features, window.key).exists()
    table = store.scan(features, window.key).collect(engine="streaming") if there and bundles else None
    differing: list[Difference] = []
    skewed: list[Skew] = []
    compared = 0
    for bundle in bundles:
        ours = sampled(rows.filter(pl.col("bundle") == bundle.sha256), told.checked, pipeline.config.model.seed)
        compared += ours.height
        differing += differences(ours, bundle, threads=pipeline.config.model.threads)
        skewed += skews(ours, table, bundle.specs) if table is not None else []
    key = pipeline.key("served")
    yield dg.AssetCheckResult(
        check_name=AS_BATCH,
        asset_key=key,
        passed=not differing,
        description=differing[0].words if differing else f"{compared} requests were predicted again, to the bit",
        metadata={"requests": compared, "differing": len(differing), **_listed("first", differing)},
    )
    yield dg.AssetCheckResult(
        check_name=FEATURES_AS_BATCH,
        asset_key=key,
        passed=not skewed,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(s.words for s in skewed[:3]) or "no feature that was compared differs",
        metadata={"features": sorted({s.feature for s in skewed}), **_listed("first", skewed)},
    )


def _listed(name: str, found: list[Any]) -> dict[str, Any]:
    cells = [{field: _text(value) for field, value in vars(one).items()} for one in found[:SHOWN]]
    return {name: table_of(cells)} if cells else {}


def _text(value: Any) -> Any:
    return repr(value) if isinstance(value, float | list) else value


def served_specs(pipeline: Pipeline) -> list[dg.AssetCheckSpec]:
    """The checks of a partition's requests."""
    told = {
        AS_BATCH: "A sample of the requests, predicted once more by the batch path from the features as used: zero "
        "differences, to the bit.",
        FEATURES_AS_BATCH: "The features as used are those that the data side has of the same events, found by the "
        "natural key; history may have come later to one side.",
    }
    key, partitions = pipeline.key("served"), pipeline.table.partitions
    return [partitioned_check(name, key, partitions, words) for name, words in told.items()]
