"""The section `monitoring` of a pipeline: when a partition counts as drifted, and when its error as too high."""

from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from ml_assets.config.durations import Length, length

if TYPE_CHECKING:
    from ml_assets.core.drift.policy import DriftPolicy
    from ml_assets.core.promises import Bound


class Drift(BaseModel):
    """How partitions are compared with what the champion was trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    false_alarm_rate: float = Field(
        default=0.01,
        gt=0,
        lt=0.5,
        description="Share of partitions without drift that are called drifted all the same; thresholds are calibrated "
        "to it on the champion's training window.",
    )
    false_discovery_rate: float = Field(
        default=0.05,
        gt=0,
        lt=0.5,
        description="Among the features of a report that are called drifted, the expected share that are not.",
    )
    min_rows: int = Field(
        default=200, ge=50, description="Rows of a partition below which it is not judged: not_enough_rows."
    )
    domain_classifier: bool = Field(
        default=False,
        description="Whether a classifier that tells the partition from the reference is fitted too: it sees drift of "
        "several features together. It takes half of the false-alarm rate, and bundles keep some rows for it.",
    )

    def policy(self) -> "DriftPolicy":
        """As the rules that decide take it."""
        from ml_assets.core.drift.policy import DriftPolicy

        return DriftPolicy(
            false_alarm_rate=self.false_alarm_rate,
            false_discovery_rate=self.false_discovery_rate,
            min_rows=self.min_rows,
            domain_classifier=self.domain_classifier,
        )


class Performance(BaseModel):
    """What the realised error may be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tolerance: float = Field(
        default=0.1,
        ge=0,
        description="Share of the error promised at promotion by which the realised one may be worse; its bound is "
        "broken where it surely is.",
    )
    min_labels: int = Field(default=200, ge=1, description="Rows with a mature label below which no bound is broken.")

    def bound(self) -> "Bound":
        """As the rules that decide take it."""
        from ml_assets.core.promises import Bound

        return Bound(margin=self.tolerance, min_labels=self.min_labels)


class Monitoring(BaseModel):
    """Drift and performance monitoring (level 2)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    drift: Drift = Field(default_factory=Drift, description="When a partition counts as drifted.")
    performance: Performance = Field(default_factory=Performance, description="When the realised error is too high.")
    grace: Length = Field(
        default="15m",
        description="Time, as 15m or 1h, in which the automation is expected to judge what landed; after it the "
        "retraining sensor runs the drift asset itself, and features do without a partition before them that never "
        "came.",
    )

    @property
    def grace_length(self) -> timedelta:
        """The grace as a length of time."""
        return length(self.grace, "monitoring.grace")
