"""How simulated rollouts ended, and the line that a table has of many of them; what is simulated is elsewhere."""

from dataclasses import dataclass

import numpy as np

ROLLED_BACK, RELEASED, EXPIRED = "rolled back", "released", "expired"


@dataclass(frozen=True)
class Outcome:
    """How one rollout ended.

    Args:
        end: `rolled back`, `released` or `expired`.
        guardrail: that was broken first, or `test` where the A/B test found the loss to be higher; None otherwise.
        requests: until then, in all.
        harmed: of them, those that the candidate answered.
    """

    end: str
    guardrail: str | None
    requests: int
    harmed: int


@dataclass(frozen=True)
class Cell:
    """Many rollouts of one truth under one plan."""

    plan: str
    truth: str
    outcomes: tuple[Outcome, ...]

    def share(self, end: str) -> float:
        """Share that ended so, 0 to 1."""
        return sum(o.end == end for o in self.outcomes) / len(self.outcomes)

    @property
    def rolled_back(self) -> float:
        """Share that was rolled back, 0 to 1."""
        return self.share(ROLLED_BACK)

    def of(self, end: str, what: str, quantile: float) -> float:
        """A quantile of `requests` or `harmed` of those that ended so; NaN where none did."""
        told = [getattr(o, what) for o in self.outcomes if o.end == end]
        return float(np.quantile(told, quantile)) if told else float("nan")


HEAD = (
    "| plan | the candidate is truly | rolled back | released | requests until it ended, median (95 %) | of them "
    "answered by it, median (95 %) |\n|---|---|---|---|---|---|"
)


def in_line(told: Cell) -> str:
    """A line of a table of the documentation, of all rollouts of a cell, however they ended."""
    shares = f"{told.rolled_back:.1%} | {told.share(RELEASED):.1%}"
    counts = [np.quantile([getattr(o, what) for o in told.outcomes], [0.5, 0.95]) for what in ("requests", "harmed")]
    return f"| {told.plan} | {told.truth} | {shares} | {' | '.join(f'{q[0]:,.0f} ({q[1]:,.0f})' for q in counts)} |"
