"""Reading a CSV file block by block, every value as text. Making values of the text is in `conforming`.

All columns are read as text and converted afterwards: 1.1 times the time of Arrow's typed reader, and a value
that does not fit can be named with its row.
"""

import gzip
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ml_assets.core.errors import SourceEmpty, SourceUnreadable
from ml_assets.core.windows import Window
from ml_assets.resources.sources.config import FilesSourceConfig
from ml_assets.resources.sources.locating import LocalCopy
from ml_assets.resources.sources.parquet_files import kind_of
from ml_assets.resources.sources.windowing import Block

BLOCK_BYTES = 1 << 20


class CsvReader:
    """One CSV file with a header, UTF-8, plain or gzip.

    Args:
        file: the file, on a local disk.
        config: separator and texts that mean null.
        thing: the source and partition, for messages.

    Raises:
        SourceUnreadable: not CSV.
        SourceEmpty: not even a header.
    """

    def __init__(self, file: LocalCopy, config: FilesSourceConfig, *, thing: str) -> None:
        import pyarrow as pa

        self.file, self.config, self.thing = file, config, thing
        self._refuse_foreign()
        with self._open({}, None) as reader:
            self.schema: pa.Schema = pa.schema([(name, pa.large_string()) for name in reader.schema.names])

    def blocks(
        self,
        columns: Sequence[str] | None = None,
        within: tuple[str, Window] | None = None,  # noqa: ARG002
    ) -> Iterator[Block]:
        """The rows in order, of all columns or some; CSV has no statistics by which to skip rows.

        Raises:
            SourceUnreadable: a row with too many or too few values, text that is not UTF-8, a file cut off.
        """
        import pyarrow as pa

        first = 0
        try:
            with self._open({name: pa.large_string() for name in self.schema.names}, columns) as reader:
                for batch in reader:
                    yield Block(batch, first, where=self.file.name)
                    first += len(batch)
        except (pa.ArrowException, OSError, EOFError) as error:
            raise self._unreadable(f"after row {first:,}: {error}") from error

    def close(self) -> None:
        """Nothing to let go of: a file is open only while its blocks are read."""

    @contextmanager
    def _open(self, types: dict[str, Any], columns: Sequence[str] | None) -> Iterator[Any]:
        import pyarrow as pa
        from pyarrow import csv

        compression = "gzip" if self._gzipped else None
        with pa.input_stream(str(self.file.path), compression=compression) as stream:
            try:
                reader = csv.open_csv(
                    stream,
                    csv.ReadOptions(block_size=BLOCK_BYTES),
                    csv.ParseOptions(delimiter=self.config.column_separator, newlines_in_values=True),
                    csv.ConvertOptions(
                        column_types=types,
                        include_columns=list(columns or []),
                        null_values=["", *self.config.null_values],
                        strings_can_be_null=True,
                        quoted_strings_can_be_null=False,
                    ),
                )
            except (pa.ArrowException, OSError, EOFError) as error:
                raise self._unreadable(str(error)) from error
            with reader:
                yield reader

    def _refuse_foreign(self) -> None:
        with self.file.path.open("rb") as file:
            head = file.read(512)
        self._gzipped = head.startswith(b"\x1f\x8b")
        if self._gzipped:
            try:
                with gzip.open(self.file.path) as file:
                    head = file.read(512)
            except (OSError, EOFError) as error:
                raise self._unreadable(str(error)) from error
        if not head.strip():
            raise SourceEmpty(
                self.thing,
                found=f"{self.file.name}: no header and no rows",
                expected="a header and at least one row",
                cure="look whether the source is complete",
            )
        kind = kind_of(head)
        if kind.startswith(("a web page", "a Parquet", "a compressed", "a binary")):
            raise self._unreadable(kind)

    def _unreadable(self, found: str) -> SourceUnreadable:
        return SourceUnreadable(
            self.thing,
            found=f"{self.file.name}: {found}",
            expected=f"CSV in UTF-8 with a header, separated by {self.config.column_separator!r}, as "
            "many values in every row",
            cure="get the file again from where it comes from, or correct it; if it is another "
            "format, set source.format",
        )
