"""Group `training`: what a model may learn from, and the model."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from ml_assets.assets.frames import LazyFrame
from ml_assets.assets.metadata import record_output
from ml_assets.problem import Pipeline
from ml_assets.resources.models import Models
from ml_assets.resources.reports import Reports
from ml_assets.resources.storage import Store


def training_set(pipeline: Pipeline) -> dg.AssetsDefinition:
    """`<p>/training_set`: the manifest of partitions and rows as of the end of a partition."""
    features_key = dg.AssetKey([pipeline.name, "features"])

    @dg.asset(
        key=[pipeline.name, "training_set"],
        ins={"features": dg.AssetIn(key=features_key, partition_mapping=pipeline.learning_window)},
        description="Exactly which feature partitions and rows a model may learn from, validate on and be judged by.",
        group_name="training",
        kinds={"json"},
        partitions_def=pipeline.table.partitions,
        io_manager_key="records",
    )
    def training_set_as_of(context: dg.AssetExecutionContext, store: Store, features: LazyFrame) -> dg.Output[Any]:
        from ml_assets.core.manifest import make_manifest

        history = by_partition(features, context.partition_key)
        manifest = make_manifest(
            windows=[pipeline.table.window(key) for key in history],
            digests={key: store.sha256(features_key, key) for key in history},
            history=history,
            validation=pipeline.config.model.validation,
            holdout=pipeline.config.evaluation.holdout,
            embargo=pipeline.config.evaluation.embargo,
            min_rows=pipeline.config.model.min_rows,
        )
        return record_output(manifest.to_json(), {**manifest.rows_by_part, "partitions": len(history)})

    return training_set_as_of


def candidate(pipeline: Pipeline) -> dg.AssetsDefinition:
    """`<p>/candidate`: the trained bundle."""
    key = dg.AssetKey([pipeline.name, "candidate"])
    features_key = dg.AssetKey([pipeline.name, "features"])

    @dg.asset(
        key=key,
        ins={
            "training_set": dg.AssetIn(key=[pipeline.name, "training_set"]),
            "features": dg.AssetIn(key=features_key, partition_mapping=pipeline.learning_window),
        },
        description="A model trained on the training set, as a content-addressed bundle; not released by itself.",
        group_name="training",
        kinds={"lightgbm"},
        partitions_def=pipeline.table.partitions,
        io_manager_key="records",
        check_specs=[
            dg.AssetCheckSpec(
                "loads_back",
                asset=key,
                description="The stored bundle predicts the same, and refuses permuted columns.",
            )
        ],
    )
    def candidate_as_of(
        context: dg.AssetExecutionContext,
        store: Store,
        models: Models,
        reports: Reports,
        training_set: dict[str, Any],
        features: LazyFrame,
    ) -> Iterator[dg.Output[Any] | dg.AssetCheckResult]:
        yield record_output({}, {})

    return candidate_as_of


def by_partition(frames: LazyFrame | Mapping[str, LazyFrame], as_of: str) -> dict[str, LazyFrame]:
    """Partition -> frame, oldest first; a learning window of one partition arrives as a bare frame."""
    return dict(sorted(frames.items())) if isinstance(frames, Mapping) else {as_of: frames}
