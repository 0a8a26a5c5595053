"""History features looked up for one event at a time, in rows that were put in order once.

For an event of a stored partition a snapshot of the same rows gives to the bit what `history.history_columns` computes
for the partition. Which partitions a snapshot is made of, and when it is made anew, is decided elsewhere; what a
request is, in `online_features`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from ml_assets.core.exact_sums import ExactSums, Floats, Integers, from_zero
from ml_assets.core.history import HistoryFeature, reach_of
from ml_assets.core.history_facts import NEVER, facts_among, in_microseconds, keys_among, microseconds, values_among
from ml_assets.core.rolling import Events, Timeline

Key = tuple[Any, ...]


def key_of(column: str, dtype: pl.DataType) -> pl.Expr:
    """A column of a key in a form that Python compares without loss: times and dates as whole numbers."""
    value = pl.col(column)
    return value.to_physical() if dtype.is_temporal() else value


def key_values(column: pl.Series) -> list[Any]:
    """A column's values, as `key_of` gives them."""
    return (column.cast(pl.Int64) if column.dtype.is_temporal() else column).to_list()


class HistorySnapshot:
    """Validated rows of some partitions in a row, as the history features of events see them. Never changes.

    An event's figure counts the rows that became known in `[t - window, t)`, as far as they are in the snapshot:

    - an event whose window and delay reach back before the snapshot's first row has no figure, and
    - neither has one whose window begins only where the snapshot ends: what is known then says nothing of it;
    - in between, a window is filled as far as rows are known. What is missing at its end is told by `age`, and makes
      a `count` or `sum` smaller; the partition's features, once it is stored, have it all.

    Args:
        rows: of all partitions, oldest first, each in the table's order.
        features: what is asked for; without mistakes, see `history.mistakes_of`.
        event_time: Datetime column: when the event happened.
        known_late: columns known later than that -> the time column that says when.
        complete_from: the first instant from which on no row is missing, as the table's clock shows it.
        newest_from: the start of the newest partition: rows before it are all there, of its own those that have landed.

    Raises:
        ConfigError: a value is infinite or NaN.
    """

    def __init__(
        self,
        rows: pl.DataFrame,
        features: Sequence[HistoryFeature],
        *,
        event_time: str,
        known_late: Mapping[str, str],
        complete_from: datetime,
        newest_from: datetime,
    ) -> None:
        self.rows = rows.height
        times = microseconds(rows[event_time])
        zone = rows[event_time].dtype.time_zone  # type: ignore[attr-defined]
        ends = pl.Series([complete_from, newest_from], dtype=pl.Datetime("us")).dt.replace_time_zone(zone)
        complete_us, newest_us = (int(end) for end in microseconds(ends))
        known_to = max(newest_us, int(times.max(initial=NEVER)))
        lines: dict[tuple[tuple[str, ...], str, timedelta], _Line] = {}
        self._asked: dict[str, _Asked] = {}
        for f in features:
            when = f.known_when(event_time, known_late)
            at = (f.by, when, f.delay_length)
            if at not in lines:
                lines[at] = _Line(rows, times, *at)
            line = lines[at]
            values = None if f.value is None else values_among(rows, f.value, f.name)[line.facts]
            self._asked[f.name] = _Asked(f, line, _figure(f, values), complete_us, known_to)
        self._known = _known_to_anyone(lines.values())
        self.nbytes = sum(a.nbytes for a in self._asked.values()) + sum(line.nbytes for line in lines.values())
        for line in lines.values():
            del line.facts

    def figure(self, feature: str, key: Key, at: int) -> float | None:
        """What a feature says of an event.

        Args:
            feature: its name.
            key: the event's values of its `by`, as `key_values` gives them.
            at: when the event happens, microseconds.
        """
        return self._asked[feature].of(key, at)

    def age(self, at: int) -> float | None:
        """Seconds from the newest row that an event's features may count until the event; None without any.

        Rows of any key: that nothing happened in a quiet zone is no staleness. Of features that are known at different
        times, the oldest decides.
        """
        found = [known[:n][-1] for known in self._known if (n := int(known.searchsorted(at)))]
        return (at - int(min(found))) / 1e6 if found else None


def snapshot_of(
    frames: Sequence[pl.LazyFrame],
    features: Sequence[HistoryFeature],
    *,
    event_time: str,
    known_late: Mapping[str, str],
    complete_from: datetime,
    newest_from: datetime,
) -> HistorySnapshot:
    """The snapshot of stored partitions that follow one another, for events of the newest one and later ones.

    Args:
        frames: the partitions, oldest first.
        features, event_time, known_late, complete_from, newest_from: as of `HistorySnapshot`.
    """
    since = max(complete_from, newest_from - reach_of(features))
    read = {event_time, *(f.known_when(event_time, known_late) for f in features)}
    read |= {column for f in features for column in (*f.by, f.value) if column is not None}
    wall_clock = pl.col(event_time).dt.replace_time_zone(None)
    rows = pl.concat([frame.filter(wall_clock >= since).select(sorted(read)) for frame in frames])
    return HistorySnapshot(
        rows.collect(engine="streaming"),
        features,
        event_time=event_time,
        known_late=known_late,
        complete_from=since,
        newest_from=newest_from,
    )


