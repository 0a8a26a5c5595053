"""The tests by which a column is judged, each with a p-value that knows how the reference's partitions differ.

One test alone sees some kinds of drift late: a distance between cells spends its power on all shapes, a mean on none
but shifts. So there are several, and `WEIGHTS` says how much of the false-alarm rate each may spend.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ml_assets.core.drift.between_partitions import DistanceModel, ScoreModel
from ml_assets.core.drift.bins import Counts, Floats
from ml_assets.core.drift.counts import ColumnCounts
from ml_assets.core.features import Kind

WEIGHTS: Mapping[Kind, Mapping[str, float]] = {
    "number": {"location": 0.85, "spread": 0.05, "distance": 0.1, "missing": 0.05, "unseen": 0.05, "infinite": 0.05},
    "category": {"distance": 0.8, "missing": 0.1, "unseen": 0.1},
}
"""Share of the evidence of each test; a test that says nothing of a column (no row was ever missing) leaves its share
to the others. Most is on the mean rank, which moves with what happens most: the same, a little more or less of it."""


@dataclass(frozen=True)
class Signal:
    """One test of a column: what was found, and what is to be expected without drift."""

    found: float
    model: ScoreModel | DistanceModel

    def p(self, seasonal: float) -> float:
        """Its p-value; `seasonal`: prior probability of seasons."""
        return self.model.p(self.found, seasonal)


def signals(reference: ColumnCounts, current: ColumnCounts, distance: float, model: DistanceModel) -> dict[str, Signal]:
    """The tests that can say something, by name.

    Args:
        reference: partitions to compare with, at least one.
        current: the partition that is judged, at least one row.
        distance: its Jensen-Shannon distance.
        model: of distances without drift.
    """
    found = {"distance": Signal(distance, model)} if model.degrees else {}
    if reference.bins.column.kind == "number":
        found.update(_scores(reference, current))
    seen = reference.cells.sum(axis=0)
    # A value that only one partition has would have been new there.
    alone = (reference.cells * (reference.cells == seen)).sum(axis=1) if reference.bins.values else 0
    pairs = {
        "missing": (reference.missing, int(current.missing[0])),
        "infinite": (reference.infinite, int(current.infinite[0])),
        "unseen": (reference.unseen.sum(axis=1) + alone, int(current.unseen.sum())),
    }
    for name, (past, now) in pairs.items():
        if now or past.any():
            found[name] = _of_shares(past, reference.rows, now, int(current.rows[0]), only_larger=name == "unseen")
    return found


def seasons_in(found: Mapping[str, Signal]) -> list[float]:
    """What the tests of a column say of seasons, as logarithms of Bayes factors.

    Without those of shares: that no row was ever missing says nothing of seasons elsewhere.
    """
    told = [found[name].model.seasons for name in ("distance", "location", "spread") if name in found]
    return [one for one in told if one is not None]


def _scores(reference: ColumnCounts, current: ColumnCounts) -> dict[str, Signal]:
    """Mean normal score of the ranks (van der Waerden 1952), and of their squares, uncorrelated with it."""
    from scipy.special import ndtri

    past, now = reference.ordered, current.ordered[0]
    rows = int(past.sum())
    if not rows or not now.sum():
        return {}
    shares = past.sum(axis=0) / rows
    ranks = np.clip(np.cumsum(shares) - shares / 2, 0.5 / rows, 1 - 0.5 / rows)
    location = _standardised(ndtri(ranks), shares)
    spread = None if location is None else location**2
    if location is not None and spread is not None:
        spread = _standardised(spread - float(shares @ (location * spread)) * location, shares)
    past = past[past.sum(axis=1) > 0]
    rows_each = past.sum(axis=1)
    return {
        name: Signal(float(now @ score) / now.sum(), ScoreModel(1 / now.sum(), past @ score / rows_each, 1 / rows_each))
        for name, score in (("location", location), ("spread", spread))
        if score is not None
    }


def _standardised(score: Floats, shares: Floats) -> Floats | None:
    centred = score - float(shares @ score)
    deviation = float(np.sqrt(shares @ centred**2))
    return None if deviation < _NOTHING else centred / deviation


_NOTHING = 1e-9


def _of_shares(past: Counts, past_rows: Counts, now: int, rows: int, *, only_larger: bool) -> Signal:
    """Shares on a scale on which chance is the same for all of them, also where hardly any (Anscombe 1948)."""
    filled = past_rows > 0
    angles = _angle(past[filled], past_rows[filled])
    here = float(_angle(np.array(now), np.array(rows)))
    return Signal(here, ScoreModel(1 / rows, angles, 1 / past_rows[filled], only_larger))


def _angle(count: Counts, rows: Counts) -> Floats:
    return np.asarray(2 * np.arcsin(np.sqrt((count + 0.375) / (rows + 0.75))))
