"""Group `training`: what a model may learn from, and the model."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets.assets.frames import LazyFrame
from ml_assets.assets.metadata import record_output
from ml_assets.problem import Pipeline
from ml_assets.resources.models import Models
from ml_assets.resources.reports import Reports
from ml_assets.resources.storage import Store
from ml_assets.resources.versioning import Versions

if TYPE_CHECKING:
    from ml_assets.core.bundle import Bundle
    from ml_assets.core.manifest import Manifest
    from ml_assets.core.training import TrainedModel

LOG_EVERY = 50
VERSIONING_POOL = "ml_assets_versioning"
"""Dagster's pool for steps that call DVC: its limit is 1, see dagster.yaml."""


def training_set(pipeline: Pipeline) -> dg.AssetsDefinition:
    """`<p>/training_set`: the manifest of partitions and rows as of the end of a partition."""
    key, features_key = pipeline.key("training_set"), pipeline.key("features")
    versioned = pipeline.config.versioning == "dvc"

    @dg.asset(
        key=key,
        ins={"features": dg.AssetIn(key=features_key, partition_mapping=pipeline.learning_window)},
        description="Exactly which feature partitions and rows a model may learn from, validate on and be judged by.",
        group_name="training",
        kinds={"json"},
        partitions_def=pipeline.table.partitions,
        io_manager_key="records",
        pool=VERSIONING_POOL if versioned else None,
        check_specs=[
            dg.AssetCheckSpec(
                "sound",
                asset=key,
                description="No row or group is in two parts, every label was known in time, and nothing is later "
                "than the as-of time or within the embargo.",
            )
        ],
    )
    def training_set_as_of(
        context: dg.AssetExecutionContext, store: Store, versions: Versions, features: LazyFrame
    ) -> Iterator[dg.Output[Any] | dg.AssetCheckResult]:
        from ml_assets.core.manifest import make_manifest

        history = by_partition(features, context.partition_key)
        windows = [pipeline.table.window(key) for key in history]
        manifest = make_manifest(
            history,
            windows,
            digests={key: store.sha256(features_key, key) for key in history},
            split=pipeline.config.split_over(windows),
            min_rows=pipeline.config.model.min_rows,
        )
        if versioned:
            manifest = replace(manifest, versions=version(features_key, manifest, store, versions, context.log.info))
        rows = {f"rows_{part}": n for part, n in manifest.counts.rows.items()}
        shown = {"partitions": list(history), "versioned_by": "DVC" if versioned else "nothing: versioning is off"}
        yield record_output(manifest.to_json(), {**rows, **shown})
        yield sound(key, manifest, history)

    return training_set_as_of


