"""Losses by hand, labels that are refused, and classes that nobody has seen."""

import numpy as np
import polars as pl
import pytest

from ml_assets.core.errors import TrainingError
from ml_assets.core.models.labels import mean_loss, over_all_classes, require_labels

LABEL, SCORES = np.array([1.0, 4.0]), np.array([2.0, 1.0])


@pytest.mark.parametrize(
    ("objective", "alpha", "loss"),
    [
        ("l1", None, (1 + 3) / 2),
        ("l2", None, (1 + 9) / 2),
        ("huber", 1.0, (0.5 + (3 - 0.5)) / 2),
        ("quantile", 0.9, (0.1 * 1 + 0.9 * 3) / 2),
        ("poisson", None, ((2 - np.log(2)) + (1 - 0)) / 2),
    ],
)
def test_losses_of_a_regression(objective, alpha, loss):
    assert mean_loss(objective, LABEL, SCORES, alpha=alpha) == pytest.approx(loss)


def test_losses_of_classes_and_rows_that_count_differently():
    probability = np.array([0.25, 0.5])
    one, other = -np.log(0.25), -np.log(0.5)
    assert mean_loss("binary", np.array([1.0, 0.0]), probability) == pytest.approx((one + other) / 2)
    weights = np.array([3.0, 1.0])
    assert mean_loss("binary", np.array([1.0, 0.0]), probability, weights=weights) == pytest.approx(
        (3 * one + other) / 4
    )
    wide = np.array([[0.25, 0.75, 0.0], [0.1, 0.4, 0.5]])
    assert mean_loss("multiclass", np.array([0.0, 2.0]), wide) == pytest.approx((one + other) / 2)


@pytest.mark.parametrize(
    ("label", "objective", "complaint"),
    [
        ([], "l2", "no rows"),
        ([1.0, None, float("nan"), float("inf")], "l2", "3 labels are missing or infinite"),
        ([1.0, -1.0], "poisson", "negative labels"),
        ([0.0, 2.0], "binary", "labels that are none of 0 to 1"),
        ([0.5, 1.0], "multiclass", "labels that are none of 0 to 1"),
        ([2.0, 2.0], "l1", "one label only, 2"),
    ],
)
def test_labels_that_are_refused(label, objective, complaint):
    with pytest.raises(TrainingError, match=complaint):
        require_labels("train", pl.DataFrame({"label": label}), objective=objective, classes=2)


def test_in_validation_one_label_is_enough():
    frame = pl.DataFrame({"label": [2.0, 2.0]})
    assert require_labels("validation", frame, objective="l1", classes=2).tolist() == [2.0, 2.0]
    with pytest.raises(TrainingError, match="no column label"):
        require_labels("validation", frame.rename({"label": "y"}), objective="l1", classes=2)


def test_a_class_that_nobody_has_seen():
    seen = np.array([[0.2, 0.8], [1.0, 0.0]])
    assert np.array_equal(over_all_classes(seen, (0, 1), 2, rows=97), seen)
    filled = over_all_classes(seen, (0, 2), 3, rows=97)
    assert filled[:, 1].tolist() == [0.01, 0.01]
    assert filled.sum(axis=1) == pytest.approx(1)
    assert filled[0, 2] / filled[0, 0] == pytest.approx(4)
