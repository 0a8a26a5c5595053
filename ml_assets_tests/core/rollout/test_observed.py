"""Counts and sums say the same as the values they were made of."""

from dataclasses import replace

import numpy as np
import pytest

from ml_assets.core.rollout.guardrails import bins_of, comparable, judge, slowness, timed
from ml_assets.core.rollout.observed import (
    BINS,
    GROWTH,
    Leg,
    Pairs,
    Seen,
    Sums,
    latency_bins,
    latency_counts,
    latency_quantile,
    no_counts,
    stratified,
)
from ml_assets.core.rollout.rules import Guardrails

RNG = np.random.default_rng(0)
CHAMPION, CANDIDATE = RNG.exponential(3.0, 5_000), RNG.exponential(4.0, 5_000)


def test_sums_are_of_the_values():
    told = Sums.of(CHAMPION[:2_000]) + Sums.of(CHAMPION[2_000:])
    assert (float(told.mean), float(told.variance)) == pytest.approx((CHAMPION.mean(), CHAMPION.var()))
    assert (Sums().mean, Sums().variance) == (0.0, 0.0)


def test_pairs_know_the_difference_of_the_same_rows():
    told = Pairs.of(CHAMPION[:99], CANDIDATE[:99]) + Pairs.of(CHAMPION[99:], CANDIDATE[99:])
    for factor in (1.0, 1.05):
        rows = CANDIDATE - factor * CHAMPION
        found = told.difference(factor)
        assert (float(found.mean), float(found.variance)) == pytest.approx((rows.mean(), rows.var()))


def test_periods_are_compared_each_in_itself():
    one = Leg(0, 500, Seen(losses=Sums.of(CHAMPION)), Seen(losses=Sums.of(CANDIDATE[:250])))
    other = Leg(1, 5_000, Seen(losses=Sums.of(CHAMPION + 10)), Seen(losses=Sums.of(CANDIDATE + 10)))
    found = stratified([one, other, Leg(2, 10_000, Seen(), Seen(losses=Sums.of(CANDIDATE + 50)))], "losses")
    each = [CANDIDATE[:250].mean() - CHAMPION.mean(), CANDIDATE.mean() - CHAMPION.mean()]
    worth = [4 * 5_000 * 250 / 5_250, 10_000]
    assert float(found.rows) == pytest.approx(sum(worth)), "few answers of one say little, many of the other or not"
    assert float(found.mean) == pytest.approx(np.average(each, weights=worth))
    # The variance of the mean is that of the two differences together.
    own = [CANDIDATE[:250].var() / 250 + CHAMPION.var() / 5_000, CANDIDATE.var() / 5_000 + CHAMPION.var() / 5_000]
    by_hand = sum((n / sum(worth)) ** 2 * v for n, v in zip(worth, own, strict=True))
    assert float(found.variance) / sum(worth) == pytest.approx(by_hand, rel=0.02)


def test_latencies_are_counted_to_two_percent():
    latencies = np.array([0.0, 5.0, 10.0, 1_000.0, 1e9])
    bins = latency_bins(latencies)
    assert (bins[0], bins[1], bins[2], bins[4]) == (0, 0, 0, BINS - 1)
    counts = latency_counts(100 * np.exp(RNG.standard_normal(20_000)))
    assert counts.sum() == 20_000
    exact = 100 * np.exp(2.326)
    assert latency_quantile(counts, 0.99) == pytest.approx(exact, rel=0.06)
    assert latency_quantile(no_counts(), 0.99) is None
    assert GROWTH ** bins_of(1.5) >= 1.5 > GROWTH ** (bins_of(1.5) - 1)


def test_a_slow_request_is_one_beyond_the_line():
    champion = np.full(1_000, 100.0)
    champion[:10] = 1_000.0
    candidate = np.array([100.0] * 90 + [120.0] * 5 + [1_000.0] * 5)
    leg = Leg(0, 1_000, Seen(latencies=latency_counts(champion)), Seen(latencies=latency_counts(candidate)))
    [told] = slowness([leg], 1.5)
    assert (int(told.hits), int(told.all_hits), float(told.share)) == (5, 15, 100 / 1_100)
    assert int(slowness([leg], 1.1)[0].hits) == 10
    few = Leg(0, 1_000, Seen(latencies=latency_counts(champion[:499])), leg.candidate)
    assert slowness([few], 1.5) == []


def test_short_periods_of_a_step_share_a_line_and_keep_their_own_shares():
    # A bandit's periods: none has enough requests of the champion for a line of its own.
    champion = np.where(np.arange(400) < 4, 1_000.0, 100.0)
    short = [Leg(0, share, Seen(latencies=latency_counts(champion)), Seen(latencies=latency_counts(own)))
             for share, own in ((2_000, np.full(100, 1_000.0)), (6_000, np.full(600, 100.0)))]  # fmt: skip
    first, second = slowness(short, 1.5)
    assert (int(first.hits), int(first.all_hits), float(first.share)) == (100, 104, 0.2)
    assert (int(second.hits), int(second.all_hits), float(second.share)) == (0, 4, 0.6)
    other_step = [replace(leg, step=i) for i, leg in enumerate(short)]
    assert slowness(other_step, 1.5) == [], "of another step, traffic may have been another"


def test_what_can_be_compared_is_what_both_answered():
    blue = Leg(0, 0, Seen(latencies=latency_counts(CHAMPION)), Seen())
    green = Leg(1, 10_000, Seen(), Seen(latencies=latency_counts(CANDIDATE)))
    both = Leg(1, 500, blue.champion, green.candidate)
    assert comparable([blue, both, green]) == [both]
    [whole] = comparable([blue, green])
    assert (whole.champion.latencies.sum(), whole.candidate.latencies.sum()) == (5_000, 5_000)
    assert comparable([]) == []


def beside(us: float, rows: int = 1_000) -> Seen:
    return Seen(tried=rows, beside=latency_counts(np.linspace(us, 2 * us, rows)))


def test_what_was_timed_beside_is_compared_where_not_both_answered():
    shadow = Leg(
        0, 0, Seen(answered=9, latencies=latency_counts(np.full(9, 500.0)), beside=beside(20).beside), beside(40)
    )
    answered = latency_counts(np.linspace(500, 1_000, 1_000))
    both = Leg(1, 500, Seen(latencies=answered, beside=beside(20).beside), Seen(latencies=answered))
    assert [leg.step for leg in timed([shadow, both])] == [0]
    assert timed([both, Leg(0, 0, Seen(latencies=answered), beside(40))]) == []
    rules = Guardrails(errors=None, p99_ratio=1.5, prediction_shift=None, loss=None, estimated_loss=None)
    [slow] = judge([shadow], rules, paired=True)
    assert (bool(slow.broken), slow.guardrail) == (True, "p99_ratio")
    assert float(slow.estimate) == pytest.approx(2.0, rel=0.05)
    assert "ms of CPU beside, champion" in slow.words
    [alike] = judge([replace(shadow, candidate=beside(20))], rules, paired=True)
    assert not alike.broken
    [found] = judge([replace(shadow, candidate=beside(20)), both], rules, paired=True)
    assert float(found.estimate) == 1.0, "answers are what is told where there are any"
