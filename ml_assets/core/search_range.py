"""One part of a search space: a list of values or a range of numbers, as YAML gives it and as Optuna draws from it.

Which parameters may be searched, and together, is in `search_space`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Value = None | bool | int | float | str | Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """One of some values, without an order.

    Args:
        values: canonical JSON of each, since Optuna stores no null beside numbers and no mapping.
    """

    values: tuple[str, ...]

    def distribution(self) -> "BaseDistribution":
        """As Optuna draws from it."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values)

    def stored(self, value: Value) -> str | None:
        """A value as Optuna stores it; None where it is none of the choices."""
        return text if (text := text_of(value)) in self.values else None

    def read(self, stored: Any) -> Value:
        """Read what Optuna drew."""
        value: Value = json.loads(stored)
        return value

    def ends(self) -> list[Value]:
        """Values by which it is checked."""
        return [self.read(v) for v in self.values]


@dataclass(frozen=True)
class Between:
    """Numbers between two bounds, both included.

    Args:
        low, high: the bounds.
        log: equal ratios are equally likely, not equal differences.
        whole: whole numbers only.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def distribution(self) -> "BaseDistribution":
        """As Optuna draws from it."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def stored(self, value: Value) -> float | int:
        """The number in the range that is nearest to a value."""
        number = min(max(value, self.low), self.high) if isinstance(value, int | float) else self.low
        return round(number) if self.whole else float(number)

    def read(self, stored: Any) -> Value:
        """Read what Optuna drew."""
        return int(stored) if self.whole else float(stored)

    def ends(self) -> list[Value]:
        """Values by which it is checked."""
        return [self.read(self.low), self.read(self.high)]


def mistakes_of(name: str, told: object, untuned: Value) -> list[str]:
    """What is wrong with a part as YAML gives it, before its values are asked what they mean."""
    if isinstance(told, list | tuple):
        texts = [text_of(v) for v in told]
        if not texts or len(set(texts)) < len(texts):
            return [f"{list(told)!r}, which is empty or repeats a value"]
        return [f"{v!r}, not a mapping" for v in told if isinstance(untuned, Mapping) and not isinstance(v, Mapping)]
    if not isinstance(told, Mapping) or not {"low", "high"} <= set(told) <= {"low", "high", "log"}:
        return [f"{told!r}, neither a list of values nor {{low, high, log}}"]
    if isinstance(untuned, bool | str | Mapping):
        return ["a range, though it is no number; give a list"]
    low, high = told["low"], told["high"]
    numbers = [isinstance(x, int | float) and not isinstance(x, bool) and isfinite(x) for x in (low, high)]
    if not all(numbers):
        return [f"from {low!r} to {high!r}, which are not two finite numbers"]
    mistakes = [] if low <= high else [f"from {low:g} to {high:g}, which is empty"]
    if told.get("log") and low <= 0:
        mistakes.append(f"log from {low:g}, though ratios need a bound above 0")
    if _whole(name, untuned) and (low != int(low) or high != int(high)):
        mistakes.append(f"from {low:g} to {high:g}, though it is a whole number")
    return mistakes


def read_part(name: str, told: Any, untuned: Value) -> Choice | Between:
    """A part in which there are no mistakes; the untuned value always belongs to a list."""
    if isinstance(told, Mapping):
        return Between(told["low"], told["high"], bool(told.get("log", False)), _whole(name, untuned))
    return Choice(tuple(dict.fromkeys([*map(text_of, told), text_of(untuned)])))


def _whole(name: str, untuned: Value) -> bool:
    return name == "window" or (isinstance(untuned, int) and not isinstance(untuned, bool))


def text_of(value: Value) -> str:
    """Canonical JSON, in which 3 and 3.0 are the same number."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True)
