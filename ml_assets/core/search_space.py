"""What tuning may choose from: parameters of LightGBM, the learning window and the half-life, each a list or a range.

How trials are drawn from it is in `tuning`; what the parameters mean is in `parameters` and `recency`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import combinations
from typing import TYPE_CHECKING, Any, Self

from ml_assets.core.errors import ConfigError
from ml_assets.core.parameters import ModelParams
from ml_assets.core.recency import Recency
from ml_assets.core.search_range import Between, Choice, Value, mistakes_of, read_part

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

RECENCY = ("window", "half_life")
"""Names of the space that are no parameters of the model."""
UNTUNED_RECENCY = Recency()
PRESETS: tuple[Mapping[str, Any], ...] = (
    {"leaves": 191, "learning_rate": 0.05, "min_rows_per_leaf": 20, "l2": 30.0},
    {"leaves": 15, "learning_rate": 0.06, "min_rows_per_leaf": 200, "category_l2": 50.0},
)
"""Where the search starts beside the untuned model: large trees, for much signal and many rows, and small ones."""


@dataclass(frozen=True)
class SearchSpace:
    """What may be chosen, around an untuned model.

    Args:
        names: parameter -> its choice or range, in alphabetical order.
        base: the untuned parameters; what is not in `names` stays as here.
        recency: what the untuned model learns from; a window of None is all of `window`.
        window: partitions of the training set.
    """

    names: Mapping[str, Choice | Between]
    base: ModelParams
    recency: Recency
    window: int

    @classmethod
    def read(
        cls, space: Mapping[str, Any] | None, *, base: ModelParams, recency: Recency = UNTUNED_RECENCY, window: int
    ) -> Self:
        """A space as `defs.yaml` gives it: parameter -> list of values or `{low, high, log}`; None for the default.

        The untuned value always belongs to a list, since the untuned model is trial 0 of every study.

        Raises:
            ConfigError: a name is unknown, a list or range is empty, a value is out of bounds or fits no other, a
                window is longer than the training set's; lists all.
        """
        names: dict[str, Choice | Between] = {}
        wrong: list[str] = []
        untuned = _untuned(base, recency, window)
        for name, told in sorted((default_space(base, window) if space is None else space).items()):
            if name not in untuned:
                wrong.append(f"{name}: not a parameter")
            elif mistakes := mistakes_of(name, told, untuned[name]):
                wrong += [f"{name}: {m}" for m in mistakes]
            else:
                names[name] = read_part(name, told, untuned[name])
        read = cls(names, base, recency, window)
        wrong += read._wrong_values()
        if wrong or not names:
            raise ConfigError(
                "tuning.space",
                found=wrong or "nothing to choose",
                expected=f"a list of values or {{low, high, log}} for any of {', '.join(sorted(untuned))}; windows of "
                f"1 to {window} partitions (model.window)",
                cure="correct tuning.space in defs.yaml",
            )
        return read

    @property
    def untuned(self) -> dict[str, Value]:
        """The values of the untuned model."""
        all_of_them = _untuned(self.base, self.recency, self.window)
        return {name: all_of_them[name] for name in self.names}

    def distributions(self) -> "dict[str, BaseDistribution]":
        """As Optuna's `ask` takes them."""
        return {name: part.distribution() for name, part in self.names.items()}

    def read_params(self, stored: Mapping[str, Any]) -> dict[str, Value]:
        """The values that Optuna drew."""
        return {name: part.read(stored[name]) for name, part in self.names.items()}

    def stored(self, values: Mapping[str, Value]) -> dict[str, Any]:
        """Values as Optuna stores them: the nearest of a range, the untuned one where it is none of the choices."""
        given = {**self.untuned, **{name: v for name, v in values.items() if name in self.names}}
        found = {name: part.stored(given[name]) for name, part in self.names.items()}
        return {n: self.names[n].stored(self.untuned[n]) if v is None else v for n, v in found.items()}

    @property
    def presets(self) -> list[dict[str, Value]]:
        """The values of `PRESETS` in this space, the nearest where they are out of it; all others are untuned."""
        told = [{name: value for name, value in preset.items() if name in self.names} for preset in PRESETS]
        return [self.read_params(self.stored(preset)) for preset in told if preset]

    def model(self, values: Mapping[str, Value]) -> tuple[ModelParams, Recency]:
        """The parameters and the recency that values of this space stand for.

        Raises:
            ConfigError: they are out of bounds or don't fit each other.
        """
        own = {name: value for name, value in values.items() if name not in RECENCY}
        params = ModelParams.from_json({**self.base.to_json(), **own})
        recency = {**self.recency.to_json(), **{name: values[name] for name in RECENCY if name in values}}
        if recency["window"] == self.window:
            # All there is: lengths of months differ, so that twelve times the last is not always a year.
            recency["window"] = None
        return params, Recency.from_json(recency)

    def to_json(self) -> dict[str, Any]:
        """As JSON: all that a study's trials depend on."""
        return {
            "names": {name: {"kind": type(part).__name__, **asdict(part)} for name, part in self.names.items()},
            "base": self.base.to_json(),
            "recency": self.recency.to_json(),
            "window": self.window,
        }

    def _wrong_values(self) -> list[str]:
        """What is wrong with values alone, and with pairs of values: bounds concern one, rules of a mode two."""
        first = {name: part.ends()[0] for name, part in self.names.items()}
        wrong: dict[str, None] = {}
        if self.base.boosting == "rf" and "boosting" not in self.names:
            useless = [n for n in ("learning_rate", "early_stopping_rounds") if n in self.names]
            wrong |= dict.fromkeys(f"{name}: a random forest has no use for it" for name in useless)
        for pair in combinations(self.names, 2) if len(self.names) > 1 else [tuple(self.names)]:
            for values in _combined([(name, self.names[name].ends()) for name in pair]):
                try:
                    params, recency = self.model({**first, **values})
                except ConfigError as e:
                    wrong |= dict.fromkeys(e.found)
                    continue
                if params.task != self.base.task:
                    wrong[f"objective: {params.objective}, of another task than {self.base.objective}"] = None
                if (recency.window or 0) > self.window:
                    wrong[f"window: {recency.window}, longer than model.window ({self.window})"] = None
        return list(wrong)


