"""Whether a partition has drifted from what the champion was trained on.

From a column to the verdict: each column is tested for a few kinds of change, with p-values that allow for how much
the reference's own partitions differ (`signals`, `between_partitions`), and these become one p-value of the
column. Those of all columns, weighted by importance, become one of the partition, which has drifted if that is at
most the false-alarm rate. The Jensen-Shannon distance and its threshold, which are shown, are one of the tests: a
column above its threshold is unusual by that test alone, and a column below it may be unusual by another.

How a partition is counted is in `profiling`, whether drift came at once in `onset`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from ml_assets.core.drift.between_partitions import UNKNOWN, share_with_seasons
from ml_assets.core.drift.column import ColumnDrift, Comparison
from ml_assets.core.drift.p_values import combined, discoveries
from ml_assets.core.drift.policy import DriftPolicy
from ml_assets.core.drift.profile import REST, Profile
from ml_assets.core.drift.signals import seasons_in
from ml_assets.core.errors import ProfileError

Verdict = Literal["stable", "drifted", "not_enough_rows"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True)
class DriftReport:
    """The drift of one partition.

    Args:
        partition: its key.
        rows: how many it has.
        verdict: `not_enough_rows` where there are fewer than the policy asks for, none included.
        p: chance of at least such evidence without drift; None where nothing was judged.
        magnitude: mean of the columns' distances in multiples of their thresholds, weighted like the verdict; about
            1 is the most that chance and seasons explain. None where nothing was judged.
        drivers: columns whose evidence made the verdict, the strongest first; none unless drifted.
        columns: all that were compared, in the profile's order.
        partitions_compared: partitions of the reference whose differences the thresholds allow for; with fewer than
            three they allow for chance alone.
        seasonal: share of the tests in which the reference's partitions differ by more than chance, 0 to 1.
        policy: what it was judged by.
    """

    partition: str
    rows: int
    verdict: Verdict
    p: float | None
    magnitude: float | None
    drivers: tuple[str, ...]
    columns: tuple[ColumnDrift, ...]
    partitions_compared: int
    seasonal: float
    policy: DriftPolicy

    @property
    def drifted_columns(self) -> tuple[str, ...]:
        """Columns that drifted, after control of false discoveries."""
        return tuple(c.name for c in self.columns if c.drifted)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            **{k: v for k, v in vars(self).items() if k not in ("columns", "policy", "drivers")},
            "drivers": list(self.drivers),
            "drifted_columns": list(self.drifted_columns),
            "columns": [c.to_json() for c in self.columns],
            "policy": self.policy.to_json(),
        }


def judge(
    reference: Profile, current: Profile, importances: Mapping[str, float], policy: DriftPolicy | None = None
) -> DriftReport:
    """Judge one partition.

    Args:
        reference: the champion's profile.
        current: the partition, counted over bins of the reference; predictions and labels may be left out, and count
            only where they have enough rows.
        importances: feature -> the champion's importance, at least 0.
        policy: the bounds.

    Raises:
        ProfileError: profile, partition and importances are not of the same features; lists all mismatches.
    """
    policy = policy or DriftPolicy()
    _require_same(reference, current, importances)
    [partition] = current.partitions
    rows = current.total_rows
    kept = [i for i, key in enumerate(reference.partitions) if key != REST]
    compared = sum(reference.rows[reference.partitions[i]] >= policy.min_rows for i in kept)
    if rows < policy.min_rows:
        return DriftReport(partition, rows, "not_enough_rows", None, None, (), (), compared, UNKNOWN, policy)
    pairs = [
        Comparison.of(reference.column(c.name), c, policy.min_rows)
        for c in current.columns
        if c.rows[0] >= policy.min_rows
    ]
    seasonal = share_with_seasons([one for pair in pairs for one in seasons_in(pair.signals)])
    found = [pair.drift(policy.false_alarm_rate, seasonal) for pair in pairs]
    weights = _weights(found, importances, policy)
    adjusted = discoveries([c.p for c in found])
    columns = tuple(
        replace(c, weight=w, adjusted_p=float(q), drifted=bool(q <= policy.false_discovery_rate))
        for c, w, q in zip(found, weights, adjusted, strict=True)
    )
    evidence = _evidence(columns, policy)
    p = combined(evidence, weights)
    drifted = p <= policy.false_alarm_rate
    return DriftReport(
        partition=partition,
        rows=rows,
        verdict="drifted" if drifted else "stable",
        p=p,
        magnitude=sum(c.weight * c.distance / c.threshold for c in columns if c.threshold),
        drivers=_drivers(columns, evidence, policy) if drifted else (),
        columns=columns,
        partitions_compared=compared,
        seasonal=seasonal,
        policy=policy,
    )


def _weights(found: Sequence[ColumnDrift], importances: Mapping[str, float], policy: DriftPolicy) -> list[float]:
    """Share of the verdict of each column; features as important as each other where none has any importance."""
    features = [c.name for c in found if c.role == "feature"]
    total = sum(importances[name] for name in features)
    of_predictions = [c.name for c in found if c.role == "prediction"]
    left = 1 - (policy.prediction_weight if of_predictions else 0.0)
    weights = {name: left * (importances[name] / total if total else 1 / len(features)) for name in features}
    weights |= {name: (1 - left) / len(of_predictions) for name in of_predictions}
    return [weights.get(c.name, 0.0) for c in found]


def _evidence(columns: Sequence[ColumnDrift], policy: DriftPolicy) -> list[float]:
    """P-values, of features below the least importance not so small that one of them could decide alone.

    A column of weight w and p-value p pulls like w / p, and 1 / false_alarm_rate decides.
    """
    features = [c.weight for c in columns if c.role == "feature"]
    least = policy.min_importance * sum(features) / max(len(features), 1)
    at_least = least * policy.false_alarm_rate
    return [max(c.p, at_least) if c.role == "feature" and c.weight < least else c.p for c in columns]


def _drivers(columns: Sequence[ColumnDrift], evidence: Sequence[float], policy: DriftPolicy) -> tuple[str, ...]:
    pulls = {c.name: c.weight / max(p, _SMALLEST) for c, p in zip(columns, evidence, strict=True)}
    strong = [name for name, pull in pulls.items() if pull * policy.false_alarm_rate >= _PULL]
    strong = strong or [max(pulls, key=lambda name: pulls[name])]
    return tuple(sorted(strong, key=lambda name: -pulls[name]))


_SMALLEST = 1e-300
_PULL = 0.5
"""Half of what decides: a column that pulls so much is named as a reason."""


def _require_same(reference: Profile, current: Profile, importances: Mapping[str, float]) -> None:
    known = {b.name: b for b in reference.bins}
    counted = {b.name: b for b in current.bins}
    features = [name for name, b in known.items() if b.column.role == "feature"]
    wrong = [f"feature {name} was not counted" for name in features if name not in counted]
    wrong += [f"column {name} is none of the reference" for name in counted if name not in known]
    wrong += [f"column {name} was counted over other bins" for name, b in counted.items() if known.get(name, b) != b]
    wrong += [f"feature {name} has no importance" for name in features if name not in importances]
    wrong += [f"{len(current.partitions)} partitions at once"] if len(current.partitions) != 1 else []
    if wrong:
        raise ProfileError(
            "partition to compare with a reference profile",
            found=wrong,
            expected="one partition, counted over the champion's bins, and the champion's importances",
            cure="count the partition with `count_partition` and the bins of this champion's profile",
        )
