"""What a metric is made of, so that it can be computed again on resampled rows.

Which metrics there are is in `regression_metrics` and `classification_metrics`, how rows are drawn again in
`bootstrap`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
ByWeight = Callable[[Floats], float]
"""The metric of some rows, each counted as often as its weight says: float64 `[rows]` -> value."""


@dataclass(frozen=True)
class OfMeans:
    """A metric that is a function of means over the rows, so that sums of groups of rows are enough to resample it.

    Args:
        columns: what is averaged, each `[rows]`.
        combine: means `[..., columns]` -> the metric `[...]`; NaN where it is not defined.
        skewed: resampling shifts it, as an absolute value or a maximum is, so that percentiles would mislead.
        bounds: the values it can have.
    """

    columns: tuple[Floats, ...]
    combine: Callable[[Floats], Floats]
    skewed: bool = False
    bounds: tuple[float, float] = (-np.inf, np.inf)

    def value(self) -> float:
        """The metric of all rows."""
        return float(self.combine(np.array([column.mean() for column in self.columns])))


@dataclass(frozen=True)
class OfOrder:
    """A metric that needs every row in its order: a median, a rank.

    Args:
        label: `[rows]`.
        prediction: `[rows]` or `[rows, classes]`.
        prepare: label and prediction of some rows -> their metric by weight; it sorts once for many weights.
        bounds: the values it can have.
    """

    label: Floats
    prediction: Floats
    prepare: Callable[[Floats, Floats], ByWeight]
    bounds: tuple[float, float]
    skewed: bool = True

    def value(self) -> float:
        """The metric of all rows."""
        return self.prepare(self.label, self.prediction)(np.ones(len(self.label)))

    def on(self, rows: Rows) -> ByWeight:
        """The metric of some rows, by weight."""
        return self.prepare(self.label[rows], self.prediction[rows])


Measure = OfMeans | OfOrder


def mean_of(column: Floats) -> OfMeans:
    """A metric that is a plain mean."""
    return OfMeans((column,), only)


def only(means: Floats) -> Floats:
    """The first of the means."""
    first: Floats = means[..., 0]
    return first


def ratio(means: Floats) -> Floats:
    """The first mean by the second; NaN where that is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share: Floats = np.where(means[..., 1] > 0, means[..., 0] / means[..., 1], np.nan)
    return share
