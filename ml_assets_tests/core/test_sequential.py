"""Bounds hold at every look at once, and tell what is different; each against a peeking that does not hold."""

from math import comb, log

import numpy as np
import pytest
from scipy.stats import norm

from ml_assets.core.sequential import (
    LEAST_ROWS,
    RATIOS,
    Blame,
    blame,
    mean_radius,
    quantile_ranks,
    rate_bounds,
    rate_evidence,
    rows_until,
)

RUNS, ROWS, ALPHA = 300, 3_000, 0.05
AT = np.arange(1, ROWS + 1)


def running(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = values.cumsum(axis=1) / AT
    return mean, (values**2).cumsum(axis=1) / AT - mean**2


def ever(crossed: np.ndarray) -> float:
    return float(crossed.any(axis=1).mean())


@pytest.mark.parametrize("one_sided", [True, False])
@pytest.mark.parametrize("kind", ["normal", "differences of skewed ones", "of rising spread"])
def test_a_mean_is_within_its_bounds_at_every_row(kind, one_sided):
    rng = np.random.default_rng(1)
    values = rng.standard_normal((RUNS, ROWS))
    if kind == "differences of skewed ones":
        values = np.exp(0.96 * values) - np.exp(0.96 * rng.standard_normal((RUNS, ROWS)))
    values *= np.linspace(0.5, 2, ROWS) if kind == "of rising spread" else 1.0
    mean, variance = running(values)
    radius = mean_radius(AT, variance, ALPHA, one_sided=one_sided)
    crossed = mean > radius if one_sided else np.abs(mean) > radius
    # 5 % and three standard errors of 400 runs.
    assert ever(crossed) <= ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / RUNS)
    if kind == "normal" and not one_sided:
        peeking = np.abs(mean) > norm.ppf(1 - ALPHA / 2) * np.sqrt(variance / AT)
        assert ever(peeking[:, LEAST_ROWS:]) > 0.3, "a bound for one look, looked at after every row"


def test_a_mean_that_is_off_is_found_and_sooner_the_farther_it_is():
    values = np.random.default_rng(2).standard_normal((200, ROWS))
    found = []
    for effect in (0.1, 0.2):
        mean, variance = running(values + effect)
        crossed = mean > mean_radius(AT, variance, ALPHA, one_sided=True)
        assert ever(crossed) == 1.0
        found.append(np.median(crossed.argmax(axis=1)))
    assert found[1] < found[0] / 2


def test_few_rows_bound_nothing_and_more_rows_bound_closer():
    assert mean_radius(LEAST_ROWS - 1, 1.0, ALPHA, one_sided=True) == np.inf
    wide, close = (mean_radius(n, 1.0, ALPHA, one_sided=True) for n in (LEAST_ROWS, 100 * LEAST_ROWS))
    assert close < wide / 5
    assert mean_radius(500, 4.0, ALPHA, one_sided=True) == pytest.approx(
        2 * mean_radius(500, 1.0, ALPHA, one_sided=True)
    )
    assert mean_radius(500, 1.0, ALPHA, one_sided=False) > mean_radius(500, 1.0, ALPHA, one_sided=True)
    # Theorem 2.2, by hand.
    rho2 = (-2 * log(0.05) + log(1 - 2 * log(0.05))) / 1_000
    by_hand = (2 * (500 * rho2 + 1) / (500**2 * rho2) * log((500 * rho2 + 1) ** 0.5 / 0.05)) ** 0.5
    assert mean_radius(500, 1.0, 0.05, one_sided=False) == pytest.approx(by_hand)


@pytest.mark.parametrize("radius", [10.0, 0.1, 0.02])
def test_the_rows_that_a_bound_needs_are_the_first_at_which_it_is_close_enough(radius):
    needed = rows_until(radius, 4.0, ALPHA, one_sided=True)
    before, then = (mean_radius(needed + i, 4.0, ALPHA, one_sided=True) for i in (-1, 0))
    assert then <= radius < before
    with pytest.raises(ValueError, match="expected one above 0"):
        rows_until(0.0, 4.0, ALPHA, one_sided=True)


