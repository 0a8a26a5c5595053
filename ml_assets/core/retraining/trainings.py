"""Trainings: what was asked for, why, and what came of it.

Whether to train is decided in `decision`, what in `plan`; how a model is trained is in `learning`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from ml_assets.core.errors import EvidenceError
from ml_assets.core.retraining.evidence import Evidence

How = Literal["refit", "tune"]
Outcome = Literal["requested", "running", "promoted", "rolling_out", "rejected", "undecided", "failed"]


@dataclass(frozen=True)
class Plan:
    """What to train.

    Args:
        as_of: key of the partition at whose end.
        how: `refit` with the champion's parameters, or `tune` anew.
        window: partitions to learn from, the as-of partition included.
        since: the partition with which things changed at once, where the window is shortened for that.
        why: of how and window, in words and numbers.
    """

    as_of: str
    how: How
    window: int
    since: str | None = None
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises:
            EvidenceError: it is something else.
        """
        try:
            return cls(**record)
        except TypeError as e:
            raise EvidenceError(
                "plan from a record", found=str(e), expected="what Plan.to_json wrote", cure="read it again"
            ) from e


@dataclass(frozen=True)
class Training:
    """A training that was asked for.

    Args:
        as_of: key of its as-of partition.
        outcome: `requested`: it was decided on, and no run is there yet; `running`; what the decision on its
            candidate was, of one that was promoted `rolling_out` until its rollout ends, and `rejected` if that turned
            it down; `failed`: there is no candidate.
        evidence: why; None where it was started by hand.
        plan: what was asked for; None likewise.
        bundle: the candidate's SHA-256; None while there is none.
        seen: what was known when it was asked for, see `staleness.seen`.
    """

    as_of: str
    outcome: Outcome
    evidence: Evidence | None = None
    plan: Plan | None = None
    bundle: str | None = None
    seen: Mapping[str, int] = field(default_factory=dict)

    @property
    def automatic(self) -> bool:
        """Whether nobody asked for it and it replaces a champion: those are what a budget is for."""
        asks = self.evidence.asks if self.evidence is not None else ()
        return bool(asks) and not any(f.reason in ("asked", "first") for f in asks)
