"""The weights that combine predictions best, chosen on rows that no member has learnt from.

What they do is in `combination`, the losses they minimise in `combination_losses`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import get_args

import numpy as np

from ml_assets.core.encoding import Floats
from ml_assets.core.errors import ConfigError
from ml_assets.core.metrics import DECIDING_OF, losses, metric_of_loss, require_scores
from ml_assets.core.models.combination import Combination, Method, combined, stacked_input
from ml_assets.core.models.combination_losses import smooth_loss
from ml_assets.core.models.one_thread import one_thread
from ml_assets.core.tasks import Task

_NEGLIGIBLE = 1e-3
"""Weight below which a member is left out: it would cost as much to score as any other."""


def fit_weights(
    out_of_fold: Mapping[str, Floats],
    label: Floats,
    *,
    method: Method,
    task: Task,
    metric: str,
    alpha: float | None = None,
) -> Combination:
    """Choose the weights by predictions for rows that members did not learn from.

    Blending and the stacking of a regression minimise the deciding metric, stacking of classes the log loss. On
    these rows the result is never worse, by the deciding metric, than the best member, which else answers alone.

    Args:
        out_of_fold: member -> its predictions, `[rows]` or `[rows, classes]`.
        label: `[rows]`.
        method: see `Method`.
        task: the kind of problem.
        metric: one of the deciding metrics of the task.
        alpha: the quantile, for `pinball`.

    Raises:
        ConfigError: there is no member, or the method or metric is not one of the task's.
        ContractError: predictions are not what the task's are.
    """
    if not out_of_fold or method not in get_args(Method) or metric not in DECIDING_OF[task]:
        raise ConfigError(
            "ensemble",
            found=f"method {method}, metric {metric} and {len(out_of_fold)} members of a {task}",
            expected=f"members, {' or '.join(get_args(Method))}, and one of {', '.join(DECIDING_OF[task])}",
            cure="correct ensemble.method or evaluation.metric",
        )
    for name, prediction in out_of_fold.items():
        require_scores(task, label, prediction, name)
    names, predictions = list(out_of_fold), list(out_of_fold.values())

    def loss(weights: Sequence[float], intercepts: Sequence[float], how: Method) -> float:
        return float(losses(metric, label, combined(predictions, weights, intercepts, how, task), alpha=alpha).mean())

    alone = [float(losses(metric, label, p, alpha=alpha).mean()) for p in predictions]
    best = int(np.argmin(alone))
    weights, intercepts = _optimum(predictions, label, method, task, metric, alpha)
    together = loss(weights, intercepts, method)
    if not together <= alone[best] or not any(weights):
        # Blending with one weight of 1 gives that member back to the bit.
        method, intercepts, together = "blending", (), alone[best]
        weights = [float(i == best) for i in range(len(names))]
    return Combination(
        method,
        task,
        metric,
        dict(zip(names, weights, strict=True)),
        tuple(intercepts),
        len(label),
        {name: metric_of_loss(metric, value) for name, value in zip(names, alone, strict=True)},
        metric_of_loss(metric, together),
    )


def _optimum(
    predictions: Sequence[Floats], label: Floats, method: Method, task: Task, metric: str, alpha: float | None
) -> tuple[list[float], Sequence[float]]:
    """Weights and intercepts, rounded to what is the data's and not the machine's."""
    count = len(predictions)
    value_and_slope: Callable[[Floats], tuple[float, Floats]]
    if method == "blending":
        value_and_slope, start = smooth_loss(predictions, label, metric, task, alpha), np.full(count, 1 / count)
        found = _minimum(value_and_slope, start, count, sums_to_one=True)
        kept = np.where(found >= _NEGLIGIBLE, found, 0.0)
        weights = [round(float(w), 6) for w in kept / kept.sum()]
        largest = int(np.argmax(weights))
        weights[largest] = round(1.0 - sum(weights[:largest] + weights[largest + 1 :]), 6)
        return weights, ()
    middle, unit = (float(label.mean()), float(label.std()) or 1.0) if task == "regression" else (0.0, 1.0)
    inputs = [stacked_input(p, task) for p in predictions]
    # Centred, so that intercept and weights hardly depend on each other, and in the label's standard deviations.
    centres = [float(i.mean()) if task == "regression" else 0.0 for i in inputs]
    scaled = [(i - centre) / unit for i, centre in zip(inputs, centres, strict=True)]
    stacked_metric = metric if task == "regression" else "log_loss"
    target = (label - middle) / unit if task == "regression" else label
    value_and_slope = smooth_loss(scaled, target, stacked_metric, task, alpha, stacked=True)
    free = predictions[0].shape[1] if task == "multiclass" else 1
    found = _minimum(value_and_slope, np.r_[np.full(count, 1 / count), np.zeros(free)], count, sums_to_one=False)
    weights = [round(float(w), 6) if w >= _NEGLIGIBLE else 0.0 for w in found[:count]]
    moved = middle - sum(w * c for w, c in zip(weights, centres, strict=True))
    # Softmax does not change when all intercepts do: that of the first class is 0.
    first = float(found[count]) if task == "multiclass" else 0.0
    return weights, [float(f"{moved + unit * (float(b) - first):.10g}") for b in found[count:]]


def _minimum(
    value_and_slope: Callable[[Floats], tuple[float, Floats]], start: Floats, weights: int, *, sums_to_one: bool
) -> Floats:
    """Where a convex loss is least with weights of at least 0; what follows the weights is free.

    Sequential least-squares programming (Kraft 1988), deterministic.
    """
    from scipy.optimize import minimize

    slope = np.r_[np.ones(weights), np.zeros(len(start) - weights)]
    constraint = {"type": "eq", "fun": lambda x: float(x[:weights].sum() - 1.0), "jac": lambda _: slope}
    scale = value_and_slope(start)[0] or 1.0

    def scaled(x: Floats) -> tuple[float, Floats]:
        value, gradient = value_and_slope(x)
        return value / scale, gradient / scale

    with one_thread():
        found = minimize(
            scaled,
            start,
            jac=True,
            method="SLSQP",
            bounds=[(0.0, None)] * weights + [(None, None)] * (len(start) - weights),
            constraints=[constraint] if sums_to_one else [],
            options={"ftol": 1e-12, "maxiter": 500},
        )
    least: Floats = np.r_[np.maximum(found.x[:weights], 0.0), found.x[weights:]]
    return least
