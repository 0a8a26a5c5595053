"""Figures over windows of rows that are ordered by key and time: the arithmetic of `history`, on arrays.

What a window means, and which rows count, is decided in `history`; here are only positions and exact sums. Own code,
since no library summarises a half-open window over a second time column: polars' and pandas' rolling windows are over
the rows' own time, and prefix sums in floats lose digits wherever one large value came before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

_BITS = 62
"""Bits of a prefix sum that are used, the sign and one to spare left out."""


@dataclass(frozen=True)
class Windows:
    """Where the windows of events lie among facts; the events in their order by key and time.

    Args:
        order: positions of the facts, sorted by key and time; ties in the order given.
        since: window length in microseconds -> per event the position (in `order`) of the first fact inside.
        until: per event the position behind the last fact inside.
    """

    order: Integers
    since: Mapping[int, Integers]
    until: Integers


class Events:
    """What asks: a key and a time each.

    Args:
        codes: number of the key, from 0; -1 where it is missing (what is found for such an event means nothing).
        times: microseconds.
    """

    def __init__(self, codes: Integers, times: Integers) -> None:
        self.codes, self.times = np.maximum(codes, 0), times

    @cached_property
    def order(self) -> Integers:
        """Their order by key and time: what is looked up in order lies near what was looked up before."""
        return np.lexsort((self.times, self.codes))

    def as_given(self, ordered: Floats) -> Floats:
        """Figures of the events, from their order by key and time into the order in which they were given."""
        figures = np.empty_like(ordered)
        figures[self.order] = ordered
        return figures

    def windows(self, codes: Integers, known: Integers, lengths: Sequence[int]) -> Windows:
        """Where each event's windows `[time - length, time)` lie.

        Args:
            codes, known: key and time of each fact, microseconds.
            lengths: of the windows, microseconds.
        """
        keys_of_events, until = self.codes[self.order], self.times[self.order]
        since = {length: until - length for length in lengths}
        at = known
        first = min((int(times.min()) for times in (known, until) if times.size), default=0) - max(lengths, default=0)
        last = max((int(times.max()) for times in (known, until) if times.size), default=0)
        keys = 1 + max(int(codes.max(initial=0)), int(keys_of_events.max(initial=0)))
        if keys * (last - first + 1) > np.iinfo(np.int64).max:
            # Keys and microseconds together don't fit in 63 bits: count by distinct times instead.
            distinct = np.unique(known)
            at, until = np.searchsorted(distinct, known), np.searchsorted(distinct, until)
            since = {length: np.searchsorted(distinct, times) for length, times in since.items()}
            first, last = 0, distinct.size
        span = last - first + 1
        place = codes * span + (at - first)
        order = np.argsort(place, kind="stable")
        place = place[order]
        keys_of_events = keys_of_events * span - first
        return Windows(
            order,
            {length: np.searchsorted(place, keys_of_events + times) for length, times in since.items()},
            np.searchsorted(place, keys_of_events + until),
        )


class Values:
    """The values of facts, in their order by key and time.

    Args:
        values: finite where they are there, NaN where missing; None: every fact counts, and has no value.
    """

    def __init__(self, values: Floats) -> None:
        self._there = ~np.isnan(values)
        self._values = values

    def count(self, since: Integers, until: Integers) -> Integers:
        """How many values there are in each window."""
        if self._there.all():
            return until - since
        before = _from_zero(self._there)
        return before[until] - before[since]

    def total(self, since: Integers, until: Integers) -> Floats:
        """The sum of each window, as if computed exactly and then rounded once.

        Prefix sums of integers, not of floats: what comes before a window leaves no trace in it. A value is two
        numbers of 62 bits less those that counting needs, the second one being what the first leaves over.
        """
        values = np.where(self._there, self._values, 0.0)
        largest = float(np.abs(values).max(initial=0.0))
        if not largest:
            return np.zeros(until.size)
        bits = _BITS - int(values.size).bit_length()
        scale = bits - int(np.frexp(largest)[1])
        coarse = np.rint(np.ldexp(values, scale))
        fine = np.rint(np.ldexp(values - np.ldexp(coarse, -scale), scale + bits))
        sums = [_from_zero(part.astype(np.int64)) for part in (coarse, fine)]
        high, low = ((before[until] - before[since]).astype(np.float64) for before in sums)
        return np.ldexp(high, -scale) + np.ldexp(low, -scale - bits)

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


def _from_zero(values: Integers | Booleans) -> Integers:
    """Sums of all values before each position, and of all."""
    sums = np.zeros(values.size + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:])
    return sums
