"""The section `evaluation` of a pipeline: on which rows a candidate is judged, by what, and what it must reach."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Costs(BaseModel):
    """What wrong answers of a binary classifier cost, in any one unit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    false_positive: float = Field(default=1.0, gt=0, description="Cost of a yes that is a no.")
    false_negative: float = Field(default=1.0, gt=0, description="Cost of a no that is a yes.")


class Baselines(BaseModel):
    """Yardsticks that cost next to nothing, beside the median or base rate of the training labels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: tuple[str, ...] = Field(
        default=(),
        description="Columns of the validated table or features: median (base rate) of rows alike in them, and the "
        "last value known of such rows.",
    )
    linear: bool = Field(default=True, description="Whether a linear model is fitted beside, as a yardstick.")


class Evaluation(BaseModel):
    """How a candidate is judged."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: Literal["mae", "rmse", "pinball", "log_loss", "brier"] | None = Field(
        default=None,
        description="Metric that decides, the lower the better; absent: mae of a regression (pinball of a quantile), "
        "log_loss of a classification.",
    )
    slices: tuple[str, ...] = Field(
        default=(),
        description="Columns of the validated table or features by which the error is broken down.",
    )
    margin: float = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="Smallest difference that matters, as a share of the metric: by so much a candidate must surely "
        "beat the naive baseline, and one that can't be so much better than the champion is not released.",
    )
    non_inferiority: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of the champion's loss by which a candidate may be worse at most, surely; 0: it must "
        "surely be better.",
    )
    slice_margin: float = Field(
        default=0.05,
        ge=0,
        description="Share of the champion's loss by which no slice may surely be worse.",
    )
    calibration_margin: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="Calibration error of a classifier above what chance alone explains that is let pass.",
    )
    min_labels: int = Field(
        default=200, ge=1, description="Holdout rows with a mature label below which nothing is decided."
    )
    costs: Costs = Field(default_factory=Costs, description="What wrong answers of a binary classifier cost.")
    baselines: Baselines = Field(default_factory=Baselines, description="Yardsticks beside median or base rate.")
    holdout: float = Field(
        default=0.33,
        gt=0,
        description="Newest rows no model has seen, for evaluation, in partitions of event time; split by group or at "
        "random: rows kept for it, as many partitions' share of the window.",
    )
    embargo: float = Field(
        default=0.0,
        ge=0,
        description="Gap before validation and before holdout, in partitions of event time; only where split by time.",
    )
    split: Literal["time", "group", "random"] = Field(
        default="time",
        description="How rows are divided into training, validation and holdout: newest rows judge; all rows with "
        "the same value of `group` stay together; or each row by itself.",
    )
    group: str | None = Field(
        default=None,
        description="Column of the validated table or feature whose rows stay together; only with split: group.",
    )

    @model_validator(mode="after")
    def _split_of_its_kind(self) -> "Evaluation":
        wrong = []
        if self.split == "group" and self.group is None:
            wrong.append("split: group without evaluation.group; expected the column whose rows stay together")
        if self.split != "group" and self.group is not None:
            wrong.append(f"group: {self.group}, which split: {self.split} does not use; remove it or say split: group")
        if self.split != "time" and self.embargo > 0:
            wrong.append(
                f"embargo: {self.embargo:g}, but with split: {self.split} all parts lie side by side in time and no "
                "gap can be kept; remove it or say split: time"
            )
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @property
    def kept(self) -> tuple[str, ...]:
        """Columns or features that the features table stores beside: of slices, splits by group, baselines by key."""
        group = () if self.group is None else (self.group,)
        return tuple(dict.fromkeys((*self.slices, *group, *self.baselines.by)))
