"""Intervals: they cover the truth, are of pairs, depend on the seed alone, and cost little on many rows."""

import math
import time

import numpy as np
import pytest

from ml_assets.core import bootstrap
from ml_assets.core.bootstrap import GROUPS, Interval, Resamples, compare, interval, paired_bootstrap
from ml_assets.core.errors import ContractError
from ml_assets.core.measures import OfMeans, mean_of, only, ratio
from ml_assets.core.metrics import measures_of


def test_the_interval_covers_the_truth_in_19_of_20_samples():
    rng = np.random.default_rng(5)
    truth, covered, repetitions = -0.3, 0, 150
    for seed in range(repetitions):
        theirs = rng.gamma(2, 2, 150)
        ours = theirs + truth + rng.normal(0, 1, 150)
        found = paired_bootstrap(ours, theirs, seed=seed, draws=300)
        covered += found.low <= truth <= found.high
    assert 0.90 <= covered / repetitions <= 0.99


def test_the_interval_is_of_the_pairs_and_not_of_two_samples():
    theirs = np.random.default_rng(1).gamma(2, 20, 500)
    ours = theirs - 0.1 + np.random.default_rng(2).normal(0, 0.2, 500)
    found = paired_bootstrap(ours, theirs, seed=0)
    assert found.estimate == pytest.approx((ours - theirs).mean())
    assert -0.2 < found.low < found.estimate < found.high < 0


def test_the_interval_depends_on_the_seed_alone():
    a, b = np.random.default_rng(3).random((2, 400))
    assert paired_bootstrap(a, b, seed=0) == paired_bootstrap(a, b, seed=0)
    assert paired_bootstrap(a, b, seed=0) != paired_bootstrap(a, b, seed=1)
    other_way, same = paired_bootstrap(b, a, seed=0), paired_bootstrap(a, b, seed=0)
    assert (-other_way.high, -other_way.low) == pytest.approx((same.low, same.high))


def test_groups_of_rows_agree_with_rows(monkeypatch):
    a, b = np.random.default_rng(4).gamma(2, 2, (2, 3901))
    plain = paired_bootstrap(a, b, seed=0)
    monkeypatch.setattr(bootstrap, "GROUPS", 400)
    grouped = paired_bootstrap(a, b, seed=0)
    width = plain.high - plain.low
    assert grouped.estimate == plain.estimate
    assert abs(grouped.low - plain.low) < 0.15 * width
    assert abs(grouped.high - plain.high) < 0.15 * width
    assert grouped != plain


def test_more_rows_than_groups_agree_with_the_normal_approximation():
    difference = np.random.default_rng(6).exponential(3, 2 * GROUPS + 7)
    found = paired_bootstrap(difference, np.zeros_like(difference), seed=0, draws=300)
    half = 1.96 * difference.std() / math.sqrt(difference.size)
    assert found.low == pytest.approx(difference.mean() - half, abs=0.25 * half)
    assert found.high == pytest.approx(difference.mean() + half, abs=0.25 * half)


@pytest.mark.parametrize(("a", "b"), [(3, 4), (0, 0), (1, 5)])
def test_losses_of_other_rows_are_refused(a, b):
    with pytest.raises(ContractError, match=f"{a} and {b} losses"):
        paired_bootstrap(np.zeros(a), np.zeros(b), seed=0)


def test_a_column_of_other_rows_is_refused():
    with pytest.raises(ContractError, match="3 values for 4 rows"):
        Resamples(4, 0).means([np.zeros(3)])


RNG = np.random.default_rng(7)
LABEL = RNG.gamma(2, 5, 900)
CONTENDERS = {"candidate": LABEL + RNG.normal(0, 1, 900), "champion": LABEL + RNG.normal(0.3, 2, 900)}


def compared(rows=900, seed=0, **changed):
    given = {who: p[:rows] for who, p in {**CONTENDERS, **changed}.items()}
    return compare({w: measures_of("regression", LABEL[:rows], p) for w, p in given.items()}, Resamples(rows, seed))


def test_every_metric_of_every_contender_has_an_interval():
    alone, against = compared()
    expected = {"mae", "median_ae", "rmse", "bias", "r2", "mape"}
    assert {who: set(of) for who, of in alone.items()} == dict.fromkeys(CONTENDERS, expected)
    assert set(against) == {"champion"}
    for who, of in alone.items():
        for name, found in of.items():
            assert found.low < found.estimate < found.high, (who, name)
    for name in ("mae", "rmse", "median_ae"):
        assert against["champion"][name].high < 0, name
        apart = alone["candidate"][name].estimate - alone["champion"][name].estimate
        assert against["champion"][name].estimate == pytest.approx(apart)
    assert against["champion"]["r2"].low > 0, "of a metric where more is better the sign turns"


def test_the_same_draws_for_all():
    alone, against = compared(champion=CONTENDERS["candidate"])
    assert alone["candidate"] == alone["champion"]
    assert all(found == Interval(0, 0, 0) for found in against["champion"].values())


@pytest.mark.parametrize("name", ["median_ae", "auc", "average_precision", "r2", "calibration_error"])
def test_intervals_of_metrics_that_are_no_means_are_as_wide_as_samples_differ(name):
    rng = np.random.default_rng(8)
    task = "regression" if name in ("median_ae", "r2") else "binary"

    def sample():
        if task == "regression":
            label = rng.gamma(2, 5, 400)
            return label, label + rng.normal(0, 3, 400)
        chance = rng.beta(1, 2, 400)
        return (rng.random(400) < chance).astype(float), np.clip(chance + 0.1, 0, 1)

    spread = np.std([measures_of(task, *sample())[name].value() for _ in range(300)])
    halves = []
    for seed in range(6):
        measure = measures_of(task, *sample())[name]
        found = interval(measure.value(), Resamples(400, seed).values(measure), measure)
        halves.append((found.high - found.low) / 2 / 1.96)
    assert np.mean(halves) == pytest.approx(spread, rel=0.25)


def test_many_rows_in_their_order_are_drawn_from_some(monkeypatch):
    measure = measures_of("regression", LABEL, CONTENDERS["candidate"])["median_ae"]
    whole = interval(measure.value(), Resamples(900, 0).values(measure), measure)
    monkeypatch.setattr(bootstrap, "ORDERED_ROWS", 300)
    some = interval(measure.value(), Resamples(900, 0).values(measure), measure)
    assert some.estimate == whole.estimate
    assert some.high - some.low == pytest.approx(whole.high - whole.low, rel=0.3)
    assert some != whole


def test_what_is_defined_in_few_draws_has_no_interval():
    rare = np.zeros(50)
    rare[0] = 1.0
    measure = OfMeans((rare, rare), ratio)
    assert measure.value() == 1
    assert interval(1.0, Resamples(50, 0).values(measure), measure) is None
    assert interval(0.0, np.full(100, np.nan), mean_of(rare)) is None


def test_an_interval_stays_in_the_bounds_of_its_metric():
    measure = OfMeans((np.array([0.0, 0.0, 0.3]),), only, skewed=True, bounds=(0.0, 1.0))
    found = interval(measure.value(), Resamples(3, 0).values(measure), measure)
    assert found.low == 0


def test_a_million_rows_take_a_moment():
    ours, theirs = np.random.default_rng(9).gamma(2, 2, (2, 1_000_000))
    began = time.process_time()
    paired_bootstrap(ours, theirs, seed=0)
    assert time.process_time() - began < 2, "0.4 s of an idle core"
