"""Parameters of a linear model, each with its unit and its bounds. How it is fitted is in `linear`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_args

from ml_assets.core.errors import ConfigError
from ml_assets.core.models.design_params import DesignParams
from ml_assets.core.tasks import Task

LinearObjective = Literal["l1", "l2", "huber", "quantile", "poisson", "binary", "multiclass"]
_ALPHA: dict[str, float] = {"huber": 0.9, "quantile": 0.5}
_BOUNDS: dict[str, tuple[float, float]] = {"alpha": (1e-6, 1e12), "l2": (1e-6, 1e12)}


@dataclass(frozen=True)
class LinearParams:
    """Parameters of a linear model on the columns of a design matrix.

    Args:
        objective: loss that is minimised, named as LightGBM's are.
        alpha: of `huber`, the error in the label's unit from which loss grows linearly; of `quantile`, the
            quantile, 0 to 1; None for the objective's default, and for all others.
        l2: penalty on the squared coefficients of the standardised inputs, in rows; more than 0, since one-hot
            columns sum to one.
        design: how features become columns.
    """

    objective: LinearObjective = "l1"
    alpha: float | None = None
    l2: float = 1.0
    design: DesignParams = field(default_factory=DesignParams)

    def __post_init__(self) -> None:
        wrong = [w for name in _BOUNDS for w in _wrong(name, getattr(self, name))]
        if self.objective not in get_args(LinearObjective):
            wrong.append(f"objective: {self.objective!r}, not one of {', '.join(get_args(LinearObjective))}")
        elif self.alpha is not None and self.objective not in _ALPHA:
            wrong.append(f"alpha: {self.alpha}, which {self.objective} has no use for; leave it out")
        elif self.objective == "quantile" and isinstance(self.alpha, int | float) and self.alpha >= 1:
            wrong.append(f"alpha: {self.alpha}, not a quantile between 0 and 1")
        _refuse(wrong)

    @property
    def alpha_or_default(self) -> float | None:
        """`alpha`, or the objective's default; None where the objective has none."""
        return self.alpha if self.alpha is not None else _ALPHA.get(self.objective)

    @property
    def task(self) -> Task:
        """The task that the objective is for."""
        return self.objective if self.objective in ("binary", "multiclass") else "regression"

    @property
    def max_categories(self) -> int:
        """Most frequent categories of a feature that are told apart."""
        return self.design.max_categories

    @classmethod
    def read(cls, params: Mapping[str, Any], *, objective: LinearObjective = "l1") -> Self:
        """Parameters by name, those of the design among them, as `defs.yaml` gives them.

        Raises:
            ConfigError: a name is unknown or a value is out of bounds; lists all.
        """
        own, design = set(_BOUNDS), DesignParams.names()
        wrong = [f"{name}: not a parameter of a linear model" for name in params if name not in own | design]
        wrong += [w for name, value in params.items() if name in own for w in _wrong(name, value)]
        wrong += DesignParams.wrong({name: value for name, value in params.items() if name in design})
        _refuse(wrong, expected=f"values in bounds of {', '.join(sorted(own | design))}")
        own_values = {name: value for name, value in params.items() if name in own}
        return cls(objective=objective, design=DesignParams.read(params), **own_values)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"objective": self.objective, "alpha": self.alpha, "l2": self.l2, **self.design.to_json()}


def _wrong(name: str, value: object) -> list[str]:
    if value is None and name in ("alpha",):
        return []
    if isinstance(value, bool) or not isinstance(value, int | float):
        return [f"{name}: {value!r}, not a number"]
    low, high = _BOUNDS[name]
    return [] if low <= value <= high else [f"{name}: {value}, not in {low:g} to {high:g}"]


def _refuse(wrong: list[str], *, expected: str = "values in bounds") -> None:
    if wrong:
        raise ConfigError(
            "parameters of a linear model",
            found=wrong,
            expected=expected,
            cure="correct model.objective or model.params",
        )
