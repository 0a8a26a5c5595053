"""How often a rollout is wrong, where the truth is known; 2,000 of each are in the documentation."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from benchmarks import rollout_cells, rollout_contests, rollout_estimates
from benchmarks.rollout_contests import PER_SECOND
from benchmarks.rollout_drawn import LATE, Stretch, Truth, leg_of
from benchmarks.rollout_simulation import CANARY, NOT_PAIRED, PLANS, Plan, cell, in_line, rules_of, simulate
from ml_assets.core.rollout.machine import begin, step
from ml_assets.core.rollout.observed import latency_counts
from ml_assets.serving.shadows.process import MOST_TIMED

NOW = datetime(2020, 5, 1, tzinfo=UTC)
SHADOW_FIRST = "shadow, 5, 25, 50, 100 %"
ENDS = {"roll_back": "rolled back", "promote": "released"}


def by_the_machine(truth: Truth, plan: Plan, rng: np.random.Generator) -> tuple[str, int]:
    """The same rollout by the real machine, asked after every request."""
    rules, bandit = plan.rules, plan.rules.strategy == "bandit"
    told, done, clock = begin(rules, NOW, ""), [], 0
    between = timedelta(seconds=1 / PER_SECOND) if bandit else timedelta(hours=1)
    while True:
        weight = told.state.weight
        needed = rules.min_requests if weight == 0 else int(1.3 * rules.min_requests * 10_000 / weight) + 50
        needed = int(rules.min_time / between) if bandit else needed
        now = Stretch.draw(rng, needed, weight, truth)
        if weight and not bandit:
            now = now.until(int(np.searchsorted(now.own.cumsum(), rules.min_requests)) + 1)
        start, since, seen = sum(s.own.size for s in done), told.state.since, 0
        while told.state.since == since and not told.state.over:
            seen, clock = seen + 1, clock + 1
            if seen > now.own.size:
                now += Stretch.draw(rng, now.own.size, weight, truth)
            legs, first = [], 0
            for i, s in enumerate([*done, now]):
                size = s.own.size if i < len(done) else seen
                known = min(max(start + seen - LATE - first, 0), size)
                leg = leg_of(s, 0 if bandit else i, rules, size, known, afterwards=plan.afterwards)
                counts = [latency_counts(s.latency[:size][which[:size]]) for which in (~s.own, s.own)]
                beside = [latency_counts(times[: min(size, MOST_TIMED)]) for times in s.beside or ([], [])]
                champion, candidate = (
                    replace(side, latencies=c, beside=b)
                    for side, c, b in zip((leg.champion, leg.candidate), counts, beside, strict=True)
                )
                legs.append(replace(leg, champion=champion, candidate=candidate))
                first += s.own.size
            told = step(told.state, legs, rules, NOW + clock * between)
        if told.state.over:
            return ENDS[told.action], clock
        done.append(now.until(seen))


QUICK = replace(CANARY, min_requests=600, max_age=timedelta(days=999))
HALF = replace(QUICK, steps=(0, 5_000))
BANDIT = rules_of(strategy="bandit", min_requests=200, min_time="4m", max_age="999d")
CASES = {
    # name: truth, plan, whether it takes long
    "loss": (Truth(loss=1.05), Plan(HALF), False),
    "errors": (Truth(failing=0.02), Plan(HALF), False),
    "slow": (Truth(latency=6.0), Plan(HALF), True),
    "green is slow": (Truth(latency=3.0), Plan(replace(QUICK, strategy="blue_green", steps=(0, 10_000))), True),
    "a shadow that waits": (
        Truth(), Plan(rules_of(strategy="shadow", min_requests=600, min_time="0s", max_age="999d",
                               guardrails={"estimated_loss": None, "loss_ruled_out": 0.05})), True,
    ),
    "not paired": (Truth(loss=1.05), Plan(replace(NOT_PAIRED, steps=(5_000,), max_age=timedelta(days=999))), True),
    "a bandit": (Truth(loss=0.97), Plan(BANDIT), False),
    "a bandit that is slow": (Truth(loss=0.95, latency=3.0), Plan(replace(BANDIT, min_requests=9_999)), True),
    "a bandit, not paired": (Truth(failing=0.02), Plan(replace(BANDIT, paired=False), afterwards=False), True),
    "an A/B test": (
        Truth(loss=0.95), Plan(rules_of(strategy="ab_test", min_time="0s", max_age="999d", min_requests=100)), True
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=[pytest.mark.slow] if told[2] else []) for name, told in CASES.items()]
)
def test_the_simulation_does_what_the_machine_does(case):
    truth, plan, _ = CASES[case]
    one = rollout_contests.simulate if plan.rules.strategy == "bandit" else simulate
    simulated = one(truth, plan, np.random.default_rng(7))
    assert simulated.requests > 100
    assert by_the_machine(truth, plan, np.random.default_rng(7)) == (simulated.end, simulated.requests)


@pytest.mark.parametrize("truth", ["loss +5 %", "errors 2 %", "all three"])
def test_a_bad_candidate_is_rolled_back_and_harms_hardly_anybody(truth):
    told = cell(SHADOW_FIRST, truth, 25)
    assert told.rolled_back == 1.0
    assert told.of("rolled back", "harmed", 0.5) == 0, "most are found while nobody is answered by it"
    named = {"loss +5 %": {"loss"}, "errors 2 %": {"errors"}, "all three": {"errors", "loss", "p99_ratio"}}[truth]
    assert {o.guardrail for o in told.outcomes} <= named
    assert in_line(told).startswith(f"| {SHADOW_FIRST} | {truth} | 100.0% | 0.0% | ")


@pytest.mark.parametrize("plan", ["`shadow`", "`blue_green`"])
def test_a_slow_candidate_is_rolled_back_before_it_answers_anybody(plan):
    told = cell(plan, "p99 × 2", 8)
    assert Counter(o.guardrail for o in told.outcomes) == {"p99_ratio": 8}
    assert told.of("rolled back", "harmed", 0.5) == 0


def test_a_slow_candidate_without_a_shadow_is_rolled_back_soon_after_it_answers():
    told = cell("5, 25, 50, 100 %", "p99 × 2", 8)
    assert Counter(o.guardrail for o in told.outcomes) == {"p99_ratio": 8}
    assert 0 < told.of("rolled back", "harmed", 0.95) < 1_000


def test_an_equal_candidate_is_released():
    assert cell(SHADOW_FIRST, "equal", 4).share("released") == 1.0


def test_not_paired_a_higher_loss_is_found_by_what_is_scored_afterwards():
    told = cell("5, 25, 50, 100 %, not paired", "loss +5 %", 10)
    assert told.rolled_back == 1.0
    assert told.of("rolled back", "harmed", 0.95) < 200


def test_a_shadow_that_must_rule_a_loss_out_releases_no_bad_candidate(monkeypatch):
    few = {"strategy": "shadow", "min_requests": 1_000}
    monkeypatch.setitem(PLANS, "few", Plan(rules_of(**few)))
    limits = {"estimated_loss": None, "loss_ruled_out": 0.05}
    monkeypatch.setitem(PLANS, "ruled out", Plan(rules_of(**few, guardrails=limits)))
    assert cell("few", "loss +5 %", 60).share("released") > 0.1, "half of a thousand requests have labels"
    assert cell("ruled out", "loss +5 %", 60).share("released") == 0.0
    assert cell("ruled out", "equal", 20).share("released") == 1.0


@pytest.mark.parametrize("plan", ["`bandit`", "`ab_test`"])
def test_better_losses_do_not_release_a_candidate_that_is_slow(plan):
    told = rollout_contests.cell(plan, "loss −5 %, p99 × 2", 15)
    assert told.rolled_back == 1.0
    assert {o.guardrail for o in told.outcomes} == {"p99_ratio"}


def test_a_bandit_finds_a_slow_candidate_however_often_it_moves_its_shares():
    told = rollout_contests.cell("`bandit`", "p99 × 2", 15)
    assert told.rolled_back == 1.0
    assert told.of("rolled back", "requests", 0.5) < 3_000


def test_a_bandit_gives_a_better_model_nearly_all_and_releases_it():
    told = rollout_contests.cell("`bandit`", "loss −5 %", 3)
    assert told.share("released") == 1.0
    assert all(o.harmed > 0.9 * o.requests for o in told.outcomes)
    assert rollout_cells.in_line(told).startswith("| `bandit` | loss −5 % | 0.0% | 100.0% | 3")


@pytest.fixture
def few_estimators(monkeypatch):
    monkeypatch.setattr(rollout_estimates, "ESTIMATORS", 8)
    rollout_estimates.estimators.cache_clear()
    yield
    rollout_estimates.estimators.cache_clear()


@pytest.mark.slow
@pytest.mark.usefixtures("few_estimators")
def test_without_labels_a_loss_that_features_tell_is_found_by_estimates_and_no_other():
    told = rollout_estimates.cell("+100 %", 12)
    assert told.rolled_back == 1.0
    assert {o.guardrail for o in told.outcomes} == {"estimated_loss"}
    assert told.of("rolled back", "harmed", 0.95) == 0
    blind = rollout_estimates.cell("+100 %, and no feature tells", 3)
    assert blind.share("released") == 1.0, "that is what labels are for"


@pytest.mark.slow
@pytest.mark.usefixtures("few_estimators")
@pytest.mark.parametrize("truth", ["equal, estimators of 500 rows", "at the limit: +10 %"])
def test_estimators_rarely_turn_down_what_is_within_the_limit(truth):
    told = rollout_estimates.cell(truth, 30, seed=1)
    assert told.rolled_back <= 0.05 + 3 * (0.05 * 0.95 / 30) ** 0.5


@pytest.mark.slow
def test_a_bandit_gives_a_worse_model_little_also_where_it_can_not_be_sure(monkeypatch):
    alone = replace(rollout_contests.PLANS["`bandit`, not paired"], afterwards=False)
    monkeypatch.setitem(rollout_contests.PLANS, "other features", alone)
    told = rollout_contests.cell("other features", "loss +5 %", 8)
    assert told.share("released") == 0.0
    assert np.mean([o.harmed / o.requests for o in told.outcomes]) < 0.35


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["`bandit`", "`bandit`, not paired", "`ab_test`"])
def test_a_test_rarely_turns_down_what_is_equal(plan, monkeypatch):
    monkeypatch.setitem(rollout_contests.PLANS, plan, replace(rollout_contests.PLANS[plan], most=12_000))
    told = rollout_contests.cell(plan, "equal", 60, seed=1)
    for end in ("rolled back", "released"):
        assert told.share(end) <= 0.05 + 3 * (0.05 * 0.95 / 60) ** 0.5


@pytest.mark.slow
def test_without_common_features_it_waits_until_the_loss_is_sure():
    bad, equal = (cell("5, 25, 50, 100 %, not paired, other features", truth, 5) for truth in ("loss +5 %", "equal"))
    assert bad.share("released") == 0.0
    assert equal.share("released") == 1.0
    assert equal.of("released", "requests", 0.5) > 40_000, "as many labels it takes"


@pytest.mark.slow
def test_false_alarms_are_as_rare_as_asked_for():
    # 5 %, and three standard errors of so many rollouts.
    limits = "at the limits: loss +1 %, p99 × 1.5"
    quick = [name for name in PLANS if "other features" not in name]
    cells = [(name, "equal") for name in quick]
    cells += [(name, limits) for name in ("5, 25, 50, 100 %, not paired", "`blue_green`")]
    for plan, truth in cells:
        told = cell(plan, truth, 80, seed=1)
        assert told.rolled_back <= 0.05 + 3 * (0.05 * 0.95 / 80) ** 0.5, (plan, truth)
