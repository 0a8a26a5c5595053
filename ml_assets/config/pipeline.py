"""The attributes of `ml_assets.components.Pipeline`."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ml_assets.config.durations import Delay
from ml_assets.config.evaluation import Evaluation
from ml_assets.config.model import THE_ONLY, Ensemble, Model, NamedModel, OneModel, Tuning
from ml_assets.config.monitoring import Monitoring
from ml_assets.config.retraining import Retraining
from ml_assets.config.rollout import Rollout
from ml_assets.config.serving import Serving
from ml_assets.config.table import NAME, REFERENCE
from ml_assets.core.durations import duration
from ml_assets.core.errors import ConfigError
from ml_assets.core.tasks import Task
from ml_assets.core.windows import Window

if TYPE_CHECKING:
    from ml_assets.core.metrics import Deciding
    from ml_assets.core.models.spec import ModelSpec
    from ml_assets.core.search_space import SearchSpace
    from ml_assets.core.split import Split

METRICS: dict[Task, tuple["Deciding", ...]] = {
    "regression": ("mae", "rmse", "pinball"),
    "binary": ("log_loss", "brier"),
    "multiclass": ("log_loss", "brier"),
}
"""Task -> metrics that may decide; the first unless YAML says otherwise."""


class Label(BaseModel):
    """What is predicted, and when its true value becomes known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str = Field(description="Column of the table that is predicted.")
    known_at: str = Field(description="Column that says when the label's value became known (naive datetime).")
    delay: Delay = Field(
        default="0s",
        description="How long after known_at a label reaches us, such as 3d: it counts from then on, nowhere before.",
    )
    task: Task = Field(
        default="regression",
        description="regression: a number; binary: yes or no; multiclass: one of several classes.",
    )
    classes: tuple[str, ...] = Field(
        default=(),
        description="Values of the column in the order of the classes; needed for multiclass. Of a binary problem the "
        "second is what the probability is of; absent: false and true, or 0 and 1.",
    )

    @property
    def delay_length(self) -> timedelta:
        """How long after `known_at` a label reaches us."""
        return duration(self.delay, "label.delay")

    @model_validator(mode="after")
    def _classes_of_the_task(self) -> "Label":
        wanted = {"regression": "none", "binary": "two or none", "multiclass": "at least three"}[self.task]
        n = len(self.classes)
        fits = {"regression": n == 0, "binary": n in (0, 2), "multiclass": n > 2}[self.task]
        if not fits or len(set(self.classes)) < n:
            raise ValueError(f"classes: {list(self.classes)} of a {self.task} label; expected {wanted}, all different")
        return self


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
    monitoring: Monitoring = Field(
        default_factory=Monitoring, description="When a partition counts as drifted, an error as too high (level 2)."
    )
    retraining: Retraining | None = Field(default=None, description="When to retrain (level 2).")
    versioning: Literal["dvc", "off"] | bool = Field(
        default="dvc",
        description="Whether the partitions a model learns from are kept by DVC, so that `ml-assets restore` brings "
        "them back: dvc or off.",
    )
    tuning: Tuning | None = Field(default=None, description="Search for parameters (level 3).")
    serving: Serving | None = Field(
        default=None, description="How served requests are recognised and joined with their labels (level 4)."
    )
    rollout: Rollout | None = Field(default=None, description="How a promoted bundle takes traffic (level 4).")
    models: tuple[NamedModel, ...] | None = Field(default=None, description="Several models in place of one (level 5).")
    ensemble: Ensemble | None = Field(default=None, description="How several models answer as one (level 5).")
    trackers: tuple[Literal["mlflow", "wandb", "tensorboard"], ...] = Field(
        default=("mlflow",),
        description="Where trainings are tracked; wandb and tensorboard need their extra. None: [].",
    )

    @field_validator("versioning")
    @classmethod
    def _yaml_reads_off_as_false(cls, value: str | bool) -> str:
        return value if isinstance(value, str) else "dvc" if value else "off"

    @model_validator(mode="after")
    def _said_once_and_fitting(self) -> "PipelineConfig":
        self._require_one_way_to_say_it()
        needed = self.model.validation + self.evaluation.holdout + 2 * self.evaluation.embargo
        if needed >= self.model.window:
            raise ValueError(
                f"model.window: {self.model.window} partitions leave nothing to train on: validation, holdout and "
                f"embargoes take {needed:g} of them; expected a longer window or shorter validation and holdout"
            )
        return self

    def _require_one_way_to_say_it(self) -> None:
        """Raise a ValueError that lists what is said twice, would be ignored, or does not fit the task."""
        wrong = []
        if self.metric not in METRICS[self.label.task]:
            wrong.append(
                f"evaluation.metric: {self.metric} of a {self.label.task}; expected one of "
                f"{', '.join(METRICS[self.label.task])}"
            )
        if self.models is not None:
            names = [m.name for m in self.models]
            said = sorted(OneModel.model_fields.keys() & self.model.model_fields_set)
            wrong += [f"model.{field}: not used where there are `models`; say it of each of them" for field in said]
            wrong += ["models: none are listed; list one or more, or leave it out"] if not names else []
            wrong += [f"models: {n} is the name of several" for n in dict.fromkeys(names) if names.count(n) > 1]
        if self.ensemble is not None and len(self.models or ()) < 2:
            wrong.append("ensemble: there is nothing to combine; list two or more `models`")
        if self.tuning is not None and all(m.kind != "lightgbm" for m in self.named_models.values()):
            wrong.append("tuning: there is no model of kind lightgbm to tune; leave it out")
        try:
            lightgbm = [name for name, spec in self.specs.items() if spec.kind == "lightgbm"]
            for name in lightgbm if self.tuning else ():
                self.search_space(name)
        except ConfigError as e:
            wrong.append(str(e))
        if wrong:
            raise ValueError("; ".join(wrong))

    @property
    def rolls_out(self) -> Rollout | None:
        """How candidates are rolled out; None where they are released at once."""
        return None if self.rollout is None or self.rollout.strategy == "direct" else self.rollout

    @property
    def metric(self) -> "Deciding":
        """The metric that decides."""
        if self.evaluation.metric is not None:
            return self.evaluation.metric
        quantile = any(m.objective == "quantile" for m in self.named_models.values())
        return "pinball" if quantile else METRICS[self.label.task][0]

    @property
    def named_models(self) -> "dict[str, OneModel]":
        """Name -> model: those of `models`, or the one of `model`."""
        return {THE_ONLY: self.model} if self.models is None else {m.name: m for m in self.models}

    def search_space(self, name: str) -> "SearchSpace":
        """What tuning may choose for a model of kind lightgbm.

        Raises:
            ConfigError: it can't be searched.
        """
        from ml_assets.core.parameters import ModelParams
        from ml_assets.core.search_space import SearchSpace

        base = self.specs[name].params
        return SearchSpace.read(
            None if self.tuning is None else self.tuning.space_told,
            base=base if isinstance(base, ModelParams) else ModelParams(),
            recency=self.model.recency,
            window=self.model.window,
        )

    @property
    def folds(self) -> int:
        """Blocks of rows before the holdout by which models are compared: those of tuning, where there is one."""
        return (self.tuning or Tuning()).folds

    @property
    def specs(self) -> "dict[str, ModelSpec]":
        """Name -> model as `core` knows it."""
        label = self.label
        classes = len(label.classes) or 2
        return {name: model.spec(name, label.task, classes) for name, model in self.named_models.items()}

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
