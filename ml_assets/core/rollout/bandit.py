"""Thompson sampling: traffic goes to a model as often as it is probably the better one.

Thompson: On the likelihood that one unknown probability exceeds another. Biometrika 25 (1933). When it ends is
decided in `machine`, by a confidence sequence: the share itself is no evidence.
"""

import numpy as np

from ml_assets.core.rollout.observed import Sums
from ml_assets.core.routing import WHOLE
from ml_assets.core.sequential import LEAST_ROWS, Number

GRID = 500
"""Weights are moved in steps of 5 %, so that the ledger tells of changes that matter."""


def probably_better(difference: Sums) -> Number:
    """How probably the candidate's loss is the lower one, 0 to 1; NaN while there are too few losses to tell.

    It is the share of draws in which Thompson's rule would choose the candidate, without drawing: the mean of the
    differences has a normal posterior.

    Args:
        difference: sums of candidate − champion of the losses; may be arrays.
    """
    from scipy.special import ndtr

    rows = np.asarray(difference.rows, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        likely = ndtr(-difference.mean / np.sqrt(difference.variance / rows))
    return np.where(rows >= LEAST_ROWS, likely, np.nan)


def thompson_weight(difference: Sums, *, now: int, floor: int) -> int | None:
    """The weight in basis points that the candidate should have; None where it may stay as it is.

    It stays until it is off by a step of the grid: moved to and fro at each look, periods would be too short to tell
    anything.

    Args:
        difference: see `probably_better`.
        now: its weight.
        floor: least weight of either, so that the other one can still be found to be better.
    """
    likely = float(probably_better(difference))
    if np.isnan(likely):
        return None
    wanted = min(max(WHOLE * likely, floor), WHOLE - floor)
    if abs(wanted - now) < GRID:
        return None
    return min(max(GRID * round(wanted / GRID), floor), WHOLE - floor)
