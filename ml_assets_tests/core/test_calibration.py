"""Bins without look at labels, calibration errors by hand, and what chance alone does to a calibrated model."""

import json

import numpy as np
import pytest

from ml_assets.core import calibration
from ml_assets.core.bootstrap import Interval
from ml_assets.core.calibration import bins_of, calibration_of, expected_by_chance

BIAS = Interval(0.0, -0.1, 0.1)


def test_bins_have_about_the_same_number_of_rows():
    counts = np.bincount(bins_of(np.random.default_rng(0).random(1003), 10))
    assert len(counts) == 10
    assert counts.max() - counts.min() <= 1


def test_equal_probabilities_are_in_one_bin():
    probability = np.array([0.1] * 70 + [0.4] * 20 + [0.9] * 10)
    assert set(zip(probability, bins_of(probability), strict=True)) == {(0.1, 0), (0.4, 1), (0.9, 2)}
    assert bins_of(np.full(5, 0.3)).tolist() == [0] * 5


def test_bins_do_not_depend_on_the_order_of_rows():
    probability = np.random.default_rng(1).beta(1, 3, 500).round(2)
    order = np.random.default_rng(2).permutation(500)
    assert (bins_of(probability)[order] == bins_of(probability[order])).all()


def test_by_hand():
    probability = np.array([0.1] * 50 + [0.8] * 50)
    label = np.array([1.0] * 10 + [0.0] * 40 + [1.0] * 30 + [0.0] * 20)
    found = calibration_of(label, probability, bias=BIAS, seed=0)
    assert found.bins[0] == {"predicted": pytest.approx(0.1), "observed": pytest.approx(0.2), "rows": 50}
    assert found.bins[1] == {"predicted": pytest.approx(0.8), "observed": pytest.approx(0.6), "rows": 50}
    assert found.error == pytest.approx(0.15)
    assert json.loads(json.dumps(found.to_json())) == found.to_json()


@pytest.mark.parametrize("most", [10**6, 100])
def test_a_calibrated_model_is_above_what_chance_explains_in_1_of_20_samples(monkeypatch, most):
    monkeypatch.setattr(calibration, "MOST_ROWS_DRAWN", most)
    rng = np.random.default_rng(3)
    above = 0
    for seed in range(150):
        probability = rng.beta(1, 3, 300)
        label = (rng.random(300) < probability).astype(float)
        bound = expected_by_chance(probability, seed=seed, draws=100)
        above += calibration_of(label, probability, bias=BIAS, seed=0).error > bound
    assert 2 <= above <= 18


def test_a_miscalibrated_model_is_above_it():
    rng = np.random.default_rng(4)
    chance = rng.beta(1, 3, 2000)
    label = (rng.random(2000) < chance).astype(float)
    right = calibration_of(label, chance, bias=BIAS, seed=0)
    wrong = calibration_of(label, np.sqrt(chance), bias=BIAS, seed=0)
    assert right.error <= right.expected_by_chance < wrong.error
    assert wrong.error > 2 * wrong.expected_by_chance


def test_the_seed_decides():
    probability = np.random.default_rng(5).random(400)
    assert expected_by_chance(probability, seed=0) == expected_by_chance(probability, seed=0)
    assert expected_by_chance(probability, seed=0) != expected_by_chance(probability, seed=1)


def test_many_rows_are_drawn_as_few(monkeypatch):
    probability = np.random.default_rng(6).beta(1, 3, 4000)
    few = expected_by_chance(probability, seed=0)
    monkeypatch.setattr(calibration, "MOST_ROWS_DRAWN", 100)
    assert expected_by_chance(probability, seed=0) == pytest.approx(few, rel=0.1)
