"""What Dagster's event log knows about partitions: when each was last made, from what, with what hash."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG, INPUT_DATA_VERSION_TAG_PREFIX


@dataclass(frozen=True)
class Made:
    """The last materialization of one partition of an asset."""

    data_version: str
    inputs: Mapping[str, str]
    metadata: Mapping[str, Any]
    timestamp: float

    def was_made_from(self, key: dg.AssetKey, upstream: "Made") -> bool:
        """Whether it read what the same partition of that upstream asset holds now.

        Dagster tags a partitioned input with the SHA-256 over the data versions of the partitions read.
        """
        return self.inputs.get(key.to_user_string()) == hashlib.sha256(upstream.data_version.encode()).hexdigest()


def latest(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, Made]:
    """Partition -> its last materialization."""
    made: dict[str, Made] = {}
    cursor: str | None = None
    while True:
        page = instance.fetch_materializations(key, limit=1000, cursor=cursor)
        for record in page.records:
            partition = record.partition_key
            materialization = record.asset_materialization
            if partition is None or materialization is None or partition in made:
                continue
            tags = materialization.tags or {}
            prefix = f"{INPUT_DATA_VERSION_TAG_PREFIX}/"
            made[partition] = Made(
                data_version=tags.get(DATA_VERSION_TAG, ""),
                inputs={t.removeprefix(prefix): v for t, v in tags.items() if t.startswith(prefix)},
                metadata={name: value.value for name, value in materialization.metadata.items()},
                timestamp=record.timestamp,
            )
        if not page.has_more:
            return made
        cursor = page.cursor
