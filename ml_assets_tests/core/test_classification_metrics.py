"""Metrics of classification: by hand, and against scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.classification_metrics import EPSILON, Costs, binary_measures, likeliest
from ml_assets.core.metrics import losses, metrics_of

RNG = np.random.default_rng(0)
CHANCE = RNG.beta(0.6, 1.5, 800).round(2)
LABEL = (RNG.random(800) < CHANCE).astype(float)
WIDE = RNG.dirichlet([1.0, 2.0, 0.5], 600)
CLASS = np.array([RNG.choice(3, p=row) for row in WIDE], dtype=float)


def test_by_hand():
    label, probability = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.8, 0.6, 0.4, 0.2])
    found = metrics_of("binary", label, probability)
    assert found["log_loss"] == pytest.approx(-(2 * math.log(0.8) + 2 * math.log(0.4)) / 4)
    assert found["brier"] == pytest.approx((0.04 + 0.36 + 0.36 + 0.04) / 4)
    assert found["bias"] == pytest.approx(0.0)
    assert found["accuracy"] == pytest.approx(0.5)
    assert found["auc"] == pytest.approx(3 / 4)
    assert found["average_precision"] == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert found["calibration_error"] == pytest.approx((0.2 + 0.6 + 0.6 + 0.2) / 4), "a bin for each row"
    assert (found["precision"], found["recall"], found["cost"]) == pytest.approx((1 / 2, 1 / 2, 2 / 4))


def test_binary_metrics_agree_with_scikit_learn():
    from sklearn import metrics as oracle

    found = metrics_of("binary", LABEL, CHANCE)
    answer = CHANCE > 0.5
    expected = {
        "log_loss": oracle.log_loss(LABEL, CHANCE),
        "brier": oracle.brier_score_loss(LABEL, CHANCE),
        "auc": oracle.roc_auc_score(LABEL, CHANCE),
        "average_precision": oracle.average_precision_score(LABEL, CHANCE),
        "accuracy": oracle.accuracy_score(LABEL, answer),
        "precision": oracle.precision_score(LABEL, answer),
        "recall": oracle.recall_score(LABEL, answer),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert len(np.unique(CHANCE)) < 200, "scores are tied"


def test_multiclass_metrics_agree_with_scikit_learn():
    from sklearn import metrics as oracle

    found = metrics_of("multiclass", CLASS, WIDE)
    one_hot = np.eye(3)[CLASS.astype(int)]
    expected = {
        "log_loss": oracle.log_loss(CLASS, WIDE, labels=[0, 1, 2]),
        "brier": oracle.brier_score_loss(CLASS, WIDE, labels=[0, 1, 2]),
        "auc": oracle.roc_auc_score(CLASS, WIDE, multi_class="ovr", average="macro"),
        "average_precision": oracle.average_precision_score(one_hot, WIDE, average="macro"),
        "accuracy": oracle.accuracy_score(CLASS, WIDE.argmax(axis=1)),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert metrics_of("multiclass", CLASS, WIDE)["bias"] == pytest.approx(WIDE.max(axis=1).mean() - found["accuracy"])


def test_two_classes_are_a_binary_problem():
    two = np.column_stack([1 - CHANCE, CHANCE])
    wide, narrow = metrics_of("multiclass", LABEL, two), metrics_of("binary", LABEL, CHANCE)
    assert wide["log_loss"] == pytest.approx(narrow["log_loss"])
    assert wide["brier"] == pytest.approx(2 * narrow["brier"])
    assert wide["auc"] == pytest.approx(narrow["auc"])


def test_a_sure_and_wrong_answer_costs_what_the_epsilon_says():
    from sklearn.metrics import log_loss

    label, sure = np.array([1.0, 0.0]), np.array([0.0, 0.0])
    found = losses("log_loss", label, sure)
    assert found == pytest.approx([-math.log(EPSILON), 0.0])
    assert found.mean() == pytest.approx(log_loss(label, sure, labels=[0, 1]), abs=1e-9)
    assert losses("log_loss", label, np.array([[1.0, 0.0], [1.0, 0.0]])) == pytest.approx(found)


@pytest.mark.parametrize(("yes", "no", "threshold"), [(1, 1, 0.5), (1, 3, 0.25), (9, 1, 0.9)])
def test_the_threshold_is_where_costs_are_least(yes, no, threshold):
    costs = Costs(false_positive=yes, false_negative=no)
    assert costs.threshold == pytest.approx(threshold)
    chance = RNG.random(20_000)
    label = (RNG.random(20_000) < chance).astype(float)

    def cost(at: float) -> float:
        return float((yes * ((chance > at) & (label == 0)) + no * ((chance <= at) & (label == 1))).mean())

    found = metrics_of("binary", label, chance, costs=costs)
    assert found["cost"] == pytest.approx(cost(threshold))
    assert all(found["cost"] < cost(other) for other in (threshold - 0.15, threshold + 0.09))


def test_what_is_not_defined_is_left_out():
    none, all_ones = np.zeros(3), np.ones(3)
    low = np.full(3, 0.1)
    found = metrics_of("binary", none, low)
    assert not {"auc", "average_precision", "recall", "precision"} & found.keys()
    assert found["calibration_error"] == pytest.approx(0.1)
    assert {"recall"} == {"auc", "recall", "precision"} & metrics_of("binary", all_ones, low).keys()
    one_class = metrics_of("multiclass", none, np.full((3, 3), 1 / 3))
    assert not {"auc", "average_precision"} & one_class.keys()


def test_a_class_that_no_row_has_is_left_out_of_the_mean():
    some = CLASS < 2
    label, probability = CLASS[some], WIDE[some]
    from sklearn.metrics import roc_auc_score

    expected = np.mean([roc_auc_score(label == k, probability[:, k]) for k in (0, 1)])
    assert metrics_of("multiclass", label, probability)["auc"] == pytest.approx(expected, abs=1e-9)


def test_equal_scores_are_no_ranking():
    found = metrics_of("binary", LABEL, np.full(800, 0.3))
    assert found["auc"] == pytest.approx(0.5)
    assert found["average_precision"] == pytest.approx(LABEL.mean())


def test_the_first_of_equally_likely_classes_answers():
    sure, right = likeliest(np.array([0.0, 1.0]), np.array([[0.5, 0.5], [0.5, 0.5]]))
    assert (sure.tolist(), right.tolist()) == ([0.5, 0.5], [1.0, 0.0])


ROWS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=25)


@settings(deadline=None, max_examples=80)
@given(ROWS)
def test_ranks_by_weight_are_those_of_repeated_rows(rows):
    label, fifths, weights = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    if not 0 < label.sum() < len(label):
        return
    kept = np.repeat(np.arange(len(rows)), weights.astype(int))
    measures = binary_measures(label, fifths / 5, costs=Costs())
    repeated = binary_measures(label[kept], fifths[kept] / 5, costs=Costs()) if kept.size else {}
    for name in ("auc", "average_precision"):
        found = measures[name].on(np.arange(len(rows)))(weights)
        if name in repeated:
            assert found == pytest.approx(repeated[name].value()), name
        elif name == "auc":
            assert math.isnan(found)
