"""Metrics against values by hand, intervals against their coverage, slices against polars."""

import json
import math

import numpy as np
import polars as pl
import pytest

from ml_assets.core.errors import TrainingError
from ml_assets.core.evaluation import GROUPS, evaluate, losses, paired_bootstrap, regression_metrics

LABEL = np.array([10.0, 20.0, 30.0, 40.0])
SCORES = np.array([12.0, 19.0, 30.0, 45.0])


def test_metrics_by_hand():
    assert regression_metrics(LABEL, SCORES) == pytest.approx(
        {
            "mae": 2.0,
            "median_ae": 1.5,
            "rmse": math.sqrt(30 / 4),
            "bias": 1.5,
            "r2": 1 - 30 / 500,
            "mape": (0.2 + 0.05 + 0 + 0.125) / 4,
        }
    )


def test_metrics_are_left_out_where_they_mean_nothing():
    assert "mape" not in regression_metrics(np.array([0.0, 1.0]), np.array([1.0, 1.0]))
    assert "r2" not in regression_metrics(np.array([2.0, 2.0]), np.array([1.0, 3.0]))


def test_losses_have_the_metric_as_their_mean():
    metrics = regression_metrics(LABEL, SCORES)
    assert losses("mae", LABEL, SCORES).mean() == pytest.approx(metrics["mae"])
    assert math.sqrt(losses("rmse", LABEL, SCORES).mean()) == pytest.approx(metrics["rmse"])


@pytest.mark.parametrize("rows", [300, 5 * GROUPS + 1])
def test_an_interval_is_as_wide_as_theory_says(rows):
    a, b = np.random.default_rng(1).gamma(2, 1, (2, rows))
    found = paired_bootstrap(a, b, seed=0)
    error = 1.96 * np.std(a - b) / math.sqrt(rows)
    assert found.estimate == pytest.approx((a - b).mean())
    assert found.high - found.estimate == pytest.approx(error, rel=0.15)
    assert found.estimate - found.low == pytest.approx(error, rel=0.15)
    assert found == paired_bootstrap(a, b, seed=0)
    assert found != paired_bootstrap(a, b, seed=1)


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(7)
    covered = 0
    for trial in range(200):
        a, b = rng.exponential(1, (2, 150))
        interval = paired_bootstrap(a, b, seed=trial, draws=200)
        covered += interval.low <= 0 <= interval.high
    assert 180 <= covered <= 199


def test_pairs_make_a_small_difference_visible():
    difficulty = np.random.default_rng(3).gamma(2, 5, 2000)
    found = paired_bootstrap(difficulty, difficulty + np.random.default_rng(4).normal(0.2, 0.5, 2000), seed=0)
    assert found.high < 0


@pytest.mark.parametrize(("a", "b"), [(np.zeros(0), np.zeros(0)), (np.zeros(3), np.zeros(2))])
def test_losses_of_other_rows_are_refused(a, b):
    with pytest.raises(TrainingError, match=f"{a.size} and {b.size} losses"):
        paired_bootstrap(a, b, seed=0)


@pytest.fixture
def judged():
    rng = np.random.default_rng(5)
    label = rng.gamma(2, 7, 900) + 1
    holdout = pl.DataFrame(
        {
            "label": label,
            "slice_hour": rng.integers(0, 24, 900).astype(float),
            "slice_zone": [None if i % 9 == 0 else f"z{i % 4}" for i in range(900)],
        }
    )
    predictions = {
        "candidate": label + rng.normal(0, 2, 900),
        "champion": label + rng.normal(0, 3, 900),
        "naive": np.full(900, 13.0),
    }
    return holdout, predictions


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_contenders_on_the_same_rows(judged, metric):
    holdout, predictions = judged
    report = evaluate(holdout, predictions, metric=metric, slices=["hour", "zone"], seed=0)
    assert report.rows == 900
    assert report.metrics["naive"] == regression_metrics(holdout["label"].to_numpy(), predictions["naive"])
    assert set(report.differences) == {"champion", "naive"}
    assert report.differences["naive"].high < report.differences["champion"].high < 0
    assert json.loads(json.dumps(report.to_json(), allow_nan=False)) == report.to_json()

    error = pl.col("candidate") - pl.col("label")
    expected = error.abs().mean() if metric == "mae" else (error**2).mean().sqrt()
    by_zone = holdout.with_columns(candidate=predictions["candidate"]).group_by("slice_zone").agg(pl.len(), expected)
    for zone, rows, value in by_zone.iter_rows():
        found = report.slices["zone"]["missing" if zone is None else zone]
        assert found["rows"] == rows
        assert found["candidate"] == pytest.approx(value)
    assert set(report.slices["hour"]) == {str(hour) for hour in range(24)}
    assert sum(s["rows"] for s in report.slices["hour"].values()) == 900


def test_a_worse_candidate_is_seen_as_worse(judged):
    holdout, predictions = judged
    turned = {"candidate": predictions["naive"], "naive": predictions["candidate"]}
    assert evaluate(holdout, turned, metric="mae", slices=[], seed=0).differences["naive"].low > 0
