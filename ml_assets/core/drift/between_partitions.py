"""How surprising a partition is, given how much the reference's own partitions differ from each other.

Two things make partitions differ: chance, whose size is known from the rows, and seasons, whose size is not. Both
models here average over what that size may be, given the partitions seen (a predictive distribution). Their prior has
a lump on no seasons at all, and spreads the rest over all sizes, evenly on a logarithmic scale above that of chance;
how large the lump is, the columns of a table say together (`share_with_seasons`). Without seasons this ends close to
the normal distribution, with seasons close to Student's t.
Higgins, Thompson and Spiegelhalter 2009, A re-evaluation of random-effects meta-analysis.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ml_assets.core.drift.bins import Floats

FEWEST_PARTITIONS = 3
"""With fewer partitions nothing is known of seasons, and chance is all that is allowed for."""
UNKNOWN = 0.5
"""Share of a table's tests with seasons, as long as no partition was seen."""
SIZES = np.logspace(-1.5, 5.0, 40)
"""Standard deviation between partitions, as a multiple of that by chance."""
_PRIOR = SIZES / (1 + SIZES) / (SIZES / (1 + SIZES)).sum()
_GRID = np.linspace(0.005, 0.995, 100)


def share_with_seasons(factors: Sequence[float]) -> float:
    """Share of a table's tests that have seasons: mean of the posterior, 0 to 1, from an even prior.

    Args:
        factors: logarithms of the Bayes factors of the tests, for seasons; `seasons` of the models.

    >>> share_with_seasons([])
    0.5
    """
    odds = np.exp(np.clip(np.asarray(factors, dtype=np.float64), -700, 700))
    log_likelihood = np.log1p(_GRID[:, None] * (odds - 1)).sum(axis=1)
    weights = np.exp(log_likelihood - log_likelihood.max())
    return round(float(weights @ _GRID / weights.sum()), 12)


@dataclass(frozen=True, eq=False)
class ScoreModel:
    """What mean scores of a partition are to be expected without drift.

    Args:
        variance: of the partition's mean score, by chance.
        past: mean scores of the reference's partitions, `[partitions]`, at least one.
        past_variances: of these, by chance, `[partitions]`.
        only_larger: a small score is no surprise; otherwise p-values are two-sided.
    """

    variance: float
    past: Floats
    past_variances: Floats
    only_larger: bool = False

    @property
    def seasons(self) -> float | None:
        """Logarithm of the Bayes factor for seasons; None where there are too few partitions."""
        return _log_factor(self._mixture[2]) if self._mixture[2].size > 1 else None

    def p(self, value: float, seasonal: float = UNKNOWN) -> float:
        """Chance of a mean score at least as far out.

        Args:
            value: the mean score.
            seasonal: prior probability of seasons.
        """
        from scipy.special import ndtr

        centres, deviations, likelihood = self._mixture
        far = (value - centres) / deviations
        return float(_weights(likelihood, seasonal) @ (ndtr(-far) if self.only_larger else 2 * ndtr(-np.abs(far))))

    @cached_property
    def _mixture(self) -> tuple[Floats, Floats, Floats]:
        """Centres, deviations and log likelihoods: without seasons first, then of each size of them."""
        sizes = np.r_[0.0, SIZES] if self.past.size >= FEWEST_PARTITIONS else np.zeros(1)
        between = (sizes**2 * self.past_variances.mean())[:, None]
        precision = 1 / (self.past_variances + between)
        total = precision.sum(axis=1)
        centres = (precision * self.past).sum(axis=1) / total
        squares = (precision * (self.past - centres[:, None]) ** 2).sum(axis=1)
        likelihood = (np.log(precision).sum(axis=1) - np.log(total) - squares) / 2
        return centres, np.sqrt(self.variance + between[:, 0] + 1 / total), likelihood


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

    @property
    def seasons(self) -> float | None:
        """As of `ScoreModel`."""
        return _log_factor(self._mixture[2]) if self._mixture[2].size > 1 else None

    def p(self, distance: float, seasonal: float = UNKNOWN) -> float:
        """Chance of a distance at least as large; `seasonal` as of `ScoreModel`."""
        return self._chance(distance, _weights(self._mixture[2], seasonal))

    def threshold(self, rate: float, seasonal: float = UNKNOWN) -> float:
        """The distance that is exceeded at this rate, 0 to 1."""
        weights = _weights(self._mixture[2], seasonal)
        low, high = 0.0, 1.0
        if self._chance(high, weights) > rate:
            return high
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if self._chance(middle, weights) > rate else (low, middle)
        return high

    def _chance(self, distance: float, weights: Floats) -> float:
        """As `p`, with the weight of each size of seasons."""
        from scipy.special import ndtr

        centres, deviations, _ = self._mixture
        return float(weights @ ndtr((centres - self._root(distance**2)) / deviations))

    @cached_property
    def _mixture(self) -> tuple[Floats, Floats, Floats]:
        centre, variance = 1 - 2 / (9 * self.degrees), 2 / (9 * self.degrees)
        if self.past.size < FEWEST_PARTITIONS:
            return np.array([centre]), np.array([np.sqrt(variance)]), np.zeros(1)
        # The squared distance of other populations does not depend on the rows; what chance adds to it does.
        by_chance = self.degrees * (1 / self.past_sizes - 1 / self.size) / (8 * np.log(2))
        past = self._root(np.maximum(self.past**2 - by_chance, 0.0))
        past_variances = variance * np.maximum(self.size / self.past_sizes, 1.0) ** 2
        # The centre of each size of seasons follows from the partitions.
        total = past_variances + (SIZES**2 * variance)[:, None]
        precision = (1 / total).sum(axis=1)
        found = np.maximum((past / total).sum(axis=1) / precision, centre)
        up = (found - centre) / np.sqrt(variance)
        of_centre = np.log(2 * np.pi / precision) / 2 - np.log((1 + up) * np.sqrt(variance) * np.log1p(SIZES[-1]))
        without = _log_density(past, np.array([centre]), past_variances[None, :])
        return (
            np.r_[centre, found],
            np.sqrt(variance * np.r_[1.0, 1 + SIZES**2] + np.r_[0.0, 1 / precision]),
            np.r_[without, _log_density(past, found, total) + of_centre],
        )

    def _root(self, squared: Floats | float) -> Floats:
        root: Floats = np.cbrt(8 * np.log(2) * self.size * np.asarray(squared) / self.degrees)
        return root


def _log_density(values: Floats, centres: Floats, variances: Floats) -> Floats:
    """Of all values `[values]` together, for each centre `[models]` and its variances `[models, values]`."""
    squares = (values - centres[:, None]) ** 2 / variances
    density: Floats = -(np.log(2 * np.pi * variances) + squares).sum(axis=1) / 2
    return density


def _log_factor(likelihood: Floats) -> float:
    with_seasons = likelihood[1:]
    return float(with_seasons.max() + np.log(_PRIOR @ np.exp(with_seasons - with_seasons.max())) - likelihood[0])


def _weights(likelihood: Floats, seasonal: float) -> Floats:
    """What each size of seasons is worth after the partitions were seen."""
    prior = np.r_[1 - seasonal, seasonal * _PRIOR] if likelihood.size > 1 else np.ones(1)
    weights = prior * np.exp(likelihood - likelihood.max())
    normalised: Floats = weights / weights.sum()
    return normalised
