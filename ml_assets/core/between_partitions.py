"""How surprising a partition is, given how much the reference's own partitions differ from each other.

Two things make partitions differ: chance, whose size is known from the rows, and seasons, whose size is not. Both
models here average over what that size may be, given the partitions seen (a predictive distribution): half of the
prior says that there is nothing but chance, the other half is spread over all sizes, evenly on a logarithmic scale
above that of chance. Without seasons this ends close to the normal distribution, with seasons close to Student's t.
Higgins, Thompson and Spiegelhalter 2009, A re-evaluation of random-effects meta-analysis.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ml_assets.core.profile_bins import Floats

FEWEST_PARTITIONS = 3
"""With fewer partitions nothing is known of seasons, and chance is all that is allowed for."""
_SIZES = np.r_[0.0, np.logspace(-1.5, 5.0, 40)]
"""Standard deviation between partitions, as a multiple of that by chance."""


def _spread(sizes: Floats) -> Floats:
    """Prior of each size, nought apart: even on a logarithmic scale above chance, less and less below it."""
    return np.where(sizes > 0, sizes / (1 + sizes), 0.0)


def surprise(
    value: float, variance: float, past: Floats, past_variances: Floats, *, only_larger: bool = False
) -> float:
    """P-value of a partition's mean score.

    Args:
        value: the mean score of the partition.
        variance: its variance by chance.
        past: the reference's mean scores, `[partitions]`.
        past_variances: their variances by chance, `[partitions]`.
        only_larger: a small score is no surprise; otherwise the p-value is two-sided.
    """
    from scipy.special import ndtr

    sizes = _SIZES if past.size >= FEWEST_PARTITIONS else _SIZES[:1]
    between = (sizes**2 * past_variances.mean())[:, None]
    precision = 1 / (past_variances + between)
    total = precision.sum(axis=1)
    centre = (precision * past).sum(axis=1) / total
    squares = (precision * (past - centre[:, None]) ** 2).sum(axis=1)
    likelihood = (np.log(precision).sum(axis=1) - np.log(total) - squares) / 2
    weights = _weights(likelihood, _spread(sizes), sizes == 0)
    deviation = np.sqrt(variance + between[:, 0] + 1 / total)
    far = (value - centre) / deviation
    return float(weights @ (ndtr(-far) if only_larger else 2 * ndtr(-np.abs(far))))


@dataclass(frozen=True, eq=False)
class DistanceModel:
    """What Jensen-Shannon distances of a partition from the reference are to be expected without drift.

    By chance alone, 8 ln 2 times the squared distance times `size` is nearly chi-squared (it is Pearson's statistic to
    the second order), and the cube root of chi-squared nearly normal (Wilson and Hilferty 1931). Seasons move that
    normal distribution up and make it wider.

    Args:
        degrees: of freedom: cells that the reference has rows in, less one; at least 1.
        size: 1 / (1 / rows of the partition + 1 / rows of the reference).
        past: distances of the reference's partitions from the rest of it, `[partitions]`.
        past_sizes: as `size`, of these, `[partitions]`.
    """

    degrees: int
    size: float
    past: Floats
    past_sizes: Floats

    def p(self, distance: float) -> float:
        """Chance of a distance at least as large."""
        from scipy.special import ndtr

        centres, deviations, weights = self._mixture
        return float(weights @ ndtr((centres - self._root(distance**2)) / deviations))

    def threshold(self, rate: float) -> float:
        """The distance that is exceeded at this rate, 0 to 1."""
        low, high = 0.0, 1.0
        if self.p(high) > rate:
            return high
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if self.p(middle) > rate else (low, middle)
        return high

    @cached_property
    def _mixture(self) -> tuple[Floats, Floats, Floats]:
        centre, variance = 1 - 2 / (9 * self.degrees), 2 / (9 * self.degrees)
        if self.past.size < FEWEST_PARTITIONS:
            return np.array([centre]), np.array([np.sqrt(variance)]), np.ones(1)
        # The squared distance of other populations does not depend on the rows; what chance adds to it does.
        by_chance = self.degrees * (1 / self.past_sizes - 1 / self.size) / (8 * np.log(2))
        past = self._root(np.maximum(self.past**2 - by_chance, 0.0))
        past_variances = variance * np.maximum(self.size / self.past_sizes, 1.0) ** 2
        # Nothing but chance, then each size of seasons, whose centre follows from the partitions.
        total = past_variances + (_SIZES[1:] ** 2 * variance)[:, None]
        precision = (1 / total).sum(axis=1)
        found = (past / total).sum(axis=1) / precision
        up = np.maximum(found - centre, 0.0) / np.sqrt(variance)
        likelihood = np.r_[
            _log_density(past, np.array([centre]), past_variances[None, :]),
            _log_density(past, np.maximum(found, centre), total)
            + np.log(2 * np.pi / precision) / 2
            - np.log((1 + up) * np.sqrt(variance) * np.log1p(_SIZES[-1])),
        ]
        weights = _weights(likelihood, _spread(_SIZES), _SIZES == 0)
        deviations = np.sqrt(np.r_[variance, variance * (1 + _SIZES[1:] ** 2) + 1 / precision])
        return np.r_[centre, np.maximum(found, centre)], deviations, weights

    def _root(self, squared: Floats | float) -> Floats:
        root: Floats = np.cbrt(8 * np.log(2) * self.size * np.asarray(squared) / self.degrees)
        return root


def _log_density(values: Floats, centres: Floats, variances: Floats) -> Floats:
    """Of all values `[values]` together, for each centre `[models]` and its variances `[models, values]`."""
    squares = (values - centres[:, None]) ** 2 / variances
    density: Floats = -(np.log(2 * np.pi * variances) + squares).sum(axis=1) / 2
    return density


def _weights(log_likelihood: Floats, spread: Floats, nothing: npt.NDArray[np.bool_]) -> Floats:
    """What each size is worth after the partitions were seen: half of the prior on nothing but chance."""
    prior = spread / (2 * spread.sum()) if spread.any() else np.zeros_like(spread)
    prior = prior + np.where(nothing, 0.5, 0.0)
    weights = prior * np.exp(log_likelihood - log_likelihood[prior > 0].max())
    normalised: Floats = weights / weights.sum()
    return normalised
