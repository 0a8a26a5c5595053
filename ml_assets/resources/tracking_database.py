"""The database behind MLflow where there is no server: reached in seconds, made and upgraded whole or not at all.

What creates the tables is passed in; MLflow itself is known to `tracking` alone. A ledger or study has its own module.
"""

import sqlite3
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

from ml_assets.core.errors import ConfigError
from ml_assets.resources.sources.masking import mask_url

SQLITE = "sqlite"
_CONNECT_TIMEOUT = {"sqlite": "timeout", "postgresql": "connect_timeout", "mysql": "connect_timeout"}


def is_database(uri: str) -> bool:
    """Whether a tracking URI names a database, not a server or a folder."""
    return uri.partition(":")[0].partition("+")[0] in (*_CONNECT_TIMEOUT, "mssql")


def require_uri(uri: str) -> str:
    """A tracking URI that is a server's or a database's.

    Raises:
        ConfigError: it is a folder, or of a kind that has no registry of models.
    """
    if not is_database(uri) and uri.partition(":")[0] not in ("http", "https"):
        raise ConfigError(
            "MLflow's tracking URI",
            found=mask_url(uri),
            expected="http://…, https://…, sqlite:////…, postgresql://… or mysql+pymysql://…",
            cure="name a server or a database; MLflow keeps a folder no more",
        )
    return uri


def with_driver(uri: str, timeout_seconds: int) -> str:
    """The URL with the driver that is installed, and for Postgres with a limit to connecting unless it has one."""
    import sqlalchemy as sa

    if not is_database(uri):
        return uri
    url = sa.make_url(uri)
    if url.get_backend_name() == "postgresql":
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg2")
        if "connect_timeout" not in url.query:
            url = url.update_query_dict({"connect_timeout": str(timeout_seconds)})
    return url.render_as_string(hide_password=False)


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite URL; None of any other."""
    import sqlalchemy as sa

    if not is_database(uri) or sa.make_url(uri).get_backend_name() != SQLITE:
        return None
    database = sa.make_url(uri).database
    return Path(database).expanduser().resolve() if database else None


def probe(uri: str, timeout_seconds: int) -> None:
    """Connect once: MLflow itself would try for minutes.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: nobody answers, or it is no database.
    """
    import sqlalchemy as sa

    name = _CONNECT_TIMEOUT.get(sa.make_url(uri).get_backend_name())
    engine = sa.create_engine(uri, poolclass=sa.NullPool, connect_args={name: timeout_seconds} if name else {})
    with engine.connect() as connection:
        sa.inspect(connection).get_table_names()


def revision_of(path: Path) -> str | None:
    """The revision of the schema in an SQLite database; None where none is noted."""
    with _connected(path) as connection:
        if not connection.execute("select 1 from sqlite_master where name = 'alembic_version'").fetchall():
            return None
        found = connection.execute("select version_num from alembic_version").fetchone()
        return str(found[0]) if found else None


def create_whole(path: Path, make: Callable[[str], None]) -> None:
    """An SQLite database that appears with all its tables or not at all; one that is there meanwhile stays.

    Args:
        path: where it shall be.
        make: creates the tables in the database of a URL, and lets go of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        make(f"sqlite:///{scratch}")
        _write_ahead(scratch)
        try:
            path.hardlink_to(scratch)
        except FileExistsError:
            return
    finally:
        _remove(scratch)


def upgrade_whole(path: Path, upgrade: Callable[[str], None]) -> Path:
    """Upgrade a copy of an SQLite database and put it in its place; returns where the old one is kept."""
    kept = path.with_name(f"{path.name}.before-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}")
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        for target in (scratch, kept):
            # Whole, with what is still in the write-ahead log beside the file.
            with _connected(path) as source, _connected(target) as copy:
                source.backup(copy)
        upgrade(f"sqlite:///{scratch}")
        _write_ahead(scratch)
        for log in (path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            log.unlink(missing_ok=True)
        scratch.replace(path)
    finally:
        _remove(scratch)
    return kept


def _write_ahead(path: Path) -> None:
    # Readers, such as `mlflow ui`, don't block writers; everything is in the one file once the connection is closed.
    with _connected(path) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _remove(path: Path) -> None:
    for leftover in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        leftover.unlink(missing_ok=True)


def _connected(path: Path) -> AbstractContextManager[sqlite3.Connection]:
    # `sqlite3`'s own context manager commits, but does not close.
    return closing(sqlite3.connect(path))
