"""Which metrics decide, and what predictions must be like to be measured."""

from typing import get_args

import numpy as np
import pytest

from ml_assets.core.errors import ContractError
from ml_assets.core.metrics import DECIDING_OF, Deciding, losses, metric_of_loss, metrics_of, require_scores

LABEL, CHANCE = np.array([0.0, 1.0, 1.0]), np.array([0.2, 0.7, 0.9])
WIDE = np.array([[0.5, 0.5, 0.0], [0.1, 0.8, 0.1], [0.2, 0.3, 0.5]])
PREDICTIONS = {"regression": CHANCE, "binary": CHANCE, "multiclass": WIDE}


@pytest.mark.parametrize(("task", "metric"), [(t, m) for t, metrics in DECIDING_OF.items() for m in metrics])
def test_a_deciding_metric_is_the_mean_of_its_losses(task, metric):
    prediction = PREDICTIONS[task]
    alpha = 0.8 if metric == "pinball" else None
    found = losses(metric, LABEL, prediction, alpha=alpha)
    assert found.shape == (3,)
    assert (found >= 0).all()
    whole = metrics_of(task, LABEL, prediction, alpha=alpha)
    assert metric_of_loss(metric, found.mean()) == pytest.approx(whole[metric])


def test_every_deciding_metric_belongs_to_a_task():
    assert {m for metrics in DECIDING_OF.values() for m in metrics} == set(get_args(Deciding))


@pytest.mark.parametrize("metric", ["auc", "r2", "pinball", ""])
def test_a_metric_that_can_not_decide_is_refused(metric):
    with pytest.raises(ContractError, match=r"evaluation\.metric"):
        losses(metric, LABEL, CHANCE)


@pytest.mark.parametrize(
    ("task", "label", "prediction", "found"),
    [
        ("regression", LABEL, CHANCE[:2], "predictions of shape [2] for 3 labels"),
        ("regression", LABEL, WIDE, "predictions of shape [3, 3] for 3 labels"),
        ("regression", LABEL[:0], CHANCE[:0], "labels of shape [0]"),
        ("regression", np.array([1.0, np.nan, np.inf]), CHANCE, "2 labels are missing or infinite"),
        ("regression", LABEL, np.array([1.0, np.nan, -np.inf]), "2 predictions are missing or infinite"),
        ("binary", LABEL, np.array([0.5, 1.01, -0.01]), "2 predictions are outside 0 to 1"),
        ("binary", np.array([0.0, 1.0, 2.0]), CHANCE, "1 labels are none of 0 to 1"),
        ("binary", np.array([0.0, 1.0, 0.5]), CHANCE, "1 labels are none of 0 to 1"),
        ("binary", LABEL, WIDE, "predictions of shape [3, 3] for 3 labels"),
        ("multiclass", LABEL, CHANCE, "predictions of shape [3] for 3 labels"),
        ("multiclass", np.array([0.0, 3.0, 1.0]), WIDE, "1 labels are none of 0 to 2"),
        ("multiclass", LABEL, WIDE * 0.9, "3 rows are not 1 in sum"),
    ],
)
def test_what_is_no_prediction_of_the_task_is_refused(task, label, prediction, found):
    with pytest.raises(ContractError) as caught:
        require_scores(task, label, prediction, "candidate")
    assert caught.value.found == [found]
    assert "candidate" in caught.value.thing
    with pytest.raises(ContractError):
        metrics_of(task, label, prediction)


def test_all_mismatches_are_listed():
    with pytest.raises(ContractError) as caught:
        require_scores("binary", np.array([7.0, 1.0]), np.array([0.5, 1.5]))
    assert len(caught.value.found) == 2


def test_the_rounding_of_float32_is_let_pass():
    require_scores("multiclass", LABEL, WIDE.astype(np.float32).astype(np.float64))
