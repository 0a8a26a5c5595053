"""The ledger: append-only events in an SQL database, SQLite by default, Postgres by URL.

What events mean is in `ml_assets.core.releases`. Two writers can't both win: (pipeline, sequence) is unique. Assets
are given it as the resource `ledger`; the server, which does without Dagster, takes it as it is here.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_assets.core.errors import LedgerConflict, LedgerError
from ml_assets.core.releases import CURE, GENESIS, Event, check_chain, event_hash, is_overtaken
from ml_assets.resources.bounded_connections import give_up_after

if TYPE_CHECKING:
    import sqlalchemy as sa

BUSY_TIMEOUT_SECONDS = 30.0
PAST_ITS_OWN_SECONDS = 1.0
"""By how much a server that is busy is let finish telling so, before its connection is given up."""
ATTEMPTS = 20
"""How often an event is appended again that events of no weight for it have overtaken."""
CURES = {
    "sqlite": "wait until whoever holds the database has ended, or end it; then give the same command again. If it is "
    "no database any more, restore it from a backup",
    "postgresql": "see that the server runs and that host, port, user, password and database in ML_ASSETS_LEDGER are "
    "right; then give the same command again",
}


@dataclass(frozen=True)
class LedgerDatabase:
    """Append to a pipeline's ledger, and read it.

    Args:
        url: an SQLAlchemy URL; `postgresql://` means psycopg2.
        busy_timeout_seconds: how long a locked database, or a server that does not answer, is waited for.
    """

    url: str
    busy_timeout_seconds: float = BUSY_TIMEOUT_SECONDS

    def events(self, pipeline: str) -> list[Event]:
        """All events of a pipeline, oldest first, their chain checked.

        Raises:
            LedgerError: the chain is broken, or the database can't be read.
        """
        events = self.as_stored(pipeline)
        check_chain(events)
        return events

    def as_stored(self, pipeline: str) -> list[Event]:
        """All events of a pipeline as they are stored, whether or not anybody changed them.

        Raises:
            LedgerError: the database can't be read.
        """
        import sqlalchemy as sa

        if (file := sqlite_file(self.url)) is not None and not file.exists():
            return []
        with self._told() as engine, engine.connect() as connection:
            table = _table()
            query = sa.select(table).where(table.c.pipeline == pipeline).order_by(table.c.sequence)
            rows = connection.execute(query).mappings().all()
        return [_event(dict(row)) for row in rows]

    def last_sequences(self) -> dict[str, int]:
        """Pipeline -> the sequence of its last event, without reading events: for who looks often.

        Raises:
            LedgerError: the database can't be read, or is not there.
        """
        import sqlalchemy as sa

        self._require_file()
        with self._told() as engine, engine.connect() as connection:
            table = _table()
            query = sa.select(table.c.pipeline, sa.func.max(table.c.sequence)).group_by(table.c.pipeline)
            return {str(pipeline): int(last) for pipeline, last in connection.execute(query)}

    def _require_file(self) -> None:
        """Raise a LedgerError where the file of an SQLite database is not there: opened, it would be made anew."""
        if (file := sqlite_file(self.url)) is not None and not file.exists():
            raise LedgerError(
                f"ledger {shown_url(self.url)}", found="no such file", expected="a database that a release has made",
                cure="bring it back, or release a model first; see that ML_ASSETS_LEDGER or ML_ASSETS_DATA is right",
            )  # fmt: skip

    def append(self, pipeline: str, kind: str, facts: Mapping[str, Any], *, after: int) -> Event:
        """Add one event; `at`, the time in UTC, is added to its facts. It is written whole or not at all.

        Args:
            after: the sequence of the last event that the caller has read (0: none).

        Raises:
            LedgerConflict: somebody else appended since what the event rests on, see `releases.is_overtaken`.
            LedgerError: the database can't be written; nothing was, unless it took the end of it and gave no answer.
        """
        for _ in range(ATTEMPTS):
            events = self.events(pipeline)
            if is_overtaken(kind, events, after):
                raise _conflict(pipeline, after)
            if (event := self._appended(pipeline, kind, facts, events)) is not None:
                return event
        raise _conflict(pipeline, after)

    def _appended(self, pipeline: str, kind: str, facts: Mapping[str, Any], events: list[Event]) -> Event | None:
        """The event that follows these; None if somebody else appended one since they were read."""
        import sqlalchemy as sa

        facts = {**facts, "at": datetime.now(UTC).isoformat(timespec="seconds")}
        previous, sequence = events[-1].hash if events else GENESIS, len(events) + 1
        event = Event(pipeline, sequence, kind, facts, previous, event_hash(pipeline, sequence, kind, facts, previous))
        row = {**vars(event), "facts": json.dumps(facts, sort_keys=True, ensure_ascii=False, allow_nan=False)}
        try:
            with self._told() as engine, engine.begin() as connection:
                connection.execute(sa.insert(_table()), row)
        except sa.exc.IntegrityError:
            return None
        return event

    @contextmanager
    def _told(self) -> "Iterator[sa.Engine]":
        """The database; what goes wrong with it is told as a LedgerError, but for a row that is there already."""
        import sqlalchemy as sa

        try:
            yield _engine(self.url, self.busy_timeout_seconds, _identity(self.url))
        except sa.exc.IntegrityError:
            raise
        except (sa.exc.SQLAlchemyError, sqlite3.Error, ImportError, OSError) as e:
            first_line = str(getattr(e, "orig", None) or e).strip().splitlines()[0]
            raise LedgerError(
                f"ledger {shown_url(self.url)}",
                found=f"{first_line} (after waiting up to {self.busy_timeout_seconds:g} s)",
                expected="a database that answers",
                cure=_cure(self.url, e),
            ) from e


def _event(row: dict[str, Any]) -> Event:
    try:
        facts = json.loads(row["facts"])
    except ValueError as e:
        raise LedgerError(
            f"ledger of {row['pipeline']}, event {row['sequence']}",
            found=f"facts that are no JSON: {e}",
            expected="what the ledger wrote",
            cure=CURE,
        ) from e
    return Event(**{**row, "facts": facts})


def shown_url(url: str) -> str:
    """The URL without its password."""
    import sqlalchemy as sa

    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return "(its URL can't be read)"


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite database; None for any other, and for one in memory."""
    import sqlalchemy as sa

    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        return None
    kept_in_memory = parsed.database in (None, "", ":memory:")
    return None if parsed.get_backend_name() != "sqlite" or kept_in_memory else Path(str(parsed.database))


