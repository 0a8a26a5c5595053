"""The section `retraining` of a pipeline: what is evidence, how often it may lead to a training, on how much data."""

from math import ceil
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ml_assets.config.durations import Length, length
from ml_assets.config.monitoring import Monitoring

if TYPE_CHECKING:
    from ml_assets.core.retraining.decision import RetrainingRules
    from ml_assets.core.retraining.staleness_rules import KOfN, StalenessRules


class _KOfN(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    k: int
    n: int

    @model_validator(mode="after")
    def _k_within_n(self) -> "_KOfN":
        if self.k > self.n:
            raise ValueError(f"k: {self.k} of the last n: {self.n}; expected k of at most n")
        return self

    def rule(self) -> "KOfN":
        """As the rules that decide take it."""
        from ml_assets.core.retraining.staleness_rules import KOfN

        return KOfN(self.k, self.n)


class OnDrift(_KOfN):
    """How much drift is evidence: k of the last n reports with a verdict against the live champion."""

    k: int = Field(default=2, ge=1, description="Drifted reports among the last n that are enough.")
    n: int = Field(
        default=3, ge=1, description="Reports with a verdict that are looked at, newest partitions of event time."
    )


class OnPerformance(_KOfN):
    """How much realised error is evidence: k of the last n partitions beyond their bound."""

    k: int = Field(default=1, ge=1, description="Partitions beyond their bound among the last n that are enough.")
    n: int = Field(default=1, ge=1, description="Partitions with mature labels that are looked at, the newest.")


class OnStale(BaseModel):
    """How long the monitor may be blind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after: Length = Field(
        default="7d",
        description="Time, as 36h or 7d, after which a partition without a report with a verdict is evidence; counted "
        "from when it landed, or from the champion's release where that is later.",
    )
    empty: int = Field(
        default=3, ge=1, description="Reports in a row with too few rows to judge after which the monitor is blind."
    )


class OnAbrupt(BaseModel):
    """The learning window after an abrupt change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    window: int | None = Field(
        default=None,
        ge=1,
        description="Fewest partitions to learn from while the change is recent; absent: a quarter of model.window. "
        "More are learnt from where model.min_rows needs them, and as partitions after the change land.",
    )


class Budget(BaseModel):
    """How many retrainings are allowed; what a person asks for is not counted, nor is the first model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    runs: int = Field(default=4, ge=0, description="Retrainings; 0: none by themselves.")
    per: int = Field(default=12, ge=1, description="Partitions, up to the newest, within which they count.")
    reserve: int | None = Field(
        default=None,
        ge=0,
        description="Of the runs, those that schedule and silence may not take, so that drift and realised error find "
        "some left; absent: half of them, rounded down.",
    )

    @model_validator(mode="after")
    def _reserve_within_runs(self) -> "Budget":
        if self.kept > self.runs:
            raise ValueError(f"reserve: {self.reserve} of runs: {self.runs}; expected a reserve of at most the runs")
        return self

    @property
    def kept(self) -> int:
        """The reserve, in runs."""
        return self.runs // 2 if self.reserve is None else self.reserve


class Retraining(BaseModel):
    """When to retrain (level 2)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    on_drift: OnDrift | None = Field(default_factory=OnDrift, description="Evidence from drift reports; null: none.")
    on_performance: OnPerformance | None = Field(
        default_factory=OnPerformance, description="Evidence from realised error; null: none."
    )
    on_stale: OnStale | None = Field(default_factory=OnStale, description="Evidence from a blind monitor; null: none.")
    on_abrupt: OnAbrupt = Field(default_factory=OnAbrupt, description="What to learn from after an abrupt change.")
    cooldown: int = Field(
        default=1,
        ge=0,
        description="Partitions that must have landed since the as-of partition of the last training, whatever came "
        "of it.",
    )
    budget: Budget = Field(default_factory=Budget, description="Most retrainings in a time.")
    schedule: str | None = Field(
        default=None,
        description='Cron expression in UTC, as "0 6 2 * *", for retraining by the clock; absent: only for evidence.',
    )
    min_labelled: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of the newest partition's rows whose label must be known for a training to start.",
    )
    check_every: Length = Field(
        default="30s", description="Least time, as 30s or 5m, between two looks of the retraining sensor."
    )
    attribution: int = Field(
        default=3,
        ge=0,
        description="Partitions that a replaced champion keeps scoring, to tell what replacing it was worth; 0: none.",
    )

    @field_validator("schedule")
    @classmethod
    def _a_cron(cls, value: str | None) -> str | None:
        if value is None:
            return None
        import dagster as dg  # here, so that a server reads this configuration without Dagster

        try:
            dg.ScheduleDefinition(name="retraining", job_name="train", cron_schedule=value)
        except dg.DagsterInvalidDefinitionError as e:
            raise ValueError(
                f"schedule: {value!r} is no cron expression; expected minute, hour, day of the month, month and day of "
                'the week, such as "0 6 2 * *"'
            ) from e
        return value

    @property
    def check_every_seconds(self) -> int:
        """Least time between two looks of the sensor, in whole seconds, at least one."""
        return max(1, round(length(self.check_every, "retraining.check_every").total_seconds()))

    def staleness_rules(self, monitoring: Monitoring) -> "StalenessRules":
        """When the drift asset is stale, as the rules that decide take it."""
        from ml_assets.core.retraining.staleness_rules import StalenessRules

        stale = self.on_stale
        defaults = StalenessRules()
        return StalenessRules(
            drift=None if self.on_drift is None else self.on_drift.rule(),
            performance=None if self.on_performance is None else self.on_performance.rule(),
            after=None if stale is None else length(stale.after, "retraining.on_stale.after"),
            empty=defaults.empty if stale is None else stale.empty,
            grace=monitoring.grace_length,
        )

    def rules(self, *, window: int, held: float, min_rows: int, tunes: bool) -> "RetrainingRules":
        """What follows from evidence, as the rules that decide take it.

        Args:
            window: partitions to learn from (`model.window`).
            held: partitions kept for validation, holdout and embargoes.
            min_rows: rows to train on at least (`model.min_rows`).
            tunes: whether the pipeline searches for parameters.

        Raises:
            ConfigError: the window after an abrupt change is longer than the full one.
        """
        from ml_assets.core.retraining.decision import RetrainingRules
        from ml_assets.core.retraining.plan import Learning

        shortest = self.on_abrupt.window or ceil(window / 4)
        learning = Learning(window, shortest, held, min_rows, self.min_labelled, tunes)
        n = max([1, *(on.n for on in (self.on_drift, self.on_performance) if on is not None)])
        budget = self.budget
        return RetrainingRules(learning, self.cooldown, budget.runs, budget.per, budget.kept, cause=n)