def version(
    features_key: dg.AssetKey, manifest: "Manifest", store: Store, versions: Versions, tell: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Keep the content of the manifest's partitions, whatever becomes of them in the store."""
    names = {f"{'/'.join(features_key.path)}/{p}": p for p in manifest.partitions}
    pointers = versions.add(
        {name: store.path(features_key, p) for name, p in names.items()},
        {name: manifest.partitions[p] for name, p in names.items()},
        tell,
    )
    return {names[name]: pointer.to_json() for name, pointer in pointers.items()}


def sound(key: dg.AssetKey, manifest: "Manifest", history: Mapping[str, LazyFrame]) -> dg.AssetCheckResult:
    """Whether the rows of all parts may be learnt from and judged by; faults are counted, and what was left out."""
    from ml_assets.core.soundness import faults_of
    from ml_assets.core.split import PARTS

    faults = faults_of({part: manifest.scan(history, part) for part in PARTS}, manifest.split)
    found = {fault: sum(places.values()) for fault, places in faults.items()}
    counts = {f"rows_{part}": n for part, n in manifest.counts.rows.items()}
    left_out = {f"left_out_immature_{part}": n for part, n in manifest.counts.immature.items()}
    return dg.AssetCheckResult(
        check_name="sound", asset_key=key, passed=not any(found.values()), metadata={**found, **counts, **left_out}
    )


def candidate(pipeline: Pipeline) -> dg.AssetsDefinition:
    """`<p>/candidate`: the trained bundle."""
    key = pipeline.key("candidate")
    features_key = pipeline.key("features")

    @dg.asset(
        key=key,
        ins={
            "training_set": dg.AssetIn(key=pipeline.key("training_set")),
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
        from ml_assets.core.manifest import Manifest
        from ml_assets.core.pictures import importance, learning_curve

        manifest = Manifest.from_json(training_set)
        manifest.require({k: store.sha256(features_key, k) for k in manifest.partitions})
        started = time.perf_counter()
        trained, bundle = train(pipeline, manifest, by_partition(features, context.partition_key), context.log.info)
        seconds = time.perf_counter() - started
        sha256 = models.save(bundle)
        curve = learning_curve(trained.train_curve, trained.validation_curve, trained.best_iteration, loss=trained.loss)
        yield record_output(
            {"bundle": sha256, "as_of": manifest.as_of},
            {
                "bundle": sha256,
                "trees": trained.best_iteration,
                f"validation_{trained.loss}": trained.validation_curve[trained.best_iteration - 1],
                "rows_trained": manifest.counts.rows["train"],
                "training_seconds": seconds,
                "learnt_from": learnt_from(context.instance, features_key, manifest),
                **reports.picture(key, manifest.as_of, "learning_curve", curve),
                **reports.picture(key, manifest.as_of, "importance", importance(trained.importances)),
            },
        )
        yield loads_back(key, models.load(sha256))

    return candidate_as_of


def learnt_from(instance: dg.DagsterInstance, features_key: dg.AssetKey, manifest: "Manifest") -> dg.MetadataValue:
    """Links from every partition of the learning window back to the source's files and their SHA-256."""
    from ml_assets.core.lineage import as_markdown
    from ml_assets.resources.lineage import chains

    return dg.MetadataValue.md(as_markdown(chains(instance, features_key, manifest.partitions)))


def train(
    pipeline: Pipeline, manifest: "Manifest", history: Mapping[str, LazyFrame], log: Callable[[str], None]
) -> "tuple[TrainedModel, Bundle]":
    """Train on the manifest's rows; progress goes to the run's log."""
    from ml_assets.core.bundle import Bundle
    from ml_assets.core.soundness import require_sound
    from ml_assets.core.training import train_lightgbm

    model = pipeline.config.model
    rows, stopping = manifest.rows(history, "train"), manifest.rows(history, "validation")
    judging = manifest.scan(history, "holdout")
    require_sound({"train": rows, "validation": stopping, "holdout": judging}, manifest.split)
    trained = train_lightgbm(
        rows,
        stopping,
        features=pipeline.features,
        params=model.training_params(),
        seed=model.seed,
        threads=model.threads,
        on_iteration=lambda tree, of, loss: log(f"tree {tree} of {of}: {loss:.4f}") if tree % LOG_EVERY == 0 else None,
    )
    bundle = Bundle.of(
        trained,
        pipeline=pipeline.name,
        label=pipeline.label_facts,
        params=model.training_params(),
        seed=model.seed,
        manifest=manifest,
        train=rows,
    )
    return trained, bundle


def loads_back(key: dg.AssetKey, bundle: "Bundle") -> dg.AssetCheckResult:
    """Whether a stored bundle refuses permuted columns; that it scores as before was proven when it was loaded."""
    import polars as pl

    from ml_assets.core.errors import ScoringError

    permuted = pl.DataFrame(schema={s.name: s.dtype for s in reversed(bundle.specs)})
    try:
        bundle.predict(permuted)
        refused = len(bundle.specs) == 1
    except ScoringError:
        refused = True
    return dg.AssetCheckResult(
        check_name="loads_back", asset_key=key, passed=refused, metadata={"bundle": bundle.sha256}
    )


def by_partition(frames: LazyFrame | Mapping[str, LazyFrame], as_of: str) -> dict[str, LazyFrame]:
    """Partition -> frame, oldest first; a learning window of one partition arrives as a bare frame."""
    return dict(sorted(frames.items())) if isinstance(frames, Mapping) else {as_of: frames}
