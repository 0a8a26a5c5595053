"""A whole backtest: every policy replayed, all compared, and the record of it.

How one policy is replayed is in `backtest`, how they are compared in `backtest_report`, drawn in `backtest_pictures`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ml_assets.core.retraining.backtest import History, World, replay
from ml_assets.core.retraining.backtest_policies import RetrainingPolicy
from ml_assets.core.retraining.backtest_report import Backtest, compare
from ml_assets.core.retraining.observed import Partition
from ml_assets.core.retraining.trainings import Plan


@dataclass(frozen=True)
class Backtested:
    """Policies that were replayed.

    Args:
        initial: the training with which all begin.
        histories: of the policies, in the order given.
        report: what they are worth.
    """

    initial: Plan
    histories: tuple[History, ...]
    report: Backtest

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "initial": self.initial.to_json(),
            "histories": [h.to_json() for h in self.histories],
            **self.report.to_json(),
        }

    def table(self) -> list[dict[str, Any]]:
        """One row per policy, in the order given; `behind` with its 95 % interval is None where it is not known."""
        return [
            {
                "policy": o.policy,
                "error": rounded(o.error),
                "trainings": o.trainings,
                "promoted": o.promoted,
                "cost": round(o.cost),
                "regret": rounded(o.regret),
                "behind": None if o.behind is None else rounded(o.behind.estimate),
                "low": None if o.behind is None else rounded(o.behind.low),
                "high": None if o.behind is None else rounded(o.behind.high),
            }
            for o in self.report.outcomes
        ]


def run(
    policies: Sequence[RetrainingPolicy],
    partitions: Sequence[Partition],
    world: World[str],
    initial: Plan,
    *,
    seed: int,
    tell: Callable[[str], None],
) -> Backtested:
    """Replay history under each policy, and compare them.

    Args:
        policies: the last is the configured one.
        partitions: recorded ones.
        world: see `backtest_world`.
        initial: the training with which all begin.
        seed: of the resampling.
        tell: progress.

    Raises:
        ContractError: there is no row with a label after the initial training.
    """
    histories = []
    for number, policy in enumerate(policies, start=1):
        tell(f"policy {number} of {len(policies)}: {policy.name}")
        history = replay(policy, partitions, world, initial)
        histories.append(history)
        at = ", ".join(f"{t.plan.as_of} ({t.outcome})" for t in history.trainings) or "never"
        tell(f"policy {policy.name} trained {at}")
    return Backtested(initial, tuple(histories), compare(histories, policies[-1].name, seed=seed))


def rounded(value: float) -> float:
    """To four significant digits, for people."""
    return float(f"{value:.4g}")
