"""Whether a candidate's loss is too high by what estimators expect, before any label is known.

An estimator sees what features tell: rows on which its model is known to be worse. What the label makes of the same
features it can't see. It was fitted on one holdout, and its own error stays the same, however many requests come: so
that is added to what the requests leave open. What an estimator is, is in `core.estimator`.
"""

from collections.abc import Sequence

import numpy as np

from ml_assets.core.rollout.finding import Finding
from ml_assets.core.rollout.observed import Estimates, Leg
from ml_assets.core.sequential import LEAST_ROWS, Number, mean_radius


def estimated_loss(legs: Sequence[Leg], limit: float, alpha: float) -> Finding:
    """Whether the loss that is expected of the candidate is surely higher than the champion's by more than a share.

    Half of alpha is for the requests that are seen, half for the holdouts that the estimators were fitted on.
    """
    told = sum((leg.estimated for leg in legs), Estimates())
    difference, rows = told.pairs.difference(1 + limit), told.pairs.rows
    seen = mean_radius(rows, difference.variance, alpha / 2, one_sided=True)
    fitted = fit_radius(told, 1 + limit, alpha / 2)
    broken = difference.mean - seen - fitted > 0
    own = told.pairs.champion.mean
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate, apart = (np.where(own > 0, x / own, 0.0) for x in (told.pairs.difference().mean, fitted))
    words = ""
    if np.ndim(broken) == 0:
        few = f"; below {LEAST_ROWS} nothing is concluded" if rows < LEAST_ROWS else ""
        words = (
            f"estimated loss: {float(estimate):+.2%} against the champion on {int(rows):,} rows, estimators may be off "
            f"by {float(apart):.2%}; limit {limit:+.2%}{few}"
        )
    return Finding("estimated_loss", broken, limit, rows, estimate, words)


def fit_radius(told: Estimates, factor: float, alpha: float) -> Number:
    """How far candidate − factor · champion may be from the truth because of what the estimators were fitted on.

    The jackknife over their blocks, as if the two had learnt from different rows; Student's t with the degrees of
    freedom of Welch and Satterthwaite.

    Args:
        told: what was estimated.
        factor: of the champion's losses.
        alpha: probability that it is farther, on the side of a false alarm.
    """
    from scipy.special import stdtrit

    each = [_jackknife(totals, told.pairs.rows) for totals in (told.candidate, told.champion)]
    variances = each[0][0], factor**2 * each[1][0]
    every = variances[0] + variances[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = sum(v**2 / max(blocks - 1, 1) for v, (_, blocks) in zip(variances, each, strict=True))
        freedom = np.where(every > 0, every**2 / parts, 1.0)
    return np.asarray(stdtrit(freedom, 1 - alpha) * np.sqrt(every))


def _jackknife(totals: Number, rows: Number) -> tuple[Number, int]:
    """Variance of a mean that was estimated without each block, and how many blocks there are."""
    means = np.atleast_1d(totals) / np.maximum(rows, 1)
    blocks = len(means)
    return (blocks - 1) * means.var(axis=0), blocks
