"""Periods of a rollout, of two models as alike as a test wants them, and the states that meet them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from ml_assets.core.rollout.machine import begin
from ml_assets.core.rollout.observed import Estimates, Leg, Pairs, Seen, Sums, latency_counts
from ml_assets.core.rollout.rules import Rules
from ml_assets.core.rollout.state import State

NOW = datetime(2020, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
CANARY = Rules(min_requests=1_000, min_time=timedelta(minutes=10), max_age=timedelta(days=2))

BLUE_GREEN = Rules("blue_green", (0, 10_000))


def seen(rows: int, answered: int, rng: np.random.Generator, *, failed: int = 0, slow: float = 1.0) -> Seen:
    latencies = latency_counts(1_000 * slow * np.exp(0.5 * rng.standard_normal(answered)))
    return Seen(answered, rows, failed, latencies, Sums.of(rng.standard_normal(answered)), Sums())


def leg(
    at: int = 0, weight: int = 0, rows: int = 2_000, *, failed: tuple[int, int] = (0, 0), slow: float = 1.0,
    shift: float = 0.0, worse: float = 0.0, estimated: float = 0.0, labels: int = 2_000, paired: bool = True,
) -> Leg:  # fmt: skip
    """A period of `rows` requests; champion and candidate as alike as two models of the same data."""
    rng = np.random.default_rng([at, weight, rows])
    answered = round(rows * weight / 10_000)
    score, loss = rng.standard_normal(rows), np.exp(0.9 * rng.standard_normal(labels))
    own = loss * np.exp(0.2 * rng.standard_normal(labels)) / np.exp(0.02)
    told = Leg(
        at,
        weight,
        seen(rows if paired else rows - answered, rows - answered, rng, failed=failed[0]),
        seen(rows if paired else answered, answered, rng, failed=failed[1], slow=slow),
        Pairs.of(score, score + shift + 0.1 * rng.standard_normal(rows)),
        Pairs.of(loss, own * (1 + worse)),
        Estimates.of(np.stack([loss, loss]), np.stack([own, own]) * (1 + estimated)),
    )
    if paired:
        return told
    mine = rng.random(labels) < weight / 10_000
    split = (Sums.of(loss[~mine]), Sums.of(own[mine] * (1 + worse)))
    return replace(
        told, predictions=Pairs(), losses=Pairs(), estimated=Estimates(),
        champion=replace(told.champion, losses=split[0]), candidate=replace(told.candidate, losses=split[1]),
    )  # fmt: skip


def at(number: int, rules: Rules = CANARY, **changes: Any) -> State:
    first = begin(rules, NOW, "it was promoted").state
    weight = rules.steps[number]
    phase = first.phase if number == 0 else {"canary": "canary", "blue_green": "green"}[rules.strategy]
    return replace(first, **{"phase": phase, "step": number, "weight": weight, **changes})
