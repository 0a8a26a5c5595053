"""Surprise without seasons is nearly that of the normal distribution, with seasons nearly Student's t; see
`benchmarks/drift_seasons.py` for all that is in between."""

import numpy as np
import pytest
from scipy import stats

from ml_assets.core.drift.between_partitions import DistanceModel, ScoreModel, share_with_seasons


def surprise(value, variance, past, past_variances, **options):
    return ScoreModel(variance, past, past_variances, **options).p(value)


def false_alarms(between, rate, draws=3000, partitions=12):
    """Share of new partitions called surprising at a rate; `between`: deviation of seasons, in those by chance."""
    rng = np.random.default_rng(0)
    scores = rng.normal(0, np.hypot(1, between), (draws, partitions + 1))
    ones = np.ones(partitions)
    return np.mean([surprise(s[-1], 1.0, s[:-1], ones) <= rate for s in scores])


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_without_seasons_the_rate_is_as_asked(rate):
    low, high = stats.binom.interval(0.95, 3000, rate)
    assert 0.7 * low <= 3000 * false_alarms(0, rate) <= high


@pytest.mark.parametrize("between", [5, 50])
def test_with_clear_seasons_the_rate_is_as_asked(between):
    low, high = stats.binom.interval(0.99, 3000, 0.05)
    assert low <= 3000 * false_alarms(between, 0.05) <= high


def test_seasons_as_large_as_chance_cost_at_most_four_times_the_rate():
    assert 0.01 <= false_alarms(1, 0.01) <= 0.04


def test_a_shift_that_seasons_explain_is_none():
    calm, seasonal = np.tile([-0.1, 0.1], 6), np.tile([-3.0, 3.0], 6)
    ones = np.ones(12)
    assert surprise(4.0, 1.0, calm, ones) < 0.001
    assert surprise(4.0, 1.0, seasonal, ones) > 0.1
    assert surprise(4.0, 1.0, 100 * seasonal, ones) > 0.9


def test_large_seasons_leave_students_t():
    rng = np.random.default_rng(1)
    past = 1000 * rng.standard_normal(12)
    t = (3000 - past.mean()) / past.std(ddof=1) / np.sqrt(1 + 1 / 12)
    assert surprise(3000, 1.0, past, np.ones(12)) == pytest.approx(2 * stats.t.sf(abs(t), 11), rel=0.2)


def test_few_partitions_are_trusted_less():
    five = [surprise(4.0, 1.0, np.tile([-1.0, 1.0], k)[:k], np.ones(k)) for k in (3, 6, 12, 24)]
    assert five == sorted(five, reverse=True)
    assert surprise(4.0, 1.0, np.array([0.0, 0.0]), np.ones(2)) == pytest.approx(2 * stats.norm.sf(4 / np.sqrt(1.5)))


def test_only_larger():
    ones = np.ones(12)
    past = np.tile([-1.0, 1.0], 6)
    assert surprise(-9.0, 1.0, past, ones, only_larger=True) > 0.99
    assert surprise(2.0, 1.0, past, ones, only_larger=True) == pytest.approx(surprise(2.0, 1.0, past, ones) / 2)


def distances(seasons, degrees=9, size=1000.0, partitions=12, seed=2):
    rng = np.random.default_rng(seed)
    squares = rng.noncentral_chisquare(degrees, seasons + 1e-9, partitions)
    return np.sqrt(squares / (8 * np.log(2) * size))


def model(past, **changed):
    return DistanceModel(
        **{"degrees": 9, "size": 1000.0, "past": past, "past_sizes": np.full(past.size, 1000.0)} | changed
    )


def test_threshold_is_where_the_rate_is_met():
    found = model(distances(0))
    assert found.p(found.threshold(0.01)) == pytest.approx(0.01, rel=1e-6)
    assert found.threshold(0.01) > found.threshold(0.05)


def test_without_seasons_the_threshold_is_that_of_chi_squared():
    by_chance = np.sqrt(stats.chi2.isf(0.01, 9) / (8 * np.log(2) * 1000))
    thresholds = [model(distances(0, seed=s)).threshold(0.01) for s in range(20)]
    assert np.mean(thresholds) == pytest.approx(by_chance, rel=0.05)


def test_seasons_widen_the_threshold():
    assert model(distances(200)).threshold(0.01) > 2 * model(distances(0)).threshold(0.01)
    assert model(np.ones(12)).threshold(0.01) > 0.99


def test_more_rows_lower_the_threshold_unless_seasons_hold_it_up():
    calm, seasonal = distances(0), distances(500)
    assert model(calm, size=250.0).threshold(0.01) == pytest.approx(2 * model(calm).threshold(0.01), rel=0.15)
    assert model(seasonal, size=4000.0).threshold(0.01) > 0.9 * model(seasonal).threshold(0.01)


def test_tables_say_together_whether_they_have_seasons():
    rng = np.random.default_rng(5)
    calm, seasonal = (
        [ScoreModel(1.0, between * rng.standard_normal(12), np.ones(12)).seasons for _ in range(20)]
        for between in (1, 4)
    )
    assert share_with_seasons(calm) < 0.15 < 0.4 < share_with_seasons(calm + seasonal) < 0.6
    assert share_with_seasons(seasonal) > 0.85
    assert ScoreModel(1.0, np.zeros(2), np.ones(2)).seasons is None


def test_more_seasons_elsewhere_less_surprise_here():
    one = ScoreModel(1.0, np.tile([-1.0, 1.0], 6), np.ones(12))
    assert one.p(4.0, 0.05) < one.p(4.0, 0.5) < one.p(4.0, 0.95)
    other = model(distances(0))
    assert other.threshold(0.01, 0.05) < other.threshold(0.01, 0.5) < other.threshold(0.01, 0.95)
