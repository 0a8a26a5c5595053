"""Deciding losses as smooth functions of an ensemble's weights, with their slopes, for `combination_weights`.

The losses themselves are in `ml_assets.core.metrics`.
"""

from collections.abc import Callable, Sequence

import numpy as np

from ml_assets.core.encoding import Floats
from ml_assets.core.tasks import Task

ValueAndSlope = Callable[[Floats], tuple[float, Floats]]
_LEAST = 1e-15
_BLUNT = 0.01
"""Of the usual error: below it the absolute loss is a parabola, so that it has a slope everywhere."""


def smooth_loss(
    inputs: Sequence[Floats], label: Floats, metric: str, task: Task, alpha: float | None, *, stacked: bool = False
) -> ValueAndSlope:
    """Weights (followed by intercepts where stacked) -> the mean loss and its slope.

    Args:
        inputs: of each member `[rows]` or `[rows, classes]`: predictions; logits or logarithms of classes stacked.
        label: `[rows]`.
        metric: a deciding metric; `log_loss` of classes stacked.
        task: the kind of problem.
        alpha: the quantile, for `pinball`.
        stacked: whether intercepts follow and, of classes, a logistic function or softmax.
    """
    if task == "regression":
        return _of_errors(np.column_stack(inputs), label, metric, alpha, stacked=stacked)
    wide = inputs[0] if task == "multiclass" else None
    classes = 2 if wide is None else wide.shape[1]
    true = np.equal(label[:, None], np.arange(classes)).astype(np.float64)
    if stacked:
        # Of two classes: the logit is that of the second, the first one's is 0.
        each = [np.column_stack([np.zeros_like(i), i]) if i.ndim == 1 else i for i in inputs]
        return _softmax(np.stack(each), true, one_intercept=wide is None)
    each = [np.column_stack([1 - i, i]) if i.ndim == 1 else i for i in inputs]
    return _likelihood(np.stack(each), true) if metric == "log_loss" else _squares(np.stack(each), true)


def _of_errors(members: Floats, label: Floats, metric: str, alpha: float | None, *, stacked: bool) -> ValueAndSlope:
    count, rows = members.shape[1], len(label)
    usual = float(np.median(np.abs(label - members.mean(axis=1))))
    blunt, quantile = _BLUNT * usual or _LEAST, 0.5 if alpha is None else alpha

    def value_and_slope(x: Floats) -> tuple[float, Floats]:
        error = label - members @ x[:count] - (float(x[count]) if stacked else 0.0)
        if metric == "rmse":
            value, by_error = float(np.mean(error**2)), 2 * error
        else:
            size = np.sqrt(error**2 + blunt**2)
            lean = quantile - 0.5 if metric == "pinball" else 0.0
            value, by_error = float(np.mean(0.5 * size + lean * error)), 0.5 * error / size + lean
        slope = -(members.T @ by_error) / rows
        return value, np.r_[slope, -by_error.mean()] if stacked else slope

    return value_and_slope


def _likelihood(members: Floats, true: Floats) -> ValueAndSlope:
    of_truth = (members * true).sum(axis=2)

    def value_and_slope(weights: Floats) -> tuple[float, Floats]:
        probability = np.maximum(weights @ of_truth, _LEAST)
        return float(-np.log(probability).mean()), -(of_truth / probability).mean(axis=1)

    return value_and_slope


def _squares(members: Floats, true: Floats) -> ValueAndSlope:
    def value_and_slope(weights: Floats) -> tuple[float, Floats]:
        error = np.tensordot(weights, members, axes=1) - true
        slope: Floats = 2 * (members * error).sum(axis=2).mean(axis=1)
        return float((error**2).sum(axis=1).mean()), slope

    return value_and_slope


def _softmax(members: Floats, true: Floats, *, one_intercept: bool) -> ValueAndSlope:
    count = len(members)

    def value_and_slope(x: Floats) -> tuple[float, Floats]:
        intercepts = np.r_[0.0, x[count:]] if one_intercept else x[count:]
        sums = np.tensordot(x[:count], members, axes=1) + intercepts
        sums -= sums.max(axis=1, keepdims=True)
        total = np.log(np.exp(sums).sum(axis=1, keepdims=True))
        error = np.exp(sums - total) - true
        by_class = error.mean(axis=0)
        slope = (members * error).sum(axis=2).mean(axis=1)
        value = float(((total - sums) * true).sum(axis=1).mean())
        return value, np.r_[slope, by_class[1:] if one_intercept else by_class]

    return value_and_slope
