"""What Dagster's event log knows about partitions: when each was made, with what hash, from what.

`latest` reads each materialization once, and without Dagster, which takes a good part of a millisecond for one; how is
in `event_rows`.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from ml_assets.resources.event_rows import PAGE, Row, identities, is_kept, materializations, sql_storage

MADE_FROM = "made_from"
"""Metadata: upstream asset -> partition -> SHA-256 of what was read. Dagster's own tags hold a hash of hashes."""


@dataclass(frozen=True)
class Made:
    """One materialization of one partition of an asset; its metadata without what is only shown, see `event_rows`."""

    data_version: str
    metadata: Mapping[str, Any]
    timestamp: float
    run_id: str

    @property
    def made_from(self) -> Mapping[str, Mapping[str, str]]:
        """Upstream asset -> partition -> SHA-256 of what was read."""
        read: Mapping[str, Mapping[str, str]] = self.metadata.get(MADE_FROM) or {}
        return read


MOST_REMEMBERED = 50_000
"""Materializations that a process keeps of all assets together; those not asked for longest go first."""

_remembered: OrderedDict[tuple[str, dg.AssetKey], dict[str, tuple[Row, Made]]] = OrderedDict()
_lock = Lock()


def latest(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, Made]:
    """Partition -> its last materialization; not those wiped.

    Which one is the last is asked anew each time; what it holds is read once and remembered by this process.
    """
    newest = instance.event_log_storage.get_latest_storage_id_by_partition(
        key, dg.DagsterEventType.ASSET_MATERIALIZATION
    )
    storage = sql_storage(instance)
    rows = identities(storage, list(newest.values())) if storage else {}
    place = _identity(instance), key
    with _lock:
        before = _remembered.get(place, {})
    known = {
        partition: before[partition]
        for partition, at in newest.items()
        if partition in before and before[partition][0] == rows.get(at)
    }
    missing = {at: partition for partition, at in newest.items() if partition not in known}
    for at, one in _read(instance, key, list(missing)):
        known[missing[at]] = rows.get(at, ()), one
    with _lock:
        _remembered[place] = known
        _remembered.move_to_end(place)
        while len(_remembered) > 1 and sum(map(len, _remembered.values())) > MOST_REMEMBERED:
            _remembered.popitem(last=False)
    return {partition: one for partition, (_, one) in known.items()}


def _identity(instance: dg.DagsterInstance) -> str:
    """Of the databases, not of the object: a process makes a new one for each tick."""
    from dagster._core.storage.runs.sql_run_storage import SqlRunStorage

    storage = instance.run_storage
    return storage.get_run_storage_id() if isinstance(storage, SqlRunStorage) else ""


def _read(instance: dg.DagsterInstance, key: dg.AssetKey, ids: Sequence[int]) -> Iterator[tuple[int, Made]]:
    storage = sql_storage(instance)
    if storage:
        yield from ((at, Made(*one)) for at, one in materializations(storage, ids))
        return
    for start in range(0, len(ids), PAGE):
        wanted = dg.AssetRecordsFilter(key, storage_ids=ids[start : start + PAGE])
        yield from ((at, one) for at, _, one in _newest_first(instance, wanted))


def recent(instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Sequence[str]) -> dict[str, Made]:
    """As `latest`, of these partitions only, in their order."""
    made: dict[str, Made] = {}
    if partitions:
        for _, partition, one in _newest_first(instance, dg.AssetRecordsFilter(key, asset_partitions=list(partitions))):
            made.setdefault(partition, one)
    return {partition: made[partition] for partition in partitions if partition in made}


def with_version(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str, version: str) -> Made | None:
    """The last materialization of a partition that had this content; None if the log knows of none."""
    wanted = dg.AssetRecordsFilter(key, asset_partitions=[partition])
    return next((one for _, _, one in _newest_first(instance, wanted) if one.data_version == version), None)


def _newest_first(
    instance: dg.DagsterInstance, wanted: dg.AssetKey | dg.AssetRecordsFilter
) -> Iterator[tuple[int, str, Made]]:
    """Id in the event log, partition and materialization."""
    cursor: str | None = None
    while True:
        page = instance.fetch_materializations(wanted, limit=PAGE, cursor=cursor)
        for record in page.records:
            materialization = record.asset_materialization
            if record.partition_key is None or materialization is None:
                continue
            yield (
                record.storage_id,
                record.partition_key,
                Made(
                    data_version=(materialization.tags or {}).get(DATA_VERSION_TAG, ""),
                    metadata={n: v.value for n, v in materialization.metadata.items() if is_kept(v)},
                    timestamp=record.timestamp,
                    run_id=record.run_id,
                ),
            )
        if not page.has_more:
            return
        cursor = page.cursor
