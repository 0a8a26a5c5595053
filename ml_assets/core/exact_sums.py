"""Sums of floats over windows of an array, correctly rounded: what a window sums to depends on its own values only.

Prefix sums of integers, not of floats: what comes before a window leaves no trace in it, and a sum is the same to the
bit whether it was taken among a partition's rows or among those that a server holds. Own code, since neither NumPy nor
polars has exact sums, and `math.fsum` takes every value of every window anew.
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Integers: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]

_BITS = 62
"""Bits of a prefix sum that are used, the sign and one to spare left out."""

_ROUNDED_FROM = 61
"""Bits of an integer that stands for a longer one: with a last bit that tells whether something follows, any number
above the 55 that a float's 53 need is rounded as the longer one would be (Boldo and Melquiond 2008, Emulation of FMA
and correctly rounded sums: proved algorithms using rounding to odd)."""


class ExactSums:
    """Prefix sums of values, as whole numbers of ever smaller units, as many as the values need.

    Args:
        values: (n,) finite; 0 where there is none.
    """

    def __init__(self, values: Floats) -> None:
        self._bits = _BITS - int(values.size).bit_length()
        self._parts: list[Integers] = []
        self._scale = self._bits - int(np.frexp(np.abs(values).max(initial=0.0))[1])
        rest, scale = values, self._scale
        while rest.any():
            whole = np.rint(np.ldexp(rest, scale))
            rest = rest - np.ldexp(whole, -scale)
            self._parts.append(from_zero(whole.astype(np.int64)))
            scale += self._bits

    @property
    def nbytes(self) -> int:
        """Memory of the prefix sums, in bytes."""
        return sum(part.nbytes for part in self._parts)

    def between(self, since: Integers, until: Integers) -> Floats:
        """The sum of each window from a position up to another, which is not in it."""
        if not self._parts:
            return np.zeros(until.size)
        parts = [part[until] - part[since] for part in self._parts]
        for before, after in zip(parts[-2::-1], parts[:0:-1], strict=True):
            before += after >> self._bits
            after &= (1 << self._bits) - 1
        exact, scale = parts[0], np.full(until.size, self._scale)
        more = np.zeros(until.size, dtype=np.bool_)
        for i, part in enumerate(parts[1:]):
            room = np.clip(_ROUNDED_FROM - np.frexp(np.abs(exact).astype(np.float64))[1], 0, self._bits)
            if i:
                room[more | (scale < self._scale + i * self._bits)] = 0
            unseen = self._bits - room.astype(np.int64)
            exact = (exact << room) + (part >> unseen)
            more |= (part & ((1 << unseen) - 1)) != 0
            scale += room
        rounded: Floats = np.ldexp((exact | more).astype(np.float64), -scale)
        return rounded

    def one(self, since: int, until: int) -> float:
        """The sum of one window, as `between` gives it."""
        exact, shift = 0, self._scale - self._bits
        for part in self._parts:
            exact = (exact << self._bits) + int(part[until]) - int(part[since])
            shift += self._bits
        try:
            # Python rounds the quotient of two integers correctly.
            return exact / (1 << shift) if shift > 0 else float(exact << -shift)
        except OverflowError:
            return math.inf if exact > 0 else -math.inf


def from_zero(values: Integers | npt.NDArray[np.bool_]) -> Integers:
    """Sums of all values before each position, and of all."""
    sums = np.zeros(values.size + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:])
    return sums
