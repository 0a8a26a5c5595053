"""Rows of a column as counts in the cells of its bins: what both sides of a comparison are made of.

Counts are whole numbers, so that those of parts add up to those of the whole, exactly and in any order.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import polars as pl

from ml_assets.core.drift.bins import Bins, Counts, Floats
from ml_assets.core.drift.places import Places

Texts = Mapping[Any, int]
"""Text -> rows that hold it; None is the text of rows without one."""
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


_PART_ROWS = 32_768
"""So few that they stay in the processor's cache, and that what is made of them is not given back to the system."""
_ARRAYS = ("cells", "unseen", "apart", "beyond")


def count(frame: pl.LazyFrame, bins: Bins) -> ColumnCounts:
    """The counts of one partition's rows.

    Args:
        frame: with the column, of the type that `require_columns` asks for; only this column is read.
        bins: of the column.
    """
    return _numbers(frame, bins) if bins.column.kind == "number" else of_texts(_texts(frame, bins.name), bins)


def of_texts(texts: Texts, bins: Bins) -> ColumnCounts:
    """The counts of a column of text whose rows are counted by text."""
    cells = [texts.get(value, 0) for value in bins.values]
    nulls = texts.get(None, 0)
    return _one(bins, cells, [sum(texts.values()) - sum(cells) - nulls], [nulls, 0, 0], [0, 0])


def _texts(frame: pl.LazyFrame, name: str) -> Texts:
    found = frame.group_by(pl.col(name).alias("value")).agg(rows=pl.len()).collect(engine="streaming")
    return dict(zip(found["value"].to_list(), found["rows"].to_list(), strict=True))


def _numbers(frame: pl.LazyFrame, bins: Bins) -> ColumnCounts:
    numbers = frame.select(pl.col(bins.name).cast(pl.Float64)).collect()[bins.name]
    nulls = numbers.null_count()
    counted = Places.of(bins.points, len(numbers)).count(_parts(numbers))
    points, gaps = counted.places[1::2], counted.places[::2]
    if bins.edges:
        # Rows at an edge belong to the interval before it; before the first edge there is none.
        points = points + np.r_[0, gaps[1:-1]]
        gaps = gaps[[0, -1]]
    distances = (bins.points[0] - counted.below, counted.above - bins.points[-1])
    beyond = [_units(outside, bins.deviation) for outside in distances]
    return _one(bins, points, gaps, [nulls, counted.nans - nulls, counted.infinite], beyond)


def _parts(values: pl.Series) -> Iterator[Floats]:
    """Pieces that stay in the processor's cache while they are worked on, null as NaN."""
    for chunk in values.get_chunks():
        numbers = chunk.to_numpy()
        for start in range(0, numbers.size, _PART_ROWS):
            yield numbers[start : start + _PART_ROWS]


def _units(distances: Floats, deviation: float) -> int:
    """Their sum, rounded one by one: whole numbers add up to the same in any order."""
    unit = UNIT_IN_DEVIATIONS * (deviation or 1.0)
    return int(np.minimum(np.rint(distances / unit), FARTHEST_UNITS).astype(np.int64).sum())


def _one(bins: Bins, cells: Any, unseen: Any, apart: Any, beyond: Any) -> ColumnCounts:
    arrays = (np.asarray(a, dtype=np.int64).reshape(1, -1) for a in (cells, unseen, apart, beyond))
    return ColumnCounts(bins, *arrays)
