"""The validation checklist: what a reader of an evaluation would ask, answered from the evaluation itself.

It informs; what decides is in `promotion`, whose checks are asked here too, so that both always agree. What each
item means and what to do about it is in `docs/model-validation.md`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ml_assets.core.errors import BundleError
from ml_assets.core.feature_gaps import FeatureGaps
from ml_assets.core.manifest import Manifest
from ml_assets.core.policy import Policy
from ml_assets.core.promotion_checks import Check, beats_champion, beats_naive, calibrated, enough_labels, slices_hold
from ml_assets.core.time_split import TimeSplit

if TYPE_CHECKING:
    from ml_assets.core.bundle import Bundle

MOST_IMMATURE = 0.05
"""Share of the holdout whose labels may be unknown: late ones are seldom like the others."""
MOST_IMPORTANCE = 0.9
"""Share of the importance that one feature may have before it smells of the label itself."""
MOST_GAP = 0.5
"""How much greater the loss on unseen rows may be than on those learnt from, as a share of it."""
MOST_MISSING = 0.1
"""How much the share of missing values of a feature may differ between the holdout and the rows learnt from."""
MOST_UNKNOWN = 0.05
"""Share of the holdout's rows that may have a category the model does not know."""


@dataclass(frozen=True)
class Item:
    """One line of the list.

    Args:
        item: what should be so.
        passed: whether it is; None where it can't be said, or does not apply.
        evidence: in words and numbers.
    """

    item: str
    passed: bool | None
    evidence: str

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"item": self.item, "passed": self.passed, "evidence": self.evidence}


def checklist(
    record: Mapping[str, Any],
    bundle: "Bundle",
    manifest: Manifest,
    policy: Policy,
    *,
    gaps: FeatureGaps,
    part_losses: Mapping[str, float],
) -> tuple[Item, ...]:
    """The checklist, filled in.

    Args:
        record: the evaluation record.
        bundle: the candidate.
        manifest: the training set.
        policy: what is asked for.
        gaps: features of the holdout beside the training rows.
        part_losses: mean deciding loss of the candidate on `train` and `validation` rows, see `mean_losses`.
    """
    return (
        _later(record, manifest),
        _mature(record),
        _checked("There are enough rows to judge", enough_labels(record, policy)),
        _checked("The candidate beats the naive baselines, surely", beats_naive(record, policy)),
        _beats_linear(record),
        _beats_champion(record, policy),
        _slices(record, policy),
        _calibrated(record, policy),
        _coverage(record, policy),
        _golden(bundle),
        _not_dominated(record),
        _generalises(record, bundle, policy, part_losses),
        _missing(gaps),
        _unknown(gaps),
    )


def _checked(item: str, check: Check) -> Item:
    return Item(item, {"passed": True, "failed": False, "open": None}[check.outcome], check.words)


def _later(record: Mapping[str, Any], manifest: Manifest) -> Item:
    item, split = "The holdout is later than everything learnt", manifest.split
    if not isinstance(split, TimeSplit):
        return Item(item, None, f"rows are split by {split.kind}: the parts lie side by side in time")
    first = datetime.fromisoformat(record["holdout"]["start"])
    evidence = (
        f"rows learnt from end before {split.validation.end}, with labels known by {split.known_by('validation')}; "
        f"the holdout's first event is at {first}"
    )
    return Item(item, first >= split.validation.end and first >= split.known_by("validation"), evidence)


def _mature(record: Mapping[str, Any]) -> Item:
    rows, immature = record["rows"], record["rows_immature"]
    share = immature / max(rows + immature, 1)
    evidence = f"{immature:,} of {rows + immature:,} holdout rows ({share:.1%}) had no label in time and are left out"
    return Item("Almost all labels of the holdout are known", share <= MOST_IMMATURE, evidence)


def _beats_linear(record: Mapping[str, Any]) -> Item:
    item, found = "The candidate beats a linear model", record["differences"].get("linear")
    if found is None:
        return Item(item, None, "no linear model was fitted beside")
    passed = True if found["high"] < 0 else False if found["low"] > 0 else None
    return Item(item, passed, _difference(found))


def _beats_champion(record: Mapping[str, Any], policy: Policy) -> Item:
    item = "The candidate is better than the champion, or surely not worse than allowed"
    if "champion" in record["differences"]:
        return _checked(item, beats_champion(record, policy))
    if record["champion_learnt_holdout"]:
        return Item(item, None, "the champion has learnt from rows of this holdout and can't be compared on it")
    return Item(item, None, "there is no champion to compare with")


