"""Figures over windows of rows that are ordered by key and time: the arithmetic of `history`, on arrays.

What a window means, and which rows count, is decided in `history`; how a sum is exact, in `exact_sums`; here are only
positions and figures. Own code, since no library summarises a half-open window over a second time column: polars' and
pandas' rolling windows are over the rows' own time.
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ml_assets.core.exact_sums import ExactSums, Floats, Integers, from_zero

Booleans = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.uint32]

_EVENTS_AT_ONCE = 1 << 20
"""Events whose windows are summarised together: memory is bounded by their facts, not by all of them."""


class Events:
    """What asks: a key and a time each.

    Args:
        codes: (events,) number of the key, from 0; -1 where it is missing (what is found for such an event means
            nothing).
        times: (events,) microseconds.
    """

    def __init__(self, codes: npt.NDArray[np.int32], times: Integers) -> None:
        self.codes, self.times = codes, times

    @cached_property
    def _order(self) -> Positions:
        return np.lexsort((self.times, self.codes)).astype(np.uint32)

    def in_order(self) -> Iterator[Positions]:
        """Positions of the events by key and time, some at once: what they ask for lies together."""
        for start in range(0, self.times.size, _EVENTS_AT_ONCE):
            yield self._order[start : start + _EVENTS_AT_ONCE]


class Timeline:
    """Facts on one line: key after key, and for each key in the order of time.

    Args:
        codes: (facts,) number of the key of each, from 0.
        known: (facts,) when it became known, microseconds.
        events: whose windows are looked for.
        longest: length of their longest window, microseconds.
    """

    def __init__(self, codes: npt.NDArray[np.int32], known: Integers, events: Events, longest: int) -> None:
        times = [series for series in (known, events.times) if series.size]
        first = min((int(series.min()) for series in times), default=0) - longest
        last = max((int(series.max()) for series in times), default=0)
        keys = 2 + max((int(series.max()) for series in (codes, events.codes) if series.size), default=0)
        self._distinct: Integers | None = None
        if keys * (last - first + 1) > np.iinfo(np.int64).max:
            # Keys and microseconds together don't fit in 63 bits: count by distinct times instead.
            self._distinct = np.unique(known)
            first, last = 0, self._distinct.size
        self._first, self._span = first, last - first + 1
        place = self._place(codes, known)
        self.order: Positions = np.argsort(place, kind="stable").astype(np.uint32)
        self._places = place[self.order]

    def before(self, codes: npt.NDArray[np.int32], times: Integers) -> Integers:
        """How many facts lie before each key and time: the position of the first that does not."""
        return np.searchsorted(self._places, self._place(codes, times), side="left")

    def _place(self, codes: npt.NDArray[np.int32], times: Integers) -> Integers:
        ticks = times if self._distinct is None else np.searchsorted(self._distinct, times)
        place = codes.astype(np.int64)
        place *= self._span
        place += ticks
        place -= self._first
        return place


class Values:
    """The values of facts, in their order by key and time.

    Args:
        values: finite where they are there, NaN where missing.
    """

    def __init__(self, values: Floats) -> None:
        self._there = ~np.isnan(values)
        self._values = values

    def count(self, since: Integers, until: Integers) -> Integers:
        """How many values there are in each window."""
        if self._there.all():
            return until - since
        before = from_zero(self._there)
        return before[until] - before[since]

    def total(self, since: Integers, until: Integers) -> Floats:
        """The sum of each window, correctly rounded."""
        return ExactSums(np.where(self._there, self._values, 0.0)).between(since, until)

    def extreme(self, since: Integers, until: Integers, *, largest: bool) -> Floats:
        """The least or largest value of each window; NaN for a window without values.

        A window of n facts is covered by two spans of the largest power of two that fits; the spans of one power
        are made from those of the one before, so that memory does not grow with the windows.
        """
        better, worst = (np.maximum, -np.inf) if largest else (np.minimum, np.inf)
        spans = np.where(self._there, self._values, worst)
        found = np.full(until.size, worst)
        lengths = until - since
        width = 1
        while (asking := np.flatnonzero((lengths >= width) & (lengths < 2 * width))).size or (lengths > width).any():
            found[asking] = better(spans[since[asking]], spans[until[asking] - width])
            spans = better(spans[:-width], spans[width:]) if spans.size > width else spans[:0]
            width *= 2
        return np.where(np.isinf(found), np.nan, found)

    def last(self, since: Integers, until: Integers) -> Floats:
        """The value that became known last in each window; NaN for a window without values."""
        latest = np.maximum.accumulate(np.where(self._there, np.arange(self._values.size), -1))
        at = np.where(until > since, latest[np.maximum(until - 1, 0)], -1) if latest.size else np.full(until.size, -1)
        inside = at >= since
        found = np.full(until.size, np.nan)
        found[inside] = self._values[at[inside]]
        return found
