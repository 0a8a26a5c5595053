"""Metrics of every task: which there are, which may decide, and what predictions must be like to be measured.

The metrics themselves are in `regression_metrics` and `classification_metrics`, their intervals in `bootstrap`.
"""

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ml_assets.core.classification_metrics import (
    Costs,
    binary_log_losses,
    binary_measures,
    multiclass_brier_losses,
    multiclass_log_losses,
    multiclass_measures,
)
from ml_assets.core.errors import ContractError
from ml_assets.core.measures import Floats, Measure
from ml_assets.core.regression_metrics import pinball_losses, regression_measures
from ml_assets.core.tasks import Task

Deciding = Literal["mae", "rmse", "pinball", "log_loss", "brier"]
"""Metrics that may decide; of all of them, lower is better."""
DECIDING_OF: dict[Task, tuple[Deciding, ...]] = {
    "regression": ("mae", "rmse", "pinball"),
    "binary": ("log_loss", "brier"),
    "multiclass": ("log_loss", "brier"),
}
ROUNDING = 1e-4
"""How far the probabilities of a row may be from 1 in sum: some models compute in float32."""


def measures_of(
    task: Task, label: Floats, prediction: Floats, *, alpha: float | None = None, costs: Costs | None = None
) -> dict[str, Measure]:
    """The metrics of a task that are defined on these rows.

    Args:
        task: what kind of problem.
        label: `[rows]`, at least one.
        prediction: as `tasks` says, of the same rows.
        alpha: of a predicted quantile, 0 to 1.
        costs: of wrong answers of a binary classifier.

    Raises:
        ContractError: labels or predictions are not what the task's are; lists all mismatches.
    """
    require_scores(task, label, prediction)
    if task == "regression":
        return regression_measures(label, prediction, alpha=alpha)
    if task == "binary":
        return binary_measures(label, prediction, costs=costs or Costs())
    return multiclass_measures(label, prediction)


def metrics_of(
    task: Task, label: Floats, prediction: Floats, *, alpha: float | None = None, costs: Costs | None = None
) -> dict[str, float]:
    """Metric -> value; see `measures_of`.

    >>> found = metrics_of("regression", np.array([10.0, 20.0]), np.array([11.0, 17.0]))
    >>> found["mae"], found["bias"], round(found["mape"], 3)
    (2.0, -1.0, 0.125)
    """
    return {name: m.value() for name, m in measures_of(task, label, prediction, alpha=alpha, costs=costs).items()}


def losses(metric: str, label: Floats, prediction: Floats, *, alpha: float | None = None) -> Floats:
    """The loss of each row whose mean decides, `[rows]`: of `rmse` the squared error.

    Args:
        metric: one of `Deciding`.
        label: `[rows]`.
        prediction: `[rows]`, or `[rows, classes]` of a multiclass problem.
        alpha: the quantile, for `pinball`.

    Raises:
        ContractError: the metric can't decide, or `pinball` is asked for without `alpha`.
    """
    if metric not in get_args(Deciding) or (metric == "pinball" and alpha is None):
        raise ContractError(
            f"metric {metric}",
            found="no quantile (alpha)" if metric == "pinball" else "a metric that is no mean of losses by row",
            expected=f"one of {', '.join(get_args(Deciding))}, pinball with the quantile that is predicted",
            cure="correct evaluation.metric",
        )
    classes = prediction.ndim == 2
    if metric == "log_loss":
        return multiclass_log_losses(label, prediction) if classes else binary_log_losses(label, prediction)
    if metric == "brier" and classes:
        return multiclass_brier_losses(label, prediction)
    if metric == "pinball":
        return pinball_losses(label, prediction, alpha=alpha or 0.0)
    error: Floats = prediction - label
    return np.abs(error) if metric == "mae" else error**2


def metric_of_loss(metric: str, mean_loss: float) -> float:
    """The metric of rows whose mean loss is given: of `rmse` the root."""
    return float(np.sqrt(mean_loss)) if metric == "rmse" else mean_loss


def require_scores(task: Task, label: Floats, prediction: Floats, who: str = "a contender") -> None:
    """Raise a ContractError that lists every way in which labels or predictions are not those of a task.

    Args:
        task: what kind of problem.
        label: `[rows]`; finite, positions of classes where there are classes.
        prediction: as `tasks` says; finite, of classes between 0 and 1, all of a row 1 in sum.
        who: made the predictions.
    """
    wide = task == "multiclass"
    classes = (prediction.shape[1] if prediction.ndim == 2 else 0) if wide else 2
    wrong = []
    if not label.size or label.ndim != 1:
        wrong.append(f"labels of shape {list(label.shape)}")
    if prediction.ndim != 1 + wide or prediction.shape[0] != label.shape[0]:
        wrong.append(f"predictions of shape {list(prediction.shape)} for {label.size} labels")
    if not wrong:
        wrong += _counted("labels are missing or infinite", ~np.isfinite(label))
        wrong += _counted("predictions are missing or infinite", ~np.isfinite(prediction))
    if not wrong and task != "regression":
        wrong += _counted(f"labels are none of 0 to {classes - 1}", ~np.isin(label, np.arange(classes)))
        wrong += _counted("predictions are outside 0 to 1", (prediction < 0) | (prediction > 1))
        if wide:
            wrong += _counted("rows are not 1 in sum", np.abs(prediction.sum(axis=1) - 1) > ROUNDING)
    if wrong:
        shape = "[rows, classes], which sum to 1" if wide else "[rows]"
        meaning = "finite numbers" if task == "regression" else "probabilities"
        raise ContractError(
            f"predictions of {who}, {task}",
            found=wrong,
            expected=f"{meaning} {shape}, and a label for each row",
            cure="score the rows with `Bundle.predict`, and measure only rows with a mature label",
        )


def _counted(what: str, wrong: npt.NDArray[np.bool_]) -> list[str]:
    count = int(wrong.sum())
    return [f"{count} {what}"] if count else []