@pytest.mark.parametrize("rate", [0.5, 0.05, 0.01])
def test_a_rate_is_refused_at_any_row_no_more_often_than_allowed(rate):
    hits = (np.random.default_rng(3).random((RUNS, ROWS)) < rate).cumsum(axis=1)
    assert ever(rate_evidence(hits, AT, rate) > log(1 / ALPHA)) <= ALPHA
    assert ever(rate_evidence(hits, AT, 2 * min(rate, 0.45)) > log(1 / ALPHA)) >= 0.9, "a wrong one is"


def test_evidence_against_a_rate_is_a_likelihood_ratio():
    # Over all outcomes of four rows it is 1 on average, if the rate is true.
    p = 0.3
    expected = sum(comb(4, k) * p**k * (1 - p) ** (4 - k) * np.exp(rate_evidence(k, 4, p)) for k in range(5))
    assert expected == pytest.approx(1.0)


@pytest.mark.parametrize(("hits", "rows"), [(0, 50), (3, 100), (50, 100), (100, 100), (20, 10_000)])
def test_bounds_of_a_rate_hold_what_is_not_refused(hits, rows):
    low, high = rate_bounds(hits, rows, ALPHA)
    assert 0 <= low <= hits / rows <= high <= 1
    for inside in np.linspace(max(low, 1e-9) * 1.001, min(high, 1 - 1e-9) * 0.999, 5):
        assert rate_evidence(hits, rows, inside) < log(1 / ALPHA) + 1e-6
    for outside in [*([low * 0.99] if low > 1e-9 else []), *([high + 0.01 * (1 - high)] if high < 1 - 1e-9 else [])]:
        assert rate_evidence(hits, rows, outside) > log(1 / ALPHA) - 1e-6
    assert rate_bounds(0, 0, ALPHA) == (0.0, 1.0)
    with pytest.raises(ValueError, match="hits: 3 of 2 rows"):
        rate_bounds(3, 2, ALPHA)


def test_a_quantile_is_between_its_ranks_at_every_row():
    rng, true = np.random.default_rng(4), 0.95
    crossed = 0
    ranks = {n: quantile_ranks(n, true, ALPHA) for n in range(20, 2_000, 20)}
    for _ in range(200):
        values = rng.random(2_000)
        for n, (low, high) in ranks.items():
            below = int((values[:n] <= true).sum())
            # Rank `low` is at most `true`, rank `high` at least.
            if below < low or (high is not None and below >= high):
                crossed += 1
                break
    assert crossed / 200 <= ALPHA
    assert ranks[20] == (ranks[20][0], None), "twenty values say nothing of the top five percent"
    low, high = ranks[1_980]
    assert 0.92 * 1_980 < low < true * 1_980 < high < 0.985 * 1_980
    assert quantile_ranks(0, true, ALPHA) == (0, None)


def outages(rng: np.random.Generator, ratio: float) -> list[Blame]:
    """Two periods of 2,000 requests; in the second half of each, both fail thirty times as often."""
    rate = np.where(AT[:2_000] > 1_000, 0.03, 0.001)
    told = []
    for share in (0.05, 0.5):
        own = rng.random((RUNS, 2_000)) < share
        failed = rng.random((RUNS, 2_000)) < rate * np.where(own, ratio, 1.0)
        told.append(Blame((own & failed).cumsum(axis=1), failed.cumsum(axis=1), share))
    return told


def test_nobody_is_blamed_for_an_outage_of_both_and_who_fails_more_is():
    for ratio, low, high in ((1.0, 0.0, 0.05), (4.0, 0.95, 1.0)):
        first, second = outages(np.random.default_rng(5), ratio)
        whole = Blame(first.hits[:, -1:], first.all_hits[:, -1:], first.share)
        over = np.concatenate([blame([first]), blame([whole, second])], axis=1)
        assert low <= ever(over > log(1 / ALPHA)) <= high, ratio


def test_blame_of_nothing_is_none_and_one_ratio_is_a_likelihood_ratio():
    assert blame([]) == 0.0
    assert blame([Blame(0, 0, 0.5)]) == pytest.approx(0.0)
    by_hand = np.mean([(r / (1 + (r - 1) * 0.2)) ** 2 * (1 / (1 + (r - 1) * 0.2)) for r in RATIOS])
    assert np.exp(blame([Blame(2, 3, 0.2)])) == pytest.approx(by_hand)
    one, other = Blame(2, 3, 0.2), Blame(4, 4, 0.5)
    assert blame([one, other]) != pytest.approx(blame([one]) + blame([other])), "one ratio holds in all periods"