def _identity(url: str) -> tuple[int, int] | None:
    """Which file an SQLite database is, made where there is none; None for any other database.

    One that was restored, or begun anew, has the same path, and connections that were made before see the old one.
    """
    if (file := sqlite_file(url)) is None:
        return None
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    found = file.stat()
    return found.st_dev, found.st_ino


def _cure(url: str, error: Exception) -> str:
    if isinstance(error, ImportError):
        return "install the extra that has the driver: pip install 'ml-assets[postgres]'"
    if isinstance(error, TimeoutError):
        return (
            "see that the server runs; what was to be written may be: look at `ml-assets history` before trying again"
        )
    return CURES.get(url.partition(":")[0].partition("+")[0], "correct ML_ASSETS_LEDGER, an SQLAlchemy URL")


def _conflict(pipeline: str, after: int) -> LedgerConflict:
    return LedgerConflict(
        f"ledger of {pipeline}",
        found=f"event {after + 1} was written by somebody else meanwhile",
        expected=f"event {after} to be the last one",
        cure="read the ledger again (`ml-assets status`) and decide anew; if a run failed on this, re-execute it",
    )


@lru_cache(maxsize=1)
def _table() -> "sa.Table":
    import sqlalchemy as sa

    return sa.Table(
        "events",
        sa.MetaData(),
        sa.Column("pipeline", sa.String(200), primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(50), nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )


@lru_cache(maxsize=8)
def _engine(url: str, timeout: float, identity: tuple[int, int] | None = None) -> "sa.Engine":  # noqa: ARG001
    import sqlalchemy as sa

    parsed = sa.make_url(url)
    if (file := sqlite_file(url)) is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg2")
    is_sqlite = parsed.get_backend_name() == "sqlite"
    options: dict[str, Any] = {"timeout": timeout} if is_sqlite else {}
    if parsed.drivername == "postgresql+psycopg2":
        milliseconds = max(1, round(timeout * 1000))
        options = {
            "connect_timeout": max(1, round(timeout)),
            "options": f"-c lock_timeout={milliseconds} -c statement_timeout={milliseconds}",
        }
    is_psycopg2 = parsed.drivername == "postgresql+psycopg2"
    # A connection that the server closed meanwhile is replaced, not used.
    engine = sa.create_engine(parsed, connect_args=options, pool_pre_ping=not is_sqlite and not is_psycopg2)
    if is_sqlite:
        sa.event.listen(engine, "connect", lambda c, _: c.execute("PRAGMA journal_mode=WAL"))
    if is_psycopg2:
        give_up_after(engine, timeout + PAST_ITS_OWN_SECONDS)
    try:
        with engine.begin() as connection:
            connection.execute(sa.schema.CreateTable(_table(), if_not_exists=True))
    except (sa.exc.IntegrityError, sa.exc.ProgrammingError):
        # Two processes make it at once: on Postgres one of them may fail although it says "if not exists".
        if not sa.inspect(engine).has_table(_table().name):
            raise
    except BaseException:
        engine.dispose()
        raise
    return engine
