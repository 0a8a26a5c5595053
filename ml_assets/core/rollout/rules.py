"""What a rollout goes by: its strategy, steps and guardrails; fixed when it begins.

Where users write them is `ml_assets.config.rollout`; what follows from them, in `machine` and `guardrails`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, Self

from ml_assets.core.errors import ConfigError, EvidenceError
from ml_assets.core.rollout.breaker import Breaker
from ml_assets.core.rollout.state import Strategy
from ml_assets.core.routing import WHOLE

SHADOW = 0
"""The step in which the candidate answers nothing, as a weight."""
STEPS: dict[Strategy, tuple[int, ...]] = {
    "direct": (),
    "shadow": (SHADOW,),
    "canary": (SHADOW, 500, 2_500, 5_000, WHOLE),
    "blue_green": (SHADOW, WHOLE),
    "ab_test": (5_000,),
    "bandit": (5_000,),
}
"""Strategy -> the candidate's weights step by step, in basis points, where nothing else is said."""
MIN_REQUESTS: dict[Strategy, int] = {
    "direct": 1_000, "shadow": 3_000, "canary": 1_000, "blue_green": 3_000, "ab_test": 3_000, "bandit": 2_000,
}  # fmt: skip
"""Strategy -> requests in a step, where nothing else is said: with one step or two, each has to tell more. Of a bandit
the arm that is probably worse takes long to answer as many."""
MAX_AGE = timedelta(days=7)
"""When a rollout ends without a release, where nothing else is said and nobody waits for labels."""
TESTS: tuple[Strategy, ...] = ("ab_test", "bandit")
"""Strategies that release what is surely better, and nothing else."""


@dataclass(frozen=True)
class Guardrails:
    """What a candidate must not do; None: not looked at.

    Args:
        errors: failure rate above the champion's, from 0 to 1, that is not minded.
        p99_ratio: how many times the champion's 99th percentile of latency the candidate's may be.
        prediction_shift: how far the mean prediction may be from the champion's, in standard deviations of that.
        loss: how much higher the realised loss may be than the champion's, as a share of it.
        estimated_loss: likewise for the loss that is estimated before labels are known.
        alpha: probability that a candidate within all limits is ever rolled back, however often one looks.
        loss_ruled_out: a loss above the champion's, as a share of it, that must surely be ruled out before the champion
            answers nothing any more; None: that is not waited for.
    """

    errors: float | None = 0.005
    p99_ratio: float | None = 1.5
    prediction_shift: float | None = 0.5
    loss: float | None = 0.01
    estimated_loss: float | None = 0.1
    alpha: float = 0.05
    loss_ruled_out: float | None = None

    @property
    def own_alpha(self) -> float:
        """The share of `alpha` that each guardrail that is looked at has (Bonferroni)."""
        limits = (self.errors, self.p99_ratio, self.prediction_shift, self.loss, self.estimated_loss)
        return self.alpha / max(1, sum(limit is not None for limit in limits))


COMPARED_UP_TO = {True: 100_000, False: 400_000}
"""Whether a plan is paired -> requests of which all are compared, if nobody says otherwise.

Paired, mean losses of so many are told apart to half a percent. Not paired, it takes more, and each is a row, not two.
"""


