"""Where numbers lie between sorted points, several times faster than by sorting them or by a search for each.

A table over equally wide steps of the range says how many points lie before a step, and which one in it, so that one
comparison decides; the answer is exact, since steps of larger numbers are never smaller.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]

STEPS = (2**13, 2**15, 2**17, 2**20)
"""Numbers of steps to try; the smaller tables fit into the nearest caches. Where more than two points share a step,
numbers are searched for."""
FEWEST_NUMBERS = 2**17
"""For fewer, a table costs more than it saves."""


@dataclass(frozen=True, eq=False)
class Places:
    """Sorted points, ready to place numbers between them.

    Args:
        points: ascending, different, finite, at least one.
        steps: how many.
        before: twice the number of points before each step, `[steps + 1]`; None where three points share a step.
        within: the points in each step, the second one only where any step has two; infinite where there is none,
            `[1 or 2, steps + 1]`.
    """

    points: Floats
    steps: int
    before: Integers | None
    within: Floats

    @classmethod
    def of(cls, points: Floats, numbers: int = 2**20) -> Self:
        """Make the table, if that pays for so many numbers."""
        width = float(points[-1]) - float(points[0])
        tried = STEPS if numbers >= FEWEST_NUMBERS else ()
        for count in tried if 0 < width < math.inf and STEPS[-1] / width < math.inf else ():
            steps = _steps(points, points, count)
            first = np.r_[True, np.diff(steps) > 0]
            if (first[1:] | first[:-1]).all():
                within = np.full((1 if first.all() else 2, count + 1), np.inf)
                within[0, steps[first]] = points[first]
                within[-1, steps[~first]] = points[~first]
                return cls(points, count, 2 * np.searchsorted(steps, np.arange(count + 1)), within)
        return cls(points, 0, None, np.zeros((0, 0)))

    def places(self, numbers: Floats) -> Integers:
        """The place of each number, `[numbers]`: 2 i + 1 at point i, 2 i between it and the one before.

        Args:
            numbers: finite.

        >>> Places.of(np.array([1.0, 2.0, 5.0])).places(np.array([0.0, 1.0, 1.5, 5.0, 9.0])).tolist()
        [0, 1, 2, 5, 6]
        """
        if self.before is None:
            smaller = np.searchsorted(self.points, numbers)
            same = self.points[np.minimum(smaller, self.points.size - 1)] == numbers
            return np.asarray(2 * smaller + same, dtype=np.intp)
        with np.errstate(over="ignore"):
            steps = _steps(numbers, self.points, self.steps)
        places = self.before[steps]
        for point in self.within:
            here = point[steps]
            places += numbers >= here
            places += numbers > here
        return places


def _steps(numbers: Floats, points: Floats, count: int) -> npt.NDArray[np.int32]:
    steps = (numbers - points[0]) * (count / (points[-1] - points[0]))
    np.clip(steps, 0, count, out=steps)
    whole: npt.NDArray[np.int32] = steps.astype(np.int32)
    return whole
