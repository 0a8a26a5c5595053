"""The record of a partition's drift from what the champion that scored it was trained on.

How drift is judged is in `verdict`, what a champion is compared by in `reference`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from ml_assets.core.drift.both_tests import Joint
from ml_assets.core.drift.pictures import Pair
from ml_assets.core.drift.policy import DriftPolicy
from ml_assets.core.drift.profile import Profile
from ml_assets.core.drift.profiling import CountTexts, count_partition, side_by_side
from ml_assets.core.drift.reference import labelled, predicted
from ml_assets.core.drift.verdict import DriftReport, judge
from ml_assets.core.maturity import is_mature
from ml_assets.core.performance import CHAMPION
from ml_assets.core.scoring import CONTENDERS, VERSION

if TYPE_CHECKING:
    from ml_assets.core.bundle import Bundle

NOT_SCORED = "no row was scored: there was no champion to compare with, or the partition is empty"
NO_SAMPLE = (
    "the champion was trained before the option domain_classifier was on, and has no sample of its rows; train again"
)
MIN_COVERAGE = 0.9
"""Share of the labels to come that must be known: the first ones are seldom like the others."""


@dataclass(frozen=True)
class JudgedPartition:
    """A partition beside the reference of its champion.

    Args:
        record: JSON-able; see `DriftWatch.record`.
        pairs: what was compared, for pictures; none where nothing was.
    """

    record: dict[str, Any]
    pairs: Sequence[Pair]


@dataclass(frozen=True)
class DriftWatch:
    """How partitions are compared with what their champions were trained on.

    Args:
        bundle: the champion of a hash.
        policy: when a partition counts as drifted.
    """

    bundle: "Callable[[str], Bundle]"
    policy: DriftPolicy

    def judge(
        self,
        features: pl.LazyFrame,
        predictions: pl.LazyFrame,
        partition: str,
        known_by: datetime,
        count_texts: CountTexts | None = None,
    ) -> JudgedPartition:
        """Judge a partition by the champion that scored most of its rows.

        The record is `DriftReport.to_json`, with `champion` (SHA-256), its `as_of`, `drifted_features` (those that
        made the verdict first), `words`, `left_out`: columns that are not watched and why, and `domain_classifier`,
        which is None unless the policy asks for it, or else `Joint.to_json`. Where nothing can be compared the
        verdict is `not_enough_rows`, and `words` say what to do.

        Args:
            features: the partition's features table.
            predictions: the partition's predictions table.
            partition: its key.
            known_by: the instant by which labels must be known to count.
            count_texts: of the features, see `count_partition`.

        Raises:
            ProfileError: the features are not those of the champion.
            BundleError: the champion is missing or damaged.
        """
        scored = predictions.group_by(VERSION).len("rows").sort("rows", VERSION, descending=[True, False]).collect()
        if scored.is_empty():
            return JudgedPartition(self._not_judged(partition, 0, NOT_SCORED), ())
        champion = str(scored[VERSION][0])
        bundle = self.bundle(champion)
        told = {"champion": champion, "as_of": bundle.as_of}
        if bundle.profile is None or bundle.reference is None:
            rows = int(scored["rows"].sum())
            return JudgedPartition(self._not_judged(partition, rows, _without_profile(bundle)) | told, ())
        of_features = [b for b in bundle.profile.bins if b.column.role == "feature"]
        counted = count_partition(features, of_features, partition, count_texts)
        rest = self._counted_later(bundle, bundle.profile, features, predictions, partition, known_by)
        current = side_by_side([counted, *rest])
        joint = self._joint(bundle, current, features, partition) if self.policy.domain_classifier else None
        told_by = self.policy if joint is None else joint.for_columns(self.policy)
        alone = judge(bundle.profile, current, bundle.reference.weights, told_by)
        report = alone if joint is None else joint.beside(alone, self.policy)
        drift = {c.name: c for c in report.columns}
        pairs = [Pair(bundle.profile.column(n), current.column(n), c) for n, c in drift.items()]
        record = report.to_json() | {
            "drifted_features": drifted_features(report),
            "words": in_words(alone) if joint is None else f"{in_words(alone)}; {joint.words(self.policy)}",
            "left_out": dict(bundle.reference.left_out),
            "domain_classifier": None if joint is None else joint.to_json(alone, self.policy),
        }
        return JudgedPartition(record | told, pairs)

    def _joint(self, bundle: "Bundle", current: Profile, features: pl.LazyFrame, partition: str) -> Joint:
        """What a classifier says of the partition; nothing where it is too small to be judged at all."""
        reference = bundle.joint_reference
        if reference is None:
            return Joint(None, NO_SAMPLE, {})
        if current.total_rows < self.policy.min_rows:
            return Joint(None, "the partition has too few rows", reference.left_out)
        found = reference.compare(features, partition)
        shift, why_not = (None, found) if isinstance(found, str) else (found, "")
        return Joint(shift, why_not, reference.left_out)

    def _counted_later(
        self,
        bundle: "Bundle",
        profile: Profile,
        features: pl.LazyFrame,
        predictions: pl.LazyFrame,
        partition: str,
        known_by: datetime,
    ) -> list[Profile]:
        """Of predictions, and of labels if enough are known."""

        def of(role: str) -> list[Any]:
            return [b for b in profile.bins if b.column.role == role]

        counted = []
        if of("prediction"):
            own = predictions.filter(pl.col(VERSION) == bundle.sha256)
            scores = own.select(predicted(CONTENDERS[CHAMPION], bundle.classes))
            counted.append(count_partition(scores, of("prediction"), partition))
        mature = is_mature(known_by)
        known, rows = features.select(known=mature.sum(), rows=pl.len()).collect().row(0)
        if rows and known >= MIN_COVERAGE * bundle.labelled_share * rows:
            labels = features.filter(mature).select(labelled(bundle.task))
            counted.append(count_partition(labels, of("label"), partition))
        return counted

    def _not_judged(self, partition: str, rows: int, why: str) -> dict[str, Any]:
        report = DriftReport(partition, rows, "not_enough_rows", None, None, (), (), 0, 0.0, self.policy)
        return report.to_json() | {
            "drifted_features": [], "words": why, "left_out": {}, "domain_classifier": None, "champion": None,
            "as_of": None,
        }  # fmt: skip


def drifted_features(report: DriftReport) -> list[str]:
    """Features and prediction that drifted: those that made the verdict first, then the farthest ones.

    A feature may have drifted and the partition be stable: then it is of little importance to the champion.
    """
    far = sorted(
        (c for c in report.columns if c.drifted and c.role != "label" and c.name not in report.drivers),
        key=lambda c: -c.distance / (c.threshold or 1.0),
    )
    return [*report.drivers, *(c.name for c in far)]


def in_words(report: DriftReport) -> str:
    """The verdict with the numbers that made it."""
    policy = report.policy
    if report.p is None:
        return f"{report.rows:,} rows; needed: {policy.min_rows:,}"
    columns: Mapping[str, Any] = {c.name: c for c in report.columns}
    shown = [f"{n} (distance {columns[n].distance:.3f}, threshold {columns[n].threshold:.3f})" for n in report.drivers]
    chance = f"chance of such evidence without drift {report.p:.2g}, bound {policy.false_alarm_rate:g}"
    if report.verdict == "drifted":
        return f"drifted in {', '.join(shown)}; {chance}"
    others = drifted_features(report)
    minor = f"; of little importance: {', '.join(others)}" if others else ""
    return f"stable; {chance}{minor}"


def _without_profile(bundle: "Bundle") -> str:
    return (
        f"the champion {bundle.sha256[:12]} as of {bundle.as_of} was trained before bundles held a reference profile; "
        "train again as of that or a newer partition, then materialize predictions and drift of this one"
    )
