"""Permutation importance: what the answer rests on has all of it, what it does not rest on has none."""

import numpy as np
import pytest

from ml_assets.core.models.permutation import permutation_importances

MATRIX = np.random.default_rng(0).normal(size=(5000, 4))
LABEL = 3 * MATRIX[:, 0] + MATRIX[:, 2] + MATRIX[:, 3]
GIVEN = {"sources": ["a", "b", "c", "c"], "names": ["a", "b", "c", "d"]}


def loss(rows, label):
    return float(np.mean((3 * rows[:, 0] + rows[:, 2] + rows[:, 3] - label) ** 2))


def test_shares_are_those_of_the_variance():
    found = permutation_importances(loss, MATRIX, LABEL, seed=0, **GIVEN)
    assert list(found) == ["a", "b", "c", "d"]
    assert found["b"] == found["d"] == 0
    # Dealing out a feature doubles its variance in the error: 9 to 1 + 1.
    assert found["a"] / found["c"] == pytest.approx(4.5, rel=0.15)
    assert sum(found.values()) == pytest.approx(1)


def test_it_is_seeded_and_leaves_the_rows_as_they_were():
    before = MATRIX.copy()
    first = permutation_importances(loss, MATRIX, LABEL, seed=0, **GIVEN)
    assert first == permutation_importances(loss, MATRIX, LABEL, seed=0, **GIVEN)
    assert first != permutation_importances(loss, MATRIX, LABEL, seed=1, **GIVEN)
    assert np.array_equal(MATRIX, before)


def test_a_model_that_rests_on_nothing_has_equal_shares():
    found = permutation_importances(lambda rows, label: 1.0, MATRIX, LABEL, seed=0, **GIVEN)
    assert set(found.values()) == {0.25}
