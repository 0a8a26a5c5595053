"""Partitions in a database: the rows of a query, read in batches through a driver of SQLAlchemy.

Of what type columns are is in `sql_rows`, what a URL means in `sql_url`.
"""

import hashlib
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_assets.core.errors import SourceError, SourceNotFound, SourceUnreadable
from ml_assets.core.windows import Window
from ml_assets.resources.sources.config import SqlSourceConfig
from ml_assets.resources.sources.conforming import Conformer, renamed
from ml_assets.resources.sources.interface import Provenance, Source, or_error
from ml_assets.resources.sources.masking import mask_url, scrub
from ml_assets.resources.sources.sql_rows import Spool
from ml_assets.resources.sources.sql_url import resolve_url, secrets_of

if TYPE_CHECKING:
    import polars as pl
    from sqlalchemy import URL, Connection, TextClause


class SqlSource(Source):
    """The rows of a query between `:start` and `:end`.

    A fingerprint sees the row of `fingerprint_query`; without one, the number of rows, which tells late rows
    and deleted ones, but not rows changed in place.
    """

    def __init__(self, config: SqlSourceConfig, base_dir: Path) -> None:
        self.config, self._base_dir = config, base_dir

    def partitions(self, windows: Sequence[Window]) -> list[str]:
        """Keys of the windows in which the query has rows; asks for one row of each."""
        from sqlalchemy import literal, select

        with self._connected(f"source {self._label}") as connection:
            there = []
            for window in windows:
                one = select(literal(1)).select_from(self._rows(window, connection).columns().subquery("w")).limit(1)
                with self._asking(self._thing(window)):
                    if connection.execute(one).first() is not None:
                        there.append(window.key)
            return there

    def fingerprint(self, window: Window) -> str:
        """SHA-256 of the configuration and of what `fingerprint_query` says, or the number of rows."""
        with self._connected(self._thing(window)) as connection:
            return self._fingerprint(window, connection)

    def fingerprints(self, windows: Sequence[Window]) -> dict[str, str | SourceError]:
        """As of any source; one connection for all, and one query for each."""
        told: dict[str, str | SourceError] = {}
        with self._connected(f"source {self._label}") as connection:
            for window in windows:
                told[window.key] = or_error(partial(self._fingerprint, window, connection))
                connection.rollback()  # after an error, Postgres answers nothing else
        return told

    def _fingerprint(self, window: Window, connection: "Connection") -> str:
        from sqlalchemy import func, select

        with self._asking(self._thing(window)):
            if self.config.fingerprint_query is not None:
                query: Any = self._bound(self.config.fingerprint_query, window, connection)
            else:
                query = select(func.count()).select_from(self._rows(window, connection).columns().subquery("w"))
            said = repr([tuple(row) for row in connection.execute(query)])
        return hashlib.sha256(f"{self.config.model_dump_json()}\n{said}".encode()).hexdigest()

    def fetch(
        self,
        window: Window,
        target: Path,
        expected: "Mapping[str, pl.DataType]",
        optional: Collection[str] = (),
    ) -> Provenance:
        """Read the query's rows of a window into one Parquet file; see `Source.fetch`."""
        thing = self._thing(window)
        scratch = target.parent / f".rows-{uuid.uuid4().hex}"
        try:
            with self._connected(thing) as connection, self._asking(thing):
                result = connection.execution_options(
                    stream_results=True, max_row_buffer=self.config.batch_rows
                ).execute(self._rows(window, connection))
                spool = Spool(scratch, renamed(list(result.keys()), {}, thing=thing), thing=thing)
                spool.fill(result.partitions(self.config.batch_rows))
                text_times = connection.dialect.name == "sqlite"
            conformer = Conformer(
                thing, spool.schema, expected, optional=optional, text="times" if text_times else "none"
            )
            rows = conformer.write(spool.blocks, target)
        finally:
            scratch.unlink(missing_ok=True)
        query = " ".join(self.config.query.split())
        return Provenance(
            source=f"{self._label}: {query} [start = {window.start}, end = {window.end}]",
            sha256=spool.digest.hexdigest(),
            bytes=None,
            rows=rows,
            columns=conformer.columns,
        )

    @cached_property
    def _url(self) -> "URL":
        return resolve_url(self.config.url, self._base_dir)

    @property
    def _label(self) -> str:
        return mask_url(self.config.url)

    def _thing(self, window: Window) -> str:
        return f"source {self._label}, partition {window.key}"

    @contextmanager
    def _connected(self, thing: str) -> "Iterator[Connection]":
        from sqlalchemy import NullPool, create_engine
        from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

        try:
            connection = create_engine(self._url, poolclass=NullPool).connect()
        except (ImportError, NoSuchModuleError) as error:
            backend = self._url.get_backend_name()
            extra = "ml-assets[postgres]" if backend == "postgresql" else f"the SQLAlchemy driver of {backend}"
            raise SourceNotFound(
                thing,
                found=f"no driver for {self._url.drivername} is installed ({error})",
                expected=extra,
                cure=f"install {extra}, or correct source.url",
            ) from error
        except SQLAlchemyError as error:
            raise SourceNotFound(
                thing,
                found=f"no connection: {self._said(error)}",
                expected="a database that answers",
                cure="correct source.url and its credentials, or start the database",
            ) from None
        with connection:
            yield connection

    @contextmanager
    def _asking(self, thing: str) -> Iterator[None]:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except SQLAlchemyError as error:
            raise SourceUnreadable(
                thing,
                found=f"the query failed: {self._said(error)}",
                expected="rows",
                cure="run source.query by hand, with the window's start and end, and correct it",
            ) from None

    def _said(self, error: Exception) -> str:
        original = getattr(error, "orig", None) or error
        return scrub(f"{type(original).__name__}: {original}", secrets_of(self._url))

    def _rows(self, window: Window, connection: "Connection") -> "TextClause":
        return self._bound(self.config.query, window, connection)

    def _bound(self, query: str, window: Window, connection: "Connection") -> "TextClause":
        from sqlalchemy import text

        times = {"start": window.start, "end": window.end}
        if connection.dialect.name != "sqlite":
            return text(query).bindparams(**times)
        return text(query).bindparams(**{name: sqlite_time(time) for name, time in times.items()})


def sqlite_time(time: datetime) -> str:
    """A time as the text that compares rightly with times as SQLite databases write them.

    SQLite compares text. Midnight as a bare date is the beginning of all ways to write that day's times. Windows
    that begin within a day need times written with a blank in the middle, or `datetime(column)` in the query.

    >>> sqlite_time(datetime(2019, 3, 1)), sqlite_time(datetime(2019, 3, 1, 5))
    ('2019-03-01', '2019-03-01 05:00:00')
    """
    midnight = time == time.replace(hour=0, minute=0, second=0, microsecond=0)
    return time.date().isoformat() if midnight else time.isoformat(sep=" ")