@dataclass(frozen=True)
class Rules:
    """What a rollout goes by.

    Args:
        strategy: kind of rollout.
        steps: the candidate's weights in basis points; 0: it is scored beside and answers nothing.
        guardrails: what makes it go back.
        breaker: what makes a server go back at once.
        min_requests: requests that the candidate has answered, or was scored beside of, before a step is left; in a
            test the champion, too, has answered as many before it ends.
        min_labels: rows whose loss is known of both models before the candidate is released.
        min_time: least time in a step.
        max_age: when it ends without a release, paused time aside.
        paired: whether every request is scored by both models: differences are found with far fewer requests.
        floor: least weight of either arm of a bandit, in basis points.
        compared_up_to: requests of which all are compared row by row, and labels looked for; of more, ever fewer.

    Raises:
        ConfigError: steps that the strategy can't take; lists all that is wrong.
    """

    strategy: Strategy = "canary"
    steps: tuple[int, ...] = STEPS["canary"]
    guardrails: Guardrails = field(default_factory=Guardrails)
    breaker: Breaker = field(default_factory=Breaker)
    min_requests: int = 1_000
    min_labels: int = 0
    min_time: timedelta = timedelta(minutes=10)
    max_age: timedelta = MAX_AGE
    paired: bool = True
    floor: int = 500
    compared_up_to: int = COMPARED_UP_TO[True]

    def __post_init__(self) -> None:
        wrong = [f"steps: {self.steps[:i + 1]}, which does not rise" for i in range(1, len(self.steps))
                 if self.steps[i] <= self.steps[i - 1]]  # fmt: skip
        wrong += [f"steps: a weight of {w}" for w in self.steps if not 0 <= w <= WHOLE]
        fits = {
            "direct": (not self.steps, "none"),
            "shadow": (self.steps == (SHADOW,), "shadow alone"),
            "canary": (bool(self.steps) and self.steps != (SHADOW,), "shares of traffic, after shadow if at all"),
            "blue_green": (self.steps in ((SHADOW, WHOLE), (WHOLE,)), "shadow and all, or all at once"),
            "ab_test": (len(self.steps) == 1 and 0 < self.steps[0] < WHOLE, "one share between none and all"),
            "bandit": (len(self.steps) == 1 and 0 < self.steps[0] < WHOLE, "one share between none and all"),
        }[self.strategy]
        wrong += [] if fits[0] else [f"steps: {self.steps} of strategy {self.strategy}; expected {fits[1]}"]
        wrong += self._wrong_to_rule_out()
        wrong += [f"floor: {self.floor}"] if not 0 < self.floor <= WHOLE // 2 else []
        if self.min_labels > self.compared_up_to:
            wrong += [f"min_labels: {self.min_labels}; expected at most compared_up_to, {self.compared_up_to}"]
        if wrong:
            raise ConfigError(
                "rules of a rollout", found=wrong, expected="rising weights that the strategy can take",
                cure="correct the section `rollout`",
            )  # fmt: skip

    def _wrong_to_rule_out(self) -> list[str]:
        feared, limit = self.guardrails.loss_ruled_out, self.guardrails.loss
        if feared is None:
            return []
        named = f"guardrails.loss_ruled_out: {feared}"
        if self.strategy in TESTS:
            return [f"{named} of strategy {self.strategy}; expected none, since only what is surely better is released"]
        return [f"{named}; expected more than loss, {limit}"] if limit is not None and feared <= limit else []

    def rules_out_at(self, step: int) -> bool:
        """Whether a loss must be ruled out before a step is left: after it the champion answers nothing any more."""
        if self.guardrails.loss_ruled_out is None:
            return False
        last = step + 1 == len(self.steps)
        return (step == 0 or self.steps[step] < WHOLE) if last else self.steps[step + 1] == WHOLE

    def to_json(self) -> dict[str, Any]:
        """As JSON, times in seconds."""
        times = {"min_time": self.min_time.total_seconds(), "max_age": self.max_age.total_seconds()}
        return {**asdict(self), "steps": list(self.steps), **times}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises:
            EvidenceError: it is something else.
        """
        try:
            told = {
                # Of a rollout that began before there was such a rule.
                "compared_up_to": max(COMPARED_UP_TO[record["paired"]], record["min_labels"]),
                **record,
                "steps": tuple(record["steps"]),
                "guardrails": Guardrails(**record["guardrails"]),
                "breaker": Breaker(**record["breaker"]),
                "min_time": timedelta(seconds=record["min_time"]),
                "max_age": timedelta(seconds=record["max_age"]),
            }
            return cls(**told)
        except (KeyError, TypeError) as e:
            raise EvidenceError(
                "rules of a rollout", found=repr(e), expected="what Rules.to_json wrote",
                cure="restore the ledger's database from a backup, or abort the rollout",
            ) from e  # fmt: skip
