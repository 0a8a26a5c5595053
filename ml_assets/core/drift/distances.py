"""Distances between two counted samples, as the field defines them, and the classical tests that go with them.

What a distance must exceed to be drift is in `column`: these p-values know of no seasons.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml_assets.core.drift.bins import Floats
from ml_assets.core.drift.counts import UNIT_IN_DEVIATIONS, ColumnCounts

EMPTY_SHARE = 1e-4
"""What an empty cell counts as in the PSI, whose logarithm it would not have; the value Evidently takes."""
Numbers = npt.NDArray[np.int64] | Floats


@dataclass(frozen=True)
class Bounded:
    """A distance of which the cells leave something unknown: the true one is within `error` of `value`.

    Args:
        value: the distance.
        error: 0 where every number is a cell of its own: exact.
    """

    value: float
    error: float


def jensen_shannon(reference: Numbers, current: Numbers) -> Floats:
    """Jensen-Shannon distance: the square root of the divergence in bits, 0 (the same) to 1 (nothing in common).

    Lin 1991, Divergence measures based on the Shannon entropy; Endres and Schindelin 2003, whose root is a metric.

    Args:
        reference: rows in each cell, `[..., cells]`.
        current: rows in each cell, `[..., cells]`.

    Returns:
        float64 `[...]`.

    >>> float(jensen_shannon(np.array([1, 1, 0, 0]), np.array([0, 0, 1, 3])))
    1.0
    """
    p, q = _shares(reference), _shares(current)
    middle = (p + q) / 2
    bits: Floats = (_entropies(p, middle) + _entropies(q, middle)).sum(axis=-1) / 2
    return np.sqrt(np.clip(bits, 0.0, 1.0))


def population_stability_index(reference: Numbers, current: Numbers) -> float:
    """PSI in nats, the sum of both Kullback-Leibler divergences; empty cells count as `EMPTY_SHARE`.

    Siddiqi 2006, Credit Risk Scorecards. Without drift it is distributed like (1/n + 1/m) times chi-squared with
    cells - 1 degrees of freedom, so that the usual cut-offs of 0.1 and 0.2 mean nothing without the rows.

    >>> round(population_stability_index(np.array([50, 50]), np.array([60, 40])), 4)
    0.0405
    """
    p, q = (np.where(s > 0, s, EMPTY_SHARE) for s in (_shares(reference), _shares(current)))
    return float(((p - q) * np.log(p / q)).sum())


def chi_square(reference: Numbers, current: Numbers) -> tuple[float, int, float]:
    """Pearson's test of homogeneity, without correction.

    Returns:
        The statistic, its degrees of freedom, and its p-value; cells that are empty on both sides are left out.
    """
    from scipy.special import chdtrc

    both = np.array([reference, current], dtype=np.float64)
    both = both[:, both.sum(axis=0) > 0]
    expected = np.outer(both.sum(axis=1), both.sum(axis=0)) / both.sum()
    statistic = float(((both - expected) ** 2 / expected).sum()) if expected.all() else 0.0
    degrees = max(both.shape[1] - 1, 0)
    return statistic, degrees, float(chdtrc(degrees, statistic)) if degrees else 1.0


def kolmogorov_smirnov(reference: ColumnCounts, current: ColumnCounts) -> tuple[Bounded, float]:
    """The largest difference between the shares of rows at or below any number, of one partition each.

    Returns:
        The statistic, and its p-value from the limit distribution for two samples (Hodges 1958; what
        `scipy.stats.ks_2samp(method="asymp")` gives). Between the edges of intervals the share is not known: there the
        statistic is at most `error` too small.
    """
    from scipy.stats import kstwo

    bins = reference.bins
    f, g = _cumulative(reference), _cumulative(current)
    known = np.abs(f - g)
    value, error = float(known.max()), 0.0
    if bins.edges:
        # Between two edges; there is nothing between those that enclose a single number.
        between = np.nextafter(bins.points[:-1], np.inf) < bins.points[1:]
        at_f, at_g = f[1:-1], g[1:-1]
        worst = np.maximum(at_f[1:] - at_g[:-1], at_g[1:] - at_f[:-1])[between].max(initial=0.0)
        error = max(float(worst) - value, 0.0)
    m, n = int(reference.ordered.sum()), int(current.ordered.sum())
    return Bounded(value, error), float(np.clip(kstwo.sf(value, np.round(m * n / (m + n)) or 1), 0, 1))


def wasserstein(reference: ColumnCounts, current: ColumnCounts) -> Bounded:
    """The first Wasserstein distance, in the column's unit: by how much rows must be moved on average.

    Inside an interval rows are taken as spread evenly; `error` is half of its width times the share of both samples'
    rows in it, summed over intervals, which no spread can exceed. Rows outside the reference's range count by their
    distance from it.
    """
    bins = reference.bins
    points = bins.points
    f, g = _cumulative(reference), _cumulative(current)
    # Positions in `ordered`: at a point, and just before the next one.
    at = np.arange(1, bins.cells) if bins.edges else np.arange(1, 2 * bins.cells - 1, 2)
    start, end = f[at] - g[at], f[at + 1] - g[at + 1]
    widths = np.diff(points)
    mass = (f[at + 1] - f[at]) + (g[at + 1] - g[at])
    inside = float((widths * _mean_absolute(start, end)).sum())
    shares = [c.beyond[0] / max(int(c.ordered.sum()), 1) for c in (reference, current)]
    outside = float(np.abs(shares[0] - shares[1]).sum()) * UNIT_IN_DEVIATIONS * (bins.deviation or 1.0)
    return Bounded(inside + outside, float((widths * mass).sum()) / 2)


def _cumulative(counts: ColumnCounts) -> Floats:
    """Share of rows up to and including each of `ordered`, `[cells + slots]`."""
    summed: Floats = np.cumsum(counts.ordered[0])
    return summed / max(float(summed[-1]), 1.0)


def _mean_absolute(start: Floats, end: Floats) -> Floats:
    """Mean of the absolute value of a straight line from `start` to `end`."""
    same_side = start * end >= 0
    total = np.abs(start) + np.abs(end)
    crossing = (start**2 + end**2) / np.where(total > 0, 2 * total, 1.0)
    return np.where(same_side, total / 2, crossing)


def _shares(counts: Numbers) -> Floats:
    totals = counts.sum(axis=-1, keepdims=True)
    return np.asarray(counts / np.where(totals > 0, totals, 1), dtype=np.float64)


def _entropies(shares: Floats, middle: Floats) -> Floats:
    ratio = np.where(shares > 0, shares / np.where(middle > 0, middle, 1.0), 1.0)
    return np.asarray(shares * np.log2(ratio))