class _Line:
    """Facts that share a key and a time column, key after key and in the order in which they became known."""

    def __init__(self, rows: pl.DataFrame, times: Integers, by: tuple[str, ...], when: str, delay: timedelta) -> None:
        self.by, self.rule = by, (when, delay)
        keys = rows.select(key_of(column, rows.schema[column]).alias(column) for column in by)
        distinct, codes = keys_among(keys if by else rows, by)
        facts, known = facts_among(rows, times, codes, when, delay)
        nobody = Events(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64))
        order = Timeline(codes[facts], known, nobody, 0).order
        self.facts, self.known = facts[order], known[order]
        starts = np.searchsorted(codes[self.facts], np.arange(distinct.height + 1)).tolist()
        self.spans: dict[Key, tuple[int, int]] = dict(zip(distinct.iter_rows(), pairwise(starts), strict=True))

    @property
    def nbytes(self) -> int:
        """Memory of its arrays, in bytes; a key takes about two hundred more."""
        return self.known.nbytes + 200 * len(self.spans)


class _Asked:
    """A feature with the facts that it looks at."""

    def __init__(
        self, feature: HistoryFeature, line: _Line, figure: "_Figure", complete_from: int, known_to: int
    ) -> None:
        self._line, self._figure = line, figure
        self._window = in_microseconds(feature.window_length)
        self._first, self._end = complete_from + in_microseconds(feature.reach), known_to + self._window

    def of(self, key: Key, at: int) -> float | None:
        if not self._first <= at < self._end or None in key:
            return None
        start, end = self._line.spans.get(key, (0, 0))
        known = self._line.known[start:end]
        since, until = known.searchsorted((at - self._window, at)).tolist()
        return self._figure.of(start + since, start + until)

    @property
    def nbytes(self) -> int:
        return self._figure.nbytes


class _Figure:
    """Counts facts, or what they hold where that is not always there."""

    def __init__(self, values: Floats | None) -> None:
        there = None if values is None else ~np.isnan(values)
        self._before = None if there is None or there.all() else from_zero(there)
        self.nbytes = 0 if self._before is None else self._before.nbytes

    def count(self, since: int, until: int) -> int:
        return until - since if self._before is None else int(self._before[until]) - int(self._before[since])

    def of(self, since: int, until: int) -> float | None:
        return float(self.count(since, until))


class _Sum(_Figure):
    def __init__(self, values: Floats, *, mean: bool) -> None:
        super().__init__(values)
        self._sums, self._mean = ExactSums(np.nan_to_num(values, nan=0.0)), mean
        self.nbytes += self._sums.nbytes

    def of(self, since: int, until: int) -> float | None:
        total = self._sums.one(since, until)
        if not self._mean:
            return total
        count = self.count(since, until)
        return total / count if count else None


class _Extreme(_Figure):
    def __init__(self, values: Floats, *, largest: bool) -> None:
        super().__init__(values)
        self._values = np.nan_to_num(values, nan=-np.inf if largest else np.inf)
        self._largest = largest
        self.nbytes += self._values.nbytes

    def of(self, since: int, until: int) -> float | None:
        if not self.count(since, until):
            return None
        window = self._values[since:until]
        return float(window.max() if self._largest else window.min())


class _Last(_Figure):
    def __init__(self, values: Floats) -> None:
        super().__init__(None)
        self._values = values
        self._latest = np.maximum.accumulate(np.where(np.isnan(values), -1, np.arange(values.size)))
        self.nbytes = self._values.nbytes + self._latest.nbytes

    def of(self, since: int, until: int) -> float | None:
        at = int(self._latest[until - 1]) if until > since else -1
        return float(self._values[at]) if at >= since else None


def _figure(feature: HistoryFeature, values: Floats | None) -> _Figure:
    match feature.how:
        case "sum" | "mean" if values is not None:
            return _Sum(values, mean=feature.how == "mean")
        case "min" | "max" if values is not None:
            return _Extreme(values, largest=feature.how == "max")
        case "last" if values is not None:
            return _Last(values)
        case _:
            return _Figure(values)


def _known_to_anyone(lines: Iterable[_Line]) -> list[Integers]:
    """When facts became known, whatever their key, in order; of each time column and delay that features have."""
    found: dict[Any, Integers] = {}
    for line in sorted(lines, key=lambda line: len(line.by)):
        if line.rule not in found:
            found[line.rule] = np.sort(line.known) if line.by else line.known
    return list(found.values())
