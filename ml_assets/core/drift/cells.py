"""The cells in which a distance is measured: few enough that each has rows to expect.

The bins of a profile are finer, since they must say where the rows are; see `bins`.
"""

import numpy as np
import numpy.typing as npt

from ml_assets.core.drift.bins import Counts
from ml_assets.core.drift.counts import ColumnCounts

MOST_CELLS = 10
"""Of numbers: tenths of the reference, as the population stability index has them."""
FEWEST_EXPECTED = 5
"""Rows to be expected in a cell, below which the chi-squared distribution is no approximation (Cochran 1954)."""
RARE = "rare or new"
MISSING = "missing"
INFINITE = "infinite"


def grouped(reference: ColumnCounts, others: list[ColumnCounts], rows: int) -> tuple[list[Counts], list[str]]:
    """The counts of several profiles in the same cells.

    Args:
        reference: what the cells are chosen by.
        others: what is counted in them, with the reference's bins.
        rows: the fewest rows that are compared.

    Returns:
        For each of `others` int64 `[partitions, cells]`; and what each cell holds. The last cells are missing and
        infinite rows; the one before them, of categories, all that is rare or new.
    """
    own = reference.total()
    least = FEWEST_EXPECTED / max(rows, 1)
    category = reference.bins.column.kind == "category"
    if category:
        shares = own.cells[0] / max(int(own.rows[0]), 1)
        frequent = shares >= least
        groups = np.where(frequent, np.cumsum(frequent) - 1, int(frequent.sum()))
        groups = np.r_[groups, int(frequent.sum())].astype(np.intp)
        names = [str(v) for v, f in zip(reference.bins.values, frequent, strict=True) if f] + [RARE]
    else:
        groups = _tenths(own.ordered[0] / max(int(own.rows[0]), 1), max(1 / MOST_CELLS, least))
        names = [f"part {i + 1}" for i in range(int(groups.max(initial=0)) + 1)]
    counts = []
    for other in others:
        fine = np.hstack([other.cells, other.unseen]) if category else other.ordered
        cells = np.zeros((len(fine), len(names)), dtype=np.int64)
        np.add.at(cells.T, groups, fine.T)
        counts.append(np.column_stack([cells, other.missing, other.infinite]))
    return counts, [*names, MISSING, INFINITE]


def _tenths(shares: npt.NDArray[np.float64], least: float) -> npt.NDArray[np.intp]:
    """Group of each cell: neighbours that hold at least a share together."""
    groups, group, held = np.zeros(shares.size, dtype=np.intp), 0, 0.0
    for i, share in enumerate(shares.tolist()):
        groups[i] = group
        held += share
        if held >= least:
            group, held = group + 1, 0.0
    # What is left over at the end is too little for a group of its own.
    return np.minimum(groups, max(group - 1, 0))
