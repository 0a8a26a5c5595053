"""How far predicted numbers are from true ones: metrics of regression, and the loss of each row.

Which of them decides, and what predictions must be like, is in `metrics`.
"""

import numpy as np

from ml_assets.core.measures import ByWeight, Floats, Measure, OfMeans, OfOrder, mean_of


def regression_measures(label: Floats, prediction: Floats, *, alpha: float | None = None) -> dict[str, Measure]:
    """The metrics of regression that are defined on these rows.

    Args:
        label: `[rows]`, finite, at least one.
        prediction: `[rows]`, finite, in the label's unit.
        alpha: the quantile that is predicted, 0 to 1; None for none.

    Returns:
        `mae`, `median_ae`, `rmse` and `bias` (mean of prediction minus label) in the label's unit; `r2`, where the
        labels differ; `mape` as a share of the label, where no label is 0; with `alpha`, `pinball` (Koenker and
        Bassett 1978) in the label's unit and `coverage`, the share of labels at or below their prediction.
    """
    error = prediction - label
    absolute = np.abs(error)
    measures: dict[str, Measure] = {
        "mae": mean_of(absolute),
        "median_ae": OfOrder(label, prediction, _median_error, (0.0, np.inf)),
        "rmse": OfMeans((error**2,), _root),
        "bias": mean_of(error),
    }
    centred = label - label.mean()
    # The mean of equal labels may differ from them by rounding: a spread above 0 is not enough.
    if label.min() < label.max() and (centred**2).mean() > 0:
        measures["r2"] = OfMeans((error**2, centred, centred**2), _explained)
    if np.all(label != 0):
        measures["mape"] = mean_of(absolute / np.abs(label))
    if alpha is not None:
        measures["pinball"] = mean_of(pinball_losses(label, prediction, alpha=alpha))
        measures["coverage"] = mean_of((label <= prediction).astype(np.float64))
    return measures


def pinball_losses(label: Floats, prediction: Floats, *, alpha: float) -> Floats:
    """`alpha` of what the label lies above its prediction, or `1 - alpha` of what it lies below, `[rows]`.

    >>> pinball_losses(np.array([10.0, 10.0]), np.array([8.0, 12.0]), alpha=0.75)
    array([1.5, 0.5])
    """
    above = label - prediction
    loss: Floats = np.maximum(alpha * above, (alpha - 1) * above)
    return loss


def _root(means: Floats) -> Floats:
    root: Floats = np.sqrt(means[..., 0])
    return root


def _explained(means: Floats) -> Floats:
    spread = means[..., 2] - means[..., 1] ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        share: Floats = np.where(spread > 0, 1 - means[..., 0] / spread, np.nan)
    return share


def _median_error(label: Floats, prediction: Floats) -> ByWeight:
    absolute = np.abs(prediction - label)
    order = np.argsort(absolute, kind="stable")
    ascending = absolute[order]

    def median(weights: Floats) -> float:
        reached = np.cumsum(weights[order])
        half = reached[-1] / 2
        at = int(np.searchsorted(reached, half))
        # Exactly half of the weight lies at or below: the median is between this row and the next that counts.
        next_one = int(np.searchsorted(reached, half, side="right")) if reached[at] == half else at
        return float((ascending[at] + ascending[min(next_one, len(ascending) - 1)]) / 2)

    return median
