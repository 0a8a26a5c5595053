"""Parameters of LightGBM's trees, each with its unit and its bounds. What LightGBM does with them is in `models.trees`.

Parameters of the other kinds of model are beside them, in `models`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import Field, asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from ml_assets.core.errors import ConfigError
from ml_assets.core.tasks import Task

if TYPE_CHECKING:
    from ml_assets.core.target_encoding import Declared

Objective = Literal["l1", "l2", "huber", "quantile", "poisson", "binary", "multiclass"]
Boosting = Literal["gbdt", "rf"]
RENEWED: tuple[Objective, ...] = ("l1", "quantile")
"""Objectives whose leaves' answers are set anew by a quantile of the rows: no monotone constraint, no linear tree."""
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
    """Parameters of gradient-boosted trees, or of a random forest.

    The defaults are for some 100,000 rows and ten features: the best trade of error for seconds on a year of
    taxi trips.

    Args:
        objective: loss that is minimised.
        alpha: of `huber`, the error in the label's unit from which loss grows linearly; of `quantile`, the
            quantile, 0 to 1; None for the objective's default, and for all others.
        trees: at most so many; fewer where early stopping says so.
        learning_rate: share of each tree's answer that is added, 0 to 1; a random forest has no use for it.
        leaves: at most so many per tree.
        min_rows_per_leaf: training rows at least in each leaf.
        feature_fraction: share of the features that each tree may use, 0 to 1.
        bagging_fraction: share of the rows that each tree is grown from, 0 to 1.
        l2: penalty on the squared answers of leaves, in rows.
        category_l2: the same in splits by category, where small groups overfit.
        early_stopping_rounds: trees without a better validation loss after which training stops; 0: never. A
            random forest is never stopped.
        max_categories: most frequent categories of a feature that are told apart; others count as missing.
        boosting: `gbdt`: each tree learns what the trees before it got wrong; `rf`: a random forest, the mean of
            trees that are each grown from `bagging_fraction` of the rows, which must be less than 1.
        linear_tree: whether leaves hold a linear model of the numbers that lead to them, in place of one answer; it
            is grown on one thread, whatever is allowed, since LightGBM's sums would depend on their number.
        monotone: number feature -> 1 if predictions may only rise with it, -1 if they may only fall; sorted pairs.
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
    boosting: Boosting = "gbdt"
    linear_tree: bool = False
    monotone: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        wrong = [w for f in fields(self) if f.name in _BOUNDS for w in _wrong(f, getattr(self, f.name))]
        if self.objective not in get_args(Objective):
            wrong.append(f"objective: {self.objective!r}, not one of {', '.join(get_args(Objective))}")
        elif self.alpha is not None and self.objective not in _ALPHA:
            wrong.append(f"alpha: {self.alpha}, which {self.objective} has no use for; leave it out")
        elif self.objective == "quantile" and isinstance(self.alpha, int | float) and self.alpha >= 1:
            wrong.append(f"alpha: {self.alpha}, not a quantile between 0 and 1")
        _refuse(wrong or _mistakes_together(self))

    @property
    def task(self) -> Task:
        """The task that the objective is for."""
        return self.objective if self.objective in ("binary", "multiclass") else "regression"

    @property
    def stops_early(self) -> bool:
        """Whether training stops where the validation loss gets no better."""
        return self.early_stopping_rounds > 0 and self.boosting != "rf"

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
        wrong = [f"{name}: not a parameter" for name in params if name not in known]
        wrong += _wrong_signs(params.get("monotone", {}))
        if params.get("boosting") == "rf":
            useless = [n for n in ("learning_rate", "early_stopping_rounds") if params.get(n)]
            wrong += [f"{n}: {params[n]}, which a random forest has no use for; leave it out" for n in useless]
        if wrong:
            wrong += [w for n, f in known.items() if n in params and n in _BOUNDS for w in _wrong(f, params[n])]
            _refuse(wrong, expected=f"values in bounds of {', '.join(sorted(known))}")
        signs = tuple(sorted((name, sign) for name, sign in dict(params.get("monotone", ())).items() if sign))
        return cls(objective=objective, **{**params, "monotone": signs})

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(**{**record, "monotone": tuple(sorted(record["monotone"].items()))})

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "monotone": dict(self.monotone)}

    def require_features(self, features: "Sequence[Declared]") -> None:
        """Raise a ConfigError where a monotone constraint is not on a number of these features; lists all."""
        kinds = {f.name: f.kind for f in features}
        wrong = [
            f"monotone: {name}, " + ("which is no feature" if name not in kinds else f"which is a {kinds[name]}")
            for name, _ in self.monotone
            if kinds.get(name) != "number"
        ]
        _refuse(wrong, expected=f"of {', '.join(n for n, k in kinds.items() if k == 'number') or 'no feature'}")


def _mistakes_together(params: ModelParams) -> list[str]:
    """What LightGBM can't do at once, or does without keeping to it."""
    wrong = []
    if params.boosting not in get_args(Boosting):
        wrong.append(f"boosting: {params.boosting!r}, not one of {', '.join(get_args(Boosting))}")
    if params.boosting == "rf" and params.bagging_fraction == 1:
        wrong.append("bagging_fraction: 1, so that all trees of a random forest are alike; set it to some 0.6")
    if not isinstance(params.linear_tree, bool):
        wrong.append(f"linear_tree: {params.linear_tree!r}, not true or false")
    elif params.linear_tree and params.objective in RENEWED:
        wrong.append(f"linear_tree: LightGBM has no linear trees for {params.objective}; take l2 or huber")
    wrong += _wrong_signs(dict(params.monotone))
    if params.monotone and params.objective in (*RENEWED, "multiclass"):
        wrong.append(f"monotone: LightGBM can't keep to it with {params.objective}; take l2 or huber")
    if params.monotone and params.linear_tree:
        wrong.append("monotone: the linear models in the leaves of a linear_tree do not keep to it; take one of both")
    return wrong


def _wrong_signs(monotone: object) -> list[str]:
    if not isinstance(monotone, Mapping):
        return [f"monotone: {monotone!r}, not a mapping of features to -1, 0 or 1"]
    return [
        f"monotone: {name}: {sign!r}, not -1, 0 or 1"
        for name, sign in monotone.items()
        if type(sign) is not int or sign not in (-1, 0, 1)
    ]


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
