"""Reading a Parquet file block by block, its page checksums verified.

Making its columns fit is in `conforming`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from ml_assets.core.errors import SourceUnreadable
from ml_assets.core.windows import Window
from ml_assets.resources.sources.locating import LocalCopy
from ml_assets.resources.sources.parquet_statistics import GroupStatistics
from ml_assets.resources.sources.windowing import Block

BATCH_ROWS = 131_072
MAGIC = b"PAR1"


class ParquetReader:
    """One Parquet file.

    Args:
        file: the file, on a local disk.
        thing: the source and partition, for messages.

    Raises:
        SourceUnreadable: not Parquet, cut off, or damaged.
    """

    def __init__(self, file: LocalCopy, *, thing: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.file, self.thing = file, thing
        self._refuse_foreign()
        try:
            self._parquet = pq.ParquetFile(file.path, page_checksum_verification=True)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._unreadable(f"metadata that can't be read: {error}") from error
        self.schema: pa.Schema = self._parquet.schema_arrow

    def blocks(self, columns: Sequence[str] | None = None, within: tuple[str, Window] | None = None) -> Iterator[Block]:
        """The rows in order, of all columns or some.

        Args:
            columns: names in the file; None: all.
            within: a column of times and a window: row groups whose statistics exclude it are skipped.

        Raises:
            SourceUnreadable: a page is damaged.
        """
        import pyarrow as pa

        try:
            for group, first in self._groups(within):
                statistics = GroupStatistics(self._parquet.metadata.row_group(group))
                for batch in self._parquet.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns):
                    batch.validate(full=True)  # text that is not UTF-8 would reach polars unchecked
                    statistics.see(batch)
                    yield Block(batch, first, where=self.file.name)
                    first += len(batch)
                self._refuse(statistics.contradictions())
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._unreadable(f"a damaged page: {error}") from error

    def close(self) -> None:
        """Let go of the file."""
        self._parquet.close()

    def _groups(self, within: tuple[str, Window] | None) -> Iterator[tuple[int, int]]:
        metadata, first = self._parquet.metadata, 0
        for group in range(metadata.num_row_groups):
            if within is None or _may_hold(metadata.row_group(group), *within):
                yield group, first
            first += metadata.row_group(group).num_rows

    def _refuse_foreign(self) -> None:
        with self.file.path.open("rb") as file:
            head = file.read(512)
            file.seek(max(0, self.file.bytes - len(MAGIC)))
            tail = file.read()
        if head.startswith(MAGIC) and tail != MAGIC:
            raise self._unreadable(
                f"a file of {self.file.bytes:,} bytes that is cut off: the end of the format is missing"
            )
        if not head.startswith(MAGIC):
            raise self._unreadable(f"{kind_of(head)} ({self.file.bytes:,} bytes)")

    def _refuse(self, contradictions: Sequence[str]) -> None:
        if contradictions:
            raise self._unreadable(f"damaged values: {'; '.join(contradictions)}, as the file's own statistics say")

    def _unreadable(self, found: str) -> SourceUnreadable:
        return SourceUnreadable(
            self.thing,
            found=f"{self.file.name}: {found}",
            expected="a complete Parquet file",
            cure="get the file again from where it comes from; if it is another format, set source.format",
        )


def kind_of(head: bytes) -> str:
    """What a file seems to be, by its first bytes."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not head:
        return "an empty file"
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<error")):
        return "a web page or XML document, as servers send in place of a file that is missing or forbidden"
    if head.startswith(MAGIC):
        return "a Parquet file"
    if head.startswith((b"\x1f\x8b", b"PK\x03\x04")):
        return "a compressed file"
    if b"\x00" in head:
        return "a binary file, or text in UTF-16"
    is_text = len(head.decode(errors="ignore").encode()) > len(head) - 4  # the last letter may be cut
    return "text" if is_text else "a file of unknown format"


def _may_hold(group: Any, column: str, window: Window) -> bool:
    """Whether a row group may have rows of the window; missing or foreign statistics exclude nothing."""
    from datetime import datetime

    index = next((i for i in range(group.num_columns) if group.column(i).path_in_schema == column), None)
    statistics = None if index is None else group.column(index).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    try:
        low, high = statistics.min, statistics.max
    except (OverflowError, ValueError):  # bounds that are no dates of Python
        return True
    if not (isinstance(low, datetime) and isinstance(high, datetime)) or low.tzinfo is not None:
        return True
    return bool(low < window.end and high >= window.start)
