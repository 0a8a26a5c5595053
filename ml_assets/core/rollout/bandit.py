"""Thompson sampling: traffic goes to a model as often as it is probably the better one.

Thompson: On the likelihood that one unknown probability exceeds another. Biometrika 25 (1933). When it ends is
decided in `machine`, by a confidence sequence: the share itself is no evidence.
"""

from math import sqrt

import numpy as np

from ml_assets.core.rollout.observed import Sums
from ml_assets.core.routing import WHOLE
from ml_assets.core.sequential import LEAST_ROWS
from ml_assets.core.stable_hash import salt

DRAWS = 4_000
GRID = 500
"""Weights are moved in steps of 5 %, so that the ledger tells of changes that matter."""


def thompson_weight(difference: Sums, *, rollout: str, look: int, floor: int) -> int | None:
    """The candidate's weight in basis points: how often a draw from the posterior has it as the better one.

    Args:
        difference: sums of candidate − champion of the losses; their mean has a normal posterior.
        rollout, look: seed of the draws: the same look at the same rollout decides the same.
        floor: least weight of either, so that the other one can still be found to be better.

    Returns:
        None while there are too few losses to tell.
    """
    rows = float(difference.rows)
    if rows < LEAST_ROWS:
        return None
    rng = np.random.default_rng(salt("bandit", rollout, look))
    draws = float(difference.mean) + sqrt(float(difference.variance) / rows) * rng.standard_normal(DRAWS)
    weight = GRID * round(WHOLE * float((draws < 0).mean()) / GRID)
    return min(max(weight, floor), WHOLE - floor)
