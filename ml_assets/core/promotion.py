"""Whether a candidate may be released: evidence in, decision with reasons out.

The single checks are in `promotion_checks`, their bounds in `policy`; what is kept of a decision is in
`decision_record`, and what it gives the right to in `release_rights`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ml_assets.core.policy import Policy
from ml_assets.core.promotion_checks import (
    Check,
    beats_champion,
    beats_naive,
    calibrated,
    comparable,
    enough_labels,
    not_older,
    slices_hold,
)
from ml_assets.core.releases import Champion

Verdict = Literal["promote", "reject", "undecided"]


@dataclass(frozen=True)
class Decision:
    """A verdict with its reasons, in words and numbers.

    Args:
        verdict: `promote` if every check passed, `reject` if one failed, else `undecided`.
        reasons: what speaks for the verdict, the decisive first.
        checks: every check.
        labels_missing: of `undecided`: how many mature labels more would settle it, were the estimates the truth.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    labels_missing: int | None = None


def decide(evaluation: Mapping[str, Any], policy: Policy, champion: Champion | None) -> Decision:
    """Judge a candidate by its evaluation.

    A candidate must surely beat the naive baseline by the margin, and surely beat the champion (or surely be no
    worse than non-inferiority allows), ruin no slice and be calibrated; all on rows that neither it nor the champion
    has learnt from, and on enough of them.

    Args:
        evaluation: the record of the asset `evaluation`.
        policy: what is asked for.
        champion: the live champion, None before the first release.
    """
    labels = enough_labels(evaluation, policy)
    judged = [check(evaluation, policy) for check in (beats_champion, beats_naive, slices_hold, calibrated)]
    if labels.outcome == "open":
        judged = [_unjudged(check) for check in judged]
    checks = (comparable(evaluation, champion), not_older(evaluation, champion), labels, *judged)
    failed, still_open = ([c for c in checks if c.outcome == outcome] for outcome in ("failed", "open"))
    if failed:
        return Decision("reject", _words(failed), checks)
    if still_open:
        missing = max((c.labels_missing or 0) for c in still_open)
        told = [labels] if labels.outcome == "open" else still_open
        return Decision("undecided", (*_words(told), f"about {missing:,} more labels would tell"), checks, missing)
    return Decision("promote", _words([c for c in (*judged, labels) if c.numbers]), checks)


def _unjudged(check: Check) -> Check:
    """The same on too few labels for figures to mean anything."""
    if not check.numbers:
        return check
    return replace(check, outcome="open", words=f"not judged on so few labels: {check.words}", labels_missing=None)


def _words(checks: list[Check]) -> tuple[str, ...]:
    return tuple(check.words for check in checks)
