"""Metrics of regression against plain arithmetic."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.metrics import losses, metrics_of
from ml_assets.core.regression_metrics import pinball_losses, regression_measures

VALUES = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))
PAIRS = st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=60)


@settings(deadline=None, max_examples=80)
@given(PAIRS)
def test_metrics_are_those_of_the_formulas(pairs):
    label, prediction = (np.array(column) for column in zip(*pairs, strict=True))
    metrics = metrics_of("regression", label, prediction)
    errors = [p - t for t, p in pairs]
    n = len(pairs)
    expected = {
        "mae": math.fsum(map(abs, errors)) / n,
        "median_ae": statistics.median(map(abs, errors)),
        "rmse": math.sqrt(math.fsum(e * e for e in errors) / n),
        "bias": math.fsum(errors) / n,
    }
    if len(set(label)) > 1:
        mean = math.fsum(label) / n
        expected["r2"] = 1 - math.fsum(e * e for e in errors) / math.fsum((t - mean) ** 2 for t in label)
    if 0 not in label:
        expected["mape"] = math.fsum(abs(e) / abs(t) for e, t in zip(errors, label, strict=True)) / n
    assert metrics.keys() == expected.keys()
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, rel=1e-6, abs=1e-6), name
    assert losses("mae", label, prediction).mean() == pytest.approx(metrics["mae"])
    assert losses("rmse", label, prediction).mean() == pytest.approx(metrics["rmse"] ** 2)


def test_metrics_agree_with_scikit_learn():
    from sklearn import metrics as oracle

    rng = np.random.default_rng(0)
    label = rng.gamma(2, 5, 501)
    prediction = label * rng.normal(1, 0.2, 501)
    found = metrics_of("regression", label, prediction, alpha=0.8)
    expected = {
        "mae": oracle.mean_absolute_error(label, prediction),
        "median_ae": oracle.median_absolute_error(label, prediction),
        "rmse": oracle.root_mean_squared_error(label, prediction),
        "r2": oracle.r2_score(label, prediction),
        "mape": oracle.mean_absolute_percentage_error(label, prediction),
        "pinball": oracle.mean_pinball_loss(label, prediction, alpha=0.8),
        "bias": (prediction - label).mean(),
        "coverage": (label <= prediction).mean(),
    }
    assert found == pytest.approx(expected, abs=1e-9, rel=1e-9)


def test_a_perfect_and_a_constant_prediction():
    label = np.array([1.0, 2.0, 6.0])
    perfect = metrics_of("regression", label, label)
    assert perfect == {"mae": 0, "median_ae": 0, "rmse": 0, "bias": 0, "r2": 1, "mape": 0}
    assert metrics_of("regression", label, np.full(3, 3.0))["r2"] == pytest.approx(0)


def test_no_share_of_a_label_that_is_0():
    label = np.array([0.0, 2.0])
    assert "mape" not in metrics_of("regression", label, label + 1)
    assert "mape" in metrics_of("regression", label + 1, label)


def test_no_r2_where_all_labels_are_the_same():
    label = np.full(3, 0.1)
    assert label.mean() != 0.1, "their mean differs by rounding: that is no spread"
    assert "r2" not in metrics_of("regression", label, label + 1)


def test_a_quantile_pays_for_the_side_it_should_not_be_on():
    label, low, high = np.array([10.0]), np.array([6.0]), np.array([14.0])
    assert pinball_losses(label, low, alpha=0.9) == pytest.approx([3.6])
    assert pinball_losses(label, high, alpha=0.9) == pytest.approx([0.4])
    assert pinball_losses(label, low, alpha=0.5) == pytest.approx(np.abs(low - label) / 2)
    assert {"pinball", "coverage"} <= metrics_of("regression", label, low, alpha=0.9).keys()
    assert not {"pinball", "coverage"} & metrics_of("regression", label, low).keys()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(VALUES, st.integers(0, 3)), min_size=1, max_size=30).filter(lambda x: sum(w for _, w in x)))
def test_a_weighted_median_is_that_of_repeated_rows(rows):
    errors, weights = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    by_weight = regression_measures(np.zeros(len(rows)), errors)["median_ae"].on(np.arange(len(rows)))
    repeated = np.repeat(np.abs(errors), weights.astype(int))
    assert by_weight(weights) == pytest.approx(np.median(repeated))
