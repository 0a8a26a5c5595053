"""Which estimator of scikit-learn a model is, and what its constructor is given. How it is fitted is in `sklearn_onnx`.

An estimator is named by its import path, and nothing outside scikit-learn's public modules is ever imported.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ml_assets.core.errors import ConfigError
from ml_assets.core.models.design_params import DesignParams
from ml_assets.core.tasks import Task

_PATH = re.compile(r"sklearn(\.[a-z][a-z0-9_]*)+\.[A-Z][A-Za-z0-9]*")
_OURS = {"random_state": "it is the model's seed", "n_jobs": "it is model.threads", "verbose": "nothing is printed"}


@dataclass(frozen=True)
class SklearnParams:
    """An estimator and its parameters.

    Args:
        estimator: import path of its class, such as `sklearn.ensemble.ExtraTreesRegressor`.
        constructor: canonical JSON of what its constructor is given; `random_state` and `n_jobs` are not there.
        design: how features become the columns it is given.
    """

    estimator: str
    constructor: str = "{}"
    design: DesignParams = field(default_factory=DesignParams)

    def __post_init__(self) -> None:
        given = json.loads(self.constructor)
        wrong = [f"{name}: not to be given, {why}" for name, why in _OURS.items() if name in given]
        if not isinstance(self.estimator, str) or not _PATH.fullmatch(self.estimator):
            wrong.append(f"estimator: {self.estimator!r}, no class in a public module of scikit-learn")
        _refuse(wrong)

    @property
    def max_categories(self) -> int:
        """Most frequent categories of a feature that are told apart."""
        return self.design.max_categories

    @classmethod
    def read(cls, params: Mapping[str, Any], *, estimator: str) -> Self:
        """Parameters by name, as `defs.yaml` gives them: those of the design, all others are the constructor's.

        What the constructor makes of them is found out by `require_valid`, which imports scikit-learn.

        Raises:
            ConfigError: the path is none of scikit-learn's, or a value is out of bounds or no JSON; lists all.
        """
        design = {name: value for name, value in params.items() if name in DesignParams.names()}
        given = {name: value for name, value in params.items() if name not in design}
        wrong = DesignParams.wrong(design)
        wrong += [f"{name}: {value!r}, not a JSON value" for name, value in given.items() if not _is_json(value)]
        _refuse(wrong)
        return cls(estimator, json.dumps(given, sort_keys=True), DesignParams.read(design))

    def made(self, task: Task, *, seed: int = 0, threads: int = 1) -> Any:
        """The estimator, not yet fitted.

        Raises:
            ConfigError: there is no such estimator, it is not for this task or gives no probabilities, or its
                constructor has no such parameters or refuses their values; lists all.
        """
        estimator_class = _class_of(self.estimator)
        given: dict[str, Any] = json.loads(self.constructor)
        known = set(estimator_class._get_param_names())
        _refuse([f"{n}: not a parameter of {self.estimator}, which has {', '.join(sorted(known))}"
                 for n in given if n not in known])  # fmt: skip
        ours = {"random_state": seed % 2**32} if "random_state" in known else {}
        # Elsewhere `n_jobs` has no effect, or starts processes, or is deprecated.
        ours |= {"n_jobs": threads} if "n_jobs" in known and self.estimator.startswith("sklearn.ensemble.") else {}
        try:
            estimator = estimator_class(**given, **ours)
        except TypeError as e:
            _refuse([str(e)])
        _refuse(_unfit(self.estimator, estimator, task))
        try:
            estimator._validate_params()
        except ValueError as e:
            _refuse([str(e)])
        return estimator

    def require_valid(self, task: Task) -> None:
        """Raise the ConfigError that `made` would; it takes seconds where scikit-learn has not been imported."""
        self.made(task)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"estimator": self.estimator, "constructor": json.loads(self.constructor), **self.design.to_json()}


def _class_of(path: str) -> Any:
    from importlib import import_module

    from sklearn.base import BaseEstimator

    module, name = path.rsplit(".", 1)
    try:
        found = getattr(import_module(module), name, None)
    except ModuleNotFoundError:
        found = None
    ours = isinstance(found, type) and issubclass(found, BaseEstimator) and found.__module__.startswith("sklearn.")
    if not ours:
        _refuse([f"estimator: {path}: scikit-learn has no such estimator"])
    return found


def _unfit(path: str, estimator: Any, task: Task) -> list[str]:
    from sklearn.base import is_classifier, is_regressor

    if task == "regression":
        return [] if is_regressor(estimator) else [f"estimator: {path} is no regressor, the task is a regression"]
    if not is_classifier(estimator):
        return [f"estimator: {path} is no classifier, the task is {task}"]
    if not hasattr(estimator, "predict_proba"):
        return [f"estimator: {path} gives no probabilities with these parameters"]
    return []


def _is_json(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_json(v) for k, v in value.items())
    return value is None or isinstance(value, bool | int | float | str)


def _refuse(wrong: list[str]) -> None:
    if wrong:
        raise ConfigError(
            "parameters of an estimator of scikit-learn",
            found=wrong,
            expected="the path of a regressor or classifier in scikit-learn's documentation, with values of its "
            "constructor's parameters",
            cure="correct model.estimator or model.params",
        )
