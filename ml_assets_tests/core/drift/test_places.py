"""Places by the table are those that a search finds, however the points lie."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.drift.places import Places

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def searched(points, numbers):
    smaller = np.searchsorted(points, numbers, "left")
    return (smaller + np.searchsorted(points, numbers, "right")).tolist()


def check(points, numbers):
    points, numbers = np.unique(np.array(points, dtype=np.float64)), np.array(numbers, dtype=np.float64)
    with np.errstate(over="ignore"):
        every = np.r_[points, np.nextafter(points, -np.inf), np.nextafter(points, np.inf), numbers]
    every = every[np.isfinite(every)]
    assert Places.of(points).places(every).tolist() == searched(points, every)


@settings(max_examples=100, deadline=None)
@given(points=st.lists(FINITE, min_size=1, max_size=40), numbers=st.lists(FINITE, max_size=40))
def test_any_points(points, numbers):
    check(points, numbers)


RNG = np.random.default_rng(0)
POINTS = {
    "even": (np.arange(24.0), 1),
    "quantiles": (np.quantile(RNG.standard_normal(10**5), np.arange(129) / 128), 1),
    "twins": (np.r_[np.arange(9.0), np.nextafter(np.arange(9.0), -9)], 2),
    "triplets": ([0, 1e-9, 2e-9, 1], 0),
    "close": ([0, 2e-6, 4e-6, 1], 1),
    "one": ([3.0], 0),
    "as far apart as can be": ([-1.7e308, 1.7e308], 0),
    "negative zero": ([-1.0, -0.0, 1.0], 1),
}


@pytest.mark.parametrize("name", POINTS)
def test_some_points(name):
    points, tables = POINTS[name]
    check(points, RNG.uniform(-30, 30, 5000))
    assert len(Places.of(np.unique(points)).within) == tables
