"""How often a rollout is wrong, where the truth is known; 2,000 of each are in the documentation."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from benchmarks.rollout_simulation import CANARY, LATE, PLANS, TRUTHS, Stretch, Truth, cell, in_line, leg_of, simulate
from ml_assets.core.rollout.machine import begin, step
from ml_assets.core.rollout.observed import latency_counts

NOW = datetime(2020, 5, 1, tzinfo=UTC)
SHADOW_FIRST, NOT_PAIRED = "shadow, 5, 25, 50, 100 %", "5, 25, 50, 100 %, not paired"


def by_the_machine(truth: Truth, rules, rng: np.random.Generator) -> tuple[str, int]:
    """The same rollout by the real machine, asked after every request."""
    told, done, clock = begin(rules, NOW, ""), [], 0
    while True:
        weight = told.state.weight
        needed = rules.min_requests if weight == 0 else int(1.3 * rules.min_requests * 10_000 / weight) + 50
        now = Stretch.draw(rng, needed, weight, truth)
        start, number = sum(s.own.size for s in done), told.state.step
        for seen in range(1, needed + 1):
            clock += 1
            legs, first = [], 0
            for i, s in enumerate([*done, now]):
                size = s.own.size if i < len(done) else seen
                known = min(max(start + seen - LATE - first, 0), size)
                leg = leg_of(s, i, rules, size, known)
                counts = [latency_counts(s.latency[:size][which[:size]]) for which in (~s.own, s.own)]
                champion, candidate = (
                    replace(side, latencies=c) for side, c in zip((leg.champion, leg.candidate), counts, strict=True)
                )
                legs.append(replace(leg, champion=champion, candidate=candidate))
                first += s.own.size
            told = step(told.state, legs, rules, NOW + timedelta(hours=clock))
            if told.state.over:
                return told.action, clock
            if told.state.step != number:
                break
        done.append(now.until(seen))


@pytest.mark.parametrize("truth", ["loss +5 %", "errors 2 %", pytest.param("p99 × 2", marks=pytest.mark.slow)])
def test_the_simulation_does_what_the_machine_does(truth):
    rules = replace(CANARY, steps=(0, 5_000), min_requests=600, max_age=timedelta(days=999))
    worse = replace(TRUTHS[truth], latency=3 * TRUTHS[truth].latency if truth == "p99 × 2" else 1.0)
    simulated = simulate(worse, rules, np.random.default_rng(7))
    assert by_the_machine(worse, rules, np.random.default_rng(7)) == ("roll_back", simulated.requests)


@pytest.mark.parametrize("truth", ["loss +5 %", "errors 2 %", "all three"])
def test_a_bad_candidate_is_rolled_back_and_harms_hardly_anybody(truth):
    told = cell(SHADOW_FIRST, truth, 25)
    assert told.rolled_back == 1.0
    assert told.of_rolled_back("harmed", 0.5) == 0, "most are found while nobody is answered by it"
    named = {"loss +5 %": {"loss"}, "errors 2 %": {"errors"}, "all three": {"errors", "loss"}}[truth]
    assert {o.guardrail for o in told.outcomes} <= named
    assert in_line(told).startswith(f"| {SHADOW_FIRST} | {truth} | 100.0% | ")


def test_a_slow_candidate_is_rolled_back_soon_after_it_answers():
    told = cell(SHADOW_FIRST, "p99 × 2", 8)
    assert Counter(o.guardrail for o in told.outcomes) == {"p99_ratio": 8}
    assert 0 < told.of_rolled_back("harmed", 0.95) < 1_000


def test_an_equal_candidate_is_released():
    assert cell(SHADOW_FIRST, "equal", 4).rolled_back == 0.0


@pytest.mark.slow
def test_false_alarms_are_as_rare_as_asked_for():
    # 5 %, and three standard errors of so many rollouts.
    for plan, truth in [(p, "equal") for p in PLANS] + [(NOT_PAIRED, "at the limits: loss +1 %, p99 × 1.5")]:
        told = cell(plan, truth, 80, seed=1)
        assert told.rolled_back <= 0.05 + 3 * (0.05 * 0.95 / 80) ** 0.5, (plan, truth)
