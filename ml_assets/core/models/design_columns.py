"""The columns that a feature has in a design matrix, learnt from training rows; together they are `design_matrix`."""

from dataclasses import dataclass
from math import fsum, sqrt
from typing import Self

import numpy as np
import polars as pl

from ml_assets.core.encoding import Floats
from ml_assets.core.target_encoding import FittedEncoding


@dataclass(frozen=True)
class Number:
    """A number: standardised, the missing ones as the median, and a column that says where it is missing.

    Args:
        name: the feature.
        median: of the training rows, in the feature's unit.
        mean, scale: of the imputed training rows; the column is (value - mean) / scale.
        varies: whether training rows differ in it; else it has no column.
        missing: whether it is missing in some training rows, but not all.
    """

    name: str
    median: float
    mean: float
    scale: float
    varies: bool
    missing: bool

    def columns(self, frame: pl.DataFrame) -> list[Floats]:
        """Its columns, float64 `[rows]` each."""
        values = frame[self.name].fill_nan(None)
        filled = values.fill_null(self.median).to_numpy()
        columns = [(filled - self.mean) / self.scale] if self.varies else []
        return columns + ([values.is_null().cast(pl.Float64).to_numpy()] if self.missing else [])

    @property
    def labels(self) -> list[str]:
        """Names of its columns."""
        return ([self.name] if self.varies else []) + ([f"{self.name} missing"] if self.missing else [])

    @classmethod
    def learn(cls, values: pl.Series) -> Self:
        """Learn it from training rows; sums are rounded once, so that they depend on no machine."""
        known = values.fill_nan(None)
        median = known.median()
        median = median if isinstance(median, float) else 0.0
        filled = known.fill_null(median).to_numpy()
        mean, scale = moments(filled)
        varies = bool((filled != filled[0]).any())
        return cls(values.name, median, mean, scale, varies, 0 < known.null_count() < known.len())


@dataclass(frozen=True)
class Category:
    """A category: a column for each of the most frequent values, and one that says where it is missing.

    Args:
        name: the feature.
        kept: values with a column; none where training rows do not differ.
        missing: whether it is missing in some training rows, but not all.
    """

    name: str
    kept: tuple[str, ...]
    missing: bool

    def columns(self, frame: pl.DataFrame) -> list[Floats]:
        """Its columns, float64 `[rows]` each; a value without a column is 0 in all."""
        values = frame[self.name]
        code = values.cast(pl.Enum(self.kept), strict=False).to_physical().cast(pl.Float64).fill_null(-1.0).to_numpy()
        columns = [np.equal(code, i).astype(np.float64) for i in range(len(self.kept))]
        return columns + ([values.is_null().cast(pl.Float64).to_numpy()] if self.missing else [])

    @property
    def labels(self) -> list[str]:
        """Names of its columns."""
        return [f"{self.name} {value}" for value in self.kept] + ([f"{self.name} missing"] if self.missing else [])

    @classmethod
    def learn(cls, values: pl.Series, most: int) -> Self:
        """Learn it from training rows: the `most` frequent values, the earlier in the alphabet where alike."""
        counts = values.drop_nulls().rename("value").value_counts(name="rows")
        kept = counts.sort(["rows", "value"], descending=[True, False]).head(most)["value"].sort().to_list()
        missing = 0 < values.null_count() < values.len()
        return cls(values.name, tuple(kept) if missing or counts.height > 1 else (), missing)


@dataclass(frozen=True, eq=False)
class Mean:
    """A mean label by category, standardised.

    Args:
        source: the feature, or the declared target encoding, that it belongs to.
        encoding: what a row is given.
        mean, scale: of what training rows are given, out of fold.
    """

    source: str
    encoding: FittedEncoding
    mean: float
    scale: float

    def column(self, values: pl.Series) -> Floats:
        """Its column, float64 `[rows]`, of what rows are given."""
        column: Floats = (values.to_numpy() - self.mean) / self.scale
        return column


def moments(values: Floats) -> tuple[float, float]:
    """Mean and standard deviation; 1.0 in place of a deviation of 0."""
    mean = fsum(values) / values.size
    return mean, sqrt(fsum((values - mean) ** 2) / values.size) or 1.0
