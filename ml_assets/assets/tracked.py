"""What the steps of a training tell the trackers, and what they show of it."""

from typing import TYPE_CHECKING

import dagster as dg

from ml_assets.problem import Pipeline
from ml_assets.resources.tracking import Tracking

if TYPE_CHECKING:
    from ml_assets.core.manifest import Manifest
    from ml_assets.core.tracked import Entry


def track(
    pipeline: Pipeline,
    tracking: Tracking,
    context: dg.AssetExecutionContext,
    step: str,
    entry: "Entry",
    *,
    as_of: str | None = None,
) -> dict[str, dg.MetadataValue]:
    """Tell the pipeline's trackers; metadata that leads to their pages. Nothing where it has none."""
    if not pipeline.config.trackers:
        return {}
    return tracking.of(pipeline.config.trackers).track(context, step, entry, as_of=as_of)


def inputs_of(features_key: dg.AssetKey, manifest: "Manifest") -> "Entry":
    """The training set as a tracker's dataset inputs, one for each part, with the hashes of its partitions."""
    import hashlib
    import json

    from ml_assets.core.split import PARTS
    from ml_assets.core.tracked import DatasetInput, Entry

    name = features_key.to_user_string()
    datasets = []
    for part in PARTS:
        told = json.dumps([manifest.to_json()["partitions"], manifest.split.to_json(), part], sort_keys=True)
        digest = hashlib.sha256(told.encode()).hexdigest()
        datasets.append(DatasetInput(f"{name} {manifest.as_of}", digest, part, manifest.counts.rows[part], name))
    return Entry(
        params={"as_of": manifest.as_of, "split": manifest.split.to_json()},
        metrics={f"rows_{part}": n for part, n in manifest.counts.rows.items()},
        datasets=tuple(datasets),
        data_versions=dict(manifest.partitions),
    )
