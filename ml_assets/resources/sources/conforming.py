"""The columns a source has against the columns that are expected: names, types, and conversion without loss.

What one value becomes is decided by `core.conversion`, so that a partition is fetched by the same rules by
which its rows are judged later; Arrow's checked casts do the same faster where they succeed.
"""

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from ml_assets.core.errors import SourceSchemaError
from ml_assets.resources.sources.column_types import converted, named, stored_type
from ml_assets.resources.sources.windowing import Block

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

_CURE = "correct the source, rename its columns (`rename`), or change the column in schema.py"


class Conformer:
    """Makes blocks of one source partition fit.

    Args:
        thing: the source and partition, for messages.
        found: names and types of the source's columns, after renaming.
        expected: names and dtypes that are needed.
        optional: those of `expected` that may be missing.
        types: names and dtypes by which further columns, or text before it is converted, are read.
        text: what text may become: `any` value (CSV), `times` (SQLite), or `none` of them.
        datetime_format: how text writes times; None: ISO 8601.
    """

    def __init__(
        self,
        thing: str,
        found: "pa.Schema",
        expected: "Mapping[str, pl.DataType]",
        *,
        optional: Collection[str] = (),
        types: "Mapping[str, pl.DataType] | None" = None,
        text: Literal["any", "times", "none"] = "none",
        datetime_format: str | None = None,
    ) -> None:
        import pyarrow as pa

        self.thing, self.found, self.expected, self.types = thing, found, expected, types or {}
        self.text, self.datetime_format = text, datetime_format
        needed = [*(name for name in expected if name not in optional), *self.types]
        self._missing = [name for name in dict.fromkeys(needed) if name not in found.names]
        self.schema = pa.schema([(f.name, stored_type(self._wanted(f.name), f.type)) for f in found])

    def _wanted(self, name: str) -> "pl.DataType | None":
        return self.expected.get(name, self.types.get(name))

    def _steps(self, name: str) -> "list[pl.DataType | None]":
        """The dtypes a column goes through: first as it is to be read, then as it is needed."""
        steps = [self.types.get(name), self.expected.get(name)]
        return [step for step in steps if step is not None] or [None]

    def refuse_missing(self) -> None:
        """Raise if columns are missing; `conform` does it by itself, a source without rows must."""
        if self._missing:
            self._refuse({})

    def conform(self, block: Block) -> "pa.RecordBatch":
        """The block's rows in `schema`.

        Raises:
            SourceSchemaError: columns are missing, or a value can't be converted; lists all columns, with the
                first such value of each in this block.
        """
        import pyarrow as pa

        columns: list[pa.Array] = []
        faults: dict[str, str] = {}
        for field, array in zip(self.schema, block.batch.columns, strict=True):
            for wanted in self._steps(field.name):
                result = converted(array, wanted, text=self.text, datetime_format=self.datetime_format)
                if result.fault is not None:
                    row = "" if result.position is None else f" in {block.row(result.position)}"
                    faults[field.name] = f"column {field.name}: {result.fault}{row}, expected {wanted}"
                    break
                array = result.values
            columns.append(array)
        if faults or self._missing:
            self._refuse(faults)
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _refuse(self, faults: Mapping[str, str]) -> None:
        names = self.found.names
        lacking = [f"column {name}: missing{_nearest(name, names)}" for name in self._missing]
        listed = f"the columns found are: {', '.join(names) or 'none'}"
        raise SourceSchemaError(
            self.thing,
            found=[*lacking, *faults.values(), listed],
            expected=", ".join(f"{name}: {self._wanted(name)}" for name in [*self._missing, *faults]),
            cure=_CURE,
        )


def _nearest(name: str, names: Sequence[str]) -> str:
    folded = {n.casefold(): n for n in names}
    near = difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)
    return f", nearest names: {', '.join(folded[n] for n in near)}" if near else ""


def renamed(names: Sequence[str], rename: Mapping[str, str], *, thing: str) -> list[str]:
    """The names after renaming.

    Raises:
        SourceSchemaError: two columns of one name, or a renaming whose old and new name are both missing.
    """
    new = [rename.get(name, name) for name in names]
    twice = sorted({name for name in new if new.count(name) > 1})
    idle = [
        f"rename {old!r} to {wanted!r}: there is neither{_nearest(old, names)}"
        for old, wanted in rename.items()
        if wanted not in new
    ]
    if twice or idle:
        raise SourceSchemaError(
            thing,
            found=[
                *(f"two columns named {name!r}" for name in twice),
                *idle,
                f"the columns found are: {', '.join(names)}",
            ],
            expected="every column once, and `rename` to name columns that are there",
            cure="correct `rename`, or the source",
        )
    return new


def dtypes_named(types: Mapping[str, str]) -> "dict[str, pl.DataType]":
    """The polars dtypes of a configuration's `types`."""
    return {column: named(name) for column, name in types.items()}
