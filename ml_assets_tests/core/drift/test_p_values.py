"""Combination of p-values holds its level under dependence; adjusted p-values agree with SciPy's."""

import numpy as np
import pytest
from scipy import stats

from ml_assets.core.drift.p_values import combined, discoveries


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.99])
def test_level_is_held_under_dependence(correlation):
    rng = np.random.default_rng(0)
    common, own = rng.standard_normal((4000, 1)), rng.standard_normal((4000, 5))
    p = 2 * stats.norm.sf(np.abs(np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own))
    found = np.mean([combined(row, [0.5, 0.2, 0.1, 0.1, 0.1]) <= 0.01 for row in p])
    assert stats.binom.ppf(0.005, 4000, 0.008) <= 4000 * found <= stats.binom.ppf(0.995, 4000, 0.0115)


def test_agrees_with_the_definition():
    p, weights = np.array([0.001, 0.2, 0.6]), np.array([0.2, 0.5, 0.3])
    total = (weights * np.tan((0.5 - p) * np.pi)).sum()
    assert combined(p, 7 * weights) == pytest.approx(0.5 - np.arctan(total) / np.pi, rel=1e-12)


def test_a_perfect_fit_hides_nothing():
    assert combined([1e-5, 1.0], [0.5, 0.5]) < 3e-5
    assert combined([1.0, 1.0], [0.5, 0.5]) == pytest.approx(0.99)
    assert 0 < combined([0.0], [1]) < 1e-290


def test_weights_decide():
    assert combined([1e-4, 0.5], [0.9, 0.1]) < combined([1e-4, 0.5], [0.1, 0.9])


def test_discoveries_agree_with_scipy():
    p = np.random.default_rng(1).random(30) ** 3
    assert discoveries(p) == pytest.approx(stats.false_discovery_control(p, method="by"), rel=1e-12)
    assert discoveries([0.2]).tolist() == [0.2]
    assert discoveries([]).tolist() == []
