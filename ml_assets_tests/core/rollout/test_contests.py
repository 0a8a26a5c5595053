"""A/B tests and bandits: when they end, who wins, and what share the candidate gets meanwhile."""

import re
from dataclasses import replace
from datetime import timedelta
from statistics import NormalDist

import numpy as np
import pytest

from ml_assets.core.rollout.bandit import thompson_weight
from ml_assets.core.rollout.machine import begin, step
from ml_assets.core.rollout.observed import Leg, Seen, Sums
from ml_assets.core.rollout.rules import Guardrails, Rules
from ml_assets.core.sequential import LEAST_ROWS
from ml_assets_tests.core.rollout.legs import LATER, NOW, leg

AB = Rules("ab_test", (5_000,), Guardrails(loss=None, estimated_loss=None), min_requests=500)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(
    ("worse", "rows", "action"), [(-0.3, 20_000, "promote"), (0.3, 20_000, "roll_back"), (0.0, 20_000, "stay"),
                                  (-0.3, 400, "stay")]
)  # fmt: skip
def test_an_ab_test_ends_when_the_difference_is_sure(paired, worse, rows, action):
    rules = replace(AB, paired=paired)
    told = step(
        begin(rules, NOW, "").state, [leg(0, 5_000, rows, worse=worse, labels=rows, paired=paired)], rules, LATER
    )
    assert told.action == action, told.reasons
    assert "loss:" in "; ".join(told.reasons)
    assert told.state.weights["candidate"] == {"promote": 10_000, "roll_back": 0, "stay": 5_000}[action]


def test_an_ab_test_without_a_winner_leaves_the_champion():
    told = step(begin(AB, NOW, "").state, [leg(0, 5_000, 4_000)], AB, NOW + timedelta(days=8))
    assert (told.action, told.state.phase) == ("expire", "expired")


def test_a_bandit_gives_the_better_model_more():
    rules = replace(AB, strategy="bandit", min_requests=100_000)
    state = begin(rules, NOW, "").state
    better = [leg(0, 5_000, 400, worse=-0.03, labels=400)]
    told = step(state, better, rules, LATER)
    assert (told.action, told.state.phase, told.state.since) == ("reweigh", "test", LATER)
    assert told.state.weight > 5_000
    assert re.search(r"the better one with probability 0\.[5-9]", told.reasons[0])
    worse = step(state, [leg(0, 5_000, 400, worse=0.05, labels=400)], rules, LATER)
    assert worse.state.weight < 5_000
    assert step(state, better, rules, NOW + timedelta(minutes=9)).action == "stay", "not more often than min_time"
    assert step(state, [leg(0, 5_000, 90, labels=90)], rules, LATER).action == "stay", "too few losses"


def test_a_bandit_leaves_either_a_floor_and_ends_when_it_is_sure():
    sure = Sums.of(np.random.default_rng(0).standard_normal(1_000) - 1)
    assert thompson_weight(sure, now=5_000, floor=500) == 9_500
    assert thompson_weight(Sums(1_000, -1 * sure.total, sure.squares), now=5_000, floor=1_000) == 1_000
    assert thompson_weight(sure, now=9_300, floor=700) is None, "there already"
    rules = replace(AB, strategy="bandit")
    told = step(begin(rules, NOW, "").state, [leg(0, 9_500, 20_000, worse=-0.1, labels=20_000)], rules, LATER)
    assert told.action == "promote"


@pytest.mark.parametrize(
    ("likely", "now", "weight"),
    [(0.5, 5_000, None), (0.549, 5_000, None), (0.551, 5_000, 5_500), (0.524, 5_500, None), (0.5, 9_500, 5_000)],
)
def test_a_bandit_moves_when_it_is_off_by_a_step_of_the_grid(likely, now, weight):
    mean = -NormalDist().inv_cdf(likely) / 1_000**0.5
    assert thompson_weight(Sums(1_000, 1_000 * mean, 1_000 * (1 + mean**2)), now=now, floor=500) == weight


def test_a_bandit_that_can_not_tell_leaves_its_weight():
    assert thompson_weight(Sums(), now=5_000, floor=500) is None
    assert thompson_weight(Sums(LEAST_ROWS - 1, -1e9, 1e18), now=5_000, floor=500) is None
    assert thompson_weight(Sums(1_000, 0.0, 0.0), now=5_000, floor=500) is None, "they are the same"


def test_not_paired_a_bandits_period_is_left_once_its_losses_count():
    rules = replace(AB, strategy="bandit", min_requests=100_000, paired=False)
    state, before = begin(rules, NOW, "").state, leg(0, 5_000, 4_000, worse=0.5, labels=4_000, paired=False)
    for few in (Seen(90, 90), Seen(100, 100)):
        now = Leg(0, 5_000, Seen(1_900, 1_900), few)
        told = step(state, [before, now], rules, LATER)
        assert told.action == ("reweigh" if few.answered == 100 else "stay")


@pytest.mark.parametrize("strategy", ["ab_test", "bandit"])
def test_a_test_ends_once_the_champion_has_answered_enough_too(strategy):
    # Failures and slowness of a candidate show against what the champion did meanwhile.
    rules = replace(AB, strategy=strategy, steps=(9_500,))
    told = [step(begin(rules, NOW, "").state, [leg(0, 9_500, rows, worse=-0.1, labels=rows)], rules, LATER)
            for rows in (9_900, 10_000)]  # fmt: skip
    assert [t.action for t in told] == ["stay", "promote"]
    assert "95 %: 495 of 500 requests of the champion" in told[0].reasons


def test_a_bandit_sees_a_slow_candidate_in_periods_that_are_short():
    rules = replace(AB, strategy="bandit", min_requests=100_000)
    short = [leg(0, 5_000, 300, slow=2.0, labels=0) for _ in range(20)]
    told = step(begin(rules, NOW, "").state, short, rules, NOW)
    assert told.action == "roll_back"
    assert told.reasons[0].startswith("latency")
