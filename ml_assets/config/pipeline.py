"""The attributes of `ml_assets.components.Pipeline`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ml_assets.config.later import (
    Ensemble,
    Monitoring,
    NamedModel,
    Retraining,
    Rollout,
    Tuning,
    refuse_unbuilt,
)
from ml_assets.config.table import NAME, REFERENCE
from ml_assets.core.errors import ConfigError
from ml_assets.core.parameters import ModelParams, Objective
from ml_assets.core.windows import Window

if TYPE_CHECKING:
    from ml_assets.core.split import Split


class Label(BaseModel):
    """What is predicted, and when its true value becomes known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str = Field(description="Column of the table that is predicted.")
    known_at: str = Field(description="Column that says when the label's value became known (naive datetime).")
    task: Literal["regression"] = Field(default="regression", description="Kind of problem.")


class Params(BaseModel):
    """Parameters of training; what is absent keeps the default of `core.parameters.ModelParams`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    alpha: float | None = Field(default=None, description="Of huber: error in the label's unit; of quantile: 0 to 1.")
    trees: int | None = Field(default=None, description="Most trees; fewer where early stopping says so.")
    learning_rate: float | None = Field(default=None, description="Share of each tree's answer that is added, 0 to 1.")
    leaves: int | None = Field(default=None, description="Most leaves of a tree.")
    min_rows_per_leaf: int | None = Field(default=None, description="Fewest training rows of a leaf.")
    feature_fraction: float | None = Field(default=None, description="Share of the features a tree may use, 0 to 1.")
    bagging_fraction: float | None = Field(default=None, description="Share of the rows a tree is grown from, 0 to 1.")
    l2: float | None = Field(default=None, description="Penalty on the squared answers of leaves, in rows.")
    category_l2: float | None = Field(default=None, description="The same in splits by category, in rows.")
    early_stopping_rounds: int | None = Field(
        default=None,
        description="Trees without a better validation loss after which training stops; 0: never.",
    )
    max_categories: int | None = Field(
        default=None,
        description="Most frequent categories of a feature that are told apart; others count as missing.",
    )


class Model(BaseModel):
    """The model and what it learns from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    objective: Objective = Field(default="l1", description="Loss that LightGBM minimises.")
    window: int = Field(
        default=12, ge=1, description="Partitions of history to learn from, the as-of partition included."
    )
    validation: float = Field(
        default=0.33,
        gt=0,
        description="Newest learning rows kept for early stopping, in partitions of event time; split by group or at "
        "random: rows kept for it, as many partitions' share of the window.",
    )
    min_rows: int = Field(default=500, ge=1, description="Rows for training below which training is refused.")
    seed: int = Field(default=0, ge=0, description="Seed of everything random in training, and of splits by chance.")
    threads: int = Field(
        default=1, ge=1, description="Threads that LightGBM may use; the bundle does not depend on it."
    )
    params: Params = Field(default_factory=Params, description="Parameters of training.")

    @model_validator(mode="after")
    def _within_bounds(self) -> "Model":
        try:
            self.training_params()
        except ConfigError as e:
            raise ValueError(str(e)) from e
        return self

    def training_params(self) -> ModelParams:
        """The parameters of training, absent ones by default."""
        return ModelParams.read(self.params.model_dump(exclude_none=True), objective=self.objective)


class Evaluation(BaseModel):
    """How a candidate is judged."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: Literal["mae", "rmse"] = Field(default="mae", description="Metric that decides, in the label's unit.")
    slices: tuple[str, ...] = Field(
        default=(),
        description="Columns of the validated table or features by which the error is broken down.",
    )
    margin: float = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="Share by which a candidate must beat the naive baseline to be released.",
    )
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
        """Columns or features that the features table stores beside, for slices and for splits by group."""
        return tuple(dict.fromkeys((*self.slices, *(() if self.group is None else (self.group,)))))


class PipelineConfig(BaseModel):
    """One machine-learning problem on one table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = Field(
        default=None,
        pattern=NAME,
        description="Name of the pipeline, first part of its asset keys; absent: the folder's name.",
    )
    table: str = Field(pattern=NAME, description="Name of the table whose rows are learnt from and scored.")
    label: Label = Field(description="What is predicted.")
    features: str = Field(pattern=REFERENCE, description="The features, as `file:LIST` of a file beside this one.")
    model: Model = Field(default_factory=Model, description="The model and what it learns from.")
    evaluation: Evaluation = Field(default_factory=Evaluation, description="How a candidate is judged (level 2).")
    monitoring: Monitoring | None = Field(default=None, description="Drift and performance monitoring (level 2).")
    retraining: Retraining | None = Field(default=None, description="When to retrain (level 2).")
    versioning: Literal["dvc", "off"] | bool = Field(
        default="dvc",
        description="Whether the partitions a model learns from are kept by DVC, so that `ml-assets restore` brings "
        "them back: dvc or off.",
    )
    tuning: Tuning | None = Field(default=None, description="Search for parameters (level 3).")
    rollout: Rollout | None = Field(default=None, description="How a promoted bundle takes traffic (level 4).")
    models: tuple[NamedModel, ...] | None = Field(default=None, description="Several models in place of one (level 5).")
    ensemble: Ensemble | None = Field(default=None, description="How several models answer as one (level 5).")

    @field_validator("versioning")
    @classmethod
    def _yaml_reads_off_as_false(cls, value: str | bool) -> str:
        return value if isinstance(value, str) else "dvc" if value else "off"

    @model_validator(mode="after")
    def _only_what_is_built(self) -> "PipelineConfig":
        refuse_unbuilt(self)
        needed = self.model.validation + self.evaluation.holdout + 2 * self.evaluation.embargo
        if needed >= self.model.window:
            raise ValueError(
                f"model.window: {self.model.window} partitions leave nothing to train on: validation, holdout and "
                f"embargoes take {needed:g} of them; expected a longer window or shorter validation and holdout"
            )
        return self

    def split_over(self, windows: "Sequence[Window]") -> "Split":
        """How rows of a learning window are divided.

        Args:
            windows: partitions to learn from, oldest first, at least one; the last is the as-of partition.

        Raises:
            TrainingError: it leaves nothing to train on.
        """
        lengths = {"validation": self.model.validation, "holdout": self.evaluation.holdout}
        if self.evaluation.split == "time":
            from ml_assets.core.time_split import time_split

            return time_split(windows, **lengths, embargo=self.evaluation.embargo)
        from ml_assets.core.share_split import ShareSplit

        # Of the whole window, also where it is not full yet: a row is in the same part as of every partition.
        shares = {part: length / self.model.window for part, length in lengths.items()}
        return ShareSplit(
            kind=self.evaluation.split,
            **shares,
            seed=self.model.seed,
            start=windows[0].start,
            as_of=windows[-1].end,
            group=self.evaluation.group,
        )
