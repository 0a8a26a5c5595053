"""Named values, as JSON has them, to a model's numbers: what they must be, and every way in which they are not.

The same numbers as `core.encoding` makes of a frame, without the frame: a category by its place in the vocabulary, one
that is not in it NaN, like a missing value.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite, isinf
from typing import Any

import numpy as np

from ml_assets.core.encoding import FeatureSpec, Floats
from ml_assets.core.errors import InputRefused

Columns = Mapping[str, Sequence[Any]]
NAN = float("nan")
SHOWN = 20
"""Faults that are told; of more, their number is."""
_LONGEST = 60
_NUMBERS = frozenset({float, int})


class OneRow(Mapping[str, Sequence[Any]]):
    """Columns of one value each, of which nobody makes columns where a model takes the row as it is.

    Args:
        names: of the columns, each once.
        row: a value for each.
    """

    __slots__ = ("_columns", "names", "row")

    def __init__(self, names: tuple[str, ...], row: Sequence[Any]) -> None:
        self.names, self.row = names, row
        self._columns: dict[str, tuple[Any]] | None = None

    def __getitem__(self, name: str) -> tuple[Any]:
        """A column."""
        if self._columns is None:
            self._columns = {n: (value,) for n, value in zip(self.names, self.row, strict=True)}
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self.names)

    def __len__(self) -> int:
        """How many columns there are."""
        return len(self.names)


def row_in_order(columns: Columns, names: tuple[str, ...]) -> Sequence[Any] | None:
    """The values of the one row, if the columns are one row of exactly these names in this order; else None."""
    return columns.row if type(columns) is OneRow and columns.names == names else None


class Coding:
    """Values to numbers, feature by feature, in the model's order.

    Args:
        specs: the model's features.
    """

    def __init__(self, specs: Sequence[FeatureSpec]) -> None:
        self.specs = tuple(specs)
        self._codes = tuple((s.name, _code(s)) for s in specs)
        self._names = tuple(s.name for s in specs)
        self._categories = tuple((i, _code(s)) for i, s in enumerate(specs) if s.kind == "category")

    def row(self, columns: Columns, rows: int, at: int) -> list[float]:
        """The numbers of one row, NaN where missing.

        Args:
            columns: feature -> values; others are not looked at.
            rows: how many values each has.
            at: which row.

        Raises:
            InputRefused: see `require_columns`.
        """
        try:
            given = row_in_order(columns, self._names)
            values = [columns[name][at] for name in self._names] if given is None else list(given)
            for i, code in self._categories:
                values[i] = code(values[i])
            # Most rows are numbers through and through; a look at all of them at once tells.
            kinds = set(map(type, values))
            if kinds <= _NUMBERS:
                numbers = values if int not in kinds else list(map(float, values))
                # A sum is finite only if nothing that is added is infinite; of the others each is looked at.
                if isfinite(sum(numbers)):
                    return numbers
            return [code(columns[name][at]) for name, code in self._codes]
        except (KeyError, IndexError, TypeError, ValueError, OverflowError):
            require_columns(self.specs, columns, rows)
            raise

    def matrix(self, columns: Columns, rows: int) -> Floats:
        """The numbers of all rows, float64 `[rows, features]`.

        Raises:
            InputRefused: see `require_columns`.
        """
        matrix = np.empty((rows, len(self._codes)))
        try:
            for j, (name, code) in enumerate(self._codes):
                matrix[:, j] = [code(value) for value in columns[name]]
        except (KeyError, IndexError, TypeError, ValueError, OverflowError):
            require_columns(self.specs, columns, rows)
            raise
        return matrix


def _code(spec: FeatureSpec) -> Callable[[Any], float]:
    return number if spec.kind == "number" else _categories(spec.vocabulary)


def number(value: Any) -> float:
    """A number's value; NaN where it is missing.

    Raises:
        TypeError, ValueError, OverflowError: it is none, infinite, or too large.
    """
    if type(value) is float:
        if isinf(value):
            raise ValueError(value)
        return value
    if value is None:
        return NAN
    if isinstance(value, int):
        return float(value)
    if isinstance(value, float):
        return number(float(value))
    raise TypeError(value)


def _categories(vocabulary: Sequence[str]) -> Callable[[Any], float]:
    codes: dict[str | None, float] = {category: float(code) for code, category in enumerate(vocabulary)}
    codes[None] = NAN

    def code(value: Any) -> float:
        found = codes.get(value)
        if found is not None:
            return found
        if isinstance(value, str):
            return NAN
        raise TypeError(value)

    return code


def require_columns(specs: Sequence[FeatureSpec], columns: Columns, rows: int) -> None:
    """Raise an InputRefused that lists every feature that is missing, too short or long, or of another type.

    A number is a finite JSON number, a Boolean (true counts 1), or null; NaN, where a protocol can say it, counts as
    null. A category is text or null.
    """
    faults = []
    for spec in specs:
        if spec.name not in columns:
            faults.append(f"column {spec.name} is missing")
        elif (length := len(columns[spec.name])) != rows:
            faults.append(f"column {spec.name} has {length} values, not {rows}")
        else:
            faults += _faults_of(spec, columns[spec.name])
    if faults:
        more = [f"and {len(faults) - SHOWN} more such faults"] if len(faults) > SHOWN else []
        told = ", ".join(f"{s.name} ({'a number' if s.kind == 'number' else 'text'})" for s in specs)
        raise InputRefused(
            "columns to score",
            found=[*faults[:SHOWN], *more],
            expected=f"values of {told}, each null where it is missing",
            cure="send every feature of the model by its name, with values of its type",
        )


def _faults_of(spec: FeatureSpec, values: Sequence[Any]) -> list[str]:
    code, wanted = _code(spec), "a finite number or null" if spec.kind == "number" else "text or null"
    faults = []
    for at, value in enumerate(values):
        try:
            code(value)
        except (TypeError, ValueError, OverflowError):
            shown = repr(value) if isinstance(value, str | int | float | bool) else type(value).__name__
            shown = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
            faults.append(f"column {spec.name}, row {at}: {shown}, not {wanted}")
            if len(faults) > SHOWN:
                break
    return faults
