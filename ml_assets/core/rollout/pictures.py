"""The picture of a rollout, as PNG bytes: the same input gives the same bytes.

What is pictured is in `report`; paper and ink are in `drawing`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ml_assets.core.drawing import ACCENT, COLORS, png, sheets


def way_and_limits(told: Mapping[str, Any]) -> bytes:
    """The candidate's share over time, and how far each guardrail is from its limit.

    Args:
        told: see `report.report`.
    """
    figure, (way, limits) = sheets(f"Rollout {told['rollout']}: {told['state']['phase']}", 2, height=2.8)
    events = told["history"]
    begun = datetime.fromisoformat(events[0]["at"])
    hours = [(datetime.fromisoformat(e["at"]) - begun).total_seconds() / 3600 for e in events]
    shares = [e["weight"] / 100 for e in events]
    way.step(hours, shares, where="post", color=COLORS["candidate"])
    way.plot(hours, shares, "o", markersize=3, color=COLORS["candidate"])
    way.set(xlabel="hours", ylabel="candidate's share, %", ylim=(-4, 104))
    found = told["guardrails"]
    ways = [abs(f["estimate"]) / f["limit"] if f["limit"] else 0.0 for f in found]
    colors = [ACCENT if f["broken"] else COLORS["champion"] for f in found]
    limits.barh(range(len(found)), [min(w, 2.0) for w in ways], color=colors)
    limits.set_yticks(range(len(found)), [f["guardrail"].replace("_", " ") for f in found])
    limits.axvline(1.0, color=ACCENT, linewidth=1, linestyle="--")
    limits.invert_yaxis()
    limits.set(xlabel="estimate / limit", xlim=(0, 2))
    return png(figure)
