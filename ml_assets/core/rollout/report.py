"""A rollout for people and programs: its state, a table of its arms, its guardrails, and what happened when.

How it looks in the UI is in `ml_assets.assets.rollout`; numbers that decide are in `guardrails`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ml_assets.core.rollout.guardrails import P99, judge
from ml_assets.core.rollout.machine import ruling_out
from ml_assets.core.rollout.observed import FASTEST_US, GROWTH, Counts, Leg, Sums, latency_quantile
from ml_assets.core.rollout.recorded import Rollout
from ml_assets.core.rollout.rules import Rules
from ml_assets.core.sequential import quantile_ranks, rate_bounds

NONE = {"rollout": None}
MOST_RANKED = 200_000
"""Latencies from which a confidence sequence is computed; the bounds of more are hardly closer."""


def report(rollout: Rollout, legs: Sequence[Leg]) -> dict[str, Any]:
    """What is known of a rollout, as JSON."""
    rules = Rules.from_json(rollout.rules)
    findings = judge(legs, rules.guardrails, paired=rules.paired)
    feared = ruling_out(rollout.state, legs, rules)
    return {
        "rollout": rollout.id,
        "strategy": rollout.strategy,
        "as_of": rollout.as_of,
        "state": rollout.state.to_json(),
        "open": not rollout.state.over,
        "reasons": rollout.reasons,
        "arms": [arm(rollout, legs, who, rules.guardrails.alpha) for who in ("champion", "candidate")],
        "labels": int(sum((leg.losses.rows for leg in legs), 0)),
        "guardrails": [f.to_json() for f in findings],
        "loss_ruled_out": feared and feared.to_json(),
        "history": [
            {"at": e.facts["at"], "action": e.facts["action"], "phase": e.facts["to"]["phase"],
             "weight": e.facts["to"]["weight"], "by": e.facts["by"], "reasons": e.facts["reasons"]}
            for e in rollout.events
        ],
    }  # fmt: skip


def arm(rollout: Rollout, legs: Sequence[Leg], who: str, alpha: float) -> dict[str, Any]:
    """A line of the table of arms; bounds hold at every look at once."""
    seen = [getattr(leg, who) for leg in legs]
    tried, failed, answered = (int(sum(getattr(s, name) for s in seen)) for name in ("tried", "failed", "answered"))
    low, high = rate_bounds(failed, tried, alpha)
    counts: Counts = np.sum([s.latencies for s in seen], axis=0) if seen else np.zeros(1, dtype=np.int64)
    paired = sum((getattr(leg.losses, who) for leg in legs), Sums())
    own = sum((s.losses for s in seen), Sums())
    losses = paired if paired.rows else own
    return {
        "variant": who,
        "bundle": getattr(rollout, who),
        "weight": rollout.state.weights[who],
        "answered": answered,
        "scored": tried,
        "failed": failed,
        "failed_low": low,
        "failed_high": high,
        "p50_ms": _ms(latency_quantile(counts, 0.5)),
        "p99_ms": _ms(latency_quantile(counts, P99)),
        **_p99_bounds(counts, alpha),
        "labels": int(losses.rows),
        "mean_loss": float(losses.mean) if losses.rows else None,
    }


def _p99_bounds(counts: Counts, alpha: float) -> dict[str, float | None]:
    """Between which values the 99th percentile is, at every look at once."""
    total = int(counts.sum())
    low, high = quantile_ranks(min(total, MOST_RANKED), P99, alpha)
    scale = total / max(min(total, MOST_RANKED), 1)
    below = counts.cumsum()

    def edge(rank: int, up: int) -> float:
        return float(FASTEST_US * GROWTH ** (int(np.searchsorted(below, rank * scale)) + up))

    return {
        "p99_low_ms": _ms(edge(low, 0)) if low else None,
        "p99_high_ms": _ms(edge(high, 1)) if high is not None and total else None,
    }


def _ms(microseconds: float | None) -> float | None:
    return None if microseconds is None else round(microseconds / 1e3, 4)
