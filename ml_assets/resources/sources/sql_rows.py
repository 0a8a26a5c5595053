"""Rows of a database as typed columns: a type for each column from all its values, since a driver tells none.

Batches go through a spool on disk, because the first may hold nothing but nulls where a later one has values.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ml_assets.core.errors import SourceSchemaError
from ml_assets.resources.sources.as_found import as_text
from ml_assets.resources.sources.windowing import Block

if TYPE_CHECKING:
    import pyarrow as pa


class Spool:
    """Typed batches of one query's rows, written once, read as often as needed.

    Args:
        path: a scratch file; the caller removes it.
        names: of the columns.
        thing: the source and partition, for messages.
    """

    def __init__(self, path: Path, names: Sequence[str], *, thing: str) -> None:
        import pyarrow as pa

        self.path, self.names, self.thing = path, names, thing
        self.digest = hashlib.sha256()
        self._types: list[pa.DataType] = [pa.null() for _ in names]

    @property
    def schema(self) -> "pa.Schema":
        """Names and the types that hold all values so far."""
        import pyarrow as pa

        return pa.schema(list(zip(self.names, self._types, strict=True)))

    def fill(self, batches: "Iterable[Sequence[Sequence[Any]]]") -> None:
        """Write rows, hash their values, learn their types.

        Raises:
            SourceSchemaError: a column mixes types other than numbers and text, or has values that are neither
                numbers, texts nor times.
        """
        import pyarrow as pa

        first = 0
        with self.path.open("wb") as file:
            for rows in batches:
                self.digest.update("".join(repr(tuple(row)) + "\n" for row in rows).encode())
                arrays = self._arrays(rows, first)
                batch = pa.RecordBatch.from_arrays(arrays, names=list(self.names))
                with pa.ipc.new_stream(file, batch.schema) as stream:
                    stream.write_batch(batch)
                first += len(rows)

    def blocks(self) -> Iterator[Block]:
        """The rows in order, in `schema`."""
        import pyarrow as pa

        first, schema = 0, self.schema
        with pa.OSFile(str(self.path), "rb") as file:
            while file.tell() < file.size():
                with pa.ipc.open_stream(file) as stream:
                    for batch in stream:
                        arrays = [_cast(a, t) for a, t in zip(batch.columns, schema.types, strict=True)]
                        yield Block(pa.RecordBatch.from_arrays(arrays, schema=schema), first)
                        first += len(batch)

    def _arrays(self, rows: Sequence[Sequence[Any]], first: int) -> "list[pa.Array]":
        arrays, faults = [], []
        for position, (name, values) in enumerate(zip(self.names, zip(*rows, strict=True), strict=True)):
            try:
                array = _array(values)
                joined = _joined(self._types[position], array.type)
            except (TypeError, ValueError, OverflowError) as error:
                faults.append(f"column {name}: {error} (rows {first + 1:,} to {first + len(rows):,})")
                continue
            arrays.append(array)
            self._types[position] = joined
        if faults:
            raise SourceSchemaError(
                self.thing,
                found=faults,
                expected="one type for each column: numbers, text, times, Booleans or bytes",
                cure="CAST these columns in the query, or leave them out",
            )
        return arrays


def _array(values: Sequence[Any]) -> "pa.Array":
    import pyarrow as pa

    kinds = {type(value) for value in values} - {type(None)}
    if str in kinds and kinds <= {str, int, float}:
        return _mixed(values)
    if UUID in kinds:
        values = [None if value is None else str(value) for value in values]
    elif kinds == {float, Decimal}:
        raise TypeError("Decimal and float mixed")
    elif len(kinds) > 1 and kinds != {int, float}:
        raise TypeError(" and ".join(sorted(kind.__name__ for kind in kinds)) + " mixed")
    array = pa.array(values)
    if pa.types.is_nested(array.type):
        raise TypeError(f"values like {next(v for v in values if v is not None)!r}")
    return array


def _mixed(values: Sequence[Any]) -> "pa.Array":
    """Numbers and text in one column, as SQLite allows: all as text, spelled alike in whatever batch."""
    import pyarrow as pa
    import pyarrow.compute as pc

    alone = [[v if type(v) is kind else None for v in values] for kind in (str, int, float)]
    types = pa.string(), pa.int64(), pa.float64()
    return pc.coalesce(*(_cast(pa.array(v, t), pa.string()) for v, t in zip(alone, types, strict=True)))


def _cast(array: "pa.Array", target: "pa.DataType") -> "pa.Array":
    import pyarrow as pa

    if pa.types.is_string(target) and not pa.types.is_string(array.type):
        array = as_text(array)
    return array.cast(target)


def _joined(one: "pa.DataType", other: "pa.DataType") -> "pa.DataType":
    """The type that holds the values of both without loss: text, for numbers in one and text in the other."""
    import pyarrow as pa
    import pyarrow.types as pt

    if one == other or pt.is_null(other):
        return one
    if pt.is_null(one):
        return other
    if {one, other} == {pa.int64(), pa.float64()}:
        return pa.float64()
    if {one, other} in ({pa.string(), pa.int64()}, {pa.string(), pa.float64()}):
        return pa.string()
    if pt.is_decimal(one) and pt.is_decimal(other):
        scale = max(one.scale, other.scale)
        whole = max(one.precision - one.scale, other.precision - other.scale)
        return pa.decimal128(min(whole + scale, 38), scale)
    raise TypeError(f"{one} in earlier rows, {other} here")
