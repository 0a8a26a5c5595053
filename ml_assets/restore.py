"""`ml-assets restore`: brings back the exact training data of a model after its partitions were overwritten.

Where the bytes are kept is `ml_assets.resources.versioning`'s business. What stands in the store now is versioned
before it is replaced, so that nothing is lost.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click
import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from ml_assets.core.errors import VersioningError
from ml_assets.resources.home import instance
from ml_assets.resources.materializations import MADE_FROM, with_version
from ml_assets.resources.models import Models
from ml_assets.resources.settings import settings
from ml_assets.resources.storage import Store
from ml_assets.resources.versioning import Pointer, Versions
from ml_assets.resources.whole_files import publish


def restore(version: str, *, to: Path | None, as_json: bool) -> None:
    """Put the partitions a model learnt from back into the store, or into a folder, each verified by its SHA-256."""
    roots = settings()
    bundle = Models(root=roots.models).named(version)
    training, key = bundle.facts["training"], dg.AssetKey([str(bundle.facts["pipeline"]), "features"])
    digests: Mapping[str, str] = training["partitions"]
    if not training.get("versions"):
        raise VersioningError(
            f"model {bundle.sha256[:12]}",
            found="no version of its training data: it was trained with `versioning: off`",
            expected="a model whose training data is versioned",
            cure="train again with `versioning: dvc`; `ml-assets explain` names the source's files and their SHA-256",
        )
    pointers = {p: Pointer.from_json(told) for p, told in training["versions"].items()}
    store = Store(root=roots.store)
    versions = Versions(root=roots.versions, remote=roots.dvc_remote, command=roots.dvc)
    now = {p: store.sha256(key, p) for p in digests if store.path(key, p).exists()}
    wanted = [p for p in digests if to is not None or now.get(p) != digests[p]]
    names = {p: f"{'/'.join(key.path)}/{p}" for p in digests}
    with tempfile.TemporaryDirectory() as scratch:
        if wanted:
            versions_wanted = {names[p]: (pointers[p], digests[p]) for p in wanted}
            brought = versions.restore(versions_wanted, to or Path(scratch), _tell)
            if to is None:
                overwritten = [p for p in wanted if p in now]
                versions.add(
                    {names[p]: store.path(key, p) for p in overwritten}, {names[p]: now[p] for p in overwritten}, _tell
                )
                _put_back(store, key, {p: brought[names[p]] for p in wanted}, digests, bundle.sha256)
    where = str(to) if to is not None else str(store.path(key, next(iter(digests))).parent)
    if as_json:
        kept = {p: sha for p, sha in now.items() if p in wanted and to is None}
        told = {"model": bundle.sha256, "folder": where, "restored": wanted, "replaced": kept}
        click.echo(json.dumps(told, indent=1))
        return
    for p in digests:
        click.echo(f"  {p}  {digests[p]}  {'restored' if p in wanted else 'was there'}")
    click.echo(f"{len(wanted)} of {len(digests)} partitions restored to {where}; every SHA-256 is right.")
    if wanted and to is None:
        click.echo(f"Training {bundle.facts['pipeline']} as of {bundle.as_of} again gives {bundle.sha256[:12]} again.")


def _put_back(
    store: Store, key: dg.AssetKey, files: Mapping[str, Path], digests: Mapping[str, str], model: str
) -> None:
    """Each file to its place, and told to Dagster, so that what was made from the other content counts as stale."""
    with instance() as shared:
        for partition, file in files.items():
            publish(file, store.path(key, partition))
            made = with_version(shared, key, partition, digests[partition])
            told = made.metadata if made else {}
            metadata = {name: told[name] for name in ("dagster/row_count", MADE_FROM) if name in told}
            shared.report_runless_asset_event(
                dg.AssetMaterialization(
                    key,
                    description=f"Restored to what model {model[:12]} learnt from.",
                    partition=partition,
                    tags={DATA_VERSION_TAG: digests[partition]},
                    metadata={**metadata, "sha256": digests[partition], "restored_for": model},
                )
            )


def _tell(text: str) -> None:
    click.echo(text, err=True)
