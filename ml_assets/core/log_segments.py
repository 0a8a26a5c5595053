"""Names of the prediction log's segments, and which files to read so that every row is read once, at any moment.

A segment is written once under a name that nobody else gives. Those of a finished day are merged into one file, whose
rows say in `SEGMENT` from which segment they are; the segments are removed afterwards. So a row may stand in a segment
and in merged files at once, and whoever reads decides by the segment, not by the file. What the rows hold is in
`prediction_log`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, Self

Kind = Literal["requests", "labels"]
KINDS: tuple[Kind, ...] = ("requests", "labels")
SEGMENT = "segment"
"""Column of a merged file: name of the segment that a row is from."""

SINGLE, MERGED = ".arrow", ".parquet"
"""How names end of files of one segment, and of several."""

DAY_US = 86_400_000_000
_SHIFT = 2**62
"""Times before 1970 are negative; shifted, their digits sort like the times, which are less than this."""
_NAME = re.compile(
    r"(requests|labels)-([0-9a-f]{16})-([0-9a-f]{16})-([0-9a-f]{16})-(\d+)-([A-Za-z0-9_.]+)-(\d+)\.(arrow|parquet)"
)


def microseconds(at: datetime) -> int:
    """Microseconds since 1970 of a time; a naive one is read as UTC, as everywhere.

    >>> microseconds(datetime(1970, 1, 1, 0, 0, 1, 5))
    1000005
    """
    aware = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


@dataclass(frozen=True, order=True)
class Segment:
    """One file of the log.

    Args:
        kind: `requests` or `labels`.
        first_at: the earliest `at` of its rows, microseconds since 1970.
        first_event, last_event: the span of its rows' event times, likewise, both inclusive.
        rows: how many.
        origin: who wrote it: host, process, start, and a random part.
        number: counts what the origin wrote.
        merged: whether it was made from others.
    """

    kind: Kind
    first_at: int
    first_event: int
    last_event: int
    rows: int
    origin: str
    number: int
    merged: bool = False

    @property
    def name(self) -> str:
        """Its file's name, in which all of this can be read; names sort by time."""
        spans = (self.first_at, self.first_event, self.last_event)
        times = "-".join(f"{min(max(us, -_SHIFT), _SHIFT - 1) + _SHIFT:016x}" for us in spans)
        suffix = MERGED if self.merged else SINGLE
        return f"{self.kind}-{times}-{self.rows}-{self.origin}-{self.number}{suffix}"

    @classmethod
    def read(cls, name: str) -> Self | None:
        """The segment of a file's name; None of a file that is none, such as one that is being written."""
        found = _NAME.fullmatch(name)
        if found is None:
            return None
        kind: Kind = "requests" if found[1] == "requests" else "labels"
        times = [int(found[i], 16) - _SHIFT for i in (2, 3, 4)]
        return cls(kind, times[0], times[1], times[2], int(found[5]), found[6], int(found[7]), f".{found[8]}" == MERGED)

    def overlaps(self, start_us: int, end_us: int) -> bool:
        """Whether it may hold rows of events in `[start_us, end_us)`."""
        return self.first_event < end_us and self.last_event >= start_us


def is_of(name: str, kind: Kind, *, merged: bool) -> bool:
    """Whether a file is a segment of a kind, merged or not; of many names sooner than by reading each.

    >>> name = Segment("labels", 7, 8, 9, 2, "a.1", 1).name
    >>> is_of(name, "labels", merged=False), is_of(name, "labels", merged=True), is_of(name, "requests", merged=False)
    (True, False, False)
    """
    if not name.startswith(kind) or not name.endswith(MERGED if merged else SINGLE):
        return False
    return _NAME.fullmatch(name) is not None


def first_at_of(name: str) -> int:
    """`first_at` of a segment, from its file's name.

    >>> first_at_of(Segment("labels", 7, 8, 9, 2, "a.1", 1).name)
    7
    """
    return int(name.split("-", 2)[1], 16) - _SHIFT


def rows_of(name: str) -> int:
    """`rows` of a segment, likewise.

    >>> rows_of(Segment("labels", 7, 8, 9, 2, "a.1", 1).name)
    2
    """
    return int(name.split("-", 5)[4])


def origin_of(*parts: str | int) -> str:
    """Who writes, as a part of a name: letters, digits, `_` and `.` only.

    >>> origin_of("web-1.example", 4711)
    'web_1.example.4711'
    """
    return ".".join(re.sub(r"[^A-Za-z0-9_.]", "_", str(part)) for part in parts)


def day_of(at_us: int) -> str:
    """The folder of a time: its day in UTC.

    >>> day_of(0), day_of(-1)
    ('1970-01-01', '1969-12-31')
    """
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=at_us // DAY_US)).date().isoformat()


@dataclass(frozen=True)
class Around:
    """Where in the log a request is that was made at some time.

    Args:
        at_us: microseconds since 1970.
    """

    at_us: int

    @property
    def days(self) -> list[str]:
        """The days whose folders may have it, the likeliest first."""
        return list(dict.fromkeys([day_of(self.at_us), day_of(self.at_us + _NEAR_US)]))

    def may_hold(self, segment: Segment) -> bool:
        """Whether it may be in a file; only the beginning of a merged one is known."""
        return segment.merged or abs(segment.first_at - self.at_us) <= _NEAR_US


def around(request_id: str) -> Around | None:
    """When an id was made that a server made: it begins with the milliseconds since 1970; None of other ids.

    Until the year 2527 the first of their digits is 0.

    >>> around("018df5a1c3000000000000000000abcd").days
    ['2024-02-29']
    >>> around("order 17")
    """
    if not re.fullmatch(r"0[0-9a-f]{31}", request_id):
        return None
    return Around(int(request_id[:12], 16) * 1000)


_NEAR_US = 300_000_000
"""Five minutes: more than a disk that stutters keeps entries waiting."""


def reading_plan(segments: Iterable[str], merged: Mapping[str, Iterable[str]]) -> dict[str, set[str] | None]:
    """File -> the segments whose rows are taken from it (None: all), so that each row is taken once.

    Args:
        segments: names of the files of segments, as listed first.
        merged: name of each merged file, listed afterwards -> the segments it holds. A segment that is removed before
            the first list was made, is in one that the second list has.
    """
    plan: dict[str, set[str] | None] = {}
    taken: set[str] = set()
    for name in sorted(merged):
        holds = set(merged[name])
        ours = holds - taken
        if ours:
            plan[name] = None if ours == holds else ours
        taken |= holds
    return plan | {name: None for name in sorted(set(segments)) if name not in taken}