def _slices(record: Mapping[str, Any], policy: Policy) -> Item:
    item = "No slice is surely ruined"
    if not any(record["slice_differences"].values()):
        return Item(item, None, "there are no slices, or no champion to compare with on them")
    return _checked(item, slices_hold(record, policy))


def _calibrated(record: Mapping[str, Any], policy: Policy) -> Item:
    item = "Probabilities mean what they say"
    if record["calibration"] is None and record["task"] == "regression":
        return Item(item, None, "the candidate predicts numbers, not probabilities")
    return _checked(item, calibrated(record, policy))


def _coverage(record: Mapping[str, Any], policy: Policy) -> Item:
    item, found = "The predicted quantile covers its share of the labels", record["coverage"]
    if found is None:
        return Item(item, None, "the candidate predicts no quantile")
    share = f"{found['estimate']:.1%} of the labels ({found['low']:.1%} to {found['high']:.1%})"
    near = abs(found["estimate"] - found["alpha"]) <= policy.calibration_margin
    passed = near or found["low"] <= found["alpha"] <= found["high"]
    return Item(item, passed, f"{share} lie at or below their prediction; {found['alpha']:.1%} should")


def _golden(bundle: "Bundle") -> Item:
    item, rows = "The stored model gives the scores it gave when it was made", len(bundle.facts["golden"]["scores"])
    try:
        bundle.require_golden()
    except BundleError as e:
        return Item(item, False, "; ".join(e.found))
    return Item(item, True, f"{rows} golden rows score the same, to the bit")


def _not_dominated(record: Mapping[str, Any]) -> Item:
    item, shares = "No single feature decides everything, as one that leaks the label would", record["importances"]
    if not shares:
        return Item(item, None, "the model tells no importances")
    most = max(shares, key=lambda name: (shares[name], name))
    evidence = f"{most} has {shares[most]:.0%} of the importance; above {MOST_IMPORTANCE:.0%} looks like a leak"
    return Item(item, shares[most] <= MOST_IMPORTANCE, evidence)


def _generalises(record: Mapping[str, Any], bundle: "Bundle", policy: Policy, part_losses: Mapping[str, float]) -> Item:
    item = "The model is about as good on unseen rows as on those it learnt from"
    refit = bool(bundle.facts.get("learning", {}).get("refit"))
    unseen = "holdout" if refit else "validation"
    if "train" not in part_losses or (not refit and unseen not in part_losses):
        return Item(item, None, "the loss on the rows learnt from is not known")
    learnt = part_losses["train"]
    other = policy.loss(record["metrics"]["candidate"][record["metric"]]) if refit else part_losses[unseen]
    gap = other / learnt - 1 if learnt > 0 else float(other > 0)
    evidence = (
        f"mean loss {learnt:.4g} on training rows, {other:.4g} on {unseen} rows ({gap:+.0%}); "
        f"at most {MOST_GAP:+.0%} looks sound"
    )
    return Item(item, gap <= MOST_GAP, evidence)


def _missing(gaps: FeatureGaps) -> Item:
    item = "Values are missing about as often as in the rows learnt from"
    worst = max(gaps.missing, key=lambda name: abs(gaps.missing[name][1] - gaps.missing[name][0]), default=None)
    if worst is None:
        return Item(item, None, "the model has no features")
    before, after = gaps.missing[worst]
    evidence = f"{worst} changes most: missing in {before:.1%} of the rows learnt from, in {after:.1%} of the holdout"
    return Item(item, abs(after - before) <= MOST_MISSING, evidence)


def _unknown(gaps: FeatureGaps) -> Item:
    item = "The model knows the categories it meets"
    worst = max(gaps.unknown, key=lambda name: gaps.unknown[name], default=None)
    if worst is None:
        return Item(item, None, "the model has no categories")
    evidence = f"the most unknown categories are in {worst}: {gaps.unknown[worst]:.2%} of the holdout's rows"
    return Item(item, gaps.unknown[worst] <= MOST_UNKNOWN, evidence)


def _difference(found: Mapping[str, float]) -> str:
    estimate, low, high = (found[which] for which in ("estimate", "low", "high"))
    return f"mean loss {estimate:+.4g} ({low:+.4g} to {high:+.4g}) beside it; below 0 the candidate is better"
