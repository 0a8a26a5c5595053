"""What of a partition the log holds, from the names of its files alone, and when it is worth reading anew.

What the names say is in `log_segments`.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ml_assets.core.log_segments import Segment, microseconds
from ml_assets.core.windows import Window

AGAIN_AFTER = timedelta(minutes=10)
"""A partition that still gets requests is read again no sooner."""


@dataclass(frozen=True)
class Ingested:
    """What was read of a partition, and when.

    Args:
        version: as `log_versions` said it.
        features: data version of its features at that time.
        at: when, naive UTC.
    """

    version: str
    features: str
    at: datetime


def log_versions(
    windows: Sequence[Window], days: Mapping[str, Iterable[Segment]], *, label_wait: timedelta, today: str
) -> dict[str, str]:
    """Partition -> a name of what the log holds of it, for those of which requests were served.

    It changes when requests come in; when labels do, once a day, for `label_wait` after the partition's end; and once
    more when segments are merged of which not all are the partition's.

    Args:
        windows: the partitions' windows, oldest first.
        days: day -> the files that were written on it.
        label_wait: how long labels are waited for.
        today: the day of now, whose labels are read tomorrow.
    """
    starts, ends = [microseconds(w.start) for w in windows], [microseconds(w.end) for w in windows]
    rows, labelled = [0] * len(windows), list[str]()
    for day in sorted(days):
        for segment in days[day]:
            if segment.kind == "labels":
                labelled += [day] if day < today and day not in labelled[-1:] else []
                continue
            # Those that end after its first event and start before its last: a look at each would take minutes.
            for at in range(bisect_right(ends, segment.first_event), bisect_right(starts, segment.last_event)):
                rows[at] += segment.rows
    found = {}
    for window, count in zip(windows, rows, strict=True):
        if count:
            until = bisect_right(labelled, (window.end + label_wait).date().isoformat())
            found[window.key] = f"{count} rows, labels of {labelled[until - 1] if until else 'none'}"
    return found


def to_ingest(
    versions: Mapping[str, str], ingested: Mapping[str, Ingested], features: Mapping[str, str], now: datetime
) -> dict[str, str]:
    """Partition -> the cause for which it is to be read: the same cause, the same text.

    Args:
        versions: partition -> what the log holds of it.
        ingested: partition -> what was read of it.
        features: partition -> data version of its features, by which labels are found.
        now: naive UTC.
    """
    asked = {}
    for partition, version in versions.items():
        done, known = ingested.get(partition), features.get(partition, "")
        is_read = done is not None and (done.version, done.features) == (version, known)
        if not version or is_read or (done is not None and now - done.at < AGAIN_AFTER):
            continue
        asked[partition] = f"{version}, features {known[:12] or 'none'}"
    return asked
