"""Where studies of tuning are stored: an SQL database through Optuna, SQLite by default.

What a study is for, and how it is continued, is in `ml_assets.core.tuning`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets.resources.sources.sql_url import DRIVERS

if TYPE_CHECKING:
    import sqlalchemy as sa
    from optuna import Study
    from optuna.storages import RDBStorage

BUSY_TIMEOUT_SECONDS = 60
_POSTGRES_LOCK = 0x6D6C_6173_7365_7473
"""Key of the advisory lock under which the tables are made: `mlassets` in ASCII."""


class Studies(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens a study by its name, and makes it where there is none."""

    url: str

    def open(self, name: str) -> "Study":
        """The study of a name, new or as it was left; it minimises. Any number of processes may call this at once.

        Args:
            name: as `tuning.study_name` gives it: another training has another one.
        """
        import optuna

        # What Optuna says of each trial is told by the caller, through `on_trial`.
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        return optuna.create_study(
            storage=_storage(self.url), study_name=name, direction="minimize", load_if_exists=True
        )


@lru_cache(maxsize=8)
def _storage(url: str) -> "RDBStorage":
    import sqlalchemy as sa
    from optuna.storages import RDBStorage

    parsed = sa.make_url(url)
    parsed = parsed.set(drivername=DRIVERS.get(parsed.drivername, parsed.drivername))
    connect: dict[str, Any] = {}
    if parsed.get_backend_name() == "sqlite":
        connect = {"timeout": BUSY_TIMEOUT_SECONDS}
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    with _alone(parsed):
        storage = RDBStorage(
            parsed.render_as_string(hide_password=False), engine_kwargs={"connect_args": connect, "pool_pre_ping": True}
        )
        if parsed.get_backend_name() == "sqlite":
            # Kept in the file: readers don't wait for a trial that is being written.
            with storage.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    return storage


@contextmanager
def _alone(url: "sa.URL") -> Iterator[None]:
    """Keep other processes from making the tables at the same time, which fails in all but one of them."""
    import sqlalchemy as sa
    from filelock import FileLock

    if url.get_backend_name() == "sqlite" and url.database:
        with FileLock(f"{url.database}.lock", timeout=BUSY_TIMEOUT_SECONDS):
            yield
    elif url.get_backend_name() == "postgresql":
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_LOCK})
            yield
    else:
        yield
