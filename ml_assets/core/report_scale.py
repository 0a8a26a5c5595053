"""From figures to coordinates: axes, ticks, paths with gaps, labels that keep clear of each other.

Knows numbers and keys only; which charts the report has is in `report_chart`. Lengths are in units of the
SVG's view box, y grows downwards.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")
_CHARACTER = 7.2  # width of a digit in the labels' size


@dataclass(frozen=True)
class Tick:
    """A labelled value of an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Bands:
    """The x axis: one band of equal width per partition, from `left` to `right`."""

    left: float
    right: float
    count: int

    @property
    def width(self) -> float:
        """Width of one band."""
        return (self.right - self.left) / max(self.count, 1)

    def start(self, i: int) -> float:
        """Left edge of band `i`; of band `count`, the right edge of the axis."""
        return self.left + i * self.width

    def middle(self, i: int) -> float:
        """Middle of band `i`."""
        return self.left + (i + 0.5) * self.width


@dataclass(frozen=True)
class Panel:
    """A y axis: values from `low` to `high` over `height`, its top edge at `top`, with ticks inside."""

    top: float
    height: float
    low: float
    high: float
    ticks: tuple[Tick, ...]

    @property
    def bottom(self) -> float:
        """Lower edge."""
        return self.top + self.height

    def y(self, value: float) -> float:
        """Where a value lies."""
        return self.top + (self.high - value) / (self.high - self.low) * self.height


def panel(values: Sequence[float], *, top: float, height: float, ticks: int, percent: bool = False) -> Panel:
    """A panel that holds zero and all values, with about `ticks` ticks at 1, 2 or 5 times a power of ten.

    >>> [t.text for t in panel([3.1, 7.4], top=0, height=100, ticks=4).ticks]
    ['0', '2', '4', '6', '8']
    >>> [t.text for t in panel([0.031], top=0, height=100, ticks=2, percent=True).ticks]
    ['0 %', '2 %', '4 %']
    >>> [t.text for t in panel([9_000_000], top=0, height=100, ticks=3).ticks]
    ['0', '5 M', '10 M']
    """
    low, high = min([0.0, *values]), max([0.0, *values])
    if high == low:
        high = 1.0
    step = _step((high - low) / ticks)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    scale, suffix = (100.0, " %") if percent else _thousands(high)
    decimals = max(0, -math.floor(math.log10(step * scale) + 1e-9))
    marks = tuple(
        Tick(i * step, f"{i * step * scale:,.{decimals}f}{suffix if i or percent else ''}".replace("-", "−"))
        for i in range(first, last + 1)
    )
    return Panel(top, height, first * step, last * step, marks)


def _thousands(high: float) -> tuple[float, str]:
    """Scale and suffix that keep the ticks of an axis up to `high` short."""
    for size, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if high >= 10 * size or (high >= size and size > 1e3):
            return 1 / size, suffix
    return 1.0, ""


def _step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next((f * power for f in (1, 2, 5) if f * power >= least * (1 - 1e-9)), 10 * power)


def path(points: Sequence[tuple[float, float] | None]) -> str:
    """An SVG path through the points, interrupted where there is none; empty without points.

    >>> path([None, (1, 2), (3, 4), None, (5, 6)])
    'M1.0 2.0L3.0 4.0M5.0 6.0'
    """
    drawn, parts = False, []
    for point in points:
        if point is not None:
            parts.append(f"{'L' if drawn else 'M'}{point[0]:.1f} {point[1]:.1f}")
        drawn = point is not None
    return "".join(parts)


def labelled(keys: Sequence[str], band: float) -> list[int]:
    """Which keys to print below bands of that width so that none touches the next.

    Months are thinned to quarters, half-years or years, counted from January.

    >>> labelled(["2018-11", "2018-12", "2019-01", "2019-02", "2019-03", "2019-04"], 25)
    [2, 5]
    """
    room = max((min(len(key), 24) for key in keys), default=0) * _CHARACTER + 10
    months = [_MONTH.fullmatch(key) for key in keys]
    dates = [int(m[1]) * 12 + int(m[2]) - 1 for m in months if m]
    by_month = len(dates) == len(keys)
    steps = (1, 3, 6, 12, 24, 60, 120, 240) if by_month else (1, 2, 5, 10, 20, 50, 100, 200, 500)
    step = next((s for s in steps if s * band >= room), max(len(keys), 1))
    if not by_month:
        return list(range(0, len(keys), step))
    # Months may be missing or few: never closer than `step` bands, and never none at all.
    chosen: list[int] = []
    for i, date in enumerate(dates):
        if date % step == 0 and (not chosen or i - chosen[-1] >= step):
            chosen.append(i)
    return chosen or [0][: len(keys)]


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """The wanted places, moved down until each is at least `gap` below the one above; order of input kept.

    >>> spread([50.0, 52.0, 10.0], 14)
    [50.0, 64.0, 10.0]
    """
    placed = list(wanted)
    last = -math.inf
    for i in sorted(range(len(wanted)), key=lambda i: (wanted[i], i)):
        placed[i] = last = max(wanted[i], last + gap)
    return placed
