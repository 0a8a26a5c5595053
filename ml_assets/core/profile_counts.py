"""Rows of a column as counts in the cells of its bins: what both sides of a comparison are made of.

Counts are whole numbers, so that those of parts add up to those of the whole, exactly and in any order.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import polars as pl

from ml_assets.core.profile_bins import Bins, Counts, Floats

UNIT_IN_DEVIATIONS = 2.0**-20
"""Distances beyond the reference's range are kept as whole numbers of this share of its standard deviation."""
FARTHEST_UNITS = 2**36
"""65,536 standard deviations: what lies farther out counts as lying there."""


@dataclass(frozen=True, eq=False)
class ColumnCounts:
    """Rows of one column, by partition.

    Args:
        bins: the column's cells.
        cells: int64 `[partitions, cells]`.
        unseen: rows between or outside the cells, int64 `[partitions, slots]`.
        apart: rows that are null, NaN, infinite, int64 `[partitions, 3]`.
        beyond: sums of the distances of rows below the first and above the last cell, in units of
            `UNIT_IN_DEVIATIONS`, int64 `[partitions, 2]`; 0 of categories.
    """

    bins: Bins
    cells: Counts
    unseen: Counts
    apart: Counts
    beyond: Counts

    @property
    def name(self) -> str:
        """The column's name."""
        return self.bins.name

    @cached_property
    def rows(self) -> Counts:
        """All rows, `[partitions]`."""
        rows: Counts = self.cells.sum(axis=1) + self.unseen.sum(axis=1) + self.apart.sum(axis=1)
        return rows

    @cached_property
    def missing(self) -> Counts:
        """Rows that are null or NaN, `[partitions]`."""
        return self.apart[:, 0] + self.apart[:, 1]

    @cached_property
    def infinite(self) -> Counts:
        """Rows that are infinite, `[partitions]`."""
        return self.apart[:, 2]

    @cached_property
    def ordered(self) -> Counts:
        """Of numbers: rows in cells and slots, from the smallest values up, `[partitions, cells + slots]`."""
        ordered: Counts = self.bins.in_order(self.cells, self.unseen)
        return ordered

    def total(self) -> Self:
        """All partitions as one."""
        parts = {name: getattr(self, name).sum(axis=0, keepdims=True) for name in _ARRAYS}
        return replace(self, **parts)

    def rows_of(self, partitions: Any) -> Self:
        """Some of the partitions, by position or mask."""
        return replace(self, **{name: getattr(self, name)[partitions] for name in _ARRAYS})

    def to_json(self) -> dict[str, Any]:
        """As JSON; what is nought throughout is left out."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return {**self.bins.to_json(), **{name: a.tolist() for name, a in arrays.items() if a.any()}}

    @classmethod
    def from_json(cls, record: dict[str, Any], partitions: int) -> Self:
        """Read what `to_json` wrote."""
        bins = Bins.from_json(record)
        widths = {"cells": bins.cells, "unseen": bins.slots, "apart": 3, "beyond": 2}
        read = {
            name: np.asarray(record.get(name, np.zeros((partitions, width))), dtype=np.int64).reshape(partitions, width)
            for name, width in widths.items()
        }
        return cls(bins, **read)


_ARRAYS = ("cells", "unseen", "apart", "beyond")


def count(values: pl.Series, bins: Bins) -> ColumnCounts:
    """The counts of one partition's rows, whose column has the type that `require_columns` asks for.

    A column of numbers is sorted once, which is all that it costs.
    """
    return _categories(values, bins) if bins.column.kind == "category" else _numbers(values, bins)


def _categories(values: pl.Series, bins: Bins) -> ColumnCounts:
    found = values.rename("value").value_counts(name="rows")
    rows = dict(zip(found["value"].to_list(), found["rows"].to_list(), strict=True))
    nulls = rows.pop(None, 0)
    cells = [rows.pop(value, 0) for value in bins.values]
    return _one(bins, cells, [sum(rows.values())], [nulls, 0, 0], [0, 0])


def _numbers(values: pl.Series, bins: Bins) -> ColumnCounts:
    numbers = values.cast(pl.Float64)
    nulls, nans = numbers.null_count(), int(numbers.is_nan().sum())
    ordered: Floats = np.sort(numbers.to_numpy())[: len(numbers) - nulls - nans]
    first, last = np.searchsorted(ordered, -np.inf, "right"), np.searchsorted(ordered, np.inf, "left")
    apart = [nulls, nans, ordered.size - int(last - first)]
    ordered = ordered[first:last]
    at_or_below = np.searchsorted(ordered, bins.points, "right")
    below = np.searchsorted(ordered, bins.points, "left")
    if bins.edges:
        cells = np.diff(at_or_below, prepend=below[0])
        unseen = np.array([below[0], ordered.size - at_or_below[-1]])
    else:
        cells = at_or_below - below
        unseen = np.r_[below, ordered.size] - np.r_[0, at_or_below]
    beyond = [
        _units(bins.points[0] - ordered[: below[0]], bins.deviation),
        _units(ordered[at_or_below[-1] :] - bins.points[-1], bins.deviation),
    ]
    return _one(bins, cells, unseen, apart, beyond)


def _units(distances: Floats, deviation: float) -> int:
    """Their sum, rounded one by one: whole numbers add up to the same in any order."""
    unit = UNIT_IN_DEVIATIONS * (deviation or 1.0)
    return int(np.minimum(np.rint(distances / unit), FARTHEST_UNITS).astype(np.int64).sum())


def _one(bins: Bins, cells: Any, unseen: Any, apart: Any, beyond: Any) -> ColumnCounts:
    arrays = (np.asarray(a, dtype=np.int64).reshape(1, -1) for a in (cells, unseen, apart, beyond))
    return ColumnCounts(bins, *arrays)
