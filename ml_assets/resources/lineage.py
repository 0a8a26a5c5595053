"""Where stored partitions came from, read from Dagster's event log: from features back to the source's file.

The chain itself, and how it is told, is in `ml_assets.core.lineage`.
"""

from collections.abc import Mapping

import dagster as dg

from ml_assets.core.lineage import Content
from ml_assets.resources.materializations import with_version


def chains(instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Mapping[str, str]) -> list[Content]:
    """The chain behind each of some partitions, in their order.

    Args:
        instance: whose event log is read.
        key: the asset, such as `trip_duration/features`.
        partitions: partition -> SHA-256 of the content that is meant; it may have been overwritten since.
    """
    known: dict[tuple[str, str, str], Content] = {}
    return [_content(instance, key.to_user_string(), partition, sha, known) for partition, sha in partitions.items()]


def _content(
    instance: dg.DagsterInstance, asset: str, partition: str, sha256: str, known: dict[tuple[str, str, str], Content]
) -> Content:
    """One content, looked up once however often something was made from it."""
    place = (asset, partition, sha256)
    if place not in known:
        made = with_version(instance, dg.AssetKey.from_user_string(asset), partition, sha256)
        if made is None:
            known[place] = Content(asset, partition, sha256, known=False)
        else:
            told = made.metadata
            known[place] = Content(
                asset,
                partition,
                sha256,
                run_id=made.run_id,
                rows=told.get("dagster/row_count"),
                source={"source": told["source"], "sha256": told["source_sha256"]} if "source_sha256" in told else None,
                made_from=tuple(
                    _content(instance, upstream, p, sha, known)
                    for upstream, read in made.made_from.items()
                    for p, sha in read.items()
                ),
            )
    return known[place]
