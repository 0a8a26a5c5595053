"""Sums of windows against `math.fsum`, which rounds correctly: to the bit, whatever surrounds a window."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.exact_sums import ExactSums

ORDINARY = st.one_of(st.floats(-1e9, 1e9), st.integers(-(2**53), 2**53).map(float), st.just(0.0))
ANY = st.floats(-1e300, 1e300, allow_nan=False)


def windows(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Every window of an array."""
    return np.triu_indices(size + 1)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(values=st.lists(st.one_of(ORDINARY, ANY), max_size=14))
def test_every_window_sums_to_what_fsum_says(values):
    sums, (since, until) = ExactSums(np.array(values, dtype=np.float64)), windows(len(values))
    wanted = [math.fsum(values[a:b]) for a, b in zip(since, until, strict=True)]
    assert sums.between(since, until).tolist() == wanted
    assert [sums.one(int(a), int(b)) for a, b in zip(since, until, strict=True)] == wanted


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    values=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60),
    around=st.lists(ANY, max_size=60),
)
def test_what_lies_around_a_window_leaves_no_trace(values, around):
    alone = ExactSums(np.array(values)).between(np.array([0]), np.array([len(values)]))
    at = len(around) // 2
    among = ExactSums(np.array([*around[:at], *values, *around[at:]]))
    assert among.between(np.array([at]), np.array([at + len(values)])).tolist() == alone.tolist()


def test_a_sum_halfway_between_two_floats_goes_to_the_even_one_unless_something_follows():
    one, half = 2.0**53, 1.0
    for rest, wanted in ((0.0, one), (2.0**-900, one + 2), (-(2.0**-900), one), (2.0**-1074, one + 2)):
        for sign in (1, -1):
            values = np.array([one, half, rest]) * sign
            sums = ExactSums(values)
            assert sums.between(np.array([0]), np.array([3])).tolist() == [sign * wanted]
            assert sums.one(0, 3) == sign * wanted


def test_many_values_of_all_magnitudes():
    rng = np.random.default_rng(0)
    values = rng.normal(size=4000) * 2.0 ** rng.integers(-200, 200, 4000)
    values = np.concatenate([values, -values[::-1]])
    since = rng.integers(0, values.size, 300)
    until = rng.integers(since, values.size + 1)
    wanted = [math.fsum(values[a:b]) for a, b in zip(since, until, strict=True)]
    sums = ExactSums(values)
    assert sums.between(since, until).tolist() == wanted
    assert [sums.one(int(a), int(b)) for a, b in zip(since, until, strict=True)] == wanted


def test_nothing_sums_to_nothing():
    for values in (np.zeros(0), np.zeros(3)):
        assert ExactSums(values).between(np.array([0]), np.array([values.size])).tolist() == [0.0]
        assert ExactSums(values).one(0, values.size) == 0.0
        assert ExactSums(values).nbytes == 0


def test_a_sum_beyond_any_float_is_infinite():
    sums = ExactSums(np.array([1.7e308, 1.7e308, -1.7e308, -1.7e308, -1.7e308]))
    assert (sums.one(0, 2), sums.one(2, 5), sums.one(0, 5)) == (math.inf, -math.inf, -1.7e308)
    with np.errstate(over="ignore"):
        assert sums.between(np.array([0, 2, 0]), np.array([2, 5, 5])).tolist() == [math.inf, -math.inf, -1.7e308]


def test_whole_numbers_need_one_array_of_sums():
    assert ExactSums(np.arange(1000.0)).nbytes == 8 * 1001
    assert ExactSums(np.arange(1000.0) / 3).nbytes > 8 * 1001


@pytest.mark.parametrize("shift", [-900, 0, 900])
def test_units_beyond_the_usual(shift):
    values = np.ldexp(np.array([3.0, 1 / 3, 1e-9]), shift)
    assert ExactSums(values).one(0, 3) == math.fsum(values)
    assert ExactSums(values).between(np.array([0]), np.array([3])).tolist() == [math.fsum(values)]
