"""What labels must be for an objective, what its loss is, and how probabilities cover classes nobody has seen.

Curves of all kinds are made of these losses. The metrics that decide are in
`ml_assets.core.metrics`.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from ml_assets.core.encoding import Floats
from ml_assets.core.errors import TrainingError
from ml_assets.core.features import LABEL
from ml_assets.core.metrics import losses
from ml_assets.core.tasks import Task

OBJECTIVE_OF: dict[Task, str] = {"regression": "l2", "binary": "binary", "multiclass": "multiclass"}
"""Task -> objective whose loss is shown where an estimator does not say what it minimises."""


def require_labels(part: str, frame: pl.DataFrame, *, objective: str, classes: int) -> Floats:
    """The labels, float64 `[rows]`.

    Args:
        part: `train` or `validation`; in the first there must be two different labels.
        frame: rows with `label`.
        objective: named as LightGBM's are.
        classes: of a classification.

    Raises:
        TrainingError: there are none, or they are not what the objective needs; lists all mismatches.
    """
    if frame.height == 0 or LABEL not in frame.columns:
        wrong = ["no rows"] if frame.height == 0 else [f"no column {LABEL}"]
        label = np.empty(0)
    else:
        label = frame[LABEL].cast(pl.Float64).fill_null(np.nan).to_numpy()
        unusable = int((~np.isfinite(label)).sum())
        wrong = [f"{unusable} labels are missing or infinite"] if unusable else []
        if objective == "poisson" and (label < 0).any():
            wrong.append("negative labels")
        if objective in OBJECTIVE_OF.values() and objective != "l2" and not np.isin(label, np.arange(classes)).all():
            wrong.append(f"labels that are none of 0 to {classes - 1}")
        if part == "train" and not unusable and (label == label[0]).all():
            wrong.append(f"one label only, {label[0]:g}")
    if wrong:
        demand = {"poisson": " of at least 0", "binary": ", 0 or 1", "multiclass": ", 0, 1, 2, …"}
        raise TrainingError(
            f"{part} rows",
            found=wrong,
            expected=f"rows with a finite label{demand.get(objective, '')}, in training different ones",
            cure="take rows from `split.rows_of`, which leaves out labels that are not known",
        )
    return label


def mean_loss(
    objective: str, label: Floats, scores: Floats, *, weights: Floats | None = None, alpha: float | None = None
) -> float:
    """The loss of an objective, as LightGBM's metric of the same name has it: a mean over rows.

    Args:
        objective: l1, l2, huber, quantile, poisson, binary or multiclass.
        label: `[rows]`.
        scores: `[rows]` or `[rows, classes]`.
        weights: how much each row counts; None: all alike.
        alpha: of huber and quantile.
    """
    named = {"l1": "mae", "l2": "rmse", "quantile": "pinball", "binary": "log_loss", "multiclass": "log_loss"}
    if objective == "huber":
        bound = 0.9 if alpha is None else alpha
        error = np.abs(label - scores)
        by_row: Floats = np.where(error <= bound, 0.5 * error**2, bound * (error - 0.5 * bound))
    elif objective == "poisson":
        by_row = scores - label * np.log(np.maximum(scores, 1e-10))
    else:
        by_row = losses(named[objective], label, scores, alpha=alpha)
    return float(np.average(by_row, weights=weights))


def over_all_classes(seen: Floats, present: Sequence[int], classes: int, rows: int) -> Floats:
    """Probabilities of all classes, `[rows, classes]`, out of those of the classes that training rows have.

    A class without a row is given what Laplace's rule of succession says of it: 1 / (rows + classes).

    Args:
        seen: `[rows, classes present]`, which sum to 1.
        present: which classes those are.
        classes: how many there are.
        rows: training rows.
    """
    if len(present) == classes:
        return seen
    share = 1 / (rows + classes)
    filled: Floats = np.full((len(seen), classes), share)
    filled[:, list(present)] = seen * (1 - (classes - len(present)) * share)
    return filled
