"""Retraining policies for a backtest, with one interface: what is known at a partition's end -> a decision.

How history is replayed under them is in `backtest`, how they compare in `backtest_report`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import floor
from typing import Protocol

from ml_assets.core.errors import ConfigError
from ml_assets.core.retraining.causes import scheduled
from ml_assets.core.retraining.decision import Decision, RetrainingRules, decide
from ml_assets.core.retraining.evidence import Evidence
from ml_assets.core.retraining.observed import Observed
from ml_assets.core.retraining.staleness import staleness
from ml_assets.core.retraining.staleness_rules import StalenessRules
from ml_assets.core.retraining.trainings import Plan, Training


@dataclass(frozen=True)
class Present:
    """All that can be known when a partition has just landed: nothing of it is later, no label immature.

    Args:
        now: the end of the newest partition, aware.
        observed: what landed, was reported and realised, and which models answered.
        trainings: so far, oldest first, the initial one not included.
    """

    now: datetime
    observed: Observed
    trainings: tuple[Training, ...] = ()

    @property
    def newest(self) -> str:
        """Key of the partition that has just landed."""
        return self.observed.in_order[-1].key


class RetrainingPolicy(Protocol):
    """Asked after every partition whether to train now."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    def decide(self, present: Present) -> Decision:
        """Its decision; `retrain` has a plan."""


@dataclass(frozen=True)
class Never:
    """Keeps the initial model."""

    name: str = "never"

    def decide(self, present: Present) -> Decision:
        """Nothing, ever."""
        return Decision("ignore", (f"never retrained; {present.newest} landed",), Evidence())


@dataclass(frozen=True)
class Every:
    """Retrains after every so many partitions, whatever they are like.

    Args:
        partitions: how many, 1 or more.
        window: partitions to learn from.
        initial: key of the initial model's as-of partition.

    Raises:
        ConfigError: fewer than one.
    """

    partitions: int
    window: int
    initial: str

    def __post_init__(self) -> None:
        if self.partitions < 1 or self.window < 1:
            raise ConfigError(
                "policy of a backtest",
                found=f"every {self.partitions} partitions on {self.window}",
                expected="1 or more of both",
                cure="correct the policies that are compared",
            )

    @property
    def name(self) -> str:
        """Says how many, and on how much."""
        return f"every {self.partitions} on {self.window}"

    def decide(self, present: Present) -> Decision:
        """Train if so many partitions have landed since the last training."""
        last = present.trainings[-1].as_of if present.trainings else self.initial
        keys = [p.key for p in present.observed.in_order]
        since = len(keys) - 1 - keys.index(last)
        if since < self.partitions:
            return Decision("ignore", (f"{since} of {self.partitions} partitions since {last}",), Evidence())
        live = present.observed.live
        evidence = Evidence.of([scheduled(present.now, self.name, live.bundle if live else None)])
        plan = Plan(present.newest, "refit", self.window, why=self.name)
        return Decision("retrain", (self.name,), evidence, evidence.key, plan)


@dataclass(frozen=True)
class ByRules:
    """Decides as a pipeline's rules do.

    Args:
        name: what it is called.
        staleness: bounds of evidence.
        retraining: what follows from it.
        ticks: partitions at whose end the schedule asks.
    """

    name: str
    staleness: StalenessRules
    retraining: RetrainingRules
    ticks: frozenset[str] = frozenset()

    def decide(self, present: Present) -> Decision:
        """What the sensor would decide."""
        live = present.observed.live
        ticks = (
            [scheduled(present.now, "schedule", live.bundle if live else None)] if present.newest in self.ticks else []
        )
        evidence = Evidence.of(staleness(present.observed, self.staleness, present.now), ticks)
        return decide(evidence, present.observed.partitions, present.trainings, self.retraining)


def to_compare(configured: ByRules, initial: str, every: Sequence[int] = (1, 3)) -> tuple[RetrainingPolicy, ...]:
    """The policies that a pipeline's own is compared with, and that one, the last.

    Drift alone and realised error alone have its rules for that evidence and no others; schedules learn from the
    full window, and from the shortest that it may choose.

    Args:
        configured: the pipeline's own.
        initial: key of the initial model's as-of partition.
        every: intervals of schedules, in partitions.
    """
    rules, learning = configured.staleness, configured.retraining.learning
    alone = replace(configured, ticks=frozenset())
    # A window of no more than what is held back leaves nothing to learn from.
    windows = dict.fromkeys((learning.window, max(learning.shortest, floor(learning.held) + 1)))
    return (
        Never(),
        *(Every(n, window, initial) for n in every for window in windows),
        replace(alone, name="drift", staleness=replace(rules, performance=None, after=None)),
        replace(alone, name="performance", staleness=replace(rules, drift=None, after=None)),
        configured,
    )
