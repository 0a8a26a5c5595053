"""Parameters of training, each with its unit and its bounds. What LightGBM does with them is in `training`."""

from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

from ml_assets.core.errors import ConfigError

Objective = Literal["l1", "l2", "huber", "quantile", "poisson"]
_ALPHA: dict[str, float] = {"huber": 0.9, "quantile": 0.5}
_BOUNDS: dict[str, tuple[float, float]] = {
    "alpha": (1e-6, 1e12),
    "trees": (1, 100_000),
    "learning_rate": (1e-6, 1),
    "leaves": (2, 131_072),
    "min_rows_per_leaf": (1, 1_000_000_000),
    "feature_fraction": (1e-6, 1),
    "bagging_fraction": (1e-6, 1),
    "l2": (0, 1e12),
    "category_l2": (0, 1e12),
    "early_stopping_rounds": (0, 100_000),
    "max_categories": (1, 100_000),
}


@dataclass(frozen=True)
class ModelParams:
    """Parameters of gradient-boosted trees.

    The defaults are for some 100,000 rows and ten features: the best trade of error for seconds on a year of
    taxi trips.

    Args:
        objective: loss that is minimised.
        alpha: of `huber`, the error in the label's unit from which loss grows linearly; of `quantile`, the
            quantile, 0 to 1; None for the objective's default, and for all others.
        trees: at most so many; fewer where early stopping says so.
        learning_rate: share of each tree's answer that is added, 0 to 1.
        leaves: at most so many per tree.
        min_rows_per_leaf: training rows at least in each leaf.
        feature_fraction: share of the features that each tree may use, 0 to 1.
        bagging_fraction: share of the rows that each tree is grown from, 0 to 1.
        l2: penalty on the squared answers of leaves, in rows.
        category_l2: the same in splits by category, where small groups overfit.
        early_stopping_rounds: trees without a better validation loss after which training stops; 0: never.
        max_categories: most frequent categories of a feature that are told apart; others count as missing.
    """

    objective: Objective = "l1"
    alpha: float | None = None
    trees: int = 300
    learning_rate: float = 0.1
    leaves: int = 63
    min_rows_per_leaf: int = 50
    feature_fraction: float = 0.7
    bagging_fraction: float = 1.0
    l2: float = 0.0
    category_l2: float = 10.0
    early_stopping_rounds: int = 30
    max_categories: int = 1000

    def __post_init__(self) -> None:
        wrong = [w for f in fields(self) if f.name in _BOUNDS for w in _wrong(f, getattr(self, f.name))]
        if self.objective not in get_args(Objective):
            wrong.append(f"objective: {self.objective!r}, not one of {', '.join(get_args(Objective))}")
        elif self.alpha is not None and self.objective not in _ALPHA:
            wrong.append(f"alpha: {self.alpha}, which {self.objective} has no use for; leave it out")
        elif self.objective == "quantile" and isinstance(self.alpha, int | float) and self.alpha >= 1:
            wrong.append(f"alpha: {self.alpha}, not a quantile between 0 and 1")
        _refuse(wrong)

    @property
    def alpha_or_default(self) -> float | None:
        """`alpha`, or the objective's default; None where the objective has none."""
        return self.alpha if self.alpha is not None else _ALPHA.get(self.objective)

    @classmethod
    def read(cls, params: Mapping[str, Any], *, objective: Objective = "l1") -> Self:
        """Parameters by name, as `defs.yaml` gives them.

        Raises:
            ConfigError: a name is unknown or a value is out of bounds; lists all.
        """
        known = {f.name: f for f in fields(cls) if f.name != "objective"}
        if unknown := [f"{name}: not a parameter" for name in params if name not in known]:
            wrong = [w for name, value in params.items() if name in known for w in _wrong(known[name], value)]
            _refuse(unknown + wrong, expected=f"values in bounds of {', '.join(sorted(known))}")
        return cls(objective=objective, **params)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def _wrong(parameter: Field[Any], value: object) -> list[str]:
    name, default = parameter.name, parameter.default
    if value is None and default is None:
        return []
    whole = isinstance(default, int)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        return [f"{name}: {value!r}, not a {'whole ' if whole else ''}number"]
    low, high = _BOUNDS[name]
    return [] if low <= value <= high else [f"{name}: {value}, not in {low:g} to {high:g}"]


def _refuse(wrong: list[str], *, expected: str = "values in bounds") -> None:
    if wrong:
        raise ConfigError(
            "parameters of training",
            found=wrong,
            expected=expected,
            cure="correct model.objective or model.params",
        )
