"""The section `rollout` of a pipeline: how a promoted candidate takes traffic, and what makes it go back (level 4).

What follows from it is in `core.rollout`; a rollout keeps the rules it began with, whatever the file says later.
"""

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_assets.config.durations import Length, length
from ml_assets.core.errors import ConfigError

if TYPE_CHECKING:
    from ml_assets.core.rollout.rules import Rules

BASIS_POINTS = 100
"""Of a percent."""
RULED_OUT_ABOVE_LIMIT = 0.04
"""Share of the champion's loss between the limit and what is ruled out: it takes as many labels as to find 5 % more."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Guardrails(_Section):
    """What makes a rollout go back by itself; null: not looked at."""

    errors: float | None = Field(
        default=0.005,
        ge=0,
        lt=1,
        description="Failure rate above the champion's that is not minded, as a share of the requests; beyond it, a "
        "candidate that surely fails more often than the champion is rolled back.",
    )
    p99_ratio: float | None = Field(
        default=1.5, ge=1, description="How many times the champion's 99th percentile of latency is allowed."
    )
    prediction_shift: float | None = Field(
        default=0.5,
        ge=0,
        description="How far the mean prediction may be from the champion's on the same requests, in standard "
        "deviations of its predictions.",
    )
    loss: float | None = Field(
        default=0.01,
        ge=0,
        description="How much higher than the champion's the realised loss (evaluation.metric) may be, as a share.",
    )
    estimated_loss: float | None = Field(
        default=0.1,
        ge=0,
        description="Likewise, of the loss that is estimated before labels are known, and surely so: how far its "
        "estimators may be off comes on top.",
    )
    alpha: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="Probability that a candidate within all limits is rolled back, over the whole rollout.",
    )
    loss_ruled_out: float | None = Field(
        default=None,
        gt=0,
        description="A realised loss above the champion's, as a share, that must surely be ruled out before the "
        "champion answers nothing any more; until max_age labels are waited for, then the champion stays. null: not "
        "waited for. Absent: where paired is false, 0.04 above loss, else not waited for.",
    )


class Breaker(_Section):
    """When a server takes the traffic back from a candidate at once, without waiting for Dagster."""

    window: int = Field(
        default=50, ge=10, le=10_000, description="Last requests of the candidate that are looked at, by each server."
    )
    errors: float = Field(
        default=0.2, gt=0, le=1, description="Share of the window that failed at which the server goes back."
    )
    slow: float = Field(
        default=5.0,
        gt=1,
        description="How many times the champion's 99th percentile of latency is slow; where half of the window is, "
        "the server goes back.",
    )


class Rollout(_Section):
    """How a promoted bundle takes traffic (level 4); the first release ever is direct."""

    strategy: Literal["direct", "shadow", "canary", "blue_green", "ab_test", "bandit"] = Field(
        default="canary",
        description="direct: all at once. shadow: scored beside, then all. canary: a growing share. blue_green: all "
        "at once, with the champion standing by. ab_test: a fixed share until the difference is sure. bandit: a share "
        "that follows which one is probably better.",
    )
    steps: tuple[Literal["shadow"] | float, ...] | None = Field(
        default=None,
        description="Shares of traffic in percent, rising; `shadow` first: scored beside and not answered. Absent: "
        "those of the strategy, of canary [shadow, 5, 25, 50, 100].",
    )
    guardrails: Guardrails = Field(default_factory=Guardrails, description="What makes a rollout go back.")
    breaker: Breaker = Field(default_factory=Breaker, description="What makes a server go back at once.")
    min_requests: int | None = Field(
        default=None,
        ge=1,
        description="Requests that the candidate has answered, in shadow was scored beside of, before a step is left; "
        "of ab_test and bandit, that either model has answered before it ends. Absent: 1000; of strategies with fewer "
        "steps 3000, of bandit 2000.",
    )
    min_labels: int = Field(
        default=0, ge=0, description="Rows with a known label, of both models, before the candidate is released."
    )
    min_time: str = Field(default="10m", description="Least time in a step, such as 10m or 1d; 0s: none.")
    max_age: Length | None = Field(
        default=None,
        description="Time after which it ends and the champion stays; time paused does not count. Absent: 7d; where it "
        "can't be released without labels, 7d more than these may take: label.delay, and with serving.key a partition.",
    )
    paired: bool = Field(
        default=True,
        description="Whether both models score every request, one beside the answer: differences show with far fewer "
        "requests, for twice the scoring. false: each request is scored by the one that answers it.",
    )
    floor: float = Field(default=5.0, gt=0, le=50, description="Least share of a bandit's arms, in percent.")
    compared_up_to: int | None = Field(
        default=None,
        ge=1_000,
        description="Requests of which all are compared row by row, with their losses; then half of as many again, a "
        "quarter of twice as many, and so on, so that a look costs little more after days. Failures, latencies and "
        "mean predictions are counted of all. Absent: 100000, where paired is false 400000; or "
        "min_labels, if that is more.",
    )
    check_every_seconds: int = Field(
        default=30, ge=1, description="Least time between two looks of the rollout's sensor, in seconds."
    )

    @model_validator(mode="after")
    def _followed(self) -> "Rollout":
        try:
            self.rules()
        except ConfigError as e:
            raise ValueError(str(e)) from e
        return self

    def rules(self, label_wait: timedelta = timedelta(0)) -> "Rules":
        """What a rollout goes by.

        Args:
            label_wait: how long labels may take; see `Pipeline.label_wait` of `ml_assets.problem`.

        Raises:
            ConfigError: steps that the strategy can't take, or a time that is none.
        """
        from ml_assets.core.durations import duration
        from ml_assets.core.rollout import breaker
        from ml_assets.core.rollout import rules as core
        from ml_assets.core.rollout.waiting import waits_for_labels

        shares = None if self.steps is None else tuple(_weight(s) for s in self.steps)
        told = self.guardrails.model_dump()
        if "loss_ruled_out" not in self.guardrails.model_fields_set and self._may_miss_losses():
            told["loss_ruled_out"] = round(told["loss"] + RULED_OUT_ABOVE_LIMIT, 9)
        rules = core.Rules(
            strategy=self.strategy,
            steps=core.STEPS[self.strategy] if shares is None else shares,
            guardrails=core.Guardrails(**told),
            breaker=breaker.Breaker(**self.breaker.model_dump()),
            min_requests=self.min_requests or core.MIN_REQUESTS[self.strategy],
            min_labels=self.min_labels,
            min_time=duration(self.min_time, "rollout.min_time"),
            max_age=core.MAX_AGE if self.max_age is None else length(self.max_age, "rollout.max_age"),
            paired=self.paired,
            floor=round(self.floor * BASIS_POINTS),
            compared_up_to=self.compared_up_to or max(core.COMPARED_UP_TO[self.paired], self.min_labels),
        )
        if self.max_age is None and waits_for_labels(rules):
            return replace(rules, max_age=core.MAX_AGE + label_wait)
        return rules

    def _may_miss_losses(self) -> bool:
        """Whether a higher loss is a reason to go back that may go unseen: losses of different requests vary more."""
        released_unseen = self.strategy in ("shadow", "canary", "blue_green")
        return released_unseen and not self.paired and self.guardrails.loss is not None


def _weight(share: str | float) -> int:
    return 0 if isinstance(share, str) else round(share * BASIS_POINTS)
