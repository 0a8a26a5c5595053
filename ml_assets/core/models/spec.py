"""What `defs.yaml` says of one model: its kind, its task and its parameters; not what it learns from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, cast, get_args

from ml_assets.core.errors import ConfigError
from ml_assets.core.models.linear_params import LinearObjective, LinearParams
from ml_assets.core.models.sklearn_params import SklearnParams
from ml_assets.core.parameters import ModelParams, Objective
from ml_assets.core.tasks import Task

KindName = Literal["lightgbm", "linear", "sklearn"]
DEFAULT_OBJECTIVE: dict[Task, Objective] = {"regression": "l1", "binary": "binary", "multiclass": "multiclass"}


@dataclass(frozen=True)
class ModelSpec:
    """One model.

    Args:
        name: its name among the pipeline's models.
        kind: what learns.
        task: the kind of problem.
        params: of its kind.
        classes: how many classes a classification has.
        per: category features by whose values rows get a model of their own; none: one model for all.
        min_rows: training rows below which a segment is answered by the model for all.
    """

    name: str
    kind: KindName
    task: Task
    params: ModelParams | LinearParams | SklearnParams
    classes: int = 2
    per: tuple[str, ...] = ()
    min_rows: int = 500

    @classmethod
    def read(
        cls,
        *,
        name: str,
        kind: KindName,
        task: Task,
        classes: int = 2,
        objective: str | None = None,
        estimator: str | None = None,
        params: Mapping[str, Any],
        per: Sequence[str] = (),
        min_rows: int = 500,
    ) -> Self:
        """A model as `defs.yaml` gives it.

        Raises:
            ConfigError: what is given does not fit the kind or the task, or a parameter is not right; lists all.
        """
        wrong = []
        if (kind == "sklearn") != (estimator is not None):
            wrong.append(f"estimator: {estimator}, of a model of kind {kind}; it is for kind sklearn, which needs it")
        if kind == "sklearn" and objective is not None:
            wrong.append(f"objective: {objective}, which an estimator has by itself; leave it out")
        asked = objective or DEFAULT_OBJECTIVE[task]
        if asked not in get_args(Objective):
            wrong.append(f"objective: {asked!r}, not one of {', '.join(get_args(Objective))}")
        elif (asked if asked in ("binary", "multiclass") else "regression") != task:
            wrong.append(f"objective: {asked}, of a {task}")
        if wrong:
            raise ConfigError(
                f"model {name}",
                found=wrong,
                expected="a kind, an objective and parameters that belong together",
                cure="correct model (or models) in defs.yaml",
            )
        read: ModelParams | LinearParams | SklearnParams
        if kind == "lightgbm":
            read = ModelParams.read(params, objective=cast("Objective", asked))
        elif kind == "linear":
            read = LinearParams.read(params, objective=cast("LinearObjective", asked))
        else:
            read = SklearnParams.read(params, estimator=str(estimator))
        return cls(name, kind, task, read, classes, tuple(per), min_rows)

    @property
    def iterates(self) -> bool:
        """Whether validation rows say when its training stops, so that it can't learn from them."""
        params = self.params
        return isinstance(params, ModelParams) and params.stops_early

    @property
    def alpha(self) -> float | None:
        """The quantile that is predicted; None where it is no quantile."""
        params = self.params
        if isinstance(params, SklearnParams) or params.objective != "quantile":
            return None
        return params.alpha_or_default

    def with_params(self, params: ModelParams) -> "ModelSpec":
        """The same with other parameters."""
        return replace(self, params=params)

    def grown_to(self, iterations: int) -> "ModelSpec":
        """The same without early stopping, with as many iterations as said; itself where nothing is iterated."""
        if not isinstance(self.params, ModelParams):
            return self
        return self.with_params(replace(self.params, trees=iterations, early_stopping_rounds=0))

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "task": self.task,
            "params": self.params.to_json(),
            "classes": self.classes,
            "per": list(self.per),
            "min_rows": self.min_rows,
        }
