"""How often a rollout goes back, and whom it harmed until then, where the truth is known.

A/B tests and bandits are in `rollout_contests`, rollouts without labels in `rollout_estimates`, all their tables in
`rollouts`. Every cell is 2,000 rollouts, judged by the real guardrails after every request, and moved from step to
step as the real machine does. Losses are those of `gate_simulation`, which fit real models; labels come 500 requests
late; one request in 1,000 of the champion fails; latencies are log-normal (1 ms, p99 at 3.2 times the median).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from benchmarks.rollout_cells import EXPIRED, RELEASED, ROLLED_BACK, Cell, Outcome
from benchmarks.rollout_drawn import LATE, Stretch, Truth, leg_of, slow_by_period
from ml_assets.config.rollout import Rollout
from ml_assets.core.rollout import differences, guardrails
from ml_assets.core.rollout.finding import Finding
from ml_assets.core.rollout.machine import begin, compared_losses, ruling_out
from ml_assets.core.rollout.observed import Leg
from ml_assets.core.rollout.rules import TESTS, Guardrails, Rules
from ml_assets.core.routing import WHOLE
from ml_assets.core.sequential import Blame

BEGUN = datetime(2020, 5, 1, tzinfo=UTC)
TRUTHS = {
    "equal": Truth(),
    "at the limits: loss +1 %, p99 × 1.5": Truth(loss=1.01, latency=1.5),
    "loss +5 %": Truth(loss=1.05),
    "errors 2 %": Truth(failing=0.02),
    "p99 × 2": Truth(latency=2.0),
    "all three": Truth(1.05, 2.0, 0.02),
}


@dataclass(frozen=True)
class Plan:
    """A rollout, and where it takes place.

    Args:
        rules: it goes by.
        afterwards: whether both models have the same features, so that what either answered the other one can score.
        most: requests in a step after which it is too old, and the champion stays.
        late: after how many requests a label is known.
    """

    rules: Rules
    afterwards: bool = True
    most: int = 400_000
    late: int = LATE


NO_ESTIMATE = {"estimated_loss": None}
"""The estimated loss is left out: `rollout_estimates` simulates estimators, too."""


def rules_of(**written: Any) -> Rules:
    """As the YAML has them."""
    return Rollout.model_validate({"guardrails": NO_ESTIMATE, **written}).rules()


CANARY = rules_of()
STRICT = replace(CANARY, guardrails=Guardrails(0.0, 1.0, 0.0, 0.0, None))
NOT_PAIRED = rules_of(steps=[5, 25, 50, 100], paired=False)
PLANS = {
    "shadow, 5, 25, 50, 100 %": Plan(CANARY),
    "5, 25, 50, 100 %": Plan(rules_of(steps=[5, 25, 50, 100])),
    "5, 25, 50, 100 %, not paired": Plan(NOT_PAIRED),
    "shadow, 5, 25, 50, 100 %, all limits 0": Plan(STRICT),
    "5, 25, 50, 100 %, not paired, other features": Plan(NOT_PAIRED, afterwards=False),
    "`shadow`": Plan(rules_of(strategy="shadow")),
    "`blue_green`": Plan(rules_of(strategy="blue_green")),
}
"""With limits of 0, an equal candidate is exactly at each of them: where false alarms are most likely."""


def simulate(truth: Truth, plan: Plan, rng: np.random.Generator) -> Outcome:
    """One rollout, looked at after every request."""
    rules, before = plan.rules, list[Stretch]()

    def ended(end: str, guardrail: str | None, *now: Stretch) -> Outcome:
        seen = [*before, *now]
        return Outcome(end, guardrail, sum(s.own.size for s in seen), sum(int(s.own.sum()) for s in seen))

    for weight in rules.steps:
        needed = rules.min_requests if weight == 0 else int(1.3 * rules.min_requests * WHOLE / weight) + 50
        now = Stretch.draw(rng, needed, weight, truth)
        if weight:
            now = now.until(int(np.searchsorted(now.own.cumsum(), rules.min_requests)) + 1)
        least, looked, looks = now.own.size, 0, now.own.size // 8
        # What is judged of the beginning does not depend on what follows: most bad candidates end there.
        while True:
            if looks > now.own.size:
                now += Stretch.draw(rng, looks - now.own.size, weight, truth)
            ends = ends_of(before, now.until(looks), plan, least, looked)
            first = min(ends, key=lambda name: ends[name], default=None)
            if first is not None:
                now = now.until(ends[first] + 1)
                if first == ADVANCE:
                    break
                end = RELEASED if first == BETTER else ROLLED_BACK
                return ended(end, None if first == BETTER else first, now)
            if looks >= plan.most:
                return ended(EXPIRED, None, now)
            looked, looks = looks, least if looks < least else min(2 * looks, plan.most)
        before.append(now)
    return ended(RELEASED, None)


ADVANCE, BETTER, WORSE = "next step", "better", "test"
"""What a look may find beside a broken guardrail."""


def ends_of(before: Sequence[Stretch], now: Stretch, plan: Plan, least: int, looked: int) -> dict[str, int]:
    """What ends a step -> the first look, from 0, at which it does; guardrails come first, as in the machine.

    Args:
        before: earlier steps.
        now: the requests of this one.
        plan: the rollout.
        least: requests before the step may be left.
        looked: looks that have ended nothing.
    """
    rules, legs = plan.rules, legs_over_time(before, now, plan, looked)
    found = {f.guardrail: f.broken for f in judged(legs, before, now, rules, looked)}
    looks = np.arange(looked + 1, now.own.size + 1)
    enough = looks >= least
    if rules.strategy in TESTS:
        enough &= looks - now.own.cumsum()[looked:] >= rules.min_requests
        losses, radius = compared_losses(legs, rules)
        found |= {BETTER: enough & (losses.mean + radius < 0), WORSE: enough & (losses.mean - radius > 0)}
    else:
        state = replace(begin(rules, BEGUN, "").state, step=len(before), weight=rules.steps[len(before)])
        feared = ruling_out(state, legs, rules)
        found[ADVANCE] = enough if feared is None else enough & feared.holds
    every = {name: np.broadcast_to(happens, looks.shape) for name, happens in found.items()}
    return {name: looked + int(np.argmax(happens)) for name, happens in every.items() if happens.any()}


def legs_over_time(
    before: Sequence[Stretch], now: Stretch, plan: Plan, looked: int, settled: Sequence[Leg] = ()
) -> list[Leg]:
    """What was seen after every request of the last stretch but the first ones: arrays `[requests - looked]`.

    Args:
        before, now: the stretches.
        plan: the rollout.
        looked: looks that are left out.
        settled: of the first stretches, of which all labels were known before.
    """
    start = sum(s.own.size for s in before)
    legs, first = list(settled), sum(s.own.size for s in before[: len(settled)])
    for i, stretch in enumerate([*before, now][len(settled) :], start=len(settled)):
        size = stretch.own.size
        seen = np.arange(looked + 1, size + 1) if i == len(before) else size
        arrived = start + np.arange(looked + 1, now.own.size + 1) - plan.late - first
        known = size if arrived[0] >= size else np.clip(arrived, 0, size)
        step = 0 if plan.rules.strategy in TESTS else i
        legs.append(leg_of(stretch, step, plan.rules, seen, known, afterwards=plan.afterwards))
        first += size
    return legs


def judged(legs: Sequence[Leg], before: Sequence[Stretch], now: Stretch, rules: Rules, looked: int) -> list[Finding]:
    """What the real guardrails say after every request of a stretch but the first: arrays `[requests - looked]`."""
    told, own = rules.guardrails, rules.guardrails.own_alpha
    ratio = told.p99_ratio or 1.0
    slow = [Blame(*(x if np.ndim(x) == 0 else np.asarray(x)[looked:] for x in (b.hits, b.all_hits, b.share)))
            for b in slow_by_period(before, now, rules, ratio)]  # fmt: skip
    estimated = [] if told.estimated_loss is None else [guardrails.estimated_loss(legs, told.estimated_loss, own)]
    return [
        guardrails.errors(legs, told.errors or 0.0, own),
        guardrails.latency(slow, ratio, own, None),
        differences.shift(legs, told.prediction_shift or 0.0, own, paired=rules.paired),
        differences.loss(legs, told.loss or 0.0, own, paired=rules.paired),
        *estimated,
    ]


def cell(plan: str, truth: str, runs: int, seed: int = 0) -> Cell:
    """Simulate a cell."""
    rng = np.random.default_rng([seed, list(PLANS).index(plan), list(TRUTHS).index(truth)])
    return Cell(plan, truth, tuple(simulate(TRUTHS[truth], PLANS[plan], rng) for _ in range(runs)))


def every_cell(runs: int) -> Iterator[Cell]:
    """All plans and truths."""
    for plan, told in PLANS.items():
        for truth in TRUTHS if told.rules is not STRICT else ("equal",):
            yield cell(plan, truth, runs)


HEAD = (
    "| plan | the candidate is truly | rolled back | released | requests until then, median | of them answered by it, "
    "median (95 %) |\n|---|---|---|---|---|---|"
)


def in_line(told: Cell) -> str:
    """A line of the table of the documentation; how many requests it took, of those that were rolled back."""
    few = told.rolled_back < 0.2
    requests = "" if few else f"{told.of(ROLLED_BACK, 'requests', 0.5):,.0f}"
    harmed = "" if few else f"{told.of(ROLLED_BACK, 'harmed', 0.5):,.0f} ({told.of(ROLLED_BACK, 'harmed', 0.95):,.0f})"
    shares = f"{told.rolled_back:.1%} | {told.share(RELEASED):.1%}"
    return f"| {told.plan} | {told.truth} | {shares} | {requests} | {harmed} |"
