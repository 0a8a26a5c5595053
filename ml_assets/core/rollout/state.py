"""Where a rollout stands: a state, and the transition from one to the next.

What makes it move is in `machine`; how it is written to the ledger, and read back, in `recorded`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self

from ml_assets.core.errors import EvidenceError
from ml_assets.core.routing import CANDIDATE, CHAMPION, WHOLE

Strategy = Literal["direct", "shadow", "canary", "blue_green", "ab_test", "bandit"]
Phase = Literal["shadow", "canary", "green", "test", "promoted", "rolled_back", "aborted", "superseded", "expired"]
Action = Literal[
    "stay", "advance", "reweigh", "promote", "roll_back", "expire", "pause", "resume", "abort", "supersede"
]
OVER: frozenset[Phase] = frozenset({"promoted", "rolled_back", "aborted", "superseded", "expired"})
"""Phases after which nothing moves any more. `promoted`: the candidate is the champion; in all others it is not."""


@dataclass(frozen=True)
class State:
    """Where a rollout stands.

    Args:
        phase: `shadow`: the candidate is scored beside and answers nothing; `canary`: it answers a growing share;
            `green`: it answers everything and the champion stands by; `test`: shares are compared; or how it ended.
        step: place in the steps of the rules, from 0.
        weight: the candidate's share of the units, in basis points.
        begun: when the rollout began, aware.
        since: when this step began, aware; time in which it was paused is added.
        paused: since when it is paused, aware; None where it is not.
        held: seconds for which it was paused up to its last resumption.
        paired: whether each request is scored by both models, one of them beside.
    """

    phase: Phase
    step: int
    weight: int
    begun: datetime
    since: datetime
    paused: datetime | None = None
    held: float = 0.0
    paired: bool = True

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.phase in OVER

    @property
    def weights(self) -> dict[str, int]:
        """Variant -> share of the units in basis points; all to the candidate once it is the champion."""
        candidate = self.weight if not self.over else WHOLE * (self.phase == "promoted")
        return {CHAMPION: WHOLE - candidate, CANDIDATE: candidate}

    @property
    def shadows(self) -> tuple[str, ...]:
        """Variants that are scored beside where the other one answers."""
        if self.over or not self.paired:
            return () if self.over or self.phase != "shadow" else (CANDIDATE,)
        return (CANDIDATE,) if self.weight == 0 else (CHAMPION,) if self.weight == WHOLE else (CHAMPION, CANDIDATE)

    def to_json(self) -> dict[str, Any]:
        """As JSON, times in ISO 8601."""
        times = {"begun": self.begun.isoformat(), "since": self.since.isoformat()}
        return {**vars(self), **times, "paused": self.paused and self.paused.isoformat()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises:
            EvidenceError: it is something else.
        """
        read = datetime.fromisoformat
        try:
            paused = record["paused"] and read(record["paused"])
            return cls(**{**record, "begun": read(record["begun"]), "since": read(record["since"]), "paused": paused})
        except (KeyError, TypeError, ValueError) as e:
            raise EvidenceError(
                "state of a rollout", found=repr(e), expected="what State.to_json wrote",
                cure="restore the ledger's database from a backup",
            ) from e  # fmt: skip


@dataclass(frozen=True)
class Transition:
    """What follows from a look at a rollout.

    Args:
        action: what is done; `stay`: nothing.
        state: where it stands then.
        reasons: why, in words with numbers.
        evidence: the numbers, JSON-able.
    """

    action: Action
    state: State
    reasons: tuple[str, ...]
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def moves(self) -> bool:
        """Whether anything is to be written down."""
        return self.action != "stay"
