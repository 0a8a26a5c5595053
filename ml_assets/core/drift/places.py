"""How many numbers lie at and between sorted points, several times faster than by sorting or searching for each.

The range is cut into many equally wide steps, and numbers are counted by step, which takes one subtraction and one
multiplication each. A step without a point lies between two points, and so do all its numbers; in a step with a point
most rows of rounded data are the point itself; only what remains is searched for. The answer is exact, since steps of
larger numbers are never smaller.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]

STEPS = 2**15
"""So many that few of them have a point, so few that a table of them stays in the processor's cache. Step 0 is that of
NaN, which costs no more than a number then."""
FEWEST_NUMBERS = 2**17
"""For fewer, tables cost more than they save."""
OUTER = 16
"""Points of the outer sixteenth on either side are left out of the steps, if without them the range is much narrower:
tails are long, and few numbers lie in them."""


@dataclass(frozen=True, eq=False)
class Counted:
    """Numbers by place.

    Args:
        places: finite numbers at point i at 2 i + 1, those between it and the one before at 2 i, `[2 points + 1]`.
        below: finite numbers below the first point, in the order they came.
        above: finite numbers above the last point, in the order they came.
        infinite: how many there are.
        nans: how many there are.
    """

    places: Integers
    below: Floats
    above: Floats
    infinite: int
    nans: int


@dataclass(frozen=True, eq=False)
class Places:
    """Sorted points, ready to count numbers between them.

    Args:
        points: ascending, different, finite, at least one.
        low: where the step of NaN would begin if NaN were a number; all numbers below the next step count to that.
        per_unit: steps per unit; 0 where there are no steps, and every number is searched for.
        near: whether a step has a point or is the first or last one of numbers, `[STEPS + 1]`.
        point: the last point in each step, NaN where there is none, `[STEPS + 1]`.
        place: where numbers of a step belong: those that are its point, or all of a step without, `[STEPS + 1]`.
    """

    points: Floats
    low: float
    per_unit: float
    near: npt.NDArray[np.bool_]
    point: Floats
    place: Integers

    @classmethod
    def of(cls, points: Floats, numbers: int = FEWEST_NUMBERS) -> Self:
        """Make the tables, if that pays for so many numbers."""
        low, high = _range(points)
        per_unit = (STEPS - 1) / (high - low) if high > low and numbers >= FEWEST_NUMBERS else 0.0
        if per_unit in (0.0, math.inf):
            return cls(points, low, 0.0, np.zeros(0, bool), np.zeros(0), np.zeros(0, np.intp))
        low -= 1 / per_unit
        steps = _steps(points, low, per_unit)
        near, point = np.zeros(STEPS + 1, bool), np.full(STEPS + 1, np.nan)
        near[steps], point[steps] = True, points  # of several points in a step the last one stays
        place = 2 * np.searchsorted(steps, np.arange(STEPS + 1), "right") - near
        near[[1, -1]] = True  # numbers outside the range are there, even if its outermost points are rounded elsewhere
        return cls(points, low, per_unit, near, point, place)

    def count(self, parts: Iterable[Floats]) -> Counted:
        """Count numbers that come in parts; fastest if each part stays in the processor's cache.

        >>> Places.of(np.array([1.0, 2.0, 5.0])).count([np.array([0.0, 1.0, 1.5, 5.0, 9.0])]).places
        array([1, 1, 1, 0, 0, 1, 1])
        """
        first, last = self.points[0], self.points[-1]
        by_step = np.zeros(self.place.size, dtype=np.intp)
        places = np.zeros(2 * self.points.size + 1, dtype=np.intp)
        outside = [np.zeros(0)]
        for part in parts:
            left = self._left(part, by_step) if self.place.size else part
            inside = (first <= left) & (left <= last)
            outside.append(left[~inside])
            places += np.bincount(self._searched(left[inside]), minlength=places.size)
        nans = by_step[:1].sum()
        by_step[:1] = 0
        np.add.at(places, self.place, by_step)
        rest = np.concatenate(outside)
        finite = rest[np.isfinite(rest)]
        below, above = finite[finite < first], finite[finite > last]
        places[[0, -1]] += below.size, above.size
        return Counted(places, below, above, int(np.isinf(rest).sum()), int(nans + np.isnan(rest).sum()))

    def _left(self, numbers: Floats, by_step: Integers) -> Floats:
        """Add numbers to the counts by step, all but those of which the step does not tell the place."""
        steps = _steps(numbers, self.low, self.per_unit)
        by_step += np.bincount(steps, minlength=by_step.size)
        near = self.near[steps]
        if 2 * np.count_nonzero(near) > near.size:
            unknown = np.flatnonzero(self.point[steps] != numbers)
        else:
            some = np.flatnonzero(near)
            unknown = some[self.point[steps[some]] != numbers[some]]
        np.subtract.at(by_step, steps[unknown], 1)
        return numbers[unknown]

    def _searched(self, numbers: Floats) -> Integers:
        """The place of each, none of which is outside."""
        smaller = np.searchsorted(self.points, numbers)
        places: Integers = 2 * smaller + (self.points[smaller] == numbers)
        return places


def _range(points: Floats) -> tuple[float, float]:
    """Between which numbers there are steps."""
    low, high = float(points[0]), float(points[-1])
    outer = points.size // OUTER
    inner_low, inner_high = float(points[outer]), float(points[-1 - outer])
    return (inner_low, inner_high) if inner_high - inner_low < 0.75 * (high - low) else (low, high)


def _steps(numbers: Floats, low: float, per_unit: float) -> Integers:
    """The step of each number, at least 1; of NaN 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        steps = numbers - low
        steps *= per_unit
        np.clip(steps, 1.0, STEPS, out=steps)
        # Processors turn many numbers into integers at once only if these are of 32 bits. NaN becomes 0 there or the
        # smallest integer, whose lower bits are 0.
        return steps.astype(np.int32).astype(np.uint16).astype(np.intp)
