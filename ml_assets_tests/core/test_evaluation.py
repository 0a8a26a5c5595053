"""Metrics against plain arithmetic, the interval against repeated samples, slices against the rows."""

import json
import math
import statistics

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core import evaluation
from ml_assets.core.errors import TrainingError
from ml_assets.core.evaluation import GROUPS, by_slice, evaluate, losses, paired_bootstrap, regression_metrics

VALUES = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))
PAIRS = st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=60)


@settings(deadline=None, max_examples=150)
@given(PAIRS)
def test_metrics_are_those_of_the_formulas(pairs):
    label, prediction = (np.array(column) for column in zip(*pairs, strict=True))
    metrics = regression_metrics(label, prediction)
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


def test_a_perfect_and_a_constant_prediction():
    label = np.array([1.0, 2.0, 6.0])
    perfect = regression_metrics(label, label)
    assert perfect == {"mae": 0, "median_ae": 0, "rmse": 0, "bias": 0, "r2": 1, "mape": 0}
    assert regression_metrics(label, np.full(3, 3.0))["r2"] == pytest.approx(0)


def test_no_share_of_a_label_that_is_0():
    label = np.array([0.0, 2.0])
    assert "mape" not in regression_metrics(label, label + 1)
    assert "mape" in regression_metrics(label + 1, label)


def test_no_r2_where_all_labels_are_the_same():
    label = np.full(3, 0.1)
    assert label.mean() != 0.1, "their mean differs by rounding: that is no spread"
    assert "r2" not in regression_metrics(label, label + 1)


def test_the_interval_covers_the_truth_in_19_of_20_samples():
    rng = np.random.default_rng(5)
    truth, covered, repetitions = -0.3, 0, 200
    for seed in range(repetitions):
        theirs = rng.gamma(2, 2, 150)
        ours = theirs + truth + rng.normal(0, 1, 150)
        interval = paired_bootstrap(ours, theirs, seed=seed, draws=300)
        covered += interval.low <= truth <= interval.high
    assert 0.90 <= covered / repetitions <= 0.99


def test_the_interval_is_of_the_pairs_and_not_of_two_samples():
    theirs = np.random.default_rng(1).gamma(2, 20, 500)
    ours = theirs - 0.1 + np.random.default_rng(2).normal(0, 0.2, 500)
    interval = paired_bootstrap(ours, theirs, seed=0)
    assert interval.estimate == pytest.approx((ours - theirs).mean())
    assert -0.2 < interval.low < interval.estimate < interval.high < 0


def test_the_interval_depends_on_the_seed_alone():
    a, b = np.random.default_rng(3).random((2, 400))
    assert paired_bootstrap(a, b, seed=0) == paired_bootstrap(a, b, seed=0)
    assert paired_bootstrap(a, b, seed=0) != paired_bootstrap(a, b, seed=1)
    other_way = paired_bootstrap(b, a, seed=0)
    same = paired_bootstrap(a, b, seed=0)
    assert (-other_way.high, -other_way.low) == pytest.approx((same.low, same.high))


def test_groups_of_rows_agree_with_rows(monkeypatch):
    a, b = np.random.default_rng(4).gamma(2, 2, (2, 4001))
    plain = paired_bootstrap(a, b, seed=0)
    monkeypatch.setattr(evaluation, "GROUPS", 400)
    grouped = paired_bootstrap(a, b, seed=0)
    width = plain.high - plain.low
    assert grouped.estimate == plain.estimate
    assert abs(grouped.low - plain.low) < 0.15 * width
    assert abs(grouped.high - plain.high) < 0.15 * width
    assert grouped != plain


def test_more_rows_than_groups_agree_with_the_normal_approximation():
    difference = np.random.default_rng(6).exponential(3, 2 * GROUPS + 7)
    interval = paired_bootstrap(difference, np.zeros_like(difference), seed=0, draws=300)
    half = 1.96 * difference.std() / math.sqrt(difference.size)
    assert interval.low == pytest.approx(difference.mean() - half, abs=0.25 * half)
    assert interval.high == pytest.approx(difference.mean() + half, abs=0.25 * half)


@pytest.mark.parametrize(("a", "b"), [(3, 4), (0, 0), (1, 5)])
def test_losses_of_other_rows_are_refused(a, b):
    with pytest.raises(TrainingError, match=f"{a} and {b} losses"):
        paired_bootstrap(np.zeros(a), np.zeros(b), seed=0)


HOLDOUT = pl.DataFrame(
    {
        "label": np.random.default_rng(7).gamma(2, 5, 600),
        "slice_hour": [float(i % 5) for i in range(600)],
        "slice_zone": [None if i % 7 == 0 else f"z{i % 3}" for i in range(600)],
    }
)
LABEL = HOLDOUT["label"].to_numpy()
PREDICTIONS = {
    "candidate": LABEL + np.random.default_rng(8).normal(0, 1, 600),
    "champion": LABEL + np.random.default_rng(9).normal(0, 2, 600),
    "naive": np.full(600, np.median(LABEL)),
}


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_contenders_on_the_same_rows(metric):
    report = evaluate(HOLDOUT, PREDICTIONS, metric=metric, slices=["hour", "zone"], seed=0)
    assert report.rows == 600
    assert list(report.metrics) == ["candidate", "champion", "naive"]
    assert list(report.differences) == ["champion", "naive"]
    for who, interval in report.differences.items():
        power = 1 if metric == "mae" else 2
        ours, theirs = (report.metrics[w][metric] ** power for w in ("candidate", who))
        assert interval.estimate == pytest.approx(ours - theirs)
        assert interval.low < interval.high < 0
    assert list(report.slices["hour"]) == ["0", "1", "2", "3", "4"]
    assert set(report.slices["zone"]) == {"missing", "z0", "z1", "z2"}
    for slices in report.slices.values():
        assert sum(s["rows"] for s in slices.values()) == 600
        assert all(set(s) == {"rows", *PREDICTIONS} for s in slices.values())
    rows = np.flatnonzero(HOLDOUT["slice_zone"].is_null().to_numpy())
    alone = regression_metrics(LABEL[rows], PREDICTIONS["champion"][rows])
    assert report.slices["zone"]["missing"]["champion"] == pytest.approx(alone[metric])
    assert json.loads(json.dumps(report.to_json(), allow_nan=False)) == report.to_json()


def test_the_worse_candidate_is_seen():
    swapped = {"candidate": PREDICTIONS["champion"], "champion": PREDICTIONS["candidate"]}
    report = evaluate(HOLDOUT, swapped, metric="mae", slices=[], seed=0)
    assert report.differences["champion"].low > 0
    assert report.slices == {}


def test_a_source_that_writes_missing_itself():
    values = pl.Series(["missing", None, "a", None])
    slices = by_slice(values, np.arange(4.0), {"candidate": np.zeros(4)}, "mae")
    assert slices == {"missing": {"rows": 3, "candidate": pytest.approx(4 / 3)}, "a": {"rows": 1, "candidate": 2}}


@pytest.mark.parametrize("values", [["b", "a"], [2.0, 1.5], [True, False], [2, 1]])
def test_slices_are_in_the_order_of_their_values(values):
    found = by_slice(pl.Series(values), np.zeros(2), {"candidate": np.array([1.0, 2.0])}, "mae")
    assert [s["candidate"] for s in found.values()] == [2, 1]


def test_scores_of_other_rows_are_refused():
    with pytest.raises(ValueError, match="could not be broadcast"):
        evaluate(HOLDOUT, {"candidate": PREDICTIONS["candidate"][:-1]}, metric="mae", slices=[], seed=0)
