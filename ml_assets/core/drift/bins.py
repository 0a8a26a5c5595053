"""How the values of a column are divided into cells, so that rows become counts that can be added and compared.

Bins are learnt once, from the rows that a champion learnt from, and are shared by all that is compared with them.
Rows are counted in `counts`, the counts of all columns are kept in `profile`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from ml_assets.core.errors import ProfileError
from ml_assets.core.features import DTYPES, Kind

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Role = Literal["feature", "prediction", "label"]
"""What a column is to the champion."""

MOST_VALUES = 200
"""Numbers with at most so many different values are counted value by value: hours of a week (168) are."""
MOST_CATEGORIES = 1000
"""The most frequent categories that are counted one by one; the others count as unseen, in the reference, too."""
LEVELS = np.arange(1, 128) / 128
"""Shares of the reference rows at or below the inner edges of the other numbers."""
TAILS = np.r_[2.0 ** -np.arange(8, 17), 1 - 2.0 ** -np.arange(8, 17)]
"""More edges where the rows are few and far between, for the sake of distances in the column's unit."""
_DIGITS = 7


@dataclass(frozen=True)
class Column:
    """A column that is watched.

    Args:
        name: of the column.
        kind: `number` or `category`.
        role: what it is to the champion.
    """

    name: str
    kind: Kind
    role: Role = "feature"


@dataclass(frozen=True)
class Bins:
    """The cells of a column.

    A cell is a category, a number (where there are at most `MOST_VALUES` of them), or else an interval between
    quantiles of the reference: (edge, next edge], before them the smallest value alone. What lies between or outside
    the cells is unseen, and counted in slots of its own: one for categories; below and above of intervals; before,
    between and after single numbers.

    Args:
        column: what is divided.
        values: categories or numbers, ascending; empty where there are intervals.
        edges: of intervals, ascending, the smallest and the largest value of the reference included.
        deviation: standard deviation of the reference's finite numbers, in the column's unit; 0 of categories.
    """

    column: Column
    values: tuple[float, ...] | tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    deviation: float = 0.0

    @property
    def name(self) -> str:
        """The column's name."""
        return self.column.name

    @cached_property
    def cells(self) -> int:
        """How many cells there are."""
        return len(self.values) + len(self.edges)

    @cached_property
    def slots(self) -> int:
        """How many slots there are for what is unseen."""
        if self.column.kind == "category":
            return 1
        return 2 if self.edges else len(self.values) + 1

    @cached_property
    def points(self) -> Floats:
        """Of numbers: where the share of rows at or below is known exactly, `[cells]`."""
        return np.asarray(self.edges or self.values, dtype=np.float64)

    def in_order(self, cells: npt.NDArray[Any], unseen: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Of numbers: cells and slots from the smallest to the largest values, `[..., cells + slots]`."""
        if self.edges:
            return np.concatenate([unseen[..., :1], cells, unseen[..., 1:]], axis=-1)
        both = np.zeros((*cells.shape[:-1], self.cells + self.slots), dtype=cells.dtype)
        both[..., 1::2], both[..., ::2] = cells, unseen
        return both

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "kind": self.column.kind,
            "role": self.column.role,
            "deviation": self.deviation,
            **({"edges": list(self.edges)} if self.edges else {"values": list(self.values)}),
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        column = Column(record["name"], record["kind"], record["role"])
        return cls(column, tuple(record.get("values", ())), tuple(record.get("edges", ())), record["deviation"])


def learn_bins(rows: pl.DataFrame, columns: Sequence[Column]) -> tuple[Bins, ...]:
    """The cells of each column.

    Args:
        rows: what the champion learnt from.
        columns: which of its columns to watch.

    Raises:
        ProfileError: a column is missing or of another type, or has not one value; lists all.
    """
    require_columns(rows.schema, columns)
    empty = [f"{c.name}: {rows.height} rows, none with a value" for c in columns if _values(rows[c.name], c).is_empty()]
    if empty:
        raise ProfileError(
            "rows of a reference profile",
            found=empty,
            expected="at least one row with a value in each column",
            cure="leave the column out of the features, or train on more rows",
        )
    return tuple(_bins(_values(rows[c.name], c), c) for c in columns)


def require_columns(schema: pl.Schema, columns: Sequence[Column]) -> None:
    """Raise a ProfileError that lists every column that is missing or can't be counted as its kind."""
    wrong = [f"column {c.name} is missing" for c in columns if c.name not in schema]
    wrong += [
        f"column {c.name} is {schema[c.name]}, not {DTYPES[c.kind]}"
        for c in columns
        if c.name in schema and not _fits(schema[c.name], c)
    ]
    if wrong:
        raise ProfileError(
            "rows to compare with a reference profile",
            found=wrong,
            expected=f"the columns {', '.join(c.name for c in columns)}, numbers as numbers and categories as text",
            cure="materialize features and predictions of this partition again with the champion's pipeline",
        )


def _fits(found: pl.DataType, column: Column) -> bool:
    return found == pl.String() if column.kind == "category" else found.is_numeric()


def _values(series: pl.Series, column: Column) -> pl.Series:
    series = series.drop_nulls()
    return series if column.kind == "category" else (f := series.cast(pl.Float64)).filter(f.is_finite())


def _bins(values: pl.Series, column: Column) -> Bins:
    if column.kind == "category":
        counts = values.rename("value").value_counts(name="rows").sort(["rows", "value"], descending=[True, False])
        return Bins(column, tuple(sorted(counts["value"].head(MOST_CATEGORIES).to_list())))
    ordered = np.sort(values.to_numpy())
    # Rounded: the last digits of a sum depend on the machine, and profiles are addressed by their content.
    deviation = float(f"{ordered.std():.12g}")
    distinct = ordered[np.r_[True, ordered[1:] != ordered[:-1]]]
    if distinct.size <= MOST_VALUES:
        return Bins(column, tuple(distinct.tolist()), deviation=deviation)
    inner, outer = (ordered[np.ceil(levels * ordered.size).astype(np.intp) - 1] for levels in (LEVELS, TAILS))
    # A value that many rows share gets an interval of its own: nothing but the value is in it.
    shared = inner[1:][inner[1:] == inner[:-1]]
    rounded = [float(f"{edge:.{_DIGITS}g}") for edge in (*inner.tolist(), *outer.tolist())]
    low, high = float(ordered[0]), float(ordered[-1])
    edges = np.unique(np.r_[low, rounded, shared, np.nextafter(shared, -np.inf), high])
    edges = edges[(low <= edges) & (edges <= high)]
    return Bins(column, edges=tuple(edges.tolist()), deviation=deviation)
