"""What is estimated is held against the limit with the error of the estimators themselves."""

import numpy as np
import pytest

from ml_assets.core.rollout.estimated import estimated_loss, fit_radius
from ml_assets.core.rollout.observed import Estimates, Leg
from ml_assets.core.sequential import LEAST_ROWS


def told(higher: float, apart: float, rows: int = 1_000) -> Estimates:
    """Estimates by five blocks which are apart by a share; the candidate's are higher by a share."""
    loss = np.exp(0.3 * np.random.default_rng(0).standard_normal(rows))
    blocks = 1 + apart * np.array([[-1.0], [-0.5], [0.0], [0.5], [1.0]])
    return Estimates.of(loss * blocks, (1 + higher) * loss * blocks[::-1])


@pytest.mark.parametrize(
    ("higher", "apart", "broken"), [(0.05, 0.0, False), (0.2, 0.0, True), (0.2, 0.02, False), (0.6, 0.02, True)]
)
def test_estimators_that_are_unsure_of_themselves_turn_nobody_down(higher, apart, broken):
    found = estimated_loss([Leg(0, 0, estimated=told(higher, apart))], 0.1, 0.01)
    assert bool(found.broken) == broken
    assert float(found.estimate) == pytest.approx(higher)
    assert f"estimated loss: +{higher:.2%}" in found.words
    assert ("off by 0.00%" in found.words) == (apart == 0)


def test_more_requests_do_not_make_an_estimator_surer():
    few, many = (estimated_loss([Leg(0, 0, estimated=told(0.2, 0.02, rows))], 0.1, 0.01) for rows in (1_000, 100_000))
    assert not few.broken
    assert not many.broken
    assert fit_radius(told(0.2, 0.02), 1.1, 0.005) == pytest.approx(
        fit_radius(told(0.2, 0.02, 100_000), 1.1, 0.005), rel=0.02
    )


def test_it_is_the_jackknife_with_students_t():
    # Means of candidate and champion: 1 + apart · (−1, −½, 0, ½, 1), so a jackknife variance of 4 · apart² / 2.
    one = Estimates.of(np.ones((5, 100)) + 0.1 * np.array([[-1.0], [-0.5], [0.0], [0.5], [1.0]]), np.ones((5, 100)))
    assert float(fit_radius(one, 1.0, 0.025)) == pytest.approx(2.776 * (4 * 0.1**2 / 2) ** 0.5, rel=1e-3)
    both = Estimates.of(*(np.ones((5, 100)) + 0.1 * np.array([[-1.0], [-0.5], [0.0], [0.5], [1.0]]) for _ in range(2)))
    assert float(fit_radius(both, 1.0, 0.025)) == pytest.approx(2.306 * (2 * 4 * 0.1**2 / 2) ** 0.5, rel=1e-3)


def test_of_few_rows_or_none_nothing_is_concluded():
    for estimates in (Estimates(), told(5.0, 0.0, LEAST_ROWS - 1)):
        found = estimated_loss([Leg(0, 0, estimated=estimates)], 0.1, 0.01)
        assert not found.broken
        assert "nothing is concluded" in found.words
