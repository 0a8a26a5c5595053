"""How A/B tests and bandits end where the truth is known, whom a bandit gives the traffic meanwhile, whom they release.

Like `rollout_simulation`, which has the other strategies. For a bandit, which changes its shares once in `min_time` at
most, one request a second arrives. Not all that is bad is worse: some candidates are better, and slow or failing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.rollout_cells import EXPIRED, RELEASED, ROLLED_BACK, Cell, Outcome
from benchmarks.rollout_drawn import Stretch, Truth
from benchmarks.rollout_simulation import BETTER, TRUTHS, WORSE, Plan, judged, legs_over_time, rules_of
from benchmarks.rollout_simulation import simulate as simulate_steps
from ml_assets.core.rollout.bandit import GRID, probably_better, thompson_weight
from ml_assets.core.rollout.machine import compared_losses
from ml_assets.core.rollout.observed import Leg, Sums
from ml_assets.core.routing import WHOLE
from ml_assets.core.sequential import LEAST_ROWS

PER_SECOND = 1
REWEIGH = "other shares"
"""What a look may find beside the ends of `rollout_simulation`."""
WORSE_OR_BETTER = {
    **TRUTHS,
    "loss −2 %": Truth(loss=0.98),
    "loss −5 %": Truth(loss=0.95),
    "loss −5 %, p99 × 2": Truth(loss=0.95, latency=2.0),
    "loss −5 %, errors 2 %": Truth(loss=0.95, failing=0.02),
}
PLANS = {
    "`ab_test`": Plan(rules_of(strategy="ab_test"), most=20_000),
    "`bandit`": Plan(rules_of(strategy="bandit"), most=50_000),
    "`bandit`, not paired": Plan(rules_of(strategy="bandit", paired=False), most=20_000),
}
EQUAL_UNTIL = 20_000
"""Requests after which a rollout of equal models is ended at the latest, since nothing else would end it."""


def simulate(truth: Truth, plan: Plan, rng: np.random.Generator) -> Outcome:
    """One rollout of a bandit, looked at after every request."""
    rules, before, weight, earlier = plan.rules, list[Stretch](), plan.rules.steps[0], 0
    settled: list[Leg] = []
    pace = max(1, int(rules.min_time.total_seconds() * PER_SECOND))

    def ended(end: str, guardrail: str | None, now: Stretch) -> Outcome:
        return Outcome(end, guardrail, earlier + now.own.size, sum(int(s.own.sum()) for s in (*before, now)))

    while True:
        now, looked = Stretch.draw(rng, min(pace, plan.most - earlier), weight, truth), 0
        while True:
            legs = legs_over_time(before, now, plan, looked, settled)
            settled += [
                leg for leg in legs[len(settled) : -1] if np.ndim(leg.losses.rows + leg.champion.losses.rows) == 0
            ]
            ends, losses = ends_of(legs, before, now, plan, looked, pace, weight)
            first = min(ends, key=lambda name: ends[name], default=None)
            looked = now.own.size if first is None else looked
            if first is not None:
                now = now.until(ends[first] + 1)
                break
            if earlier + looked >= plan.most:
                return ended(EXPIRED, None, now)
            now += Stretch.draw(rng, min(looked, plan.most - earlier - looked), weight, truth)
        if first == REWEIGH and earlier + now.own.size >= plan.most:
            return ended(EXPIRED, None, now)
        if first != REWEIGH:
            return ended(RELEASED if first == BETTER else ROLLED_BACK, None if first == BETTER else first, now)
        moved = thompson_weight(losses[now.own.size - 1 - looked], now=weight, floor=rules.floor)
        before.append(now)
        earlier, weight = earlier + now.own.size, weight if moved is None else moved


class _AtLooks(Sequence[Sums]):
    """Sums after each of many looks, one by one."""

    def __init__(self, every: Sums, looks: int) -> None:
        self.every = [np.broadcast_to(x, looks) for x in (every.rows, every.total, every.squares)]

    def __len__(self) -> int:
        return len(self.every[0])

    def __getitem__(self, look: int) -> Sums:  # type: ignore[override]
        return Sums(*(float(x[look]) for x in self.every))


def ends_of(
    legs: Sequence[Leg], before: Sequence[Stretch], now: Stretch, plan: Plan, looked: int, pace: int, weight: int
) -> tuple[dict[str, int], Sequence[Sums]]:
    """What ends a period -> the first look, from 0, at which it does, in the machine's order; and the losses at each.

    Args:
        legs: what was seen after each of these looks.
        before: earlier periods.
        now: the requests of this one.
        plan: the rollout.
        looked: looks that have ended nothing.
        pace: requests before a period may be left.
        weight: the candidate's.
    """
    rules = plan.rules
    found = {f.guardrail: f.broken for f in judged(legs, before, now, rules, looked)}
    looks = np.arange(looked + 1, now.own.size + 1)
    own = now.own.cumsum()[looked:]
    all_own = own + sum(int(s.own.sum()) for s in before)
    theirs = looks - own
    all_theirs = theirs + sum(int((~s.own).sum()) for s in before)
    on_time, losses = looks >= pace, compared_losses(legs, rules)
    enough = on_time & (np.minimum(all_own, all_theirs) >= rules.min_requests)
    difference, radius = losses
    wanted = np.clip(WHOLE * probably_better(difference), rules.floor, WHOLE - rules.floor)
    counts = rules.paired | (np.minimum(own, theirs) >= LEAST_ROWS)
    found |= {
        BETTER: enough & (difference.mean + radius < 0),
        WORSE: enough & (difference.mean - radius > 0),
        REWEIGH: on_time & counts & (np.abs(wanted - weight) >= GRID),
    }
    every = {name: np.broadcast_to(happens, looks.shape) for name, happens in found.items()}
    ends = {name: looked + int(np.argmax(happens)) for name, happens in every.items() if happens.any()}
    return ends, _AtLooks(difference, looks.size)


def cell(plan: str, truth: str, runs: int, seed: int = 0) -> Cell:
    """Simulate a cell."""
    rng = np.random.default_rng([seed, list(PLANS).index(plan), list(WORSE_OR_BETTER).index(truth), 1])
    told, one = PLANS[plan], simulate if PLANS[plan].rules.strategy == "bandit" else simulate_steps
    if truth == "equal":
        told = replace(told, most=min(told.most, EQUAL_UNTIL))
    return Cell(plan, truth, tuple(one(WORSE_OR_BETTER[truth], told, rng) for _ in range(runs)))


def every_cell(runs: int) -> Iterator[Cell]:
    """All plans and truths."""
    for plan in PLANS:
        for truth in WORSE_OR_BETTER:
            yield cell(plan, truth, runs)
