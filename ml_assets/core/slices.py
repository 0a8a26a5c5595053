"""Errors broken down by the values of declared columns, and where the candidate is worse than the champion.

Slices that nobody declared are found in `found_slices`; whether one is ruined is decided in `promotion`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from ml_assets.core.bootstrap import COVERAGE, Interval
from ml_assets.core.measures import Floats, Rows
from ml_assets.core.metrics import losses, metric_of_loss

MISSING = "missing"
LEAST_ROWS = 2


@dataclass(frozen=True)
class Sliced:
    """Rows by the value of a column.

    Args:
        values: the values as they are shown, in their order.
        at: position in `values` of each row, `[rows]`.
    """

    values: tuple[str, ...]
    at: Rows

    @classmethod
    def by(cls, column: pl.Series) -> "Sliced":
        """Rows by a column; null counts as `missing`, also where a source itself writes that."""
        ordered = column.rename("value").unique().sort(nulls_last=False)
        shown = [MISSING if value is None else _shown(value) for value in ordered]
        values = tuple(dict.fromkeys(shown))
        position = {value: i for i, value in enumerate(values)}
        places = pl.DataFrame({"value": ordered, "at": [position[s] for s in shown]}, schema_overrides={"at": pl.Int64})
        rows = column.rename("value").to_frame()
        found = rows.join(places, on="value", how="left", nulls_equal=True, maintain_order="left")
        return cls(values, found["at"].to_numpy().astype(np.intp))

    @property
    def rows(self) -> Rows:
        """Rows of each value."""
        return np.bincount(self.at, minlength=len(self.values))

    def means(self, values: Floats) -> Floats:
        """The mean of some values, `[rows]`, by value of the column."""
        means: Floats = np.bincount(self.at, weights=values, minlength=len(self.values)) / self.rows
        return means


def by_slice(sliced: Sliced, loss: Mapping[str, Floats], metric: str) -> dict[str, dict[str, float]]:
    """Value of a slice column -> `rows`, and the deciding metric of each contender on them.

    Args:
        sliced: the rows by that column.
        loss: contender -> the deciding loss of each row.
        metric: which.
    """
    means = {who: sliced.means(values) for who, values in loss.items()}
    return {
        value: {"rows": int(n), **{who: metric_of_loss(metric, float(m[i])) for who, m in means.items()}}
        for i, (value, n) in enumerate(zip(sliced.values, sliced.rows, strict=True))
    }


@dataclass(frozen=True)
class SliceDifference:
    """The candidate's mean loss minus the champion's on one slice.

    Args:
        rows: of the slice.
        interval: of the difference; all those of a report hold together in 95 % of samples.
        loss: the champion's mean loss on the slice.
    """

    rows: int
    interval: Interval
    loss: float

    def to_json(self) -> dict[str, float]:
        """As JSON."""
        return {"rows": self.rows, **self.interval.to_json(), "loss": self.loss}


def slice_differences(
    columns: Mapping[str, Sliced], candidate: Floats, champion: Floats, luck: Floats
) -> dict[str, dict[str, SliceDifference]]:
    """Column -> value -> how much worse the candidate is there, with intervals that hold for all slices at once.

    Student's t by slice, at a level divided by the number of slices (Bonferroni): a bootstrap of a few rows would
    be too sure, and has no percentiles so far out. The variance is at least what `luck` says, since rows of a rare
    class that happen to be alike would otherwise look certain. Values of fewer than `LEAST_ROWS` rows are left out.

    Args:
        columns: the rows by each slice column.
        candidate, champion: the deciding loss of each row.
        luck: variance of each row's difference from its label alone, `[rows]`, see `label_luck`.
    """
    from scipy.special import stdtrit

    difference = candidate - champion
    slices = sum(int((s.rows >= LEAST_ROWS).sum()) for s in columns.values())
    level = 1 - (1 - COVERAGE) / 2 / max(slices, 1)
    found: dict[str, dict[str, SliceDifference]] = {}
    for name, sliced in columns.items():
        rows, mean, loss = sliced.rows, sliced.means(difference), sliced.means(champion)
        squares = np.bincount(sliced.at, weights=(difference - mean[sliced.at]) ** 2, minlength=len(rows))
        variance = np.maximum(squares / np.maximum(rows - 1, 1), sliced.means(luck))
        half = stdtrit(np.maximum(rows - 1, 1), level) * np.sqrt(variance / rows)
        found[name] = {
            value: SliceDifference(
                int(rows[i]),
                Interval(float(mean[i]), float(mean[i] - half[i]), float(mean[i] + half[i])),
                float(loss[i]),
            )
            for i, value in enumerate(sliced.values)
            if rows[i] >= LEAST_ROWS
        }
    return found


def label_luck(metric: str, candidate: Floats, champion: Floats) -> Floats:
    """Variance of each row's loss difference if its label were drawn by the mean of both models' probabilities.

    Args:
        metric: the deciding one.
        candidate, champion: predictions; numbers, probabilities `[rows]`, or `[rows, classes]`.

    Returns:
        float64 `[rows]`; 0 for the metrics of regression, whose labels have no distribution that models tell.
    """
    rows = len(candidate)
    if metric not in ("log_loss", "brier"):
        return np.zeros(rows)
    both = (candidate + champion) / 2
    chances = both if both.ndim == 2 else np.column_stack([1 - both, both])
    per_class = [
        losses(metric, np.full(rows, float(k)), candidate) - losses(metric, np.full(rows, float(k)), champion)
        for k in range(chances.shape[1])
    ]
    outcomes = np.column_stack(per_class)
    mean = (chances * outcomes).sum(axis=1)
    variance: Floats = np.maximum((chances * outcomes**2).sum(axis=1) - mean**2, 0.0)
    return variance


def _shown(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
