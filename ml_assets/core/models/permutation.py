"""Permutation importance: by how much the loss grows when a feature's values are dealt out to the wrong rows.

Breiman 2001, Random forests, section 10. For models that do not say by themselves what they rest on.
"""

from collections.abc import Callable, Sequence

import numpy as np

from ml_assets.core.encoding import Floats
from ml_assets.core.models.design_matrix import shares
from ml_assets.core.stable_hash import salt

_MOST_ROWS = 2_000


def permutation_importances(
    loss: Callable[[Floats, Floats], float],
    matrix: Floats,
    label: Floats,
    *,
    sources: Sequence[str],
    names: Sequence[str],
    seed: int,
) -> dict[str, float]:
    """Feature -> share of the loss that is lost without it; shares sum to 1.

    Args:
        loss: of rows of the matrix and their labels.
        matrix: `[rows, columns]`; of more than 2,000 rows, every n-th is looked at.
        label: `[rows]`.
        sources: the feature of each column; those of one are permuted together.
        names: all features, in their order.
        seed: of the permutations.
    """
    step = -(-len(matrix) // _MOST_ROWS)
    rows, label = matrix[::step], label[::step]
    usual = loss(rows, label)
    random = np.random.default_rng(salt("permutation", seed))
    grown = {}
    for name in names:
        order = random.permutation(len(rows))
        columns = [j for j, source in enumerate(sources) if source == name]
        dealt = rows.copy()
        dealt[:, columns] = rows[order][:, columns]
        grown[name] = max(loss(dealt, label) - usual, 0.0) if columns else 0.0
    return shares(grown)
