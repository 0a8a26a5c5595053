"""Group `features`: what models learn from and score, with the label and when it was known."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from ml_assets.assets.automation import FOLLOWS_ITS_INPUTS
from ml_assets.assets.frames import LazyFrame
from ml_assets.assets.metadata import frame_preview, table_output
from ml_assets.problem import Pipeline
from ml_assets.resources.storage import Store


def features(pipeline: Pipeline) -> dg.AssetsDefinition:
    """`<p>/features`: one row per validated row, point in time."""
    key = dg.AssetKey([pipeline.name, "features"])
    table, label = pipeline.table, pipeline.config.label

    @dg.asset(
        key=key,
        ins={"validated": dg.AssetIn(key=[table.name, "validated"])},
        description=f"Features of {pipeline.name} as known at `{table.config.event_time}`, with label {label.column}.",
        group_name="features",
        kinds={"polars"},
        partitions_def=table.partitions,
        automation_condition=FOLLOWS_ITS_INPUTS,
        check_specs=[
            dg.AssetCheckSpec(
                "point_in_time",
                asset=key,
                description="Events lie in the partition, and no label was known before its event.",
            )
        ],
    )
    def features_partition(
        context: dg.AssetExecutionContext, store: Store, validated: LazyFrame
    ) -> Iterator[dg.Output[Any] | dg.AssetCheckResult]:
        from ml_assets.core.features import build_features, look_ahead

        built = build_features(
            validated,
            pipeline.features,
            label=label.column,
            event_time=table.config.event_time,
            known_at=label.known_at,
            keep=pipeline.config.evaluation.slices,
            known_late=table.contract.known_after(table.config.event_time),
        )
        [staged] = store.stage(built)
        found = look_ahead(staged.scan(), table.window(context.partition_key))
        yield table_output(staged, {"sample": frame_preview(staged.scan())})
        yield dg.AssetCheckResult(
            check_name="point_in_time", asset_key=key, passed=not any(found.values()), metadata=found
        )

    return features_partition
