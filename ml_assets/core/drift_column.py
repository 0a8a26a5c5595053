"""How far one column of a partition is from the reference: distances, their threshold, and the evidence of drift."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ml_assets.core.between_partitions import DistanceModel
from ml_assets.core.distances import (
    Bounded,
    chi_square,
    jensen_shannon,
    kolmogorov_smirnov,
    population_stability_index,
    wasserstein,
)
from ml_assets.core.drift_cells import grouped
from ml_assets.core.drift_signals import WEIGHTS, signals
from ml_assets.core.evidence import combined
from ml_assets.core.features import Kind
from ml_assets.core.profile_bins import Role
from ml_assets.core.profile_counts import ColumnCounts


@dataclass(frozen=True)
class ColumnDrift:
    """One column of a partition, beside the reference.

    Args:
        name: of the column.
        role: what it is to the champion.
        kind: `number` or `category`.
        rows: of the partition.
        distance: Jensen-Shannon distance in bits, 0 to 1, over at most ten parts of numbers, or all categories that
            are not rare, with what is rare or new as one cell, missing and infinite rows as others.
        threshold: the distance that a partition of so many rows exceeds at the false-alarm rate without drift.
        psi: population stability index over the same cells, in nats.
        test: `ks` or `chi2`.
        statistic: of that test.
        test_p: its p-value, of a single test that knows of no seasons.
        wasserstein: of numbers, in the column's unit, with its error.
        wasserstein_deviations: the same in standard deviations of the reference.
        missing: share of null and NaN, in the reference and now.
        unseen: share of rows with values that the reference has not, now: new categories, numbers out of range.
        signals: test -> p-value of what decides; see `drift_signals`.
        p: p-value of them all.
        adjusted_p: after control of false discoveries among all columns.
        drifted: it is a discovery.
        weight: share of the verdict, 0 to 1.
    """

    name: str
    role: Role
    kind: Kind
    rows: int
    distance: float
    threshold: float
    psi: float
    test: str
    statistic: Bounded
    test_p: float
    wasserstein: Bounded | None
    wasserstein_deviations: float | None
    missing: tuple[float, float]
    unseen: float
    signals: Mapping[str, float] = field(default_factory=dict)
    p: float = 1.0
    adjusted_p: float = 1.0
    drifted: bool = False
    weight: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        record = {k: v for k, v in vars(self).items() if not isinstance(v, Bounded)}
        record["statistic"] = self.statistic.value
        record["statistic_error"] = self.statistic.error
        record["wasserstein"] = None if self.wasserstein is None else self.wasserstein.value
        record["wasserstein_error"] = None if self.wasserstein is None else self.wasserstein.error
        return {**record, "missing": list(self.missing), "signals": dict(self.signals)}


def column_drift(reference: ColumnCounts, current: ColumnCounts, *, rate: float, min_rows: int) -> ColumnDrift:
    """Compare a column of one partition with the reference.

    Args:
        reference: all of its partitions; those with fewer rows than `min_rows` count, but are not compared one by one.
        current: the partition, at least one row.
        rate: false-alarm rate of the threshold.
        min_rows: fewest rows of a partition that says something.
    """
    whole, rows = reference.total(), int(current.rows[0])
    large = reference.rows >= min_rows
    apart = reference.rows_of(large) if large.any() else whole
    (past, all_past, [now]), _ = grouped(reference, [apart, whole, current], min(rows, int(apart.rows.min())))
    distance = float(jensen_shannon(all_past[0], now))
    model = _model(past, all_past[0], rows)
    found = signals(apart, current, distance, model)
    weights = WEIGHTS[reference.bins.column.kind]
    number = reference.bins.column.kind == "number" and current.ordered.any()
    if number:
        statistic, test_p = kolmogorov_smirnov(whole, current)
        moved = wasserstein(whole, current)
    else:
        value, _, test_p = chi_square(all_past[0], now)
        statistic, moved = Bounded(value, 0.0), None
    deviation = reference.bins.deviation
    return ColumnDrift(
        name=reference.name,
        role=reference.bins.column.role,
        kind=reference.bins.column.kind,
        rows=rows,
        distance=distance,
        threshold=model.threshold(rate) if model.degrees else 0.0,
        psi=population_stability_index(all_past[0], now),
        test="ks" if number else "chi2",
        statistic=statistic,
        test_p=test_p,
        wasserstein=moved,
        wasserstein_deviations=moved.value / deviation if moved is not None and deviation else None,
        missing=(float(whole.missing[0] / whole.rows[0]), float(current.missing[0] / rows)),
        unseen=float(current.unseen.sum() / rows),
        signals=found,
        p=combined(list(found.values()), [weights[name] for name in found]) if found else 1.0,
    )


def _model(past: Any, whole: Any, rows: int) -> DistanceModel:
    """Distances of the reference's partitions from the rest of it."""
    rest = whole - past
    sizes = past.sum(axis=1)
    some = rest.sum(axis=1) > 0
    past, rest, sizes = past[some], rest[some], sizes[some]
    return DistanceModel(
        degrees=int((whole > 0).sum()) - 1,
        size=1 / (1 / rows + 1 / whole.sum()),
        past=np.asarray(jensen_shannon(rest, past)),
        past_sizes=1 / (1 / sizes + 1 / rest.sum(axis=1)),
    )
