"""The one home of partitions: what a cadence means to Dagster, and what a partition key means in event time.

What computes with windows is in `ml_assets.core`, what a key says without Dagster in `core.cadences`; this module only
translates.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

import dagster as dg
from dagster._utils.schedules import schedule_execution_time_iterator

from ml_assets.core.cadences import KEY_FORMATS, Cadence
from ml_assets.core.windows import Window

CRONS: dict[Cadence, str] = {
    "hourly": "0 * * * *",
    "daily": "0 0 * * *",
    "weekly": "0 0 * * 1",
    "monthly": "0 0 1 * *",
}


@lru_cache
def time_partitions(cadence: Cadence, start: datetime, end: datetime | None) -> dg.TimeWindowPartitionsDefinition:
    """The partitions of a table: one per `cadence` from `start` until `end` (None: until now).

    Event times are naive; Dagster's clock reads them as UTC, which only decides when the newest one is over.
    """
    return dg.TimeWindowPartitionsDefinition(
        start=start, end=end, cron_schedule=CRONS[cadence], fmt=KEY_FORMATS[cadence]
    )


def window_of(partitions: dg.TimeWindowPartitionsDefinition, key: str) -> Window:
    """The window of event time that a partition key stands for."""
    span = partitions.time_window_for_partition_key(key)
    return Window(key=key, start=span.start.replace(tzinfo=None), end=span.end.replace(tzinfo=None))


def windows_through(
    partitions: dg.TimeWindowPartitionsDefinition,
    key: str | None = None,
    count: int | None = None,
    now: datetime | None = None,
) -> list[Window]:
    """The windows up to and including `key` (None: all that are over by `now`, or by the clock), oldest first.

    Only the last `count` of them if given.
    """
    keys = list(partitions.get_partition_keys(current_time=now))
    if key is not None:
        keys = keys[: keys.index(key) + 1]
    if count is not None:
        keys = keys[-count:] if count else []
    if not keys:
        return []
    # A key is the start of its window, and a window ends where the next one starts: Dagster's way to tell takes a
    # quarter of a millisecond for each.
    starts = [datetime.strptime(k, partitions.fmt) for k in keys]
    ends = [*starts[1:], window_of(partitions, keys[-1]).end]
    return [Window(*of) for of in zip(keys, starts, ends, strict=True)]


def with_a_tick(cron: str, windows: Sequence[Window]) -> frozenset[str]:
    """Keys of the windows that are the newest which is over at a tick of a cron expression (in UTC).

    Args:
        cron: the expression.
        windows: oldest first; event times are read as UTC, as everywhere.
    """
    found = set()
    for window in windows:
        end = window.end.replace(tzinfo=UTC)
        tick = next(schedule_execution_time_iterator(end.timestamp(), cron, "UTC"))
        # The next window is over when as much time has passed as it takes.
        following = next((w.end for w in windows if w.start == window.end), window.end + (window.end - window.start))
        if tick < following.replace(tzinfo=UTC):
            found.add(window.key)
    return frozenset(found)


def windows_from(partitions: dg.TimeWindowPartitionsDefinition, start: datetime, count: int) -> list[Window]:
    """The first `count` windows that begin at or after an instant, oldest first; fewer where they have not passed."""
    found: list[Window] = []
    # Window by window: all keys of an hourly table take seconds.
    at = max(start.replace(tzinfo=UTC), partitions.start)
    while len(found) < count and (span := partitions.get_next_partition_window(at)) is not None:
        found.append(window_of(partitions, span.start.strftime(partitions.fmt)))
        at = span.end
    return found


def reaching_back(partitions: int) -> dg.TimeWindowPartitionMapping:
    """Partition -> itself and that many before it, as far as the table goes back."""
    return dg.TimeWindowPartitionMapping(
        start_offset=-partitions, end_offset=0, allow_nonexistent_upstream_partitions=True
    )


def learning_window(partitions_to_learn_from: int) -> dg.TimeWindowPartitionMapping:
    """As-of partition -> the partitions of history it learns from, its own the newest.

    The history may be shorter than the window: what is there is learnt from, the training set counts it.
    """
    return reaching_back(partitions_to_learn_from - 1)
