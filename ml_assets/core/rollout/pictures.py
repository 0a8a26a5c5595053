"""The picture of a rollout, as PNG bytes: the same input gives the same bytes.

What is pictured is in `report`; paper and ink are in `drawing`.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ml_assets.core.drawing import ACCENT, COLORS, png, sheets

LENGTHS = (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0), ("seconds", 1.0))
FARTHEST = 2.0
"""Limits beyond which a bar is cut off; its figures are beside it."""


def way_and_limits(told: Mapping[str, Any]) -> bytes:
    """The candidate's share over time, and how far each guardrail is from its limit.

    Args:
        told: see `report.report`.
    """
    phase = told["state"]["phase"].replace("_", " ")
    figure, (way, limits) = sheets(f"Rollout {told['rollout']}: {phase}", 2, height=2.8)
    events = told["history"]
    begun = datetime.fromisoformat(events[0]["at"])
    unit, times = in_unit([(datetime.fromisoformat(e["at"]) - begun).total_seconds() for e in events])
    shares = [e["weight"] / 100 for e in events]
    way.step(times, shares, where="post", color=COLORS["candidate"])
    way.plot(times, shares, "o", markersize=3, color=COLORS["candidate"])
    way.set(xlabel=unit, ylabel="candidate's share, %", ylim=(-4, 104))
    found = told["guardrails"]
    for i, f in enumerate(found):
        color = ACCENT if f["broken"] else COLORS["champion"]
        limits.barh(i, max(-FARTHEST, min(towards_limit(f), FARTHEST)), color=color)
        limits.text(FARTHEST * 1.05, i, in_figures(f), va="center", fontsize=8)
    limits.set_yticks(range(len(found)), [f["guardrail"].replace("_", " ") for f in found])
    limits.axvline(1.0, color=ACCENT, linewidth=1, linestyle="--")
    limits.axvline(0.0, color="black", linewidth=0.8)
    limits.set_xticks([0, 1], ["champion", "limit"])
    limits.invert_yaxis()
    limits.set(xlim=(-FARTHEST, FARTHEST), xlabel="orange: surely beyond its limit")
    return png(figure)


def in_unit(seconds: Sequence[float]) -> tuple[str, list[float]]:
    """Times in the largest unit of which they span at least two, and its name.

    >>> in_unit([0.0, 90.0]), in_unit([0.0, 7_200.0])
    (('seconds', [0.0, 90.0]), ('hours', [0.0, 2.0]))
    """
    unit, length = next((told for told in LENGTHS if max(seconds) >= 2 * told[1]), LENGTHS[-1])
    return unit, [s / length for s in seconds]


def towards_limit(finding: Mapping[str, Any]) -> float:
    """Where a candidate is between the champion (0) and the limit (1); below 0 where it is better.

    >>> towards_limit({"guardrail": "p99_ratio", "estimate": 1.25, "limit": 1.5})
    0.5
    >>> towards_limit({"guardrail": "loss", "estimate": -0.01, "limit": 0.01})
    -1.0
    """
    estimate, limit = float(finding["estimate"]), float(finding["limit"])
    if finding["guardrail"] == "p99_ratio":
        estimate, limit = estimate - 1, limit - 1
    elif finding["guardrail"] == "prediction_shift":
        estimate = abs(estimate)
    if not estimate:
        return 0.0
    return estimate / limit if limit else math.copysign(FARTHEST, estimate)


def in_figures(finding: Mapping[str, Any]) -> str:
    """The estimate and the limit, in words.

    >>> in_figures({"guardrail": "loss", "estimate": 0.159, "limit": 0.01, "rows": 312})
    '+15.9% (limit +1%)'
    """
    estimate, limit = finding["estimate"], finding["limit"]
    if not finding["rows"]:
        return "nothing to compare yet"
    if finding["guardrail"] == "p99_ratio":
        return f"{estimate:.2f} times (limit {limit:g})"
    if finding["guardrail"] == "prediction_shift":
        return f"{estimate:+.2f} sd (limit {limit:g})"
    return f"{estimate:+.1%} (limit {100 * limit:+g}%)"
