"""Group `training`: what models may learn from, validate on and be judged by."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets import retraining
from ml_assets.assets.frames import LazyFrame
from ml_assets.assets.metadata import record_output
from ml_assets.assets.tracked import inputs_of, track
from ml_assets.problem import Pipeline
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.storage import Store
from ml_assets.resources.tracking import Tracking
from ml_assets.resources.versioning import Versions
from ml_assets.retraining import CAUSE_TAG

if TYPE_CHECKING:
    from ml_assets.core.manifest import Manifest

VERSIONING_POOL = "ml_assets_versioning"
"""Dagster's pool for steps that call DVC: its limit is 1, see dagster.yaml."""


def features_to_learn_from(pipeline: Pipeline) -> dg.AssetIn:
    """The features of a learning window, as far as they are there: `training_set` says which may be missing."""
    return dg.AssetIn(
        key=pipeline.key("features"),
        partition_mapping=pipeline.learning_window,
        metadata={"allow_missing_partitions": True},
    )


def training_set(pipeline: Pipeline) -> dg.AssetsDefinition:
    """`<p>/training_set`: the manifest of partitions and rows as of the end of a partition."""
    key, features_key = pipeline.key("training_set"), pipeline.key("features")
    versioned = pipeline.config.versioning == "dvc"

    @dg.asset(
        key=key,
        ins={"features": features_to_learn_from(pipeline)},
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
        context: dg.AssetExecutionContext,
        store: Store,
        versions: Versions,
        tracking: Tracking,
        ledger: Ledger,
        features: LazyFrame,
    ) -> Iterator[dg.Output[Any] | dg.AssetCheckResult]:
        from ml_assets.core.manifest import make_manifest

        retraining.begin(pipeline, ledger, context.instance, context.run)
        plan = retraining.plan(pipeline, ledger, context.partition_key, context.run.tags.get(CAUSE_TAG))
        there = by_partition(features, context.partition_key)
        history, gaps = learning_history(pipeline, ledger, there, context.partition_key, plan.window)
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
        shown = {
            "partitions": list(history),
            "how": plan.how,
            "why": plan.why,
            "versioned_by": "DVC" if versioned else "nothing: versioning is off",
        }
        tracked = track(pipeline, tracking, context, "training_set", inputs_of(features_key, manifest))
        told = {"accepted": gaps} if gaps else {}
        yield record_output(manifest.to_json() | {"plan": plan.to_json(), **told}, {**rows, **shown, **told, **tracked})
        yield sound(key, manifest, history)

    return training_set_as_of


def learning_history(
    pipeline: Pipeline, ledger: Ledger, there: Mapping[str, LazyFrame], as_of: str, window: int
) -> tuple[dict[str, LazyFrame], dict[str, str]]:
    """The partitions of a learning window, oldest first; and those without features -> why a person accepted that.

    Args:
        pipeline: whose.
        ledger: of all pipelines.
        there: partition -> its features.
        as_of: key of the as-of partition.
        window: partitions to learn from, the as-of one included.

    Raises:
        PartitionMissing: nobody accepted that one is missing, or it is the as-of partition.
    """
    from ml_assets.core.errors import PartitionMissing
    from ml_assets.core.retraining.recorded import accepted

    before = pipeline.table.windows_before(as_of, min(window, pipeline.config.model.window) - 1)
    wanted = [*(w.key for w in before), as_of]
    missing, known = [key for key in wanted if key not in there], accepted(ledger.events(pipeline.name))
    for key in missing:
        if key not in known or key == as_of:
            raise PartitionMissing.at(f"{key} of {pipeline.key('features').to_user_string()}", "in the store")
    return {key: there[key] for key in wanted if key in there}, {key: known[key] for key in missing}


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
    left_out |= {f"left_out_without_label_{part}": n for part, n in manifest.counts.unlabelled.items() if n}
    return dg.AssetCheckResult(
        check_name="sound", asset_key=key, passed=not any(found.values()), metadata={**found, **counts, **left_out}
    )


def opened(
    pipeline: Pipeline, store: Store, record: Mapping[str, Any], features: LazyFrame | Mapping[str, LazyFrame]
) -> "tuple[Manifest, dict[str, LazyFrame]]":
    """A training set, and its partitions' features, which are proven to be as they were when it was made.

    Raises:
        TrainingError: a partition was made anew since.
    """
    from ml_assets.core.manifest import Manifest

    manifest = Manifest.from_json(record)
    manifest.require({k: store.sha256(pipeline.key("features"), k) for k in manifest.partitions})
    return manifest, by_partition(features, manifest.as_of)


def by_partition(frames: LazyFrame | Mapping[str, LazyFrame], as_of: str) -> dict[str, LazyFrame]:
    """Partition -> frame, oldest first; a learning window of one partition arrives as a bare frame, or as None."""
    told = frames if isinstance(frames, Mapping) else {as_of: frames}
    return {key: frame for key, frame in sorted(told.items()) if frame is not None}
