"""Statistics that stay valid however often one looks: confidence sequences, and evidence that multiplies.

Everything takes counts, means and variances, as numbers or arrays of them, so that a look costs the same after a
million rows as after a hundred. What a rollout does with it is in `rollout.guardrails`. Intervals for one look at a
fixed sample are in `bootstrap`.

`confseq`, written by the authors of the first two papers below, is not used: it is an alpha of 2022 without wheels,
built with a C++ compiler and Boost headers, and needs pandas, matplotlib and pytest to run.

- Howard, Ramdas, McAuliffe, Sekhon: Time-uniform, nonparametric, nonasymptotic confidence sequences. Annals of
  Statistics 49 (2021): the mixtures.
- Howard, Ramdas: Sequential estimation of quantiles with applications to A/B testing and best-arm identification.
  Bernoulli 28 (2022): a quantile by the rate at which it is exceeded.
- Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas: Time-uniform central limit theory and asymptotic confidence sequences.
  Annals of Statistics 52 (2024): means without a bound on the values, and without the same distribution over time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Number = float | Array

LEAST_ROWS = 100
"""Rows below which a normal approximation says nothing: the bounds are infinite."""
TUNED_AT = 1_000
"""Rows at which the bounds of a mean are tightest; they are little wider from a tenth of it to ten times as many."""
RATIOS = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0)
"""Rate ratios to which `blame` gives equal weight beforehand."""
_PRIOR_ROWS = 20.0
"""How many rows the prior of a rate counts for."""


def mean_radius(rows: Number, variance: Number, alpha: float, *, one_sided: bool, tuned_at: float = TUNED_AT) -> Number:
    """How far a mean may be from the true one at any time, but with probability `alpha` at most.

    Waudby-Smith et al. 2024, theorem 2.2 (two-sided) and proposition B.1 (one-sided): asymptotic, like every use of
    the central limit theorem. With conditional means that change over time it covers their running mean.

    Args:
        rows: seen up to now.
        variance: of their values, as estimated from them.
        alpha: probability that the bound is ever crossed.
        one_sided: whether only one side is looked at.
        tuned_at: rows at which it is tightest.
    """
    n = np.asarray(rows, dtype=float)
    squared = (-2 * np.log(alpha) + np.log1p(-2 * np.log(alpha))) / tuned_at
    grown = n * squared + 1
    crossing = np.log1p(np.sqrt(grown) / (2 * alpha)) if one_sided else np.log(np.sqrt(grown) / alpha)
    with np.errstate(divide="ignore", invalid="ignore"):
        radius = np.sqrt(2 * grown / (n**2 * squared) * crossing * np.asarray(variance, dtype=float))
    return np.where(n >= LEAST_ROWS, radius, np.inf)


def rows_until(radius: float, variance: float, alpha: float, *, one_sided: bool, tuned_at: float = TUNED_AT) -> int:
    """The fewest rows at which `mean_radius` is at most so wide, if the variance stays what it is.

    Args:
        radius: above 0.
        variance, alpha, one_sided, tuned_at: as of `mean_radius`.

    Raises:
        ValueError: the radius is not above 0.
    """
    if not radius > 0:
        raise ValueError(f"radius {radius}; expected one above 0")
    few, many = LEAST_ROWS - 1, LEAST_ROWS
    while mean_radius(many, variance, alpha, one_sided=one_sided, tuned_at=tuned_at) > radius:
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        if mean_radius(middle, variance, alpha, one_sided=one_sided, tuned_at=tuned_at) > radius:
            few = middle
        else:
            many = middle
    return many


def rate_evidence(hits: Number, rows: Number, rate: Number) -> Number:
    """Logarithm of the evidence against a rate: it exceeds log(1/alpha) at any time with probability alpha at most.

    Mixture of binomial likelihoods over a beta prior around the rate itself (Howard et al. 2021, section 3.2).

    Args:
        hits, rows: seen up to now.
        rate: what is doubted, above 0 and below 1.
    """
    from scipy.special import betaln, xlog1py, xlogy

    k, n, p = (np.asarray(x, dtype=float) for x in (hits, rows, rate))
    a, b = _PRIOR_ROWS * p, _PRIOR_ROWS * (1 - p)
    evidence: Array = betaln(a + k, b + n - k) - betaln(a, b) - xlogy(k, p) - xlog1py(n - k, -p)
    return evidence


def rate_bounds(hits: int, rows: int, alpha: float) -> tuple[float, float]:
    """Confidence sequence of a rate: all rates that `rate_evidence` does not refuse, 0 to 1.

    Raises:
        ValueError: more hits than rows.
    """
    if not 0 <= hits <= rows:
        raise ValueError(f"hits: {hits} of {rows} rows; expected 0 to {rows}")
    if not rows:
        return 0.0, 1.0
    seen, needed = hits / rows, np.log(1 / alpha)
    return _crossing(hits, rows, needed, seen, 0.0), _crossing(hits, rows, needed, seen, 1.0)


def _crossing(hits: int, rows: int, needed: float, inside: float, outside: float) -> float:
    """Where evidence reaches what is needed, between a rate that fits and the end of the scale."""
    if inside == outside:
        return outside
    inside = min(max(inside, 1e-12), 1 - 1e-12)
    for _ in range(60):
        middle = (inside + outside) / 2
        if not 0 < middle < 1 or middle == inside:
            break
        if rate_evidence(hits, rows, middle) < needed:
            inside = middle
        else:
            outside = middle
    return outside


def quantile_ranks(rows: int, quantile: float, alpha: float) -> tuple[int, int | None]:
    """Ranks between which a quantile is at any time, but with probability `alpha` at most: Howard and Ramdas 2022.

    The number of values at or below the true quantile is binomial with its level as rate; ranks whose number would be
    evidence against that rate can't be it.

    Args:
        rows: values seen up to now.
        quantile: its level, such as 0.99.
        alpha: of both sides together.

    Returns:
        Numbers of values: the true quantile is at or above the value of the first rank (0: no bound), and at or below
        that of the second (None: no bound yet), counted from 1 in rising order.
    """
    if not rows:
        return 0, None
    counts = np.arange(rows + 1, dtype=np.float64)
    fits = np.flatnonzero(rate_evidence(counts, rows, quantile) < np.log(1 / alpha))
    low, high = int(fits[0]), int(fits[-1]) + 1
    return low, high if high <= rows else None


@dataclass(frozen=True)
class Blame:
    """Failures of two parties who share the work, in a period in which their shares did not change.

    Args:
        hits: failures of the one who is suspected.
        all_hits: failures of both.
        share: of the work that the suspected one did, above 0 and below 1.
    """

    hits: Number
    all_hits: Number
    share: Number


def blame(periods: Sequence[Blame]) -> Number:
    """Logarithm of the evidence that one party fails more often than the other, over all periods.

    As long as it does not, a failure is its own with probability `share` at most, whatever the rate of failures is
    and however that changes; so a mixture of likelihood ratios is a nonnegative supermartingale, and by Ville's
    inequality its logarithm exceeds log(1/alpha) at any time with probability alpha at most. An outage that hits both
    is no evidence against either, nor is it when it falls into a period in which the suspected one did most.
    """
    ratios = np.array(RATIOS)
    total: Any = 0.0
    for p in periods:
        hits, all_hits, share = (np.asarray(x, dtype=float)[..., None] for x in (p.hits, p.all_hits, p.share))
        total = total + hits * np.log(ratios) - all_hits * np.log1p((ratios - 1) * share)
    if isinstance(total, float):
        return 0.0
    highest = total.max(axis=-1, keepdims=True)
    return np.asarray(highest[..., 0] + np.log(np.exp(total - highest).mean(axis=-1)))
