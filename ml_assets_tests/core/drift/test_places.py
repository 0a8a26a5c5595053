"""Counts by steps are those that a search finds, however points and numbers lie; and few numbers are searched for."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.drift.bins import Column, learn_bins
from ml_assets.core.drift.places import FEWEST_NUMBERS, Places

ANY = st.floats()
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def searched(points, numbers):
    finite = numbers[np.isfinite(numbers)]
    places = np.searchsorted(points, finite, "left") + np.searchsorted(points, finite, "right")
    return np.bincount(places, minlength=2 * points.size + 1).tolist()


def check(points, numbers):
    points, numbers = np.unique(np.array(points, dtype=np.float64)), np.array(numbers, dtype=np.float64)
    with np.errstate(over="ignore"):
        every = np.r_[points, np.nextafter(points, -np.inf), np.nextafter(points, np.inf), numbers]
    cut = every.size // 3
    for parts in ([every], [every[:cut], every[cut:]], []):
        rows = np.concatenate([np.zeros(0), *parts])
        finite = rows[np.isfinite(rows)]
        for expected in (FEWEST_NUMBERS, 1):
            counted = Places.of(points, expected).count(parts)
            assert counted.places.tolist() == searched(points, rows)
            assert counted.below.tolist() == finite[finite < points[0]].tolist()
            assert counted.above.tolist() == finite[finite > points[-1]].tolist()
            assert (counted.infinite, counted.nans) == (np.isinf(rows).sum(), np.isnan(rows).sum())


@settings(max_examples=60, deadline=None)
@given(points=st.lists(FINITE, min_size=1, max_size=40), numbers=st.lists(ANY, max_size=40))
def test_any_points(points, numbers):
    check(points, numbers)


RNG = np.random.default_rng(0)
QUANTILES = np.quantile(RNG.standard_normal(10**5), np.arange(129) / 128)
LONG_TAIL = np.quantile(RNG.lognormal(0, 3, 10**5), np.r_[np.arange(129) / 128, 1 - 2.0 ** -np.arange(8, 16)])
POINTS = {
    "even": np.arange(24.0),
    "quantiles": QUANTILES,
    "long tail": LONG_TAIL,
    "twins": np.r_[np.arange(9.0), np.nextafter(np.arange(9.0), -9)],
    "many in a step": [0, 1e-9, 2e-9, 3e-9, 1],
    "negative zero": [-1.0, -0.0, 1.0],
    "a width that is rounded": [0.0, 1.9],
    "a first step that is rounded": [-(2.0**53) - 2, -(2.0**53) - 2 + 32767],
}
WITHOUT_STEPS = {"one": [3.0], "as far apart as can be": [-1.7e308, 1.7e308], "as close as can be": [0.0, 5e-324]}


@pytest.mark.parametrize("name", POINTS)
def test_by_steps(name):
    check(POINTS[name], RNG.uniform(-30, 30, 5000))
    check(POINTS[name], RNG.uniform(min(POINTS[name]), max(POINTS[name]), 5000))
    check(POINTS[name], np.r_[RNG.choice(POINTS[name], 5000), np.nan, np.inf, -np.inf, 1e300])
    assert Places.of(np.unique(POINTS[name])).per_unit > 0


def test_what_is_no_number_is_counted_by_steps_like_any_number(monkeypatch):
    numbers = RNG.standard_normal(50_000)
    numbers[::3] = np.nan
    count, left = Places._left, []
    monkeypatch.setattr(Places, "_left", lambda self, *of: left.append(count(self, *of)) or left[-1])
    counted = Places.of(QUANTILES).count([numbers])
    assert counted.nans == len(numbers[::3])
    assert counted.places.tolist() == searched(QUANTILES, numbers)
    assert not np.isnan(left[0]).any()


@pytest.mark.parametrize("name", WITHOUT_STEPS)
def test_without_steps(name):
    check(WITHOUT_STEPS[name], RNG.uniform(-30, 30, 5000))
    assert Places.of(np.unique(WITHOUT_STEPS[name])).per_unit == 0


SAMPLES = {
    "continuous": RNG.standard_normal(50_000),
    "long tail": RNG.lognormal(0, 1, 50_000),
    "whole numbers": RNG.integers(0, 24, 50_000).astype(float),
    "rounded": np.round(RNG.lognormal(0.5, 0.9, 50_000), 2),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_few_numbers_are_searched_for(name, monkeypatch):
    numbers = SAMPLES[name]
    [bins] = learn_bins(pl.DataFrame({name: numbers}), [Column(name, "number")])
    search, sought = Places._searched, []
    monkeypatch.setattr(Places, "_searched", lambda self, left: sought.append(left.size) or search(self, left))
    assert Places.of(bins.points).count([numbers]).places.tolist() == searched(bins.points, numbers)
    assert sum(sought) <= 0.05 * numbers.size
    Places.of(bins.points, 1).count([numbers])
    assert sum(sought) >= numbers.size
