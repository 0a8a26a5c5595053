"""The columns a source has against the columns that are expected: names, types, and conversion without loss.

What one value becomes is decided by `core.conversion`, so that a partition is fetched by the same rules by
which its rows are judged later. A column of which not every value fits is stored as found (`as_found`): one
bad value is a matter of its row, not of the partition.
"""

import difflib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.core.errors import SourceEmpty, SourceSchemaError
from ml_assets.core.schema_change import EMPTY
from ml_assets.resources.sources.as_found import as_text, can_be_judged, kept, kept_type
from ml_assets.resources.sources.column_types import is_text, named, stored_type
from ml_assets.resources.sources.converting import Text, converted, read_by_rules
from ml_assets.resources.sources.describing import TEXT, type_name
from ml_assets.resources.sources.windowing import Block
from ml_assets.resources.sources.writing import write_partition

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

_CURE = "correct the source, rename its columns (`rename`), or change the column in schema.py"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Fault:
    """Why a column of a block can't be converted: in words, and whether its rows can be judged one by one."""

    says: str
    can_be_judged: bool


class _FoundAtFault(Exception):
    """Columns were found to be at fault while the others were written."""


class Conformer:
    """Makes blocks of one source partition fit.

    Args:
        thing: the source and partition, for messages.
        found: names and types of the source's columns, after renaming; text where its files differ.
        expected: names and dtypes that are needed.
        optional: those of `expected` that may be missing.
        types: names and dtypes by which further columns, or text before it is converted, are read.
        text: what text may become.
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
        text: Text = "none",
        datetime_format: str | None = None,
    ) -> None:
        self.thing, self.found, self.expected, self.types = thing, found, expected, types or {}
        self.text, self.datetime_format = text, datetime_format
        needed = [*(name for name in expected if name not in optional), *self.types]
        self._missing = [name for name in dict.fromkeys(needed) if name not in found.names]
        self._kept: dict[str, pa.DataType] = {}
        self._seen: dict[str, list[pa.DataType]] = {name: [] for name in found.names}

    @property
    def schema(self) -> "pa.Schema":
        """Names and types of what is written."""
        import pyarrow as pa

        types = [self._kept.get(f.name) or stored_type(self._wanted(f.name), f.type) for f in self.found]
        return pa.schema(list(zip(self.found.names, types, strict=True)))

    @property
    def columns(self) -> dict[str, str]:
        """The source's columns and the types in which the rows so far have them; see `Provenance.columns`."""
        if self.text == "any":
            return {name: TEXT if types else EMPTY for name, types in self._seen.items()}
        named_types = {name: dict.fromkeys(map(type_name, types)) for name, types in self._seen.items()}
        return {name: " or ".join(names) or EMPTY for name, names in named_types.items()}

    def write(self, blocks: Callable[[], Iterable[Block]], target: Path) -> int:
        """Write the rows of all blocks as `target` and return their number.

        A column with a value that can't be converted is left as found, if the rules of `core.conversion` know a
        way from its type; all blocks are then read once more, since a file has one type for each column.

        Args:
            blocks: gives the blocks from the beginning whenever it is called.
            target: the file to write; none is left behind by a failure.

        Raises:
            SourceSchemaError: columns are missing or of a type that no value could be converted from.
            SourceEmpty: no rows.
        """
        try:
            while True:
                try:
                    batches = self._batches(blocks())
                    return write_partition(batches, self.schema, target, thing=self.thing, columns=lambda: self.columns)
                except _FoundAtFault:  # there is one more column as found: ends with the last one
                    self._seen = {name: [] for name in self.found.names}
        except SourceEmpty:
            if self._missing:
                self._refuse({})
            raise

    def conform(self, block: Block) -> "pa.RecordBatch":
        """The block's rows in `schema`, of which every value fits.

        Raises:
            SourceSchemaError: columns are missing, or a value can't be converted; lists all columns, with the
                first such value of each in this block.
        """
        import pyarrow as pa

        columns, faults = self._converted(block)
        if faults or self._missing:
            self._refuse(faults)
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def refuse_missing(self) -> None:
        """Raise if columns are missing; `conform` and `write` do it by themselves."""
        if self._missing:
            self._refuse({})

    def _batches(self, blocks: Iterable[Block]) -> "Iterator[pa.RecordBatch]":
        """The blocks in `schema`; once there is a fault, the others are only searched for more of them."""
        import pyarrow as pa

        before, schema = len(self._kept), self.schema
        for block in blocks:
            columns, faults = self._converted(block)
            beyond_judging = {name: fault for name, fault in faults.items() if not fault.can_be_judged}
            if beyond_judging or self._missing:
                self._refuse(beyond_judging)
            for name, fault in faults.items():
                self._keep(name, fault)
            if len(self._kept) == before:
                yield pa.RecordBatch.from_arrays(columns, schema=schema)
        if len(self._kept) > before:
            raise _FoundAtFault

    def _converted(self, block: Block) -> "tuple[list[pa.Array], dict[str, _Fault]]":
        columns: list[pa.Array] = []
        faults: dict[str, _Fault] = {}
        for name, array in zip(self.found.names, block.batch.columns, strict=True):
            self._see(name, array)
            if name in self._kept:
                columns.append(self._as_found(name, array))
                continue
            values = array
            for wanted in self._steps(name):
                result = converted(values, wanted, text=self.text, datetime_format=self.datetime_format)
                values = result.values
                if result.fault is not None and wanted is not None:
                    row = "" if result.position is None else f" in {block.row(result.position)}"
                    says = f"column {name}: {result.fault}{row}, expected {wanted}"
                    faults[name] = _Fault(says, can_be_judged(array, self._steps(name)[-1] or wanted))
                    break
            columns.append(values)
        return columns, faults

    def _see(self, name: str, array: "pa.Array") -> None:
        seen = self._seen[name]
        if array.type not in seen and array.null_count < len(array):
            seen.append(array.type)

    def _keep(self, name: str, fault: _Fault) -> None:
        wanted = self._wanted(name)
        if wanted is None:
            raise ValueError(f"{name} is at fault without a wanted type")
        self._kept[name] = kept_type(self.found.field(name).type, wanted)
        _log.warning("%s: %s; the column is kept as found, %s", self.thing, fault.says, type_name(self._kept[name]))

    def _as_found(self, name: str, array: "pa.Array") -> "pa.Array":
        """The column as found; text that only the source's configuration can read, as the values that it reads."""
        import pyarrow.compute as pc

        wanted = self._wanted(name)
        if wanted is None:
            return array
        values = kept(array, self._kept[name], wanted)
        steps = [step for step in self._steps(name) if step is not None]
        if not is_text(array.type) or (len(steps) == 1 and not (self.datetime_format and wanted.is_temporal())):
            return values
        read = array
        for step in steps:
            formatted = self.datetime_format if is_text(read.type) and step.is_temporal() else None
            series = read_by_rules(read, step, formatted)
            if series is None:
                return values
            read = series.to_arrow()
        return pc.coalesce(as_text(read), values)

    def _wanted(self, name: str) -> "pl.DataType | None":
        return self.expected.get(name, self.types.get(name))

    def _steps(self, name: str) -> "list[pl.DataType | None]":
        """The dtypes a column goes through: first as it is to be read, then as it is needed."""
        steps = [self.types.get(name), self.expected.get(name)]
        return list(dict.fromkeys(step for step in steps if step is not None)) or [None]

    def _refuse(self, faults: Mapping[str, _Fault]) -> None:
        names = self.found.names
        lacking = [f"column {name}: missing{_nearest(name, names)}" for name in self._missing]
        listed = f"the columns found are: {', '.join(names) or 'none'}"
        raise SourceSchemaError(
            self.thing,
            found=[*lacking, *(fault.says for fault in faults.values()), listed],
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
