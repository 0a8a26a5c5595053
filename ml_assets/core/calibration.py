"""Whether predicted probabilities mean what they say: bins, and how far off chance alone would put a calibrated model.

The calibration error as a metric with an interval is in `classification_metrics`; a picture of the bins is in
`evaluation_pictures`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ml_assets.core.bootstrap import Interval
from ml_assets.core.measures import Floats, Rows

BINS = 10
DRAWS = 500
MOST_ROWS_DRAWN = 20_000
CHANCE = 0.95


def bins_of(probability: Floats, bins: int = BINS) -> Rows:
    """The bin of each row, 0, 1, …, so that all have about the same number of rows.

    Equal probabilities are in the same bin, whatever their rows' labels, so there may be fewer bins than asked for.

    Args:
        probability: `[rows]`, at least one.
        bins: the most there may be.

    >>> bins_of(np.array([0.1, 0.9, 0.2, 0.9]), 2)
    array([0, 1, 0, 1])
    """
    edges = np.unique(np.quantile(probability, np.arange(1, bins) / bins))
    found = np.searchsorted(edges, probability, side="right")
    numbers: Rows = np.unique(found, return_inverse=True)[1].astype(np.intp)
    return numbers


@dataclass(frozen=True)
class Calibration:
    """Calibration of a classifier; of a multiclass one that of its likeliest class.

    Args:
        bins: `predicted` (mean probability), `observed` (share of class 1) and `rows` of each bin, from low to high.
        error: expected calibration error: the mean distance of the two, by rows.
        expected_by_chance: what 95 % of draws of labels, were the model calibrated, stay at or below.
        bias: mean probability minus share of class 1, with its interval.
    """

    bins: tuple[dict[str, float], ...]
    error: float
    expected_by_chance: float
    bias: Interval

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "bins": [dict(b) for b in self.bins],
            "error": self.error,
            "expected_by_chance": self.expected_by_chance,
            "bias": self.bias.to_json(),
        }


def calibration_of(label: Floats, probability: Floats, *, bias: Interval, seed: int) -> Calibration:
    """The calibration of a classifier on some rows.

    Args:
        label: `[rows]`, 0.0 or 1.0, at least one.
        probability: `[rows]`, of 1.
        bias: mean probability minus share of class 1.
        seed: of the labels that are drawn.
    """
    bins = bins_of(probability)
    rows = np.bincount(bins).astype(np.float64)
    predicted, observed = (np.bincount(bins, weights=values) for values in (probability, label))
    return Calibration(
        bins=tuple(
            {"predicted": float(p / n), "observed": float(o / n), "rows": int(n)}
            for p, o, n in zip(predicted, observed, rows, strict=True)
        ),
        error=float(np.abs(predicted - observed).sum() / rows.sum()),
        expected_by_chance=expected_by_chance(probability, seed=seed),
        bias=bias,
    )


def expected_by_chance(probability: Floats, *, seed: int, draws: int = DRAWS) -> float:
    """The calibration error that a calibrated model stays at or below in 95 % of samples of these rows.

    Labels are drawn by the probabilities themselves (Vaicenavicius et al. 2019, consistency resampling). Beyond
    `MOST_ROWS_DRAWN` rows the sum of each bin is drawn in their place, normal with the variance that theirs have.

    Args:
        probability: `[rows]`, at least one.
        seed: of the draws.
        draws: how many samples.
    """
    rng = np.random.default_rng(seed)
    bins = bins_of(probability)
    count = int(bins.max()) + 1
    if probability.size > MOST_ROWS_DRAWN:
        spread = np.sqrt(np.bincount(bins, weights=probability * (1 - probability)))
        apart = np.abs(rng.normal(0.0, 1.0, size=(draws, count)) * spread).sum(axis=1)
    else:
        apart = np.empty(draws)
        for i in range(draws):
            above = probability - (rng.random(probability.size) < probability)
            apart[i] = np.abs(np.bincount(bins, weights=above, minlength=count)).sum()
    return float(np.quantile(apart / probability.size, CHANCE))
