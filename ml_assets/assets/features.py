"""Group `features`: what models learn from and score, with the label and when it was known."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets.assets.automation import FOLLOWS_ITS_INPUTS_AND_ITS_YAML
from ml_assets.assets.frames import LazyFrame
from ml_assets.assets.metadata import frame_preview, made_from, table_output
from ml_assets.core.windows import Window
from ml_assets.observing import FEATURES_VERSION, LABELS, LABELS_KNOWN
from ml_assets.partitions import reaching_back
from ml_assets.problem import Pipeline
from ml_assets.resources.storage import READ_OFTEN, Store

if TYPE_CHECKING:
    from ml_assets.core.history import Earlier

CHECKED_EVENTS = 10
"""Events whose history features are computed once more, each by a plain filter over the rows."""


def features(pipeline: Pipeline) -> dg.AssetsDefinition:
    """`<p>/features`: one row per validated row, point in time."""
    key = pipeline.key("features")
    validated_key = pipeline.key("validated")
    table, label = pipeline.table, pipeline.config.label

    @dg.asset(
        key=key,
        ins={
            "validated": dg.AssetIn(
                key=validated_key,
                partition_mapping=reaching_back(pipeline.partitions_before),
                # A partition before that isn't there makes the windows that reach into it unknown, no failure.
                metadata={"allow_missing_partitions": True},
            )
        },
        description=f"Features of {pipeline.name} as known at `{table.config.event_time}`, with label {label.column}.",
        group_name="features",
        kinds={"polars"},
        partitions_def=table.partitions,
        automation_condition=FOLLOWS_ITS_INPUTS_AND_ITS_YAML,
        code_version=pipeline.features_version,
        check_specs=[
            dg.AssetCheckSpec(
                "point_in_time",
                asset=key,
                description="Events lie in the partition, no label was known before its event, and the history of "
                "sampled events, computed once more row by row, is the same.",
            )
        ],
    )
    def features_partition(
        context: dg.AssetExecutionContext, store: Store, validated: LazyFrame
    ) -> Iterator[dg.Output[Any] | dg.AssetCheckResult]:
        from ml_assets.core.features import build_features, columns_among, look_ahead
        from ml_assets.core.history import HistoryFeature
        from ml_assets.core.history_check import disagreements
        from ml_assets.core.target_encoding import divided

        rows, earlier = with_earlier(pipeline, context.partition_key, validated)
        inputs, _ = divided(pipeline.features)
        columns = columns_among(inputs)
        built = build_features(
            rows[context.partition_key],
            columns,
            label=label.column,
            event_time=table.config.event_time,
            known_at=label.known_at,
            label_delay=label.delay_length,
            keep=pipeline.kept_columns,
            known_late=pipeline.known_late,
            earlier=earlier,
            classes=label.classes,
        )
        [staged] = store.stage(built, compression=READ_OFTEN)
        found: dict[str, Any] = look_ahead(staged.scan(), table.window(context.partition_key))
        differing = disagreements(
            rows[context.partition_key],
            staged.scan(),
            [f for f in columns if isinstance(f, HistoryFeature)],
            sample=CHECKED_EVENTS,
            event_time=table.config.event_time,
            known_late=pipeline.known_late,
            earlier=earlier,
        )
        missing = [w.key for w in table.windows_before(context.partition_key, pipeline.partitions_before)]
        shown = {
            "sample": frame_preview(staged.scan()),
            **labels_of(staged.scan(), table.window(context.partition_key)),
            FEATURES_VERSION: pipeline.features_version,
            "history_since": earlier.complete_from.isoformat(),
            "history_missing": [partition for partition in missing if partition not in rows],
        }
        yield table_output(staged, shown | made_from(store, {validated_key: list(rows)}))
        yield dg.AssetCheckResult(
            check_name="point_in_time",
            asset_key=key,
            passed=not any(found.values()) and not differing,
            metadata={**found, "events_computed_twice": min(CHECKED_EVENTS, staged.rows), "differing": differing},
        )

    return features_partition


def labels_of(features: LazyFrame, window: Window) -> dict[str, int]:
    """How many rows have a label, and of how many it was known by the end of their partition."""
    import polars as pl

    from ml_assets.core.features import LABEL
    from ml_assets.core.maturity import is_mature

    counted = features.select(
        pl.col(LABEL).is_not_null().sum().alias(LABELS), is_mature(window.end).sum().alias(LABELS_KNOWN)
    )
    return {name: int(n) for name, n in counted.collect().row(0, named=True).items()}


def with_earlier(
    pipeline: Pipeline, partition: str, validated: LazyFrame | Mapping[str, LazyFrame]
) -> "tuple[dict[str, LazyFrame], Earlier]":
    """The frames by partition, and those before the partition as far as none is missing."""
    from ml_assets.core.errors import PartitionMissing
    from ml_assets.core.history import Earlier

    frames = dict(validated) if isinstance(validated, Mapping) else {partition: validated}
    if partition not in frames:
        raise PartitionMissing.at(f"{partition} of {pipeline.key('validated').to_user_string()}", "in the store")
    start, reached = pipeline.table.window(partition).start, []
    for window in reversed(pipeline.table.windows_before(partition, pipeline.partitions_before)):
        if window.key not in frames:
            break
        start = window.start
        reached.append(window.key)
    in_order = [*reversed(reached), partition]
    return {key: frames[key] for key in in_order}, Earlier([frames[key] for key in in_order[:-1]], start)
