"""One or more files of the same columns as one table: their rows in order, filtered to a window, made to fit.

Which files there are is in `files`.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.core.errors import SourceSchemaError
from ml_assets.core.windows import Window
from ml_assets.resources.sources.config import FilesSourceConfig
from ml_assets.resources.sources.conforming import Conformer, dtypes_named, renamed
from ml_assets.resources.sources.csv_files import CsvReader
from ml_assets.resources.sources.locating import LocalCopy
from ml_assets.resources.sources.parquet_files import ParquetReader
from ml_assets.resources.sources.windowing import Block

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

_log = logging.getLogger(__name__)


class FileTable:
    """The files of one window.

    Args:
        config: how they are to be read.
        copies: the files, in order.
        stack: what closes them.
        expected, optional: as of `Source.fetch`.
        thing: the source and partition, for messages.

    Raises:
        SourceUnreadable: a file is not of the format.
        SourceSchemaError: the files' columns differ, or can't be renamed.
    """

    def __init__(
        self,
        config: FilesSourceConfig,
        copies: Sequence[LocalCopy],
        stack: ExitStack,
        expected: "Mapping[str, pl.DataType]",
        optional: Collection[str] = (),
        *,
        thing: str,
    ) -> None:
        import polars as pl

        self.config, self.thing = config, thing
        self.readers: list[ParquetReader | CsvReader] = []
        for copy in copies:
            reader = (
                ParquetReader(copy, thing=thing)
                if config.file_format == "parquet"
                else CsvReader(copy, config, thing=thing)
            )
            self.readers.append(stack.enter_context(closing(reader)))
        self.names = [renamed(r.schema.names, config.rename, thing=thing) for r in self.readers]
        event = config.event_time
        if event is not None:
            expected = {event: pl.Datetime("us"), **expected}
            optional = set(optional) - {event}
        self.conformer = self._conformer(self._found({*expected, *config.types}), expected, optional)
        self.without_time = 0

    def write(self, window: Window, target: Path) -> int:
        """Write the window's rows as `target` and return their number; see `Source.fetch` for the errors."""
        rows = self.conformer.write(lambda: self._blocks(window), target)
        if self.without_time:
            _log.warning(
                "%s: %d rows without %s belong to no partition",
                self.thing,
                self.without_time,
                self.config.event_time,
            )
        return rows

    def event_times(self) -> "Iterator[pa.Array]":
        """The event times of all rows, to tell which windows have any."""
        for number, reader in enumerate(self.readers):
            for block in reader.blocks([self._event_column(number)]):
                yield self._times(block, 0)

    def _blocks(self, window: Window) -> Iterator[Block]:
        self.without_time = 0
        for number, (reader, names) in enumerate(zip(self.readers, self.names, strict=True)):
            order = [names.index(name) for name in self.names[0]]
            if self.config.event_time is None:
                blocks: Iterator[Block] = reader.blocks()
            else:
                blocks = self._inside(reader, self._event_column(number), window)
            for block in blocks:
                yield replace(block, batch=block.batch.select(order))

    def _inside(self, reader: ParquetReader | CsvReader, column: str, window: Window) -> Iterator[Block]:
        for block in reader.blocks(within=(column, window)):
            times = self._times(block, block.batch.schema.names.index(column))
            self.without_time += times.null_count
            kept = block.inside(times, window)
            if len(kept.batch):
                yield kept

    def _times(self, block: Block, position: int) -> "pa.Array":
        alone = replace(block, batch=block.batch.select([position]))
        found = alone.batch.schema.with_metadata(None).field(0).with_name(str(self.config.event_time))
        return self._event_conformer(found).conform(alone).column(0)

    def _event_conformer(self, found: "pa.Field") -> Conformer:
        import pyarrow as pa

        name = found.name
        return self._conformer(pa.schema([found]), {name: self.conformer.expected[name]}, (), only=name)

    def _event_column(self, number: int) -> str:
        """The event time's name in a file.

        Raises:
            SourceSchemaError: the file has no such column.
        """
        if self.config.event_time not in self.names[number]:
            self.conformer.refuse_missing()
        return str(self.readers[number].schema.names[self.names[number].index(str(self.config.event_time))])

    def _conformer(
        self,
        found: "pa.Schema",
        expected: "Mapping[str, pl.DataType]",
        optional: Collection[str],
        only: str = "",
    ) -> Conformer:
        types = {name: dtype for name, dtype in self.config.types.items() if only in ("", name)}
        return Conformer(
            self.thing,
            found,
            expected,
            optional=optional,
            types=dtypes_named(types),
            text="any" if self.config.file_format == "csv" else "none",
            datetime_format=self.config.datetime_format,
        )

    def _found(self, converted: Collection[str]) -> "pa.Schema":
        """Names and types of all files, as ordered in the first; one null in a file takes another's type.

        Columns that will be converted may differ in type: should one not convert, it can be stored as text.
        """
        import pyarrow as pa

        from ml_assets.resources.sources.column_types import stored_type

        schemas = [dict(zip(n, r.schema.types, strict=True)) for n, r in zip(self.names, self.readers, strict=True)]
        first = dict(schemas[0])
        faults = []
        for reader, schema in zip(self.readers[1:], schemas[1:], strict=True):
            faults += [f"{reader.file.name}: column {name} is missing" for name in first if name not in schema]
            faults += [f"{reader.file.name}: column {name} is new" for name in schema if name not in first]
            for name in [n for n in first if n in schema]:
                one, other = stored_type(None, first[name]), stored_type(None, schema[name])
                if pa.types.is_null(one):
                    first[name] = other
                elif one != other and not pa.types.is_null(other) and name in converted:
                    first[name] = pa.large_string()
                elif one != other and not pa.types.is_null(other):
                    faults.append(f"{reader.file.name}: column {name} is {other}, not {one}")
        if faults:
            raise SourceSchemaError(
                self.thing,
                found=faults,
                expected=f"the columns of {self.readers[0].file.name} in all files of the partition",
                cure="correct the files, give differing columns a type in `types`, or narrow source.path",
            )
        return pa.schema(list(first.items()))
