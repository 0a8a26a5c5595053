"""What Dagster's event log knows about partitions: when each was made, with what hash, from what."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG

MADE_FROM = "made_from"
"""Metadata: upstream asset -> partition -> SHA-256 of what was read. Dagster's own tags hold a hash of hashes."""


@dataclass(frozen=True)
class Made:
    """One materialization of one partition of an asset."""

    data_version: str
    metadata: Mapping[str, Any]
    timestamp: float
    run_id: str

    @property
    def made_from(self) -> Mapping[str, Mapping[str, str]]:
        """Upstream asset -> partition -> SHA-256 of what was read."""
        read: Mapping[str, Mapping[str, str]] = self.metadata.get(MADE_FROM) or {}
        return read


def latest(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, Made]:
    """Partition -> its last materialization."""
    made: dict[str, Made] = {}
    for partition, one in _newest_first(instance, key):
        made.setdefault(partition, one)
    return made


def recent(instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Sequence[str]) -> dict[str, Made]:
    """As `latest`, of these partitions only, in their order."""
    made: dict[str, Made] = {}
    if partitions:
        for partition, one in _newest_first(instance, dg.AssetRecordsFilter(key, asset_partitions=list(partitions))):
            made.setdefault(partition, one)
    return {partition: made[partition] for partition in partitions if partition in made}


def with_version(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str, version: str) -> Made | None:
    """The last materialization of a partition that had this content; None if the log knows of none."""
    wanted = dg.AssetRecordsFilter(key, asset_partitions=[partition])
    return next((one for _, one in _newest_first(instance, wanted) if one.data_version == version), None)


def _newest_first(
    instance: dg.DagsterInstance, wanted: dg.AssetKey | dg.AssetRecordsFilter
) -> Iterator[tuple[str, Made]]:
    cursor: str | None = None
    while True:
        page = instance.fetch_materializations(wanted, limit=1000, cursor=cursor)
        for record in page.records:
            materialization = record.asset_materialization
            if record.partition_key is None or materialization is None:
                continue
            yield (
                record.partition_key,
                Made(
                    data_version=(materialization.tags or {}).get(DATA_VERSION_TAG, ""),
                    metadata={name: value.value for name, value in materialization.metadata.items()},
                    timestamp=record.timestamp,
                    run_id=record.run_id,
                ),
            )
        if not page.has_more:
            return
        cursor = page.cursor
