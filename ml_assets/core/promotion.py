"""Whether a candidate may be released: evidence in, decision with reasons out."""

from dataclasses import dataclass
from typing import Literal

from ml_assets.core.releases import Champion


@dataclass(frozen=True)
class Decision:
    """A verdict with its reasons, in words and numbers."""

    verdict: Literal["promote", "reject"]
    reasons: tuple[str, ...]


def bound_of(naive: float, margin: float) -> float:
    """The most that a candidate's metric may be to beat the naive baseline's by a margin (share, 0 to 1)."""
    return (1 - margin) * naive


def decide(
    *, metric: str, candidate: float, naive: float, margin: float, scores_from: str, champion: Champion | None
) -> Decision:
    """Promote a candidate that beats the naive baseline by the margin and is not older than the champion.

    Args:
        metric: name of the metric; lower is better.
        candidate: the candidate's metric on the holdout.
        naive: the naive baseline's metric on the same rows.
        margin: share of the naive metric by which the candidate must be better, 0 to 1.
        scores_from: end of the candidate's as-of partition, ISO 8601.
        champion: the live champion, None before the first release.
    """
    bound = bound_of(naive, margin)
    reasons = [
        f"{metric} {candidate:.4g} on the holdout against {naive:.4g} of the naive baseline; "
        f"at most {bound:.4g} is asked for"
    ]
    beaten = candidate <= bound
    older = champion is not None and scores_from < champion.scores_from.isoformat()
    if older and champion is not None:
        reasons.append(f"the live champion was trained as of {champion.as_of}, which is later")
    return Decision("promote" if beaten and not older else "reject", tuple(reasons))
