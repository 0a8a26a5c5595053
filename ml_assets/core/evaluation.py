"""Metrics, and contenders compared on the same rows: how large the errors are, where, and how sure that is.

What is decided from it is in `promotion`; pictures of it are in `pictures`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from ml_assets.core.errors import TrainingError
from ml_assets.core.features import LABEL, SLICE_PREFIX

Floats = npt.NDArray[np.float64]
DRAWS = 1000
GROUPS = 10_000
COVERAGE = 0.95


def regression_metrics(label: Floats, prediction: Floats) -> dict[str, float]:
    """How far predictions are from labels.

    Args:
        label: `[rows]`, finite, at least one.
        prediction: `[rows]`, in the label's unit.

    Returns:
        `mae`, `median_ae`, `rmse` and `bias` (mean of prediction minus label) in the label's unit; `r2`, where
        the labels differ; `mape` as a share of the label, where no label is 0.

    >>> metrics = regression_metrics(np.array([10.0, 20.0]), np.array([11.0, 17.0]))
    >>> metrics["mae"], metrics["bias"], round(metrics["mape"], 3)
    (2.0, -1.0, 0.125)
    """
    error = prediction - label
    absolute = np.abs(error)
    metrics = {
        "mae": float(absolute.mean()),
        "median_ae": float(np.median(absolute)),
        "rmse": float(np.sqrt((error**2).mean())),
        "bias": float(error.mean()),
    }
    spread = float(((label - label.mean()) ** 2).mean())
    # The mean of equal labels may differ from them by rounding: a spread above 0 is not enough.
    if label.min() < label.max() and spread > 0:
        metrics["r2"] = 1 - metrics["rmse"] ** 2 / spread
    if np.all(label != 0):
        metrics["mape"] = float((absolute / np.abs(label)).mean())
    return metrics


def losses(metric: str, label: Floats, prediction: Floats) -> Floats:
    """The loss of each row whose mean decides: absolute errors for `mae`, squared ones for `rmse`."""
    error = prediction - label
    return np.abs(error) if metric == "mae" else error**2


@dataclass(frozen=True)
class Interval:
    """An estimate with a 95 % interval, in the unit of the loss."""

    estimate: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """As JSON."""
        return {"estimate": self.estimate, "low": self.low, "high": self.high}


def paired_bootstrap(loss_a: Floats, loss_b: Floats, *, seed: int, draws: int = DRAWS) -> Interval:
    """The mean of `loss_a - loss_b` over the same rows, with its percentile bootstrap interval.

    Each draw weighs the rows by independent Poisson(1) counts, which is the bootstrap for many rows (Chamandy
    et al. 2012, Estimating uncertainty for massive data streams). Beyond `GROUPS` rows, random groups of rows
    of equal size (give or take one) are drawn in place of rows, so that cost and memory stay bounded.

    Args:
        loss_a, loss_b: `[rows]`, the same rows in the same order.
        seed: of the draws.
        draws: number of resamples.

    Raises:
        TrainingError: the rows are not the same number, or there are none.
    """
    if loss_a.shape != loss_b.shape or not loss_a.size:
        raise TrainingError(
            "comparison of two models",
            found=f"{loss_a.size} and {loss_b.size} losses",
            expected="the losses of the same rows, at least one",
            cure="compare both models on the same holdout",
        )
    difference = loss_a - loss_b
    rng = np.random.default_rng(seed)
    groups = min(difference.size, GROUPS)
    member = rng.permutation(difference.size) % groups
    sums = np.bincount(member, weights=difference, minlength=groups)
    sizes = np.bincount(member, minlength=groups).astype(np.float64)
    means = []
    for _ in range(draws):
        weights = rng.poisson(1.0, size=groups)
        means.append(float(weights @ sums) / max(float(weights @ sizes), 1.0))
    tail = 100 * (1 - COVERAGE) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return Interval(float(difference.mean()), float(low), float(high))


@dataclass(frozen=True)
class Evaluation:
    """Contenders on the same rows.

    Args:
        rows: rows with a mature label.
        metrics: contender -> metric -> value.
        differences: other contender -> the candidate's loss minus its, below 0 where the candidate is better.
        slices: slice column -> value -> `rows`, and contender -> value of the deciding metric.
    """

    rows: int
    metrics: dict[str, dict[str, float]]
    differences: dict[str, Interval]
    slices: dict[str, dict[str, dict[str, float]]]

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "rows": self.rows,
            "metrics": self.metrics,
            "differences": {who: i.to_json() for who, i in self.differences.items()},
            "slices": self.slices,
        }


def evaluate(
    holdout: pl.DataFrame, predictions: Mapping[str, Floats], *, metric: str, slices: Sequence[str], seed: int
) -> Evaluation:
    """Compare contenders on the holdout.

    Args:
        holdout: rows with `label` and `slice_<name>` columns.
        predictions: contender -> its scores of these rows; the first is the candidate.
        metric: `mae` or `rmse`, which decides.
        slices: columns by which the error is broken down.
        seed: of the bootstrap.
    """
    label = holdout[LABEL].to_numpy()
    candidate, *others = predictions
    loss = {who: losses(metric, label, scores) for who, scores in predictions.items()}
    return Evaluation(
        rows=holdout.height,
        metrics={who: regression_metrics(label, scores) for who, scores in predictions.items()},
        differences={who: paired_bootstrap(loss[candidate], loss[who], seed=seed) for who in others},
        slices={s: by_slice(holdout[SLICE_PREFIX + s], label, predictions, metric) for s in slices},
    )


def by_slice(
    values: pl.Series, label: Floats, predictions: Mapping[str, Floats], metric: str
) -> dict[str, dict[str, float]]:
    """Value of a slice column -> `rows`, and the metric of each contender on them; null counts as `missing`."""
    groups = pl.DataFrame({"value": values, "at": range(len(values))}).group_by("value").agg("at").sort("value")
    rows_of: dict[str, list[int]] = {}
    for value, at in groups.iter_rows():
        # A source may itself write "missing".
        rows_of.setdefault("missing" if value is None else _shown(value), []).extend(at)
    return {
        shown: {
            "rows": len(rows),
            **{who: regression_metrics(label[rows], p[rows])[metric] for who, p in predictions.items()},
        }
        for shown, rows in rows_of.items()
    }


def _shown(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