def default_space(base: ModelParams, window: int) -> dict[str, Any]:
    """What is searched where `defs.yaml` does not say.

    Learning windows of a sixth, a quarter, half and all of the training set, a half-life of a sixth of
    it, and the parameters that govern how much one tree, one leaf and one category may say.
    """
    forest = base.boosting == "rf"
    return {
        "window": sorted({max(1, round(window * share)) for share in (1 / 6, 1 / 4, 1 / 2, 1)}),
        "half_life": [None, window / 6],
        "leaves": {"low": 15, "high": 255, "log": True},
        "min_rows_per_leaf": {"low": 10, "high": 200, "log": True},
        "feature_fraction": {"low": 0.5, "high": 1.0},
        "l2": {"low": 0.1, "high": 100.0, "log": True},
        "category_l2": {"low": 5.0, "high": 100.0, "log": True},
        **({"bagging_fraction": {"low": 0.4, "high": 0.9}} if forest else {}),
        **({} if forest else {"learning_rate": {"low": 0.05, "high": 0.2, "log": True}}),
    }


def _untuned(base: ModelParams, recency: Recency, window: int) -> dict[str, Value]:
    return {
        **{f.name: base.to_json()[f.name] for f in fields(base)},
        "window": recency.window or window,
        "half_life": recency.half_life,
    }


def _combined(parts: Sequence[tuple[str, Sequence[Value]]]) -> list[dict[str, Value]]:
    combined: list[dict[str, Value]] = [{}]
    for name, values in parts:
        combined = [{**one, name: value} for one in combined for value in values]
    return combined
