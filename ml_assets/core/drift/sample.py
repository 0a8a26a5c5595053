"""A few rows of what a champion was trained on, for what counts by column can't tell: how columns go together.

Which rows is decided by a hash of their partition and number, so that the sample of the whole is the sample of the
samples of its parts. Counts are in `profile`; what is made of the rows, in `domain_classifier`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import polars as pl

from ml_assets.core.drift.bins import Column, require_columns
from ml_assets.core.errors import ProfileError
from ml_assets.core.features import DTYPES
from ml_assets.core.stable_hash import mixed, salt

MOST_ROWS = 4000
"""Some 330 of each month of a year; about 300 kB of JSON with 13 columns."""
PARTITION, ORDER = "partition of the row", "order of the row"


@dataclass(frozen=True, eq=False)
class Sample:
    """The rows whose hashes are the smallest.

    Args:
        columns: what they have.
        most: how many rows are kept.
        rows: a column each of `columns`, then `PARTITION` and `ORDER` (the hash, UInt64), ascending by both of these.
    """

    columns: tuple[Column, ...]
    most: int
    rows: pl.DataFrame

    @classmethod
    def empty(cls, columns: Sequence[Column]) -> Self:
        """A sample of no rows."""
        return cls(tuple(columns), MOST_ROWS, pl.DataFrame(schema=_schema(columns)))

    def only(self, columns: Sequence[Column]) -> Self:
        """The same rows with some of the columns."""
        names = [*(c.name for c in columns), PARTITION, ORDER]
        return type(self)(tuple(columns), self.most, self.rows.select(names))

    def merged(self, other: "Sample") -> "Sample":
        """The sample of the rows of both.

        Raises:
            ProfileError: they are of different columns or sizes.
        """
        if (self.columns, self.most) != (other.columns, other.most):
            raise ProfileError(
                "samples to merge",
                found="different columns or sizes",
                expected="samples of the same columns, of as many rows",
                cure="take both with the same arguments",
            )
        return Sample(self.columns, self.most, _smallest(pl.concat([self.rows, other.rows]), self.most))

    def to_json(self) -> dict[str, Any]:
        """As JSON, column by column."""
        return {
            "columns": [{"name": c.name, "kind": c.kind, "role": c.role} for c in self.columns],
            "most": self.most,
            "rows": {name: self.rows[name].to_list() for name in self.rows.columns},
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        columns = tuple(Column(c["name"], c["kind"], c["role"]) for c in record["columns"])
        return cls(columns, record["most"], pl.DataFrame(dict(record["rows"]), schema=_schema(columns)))


def sample_of(
    frame: pl.LazyFrame, columns: Sequence[Column], partition: str, *, row_number: str, most: int = MOST_ROWS
) -> Sample:
    """Sample a partition.

    Args:
        frame: its rows; NaN and infinite numbers become null.
        columns: which of its columns to keep.
        partition: its key.
        row_number: column with a whole number that is unique in the partition.
        most: how many rows to keep.

    Raises:
        ProfileError: columns are missing or of another type; lists all.
    """
    require_columns(frame.collect_schema(), columns)
    kept = [
        pl.when(pl.col(c.name).cast(pl.Float64).is_finite()).then(pl.col(c.name).cast(pl.Float64)).alias(c.name)
        if c.kind == "number"
        else pl.col(c.name)
        for c in columns
    ]
    order = mixed(pl.col(row_number), salt("sample of a profile", partition))
    rows = frame.select(*kept, pl.lit(partition).alias(PARTITION), order.alias(ORDER))
    return Sample(tuple(columns), most, _smallest(rows.bottom_k(most, by=ORDER).collect(engine="streaming"), most))


def _smallest(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    return rows.sort(ORDER).head(most).sort(PARTITION, ORDER)


def _schema(columns: Sequence[Column]) -> dict[str, Any]:
    return {**{c.name: DTYPES[c.kind] for c in columns}, PARTITION: pl.String(), ORDER: pl.UInt64()}
