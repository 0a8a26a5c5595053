"""What a source of raw rows is, and how its configuration becomes one.

The kinds of sources are in modules of their own, imported when one is made: loading the code location must
not pay for polars, pyarrow, SQLAlchemy and fsspec.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.core.errors import SourceError
from ml_assets.core.windows import Window
from ml_assets.resources.sources.config import (
    FilesSourceConfig,
    SimulatedSourceConfig,
    SourceConfig,
    SqlSourceConfig,
)

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "FilesSourceConfig",
    "Provenance",
    "SimulatedSourceConfig",
    "Source",
    "SourceConfig",
    "SqlSourceConfig",
    "make_source",
]


@dataclass(frozen=True)
class Provenance:
    """Where the rows of one raw partition came from.

    Args:
        source: what a person can follow: path, URL, query; never with a password in it.
        sha256: files: of the bytes read (several files: of their digests and names); sql: of the values as
            the database gave them; simulated: of the arguments and the calibration file.
        bytes: size of what was read, in bytes; None where nothing was read from a file.
        rows: number of rows written.
        columns: the source's columns, after renaming and in its order -> the type as found, in Arrow's words
            (`int64`, `double`, `string`, `timestamp[us]`); `text` for CSV; `empty` where no row of the partition
            has a value; `int64 or string` where its files differ. Also in the file, see
            `describing.source_columns`.
    """

    source: str
    sha256: str
    bytes: int | None
    rows: int
    columns: Mapping[str, str]


class Source(ABC):
    """One stream of rows, to be had window by window."""

    @abstractmethod
    def partitions(self, windows: Sequence[Window]) -> list[str]:
        """Keys of those `windows` that the source has, in their order; empty if it has none.

        Raises:
            SourceError: the source as a whole can't be reached or read.
        """

    @abstractmethod
    def fingerprint(self, window: Window) -> str:
        """A SHA-256, cheap to have, that changes when what `fetch` would write may have changed.

        It includes the source's configuration. How much of the content it sees is said by each source.

        Raises:
            SourceError: the source does not have the window, or can't be reached.
        """

    def fingerprints(self, windows: Sequence[Window]) -> dict[str, str | SourceError]:
        """Key of each window -> its fingerprint, or why there is none: one that fails hides no other.

        Raises:
            SourceError: the source as a whole can't be reached.
        """
        return {window.key: or_error(partial(self.fingerprint, window)) for window in windows}

    @abstractmethod
    def fetch(
        self,
        window: Window,
        target: Path,
        expected: "Mapping[str, pl.DataType]",
        optional: Collection[str] = (),
    ) -> Provenance:
        """Read one partition and write it to `target` as one typed Parquet file, zstd, in the source's order.

        In bounded memory; the same rows make the same bytes. Columns that are not expected are kept. Values
        become the expected dtype by the rules of `core.conversion`, which lose nothing; text becomes a number
        or a time only where the source has no types of its own (CSV; times in SQLite). NaN where whole numbers
        or Booleans are expected is a missing one. Categorical and Enum are stored as text.

        A column of which one value can't be converted is stored as found: text as text, others in their own
        type, so that `core.validation` quarantines the rows that are at fault and no others. (Text that only
        `datetime_format` or `types` can read is then stored as ISO 8601, or as what was read; a type that
        differs between the files of a partition, and times beyond the expected unit, as text.) A warning is
        logged for each such column, and all rows are read twice.

        A fetch that fails leaves no `target` behind.

        Args:
            window: the partition.
            target: a path on a local disk, whose folder exists and may be used for scratch files.
            expected: columns, by the source's names after renaming, and dtypes that the contract needs.
            optional: those of `expected` that the source need not have.

        Raises:
            SourceNotFound: wrong path or URL, missing partition, unreachable database.
            SourceUnreadable: truncated, damaged or of another format; a query that fails.
            SourceSchemaError: columns missing or of a type of which no value can be converted (numbers where
                times are expected, lists); an event time by which rows are filtered that can't be read. Lists
                all.
            SourceEmpty: no rows.
        """


def or_error(fingerprint: Callable[[], str]) -> str | SourceError:
    """A fingerprint, or the error in its place."""
    try:
        return fingerprint()
    except SourceError as error:
        return error


def make_source(config: SourceConfig, base_dir: Path) -> Source:
    """The source that a configuration describes; relative paths in it start at `base_dir`.

    Raises:
        ConfigError: an environment variable that the configuration names is not set.
    """
    if isinstance(config, FilesSourceConfig):
        from ml_assets.resources.sources.files import FilesSource

        return FilesSource(config, base_dir)
    if isinstance(config, SqlSourceConfig):
        from ml_assets.resources.sources.sql import SqlSource

        return SqlSource(config, base_dir)
    from ml_assets.resources.sources.simulated import SimulatedSource

    return SimulatedSource(config, base_dir)
