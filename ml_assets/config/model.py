"""The sections `model`, `models`, `ensemble` and `tuning` of a pipeline: what learns, from what, and its search."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ml_assets.config.durations import Delay
from ml_assets.config.table import NAME
from ml_assets.core.durations import duration
from ml_assets.core.tasks import Task

if TYPE_CHECKING:
    from ml_assets.core.models.spec import ModelSpec
    from ml_assets.core.recency import Recency

THE_ONLY = "model"
"""Name of a pipeline's model where there is one only."""


class Params(BaseModel):
    """Parameters of training; what is absent keeps the default of the kind.

    Those of kind lightgbm are described here (`core.parameters.ModelParams`); the kinds linear and sklearn take
    their own (`core.models.linear_params`, the estimator's constructor).
    """

    model_config = ConfigDict(extra="allow", frozen=True)

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
    boosting: Literal["gbdt", "rf"] | None = Field(default=None, description="Boosted trees, or a random forest.")
    linear_tree: bool | None = Field(default=None, description="Whether leaves hold linear models of the numbers.")
    monotone: dict[str, Literal[-1, 0, 1]] | None = Field(
        default=None, description="Number feature -> 1 if predictions may only rise with it, -1 if only fall."
    )


class OneModel(BaseModel):
    """What kind of model, and its parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["lightgbm", "linear", "sklearn"] = Field(
        default="lightgbm",
        description="lightgbm: trees; linear: a linear model on one-hot and target-encoded features; sklearn: any "
        "estimator of scikit-learn that can be exported to ONNX.",
    )
    objective: str | None = Field(
        default=None,
        description="Loss that is minimised: l1, l2, huber, quantile, poisson (regression), binary, multiclass; "
        "absent: l1 for a regression, else the task's own.",
    )
    estimator: str | None = Field(
        default=None, description="Of kind sklearn: the class, such as sklearn.ensemble.ExtraTreesRegressor."
    )
    params: Params = Field(default_factory=Params, description="Parameters of training.")
    per: tuple[str, ...] = Field(
        default=(), description="Category features by whose values rows get a model of their own."
    )
    per_min_rows: int = Field(
        default=500, ge=1, description="Training rows below which such a segment is answered by the model for all."
    )

    def spec(self, name: str, task: Task, classes: int) -> "ModelSpec":
        """The model as `core` knows it.

        Raises:
            ConfigError: parameters are unknown, out of bounds, or not of this kind.
        """
        from ml_assets.core.models.spec import ModelSpec

        return ModelSpec.read(
            name=name,
            kind=self.kind,
            task=task,
            classes=classes,
            objective=self.objective,
            estimator=self.estimator,
            params=self.params.model_dump(exclude_none=True),
            per=self.per,
            min_rows=self.per_min_rows,
        )


class Model(OneModel):
    """The model and what it learns from."""

    window: int = Field(
        default=12, ge=1, description="Partitions of history to learn from, the as-of partition included."
    )
    half_life: float | None = Field(
        default=None,
        gt=0,
        description="Age in partitions at which a training row counts half as much as the newest; absent: all alike.",
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
        default=1, ge=1, description="Threads that training and scoring may use; the bundle does not depend on it."
    )

    @property
    def recency(self) -> "Recency":
        """What of the training rows an untuned model learns from: all, weighted by `half_life`."""
        from ml_assets.core.recency import Recency

        return Recency(window=None, half_life=self.half_life)


class NamedModel(OneModel):
    """One of several models (level 5)."""

    name: str = Field(pattern=NAME, description="Name of the model: its asset is `<pipeline>/model_<name>`.")


class Ensemble(BaseModel):
    """How several models answer as one (level 5)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["blending", "stacking"] = Field(
        default="blending",
        description="blending: weights of at least 0 that sum to 1; stacking: a linear model with weights of at least "
        "0 over the members' answers.",
    )


class Range(BaseModel):
    """Values of a parameter between two bounds, both included."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float = Field(description="Smallest value.")
    high: float = Field(description="Largest value.")
    log: bool = Field(default=False, description="Whether equal ratios, not equal differences, are equally likely.")


class Tuning(BaseModel):
    """Search for parameters, and for what to learn from (level 3)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trials: int = Field(default=30, ge=1, description="Trials of each model's study, the untuned default included.")
    timeout: Delay | None = Field(
        default=None,
        description="Duration such as 10m after which no trial is started; the number of trials then depends on the "
        "machine, and only the study's record makes it repeatable.",
    )
    warm_start: bool = Field(default=True, description="Whether the champion's best parameters are tried first.")
    folds: int = Field(default=2, ge=1, le=20, description="Blocks of later rows on which every trial is judged.")
    pruning: bool = Field(
        default=True,
        description="Whether a trial is stopped whose validation curve is worse than those of the best, or that is "
        "surpassed on the newest blocks.",
    )
    space: dict[str, tuple[Any, ...] | Range] | None = Field(
        default=None,
        description="Parameter -> list of values or {low, high, log}; beside the parameters of lightgbm also `window` "
        "and `half_life` in partitions (null: all, unweighted); absent: the default space of core.search_space.",
    )

    @property
    def space_told(self) -> dict[str, Any] | None:
        """The space as `core.search_space` reads it."""
        if self.space is None:
            return None
        return {n: p.model_dump() if isinstance(p, Range) else list(p) for n, p in self.space.items()}

    @property
    def timeout_seconds(self) -> float | None:
        """The timeout in seconds."""
        return None if self.timeout is None else duration(self.timeout, "tuning.timeout").total_seconds()
