"""Whether drift came at once or little by little, from the reports of the last partitions.

After an abrupt change the rows before it say nothing of what follows, so that a shorter window is learnt from; see
`docs/continuous-training.md`. Sensors ask this of every partition, of at most eight numbers each: without NumPy, whose
import takes longer than all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from ml_assets.core.drift.verdict import Verdict

Onset = Literal["none", "abrupt", "gradual", "unknown"]

FEWEST_REPORTS = 4
"""Fewer can't tell a step from a slope."""
MOST_REPORTS = 8
"""What is further back does not count."""
LEAST_MAGNITUDE = 1.0
"""Of an abrupt change: less than this, chance and seasons explain of columns one by one; there is no step to see."""


@dataclass(frozen=True)
class Judged:
    """What of an earlier report matters here.

    Args:
        partition: its key.
        verdict: of the report.
        magnitude: of the report; None where nothing was judged.
    """

    partition: str
    verdict: "Verdict"
    magnitude: float | None

    @classmethod
    def from_json(cls, report: Mapping[str, Any]) -> Self:
        """Out of a report's JSON."""
        return cls(report["partition"], report["verdict"], report["magnitude"])


def onset(reports: Sequence[Judged]) -> Onset:
    """How the present drift came about.

    A step between two levels and a straight slope are fitted to the magnitudes of the last partitions; what leaves
    the smaller sum of squares is believed. A drift of less than `LEAST_MAGNITUDE` is gradual.

    Args:
        reports: against the same champion, the newest last; those that judged nothing are passed over.

    Returns:
        `none` where the newest is not drifted, `unknown` where there are too few reports.

    >>> calm = [Judged(f"2019-{i:02d}", "stable", 0.6) for i in range(1, 6)]
    >>> onset([*calm, Judged("2019-06", "drifted", 4.0)])
    'abrupt'
    """
    told = [r for r in reports if r.magnitude is not None][-MOST_REPORTS:]
    if not told or told[-1].verdict != "drifted":
        return "none"
    if len(told) < FEWEST_REPORTS:
        return "unknown"
    magnitudes = [r.magnitude for r in told if r.magnitude is not None]
    step = min(_around_mean(magnitudes[:i]) + _around_mean(magnitudes[i:]) for i in range(1, len(magnitudes)))
    seen = magnitudes[-1] >= LEAST_MAGNITUDE
    return "abrupt" if seen and step <= _around_slope(magnitudes) else "gradual"


def began_with_newest(reports: Sequence[Judged]) -> bool:
    """Whether drift came at once, and with the newest report rather than with one before it.

    Args:
        reports: as of `onset`.

    >>> calm = [Judged(f"2019-{i:02d}", "stable", 0.6) for i in range(1, 6)]
    >>> june, july = Judged("2019-06", "drifted", 4.0), Judged("2019-07", "drifted", 4.1)
    >>> began_with_newest([*calm, june]), began_with_newest([*calm, june, july])
    (True, False)
    """
    if onset(reports) != "abrupt":
        return False
    told = [r.magnitude for r in reports if r.magnitude is not None][-MOST_REPORTS:]
    rises = [b - a for a, b in pairwise(told)]
    return bool(rises) and rises[-1] == max(rises)


def _around_mean(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values)


def _around_slope(values: Sequence[float]) -> float:
    at = [i - (len(values) - 1) / 2 for i in range(len(values))]
    slope = sum(a * value for a, value in zip(at, values, strict=True)) / sum(a * a for a in at)
    return _around_mean([value - slope * a for a, value in zip(at, values, strict=True)])
