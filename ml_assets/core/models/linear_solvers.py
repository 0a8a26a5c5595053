"""Coefficients that minimise a loss on a design matrix, by scikit-learn on one thread, rounded to ten digits.

What becomes of them is in `linear`. One thread, since BLAS adds up in another order on two.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ml_assets.core.encoding import Floats
from ml_assets.core.errors import TrainingError
from ml_assets.core.models.labels import mean_loss
from ml_assets.core.models.linear_params import LinearParams
from ml_assets.core.models.one_thread import one_thread

_MOST_ROUNDS = 100
_STANDS_STILL = 1e-6
"""Share of the loss that a round must gain, or it is the last."""
_NEWTON_UNKNOWNS = 500
"""Coefficients of all classes up to which their matrix of second derivatives is cheaper than L-BFGS's many steps."""


@dataclass(frozen=True, eq=False)
class Solution:
    """Coefficients.

    Args:
        coefficients: `[outputs, columns]`.
        intercepts: `[outputs]`.
        present: classes of the outputs; empty where there are none.
    """

    coefficients: Floats
    intercepts: Floats
    present: tuple[int, ...] = ()


def solve(matrix: Floats, label: Floats, params: LinearParams, weights: Floats | None) -> Solution:
    """Minimise the objective's loss and the penalty over coefficients.

    Args:
        matrix: `[rows, columns]`, at least one row.
        label: `[rows]`.
        params: objective, alpha and l2.
        weights: how much each row counts; None: all alike.

    Raises:
        TrainingError: there is no column in which training rows differ.
    """
    if not matrix.shape[1]:
        raise TrainingError(
            f"training on {len(label)} rows",
            found="no feature in which they differ",
            expected="features that separate the label",
            cure="add rows or features",
        )
    with one_thread():
        if params.task != "regression":
            found = _logistic(matrix, label, params, weights)
        elif params.objective == "poisson":
            found = _poisson(matrix, label, params, weights)
        else:
            found = _reweighted(matrix, label, params, weights)
    return Solution(_rounded(found.coefficients), _rounded(found.intercepts), found.present)


def _reweighted(matrix: Floats, label: Floats, params: LinearParams, weights: Floats | None) -> Solution:
    """Iteratively reweighted ridge regression.

    Hunter and Lange 2000, Quantile regression via an MM algorithm, for l1 and quantile: each round minimises a
    parabola that touches the loss from above, so no round makes it worse. Huber's weights are those of Huber 1964.
    """
    solution = _ridge(matrix, label, params.l2, weights)
    alpha = params.alpha_or_default
    if params.objective == "l2":
        return solution
    given = np.ones(len(label)) if weights is None else weights
    error = _errors(matrix, label, solution)
    loss = _loss(params, error, given)
    # An error of 0 must not weigh infinitely; of a hundredth of the usual error the loss is no longer sharp.
    blunt = 0.01 * float(np.median(np.abs(error))) or 1e-9 * float(np.std(label))
    for _ in range(_MOST_ROUNDS):
        if params.objective == "huber":
            bound = alpha or 0.0
            factor, target = bound / np.maximum(np.abs(error), bound), label
        else:
            quantile = 0.5 if alpha is None else alpha
            factor = 1 / (blunt + np.abs(error))
            target = label + (2 * quantile - 1) * (blunt + np.abs(error))
        solution = _ridge(matrix, target, params.l2, factor * given)
        error = _errors(matrix, label, solution)
        before, loss = loss, _loss(params, error, given)
        if before - loss <= _STANDS_STILL * before:
            break
    return solution


def _ridge(matrix: Floats, label: Floats, l2: float, weights: Floats | None) -> Solution:
    from sklearn.linear_model import Ridge

    return _as_solution(Ridge(alpha=l2, solver="cholesky").fit(matrix, label, sample_weight=weights))


def _poisson(matrix: Floats, label: Floats, params: LinearParams, weights: Floats | None) -> Solution:
    from sklearn.linear_model import PoissonRegressor

    penalty = params.l2 / (len(label) if weights is None else float(weights.sum()))
    regressor = PoissonRegressor(alpha=penalty, solver="newton-cholesky", max_iter=1000)
    return _as_solution(regressor.fit(matrix, label, sample_weight=weights))


def _logistic(matrix: Floats, label: Floats, params: LinearParams, weights: Floats | None) -> Solution:
    from sklearn.linear_model import LogisticRegression

    classes = np.unique(label)
    newton = len(classes) == 2 or matrix.shape[1] * len(classes) <= _NEWTON_UNKNOWNS
    solver = "newton-cholesky" if newton else "lbfgs"
    fitted = LogisticRegression(C=1 / params.l2, solver=solver, max_iter=10_000).fit(
        matrix, label, sample_weight=weights
    )
    found = _as_solution(fitted, tuple(int(c) for c in fitted.classes_))
    if params.objective == "multiclass" and len(classes) == 2:
        zeros = np.zeros_like(found.coefficients)
        return Solution(
            np.vstack([zeros, found.coefficients]), np.concatenate([[0.0], found.intercepts]), found.present
        )
    return found


def _as_solution(fitted: Any, present: tuple[int, ...] = ()) -> Solution:
    return Solution(np.atleast_2d(fitted.coef_), np.atleast_1d(fitted.intercept_), present)


def _errors(matrix: Floats, label: Floats, solution: Solution) -> Floats:
    errors: Floats = label - matrix @ solution.coefficients[0] - solution.intercepts[0]
    return errors


def _loss(params: LinearParams, error: Floats, weights: Floats) -> float:
    alpha = params.alpha_or_default
    return mean_loss(params.objective, error, np.zeros_like(error), weights=weights, alpha=alpha)


def _rounded(values: Floats) -> Floats:
    """To ten significant digits: what is beyond is the machine's and not the data's."""
    return np.array([float(f"{v:.10g}") for v in values.ravel()]).reshape(values.shape)
