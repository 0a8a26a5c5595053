"""How far one column of a partition is from the reference: distances, their threshold, and the evidence of drift."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from ml_assets.core.drift.between_partitions import DistanceModel
from ml_assets.core.drift.bins import Counts, Role
from ml_assets.core.drift.cells import grouped
from ml_assets.core.drift.counts import ColumnCounts
from ml_assets.core.drift.distances import (
    Bounded,
    chi_square,
    jensen_shannon,
    kolmogorov_smirnov,
    population_stability_index,
    wasserstein,
)
from ml_assets.core.drift.p_values import combined
from ml_assets.core.drift.signals import WEIGHTS, Signal, signals
from ml_assets.core.features import Kind


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
        signals: test -> p-value of what decides; see `signals`.
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


@dataclass(frozen=True)
class Comparison:
    """A column of one partition beside the reference, before it is known how much seasons there are in the table.

    Args:
        whole: the reference as one partition.
        current: the partition, at least one row.
        reference_cells: rows of the reference in the cells of the distance, `[cells]`.
        current_cells: rows of the partition in these, `[cells]`.
        distance: Jensen-Shannon distance of the two.
        model: of distances without drift.
        signals: the tests.
    """

    whole: ColumnCounts
    current: ColumnCounts
    reference_cells: Counts
    current_cells: Counts
    distance: float
    model: DistanceModel
    signals: Mapping[str, Signal]

    @classmethod
    def of(cls, reference: ColumnCounts, current: ColumnCounts, min_rows: int) -> Self:
        """Compare a column.

        Args:
            reference: all of its partitions; those with fewer rows than `min_rows` count, but are not compared one by
                one.
            current: the partition, at least one row.
            min_rows: fewest rows of a partition that says something.
        """
        whole, rows = reference.total(), int(current.rows[0])
        large = reference.rows >= min_rows
        apart = reference.rows_of(large) if large.any() else whole
        (past, [before], [now]), _ = grouped(reference, [apart, whole, current], min(rows, int(apart.rows.min())))
        distance = float(jensen_shannon(before, now))
        model = _model(past, before, rows)
        return cls(whole, current, before, now, distance, model, signals(apart, current, distance, model))

    def drift(self, rate: float, seasonal: float) -> ColumnDrift:
        """What came of it.

        Args:
            rate: false-alarm rate of the threshold.
            seasonal: prior probability that a test of this table has seasons.
        """
        column, deviation = self.whole.bins.column, self.whole.bins.deviation
        number = column.kind == "number" and self.current.ordered.any()
        if number:
            statistic, test_p = kolmogorov_smirnov(self.whole, self.current)
            moved = wasserstein(self.whole, self.current)
        else:
            value, _, test_p = chi_square(self.reference_cells, self.current_cells)
            statistic, moved = Bounded(value, 0.0), None
        found = {name: signal.p(seasonal) for name, signal in self.signals.items()}
        weights = WEIGHTS[column.kind]
        return ColumnDrift(
            name=column.name,
            role=column.role,
            kind=column.kind,
            rows=int(self.current.rows[0]),
            distance=self.distance,
            threshold=self.model.threshold(rate, seasonal) if self.model.degrees else 0.0,
            psi=population_stability_index(self.reference_cells, self.current_cells),
            test="ks" if number else "chi2",
            statistic=statistic,
            test_p=test_p,
            wasserstein=moved,
            wasserstein_deviations=moved.value / deviation if moved is not None and deviation else None,
            missing=(_share(self.whole.missing, self.whole), _share(self.current.missing, self.current)),
            unseen=_share(self.current.unseen.sum(axis=1), self.current),
            signals=found,
            p=combined(list(found.values()), [weights[name] for name in found]) if found else 1.0,
        )


def _share(some: Counts, of: ColumnCounts) -> float:
    return float(some[0] / of.rows[0])


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
