"""Ephemeral instances of Dagster that cost less: connections that are kept, and copies of one that has runs already."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.event_log import in_memory as events
from dagster._core.storage.runs import in_memory as runs
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.event import listen
from sqlalchemy.pool import QueuePool


def keep_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ephemeral instances keep their connections to SQLite: a new one for each event is a tenth of a small run."""
    for module in (events, runs):
        monkeypatch.setattr(module, "create_engine", _pooled)
    monkeypatch.setattr(events.InMemoryEventLogStorage, "_connect", _one_transaction)
    monkeypatch.setattr(runs.InMemoryRunStorage, "connect", _transaction)


def _pooled(url: str, **_: object) -> Engine:
    engine = create_engine(url, poolclass=QueuePool, connect_args={"check_same_thread": False})
    listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys=ON"))
    return engine


@contextmanager
def _transaction(storage: Any) -> Iterator[Connection]:
    with storage._engine.begin() as connection:
        yield connection


@contextmanager
def _one_transaction(storage: Any) -> Iterator[Connection]:
    with storage._db_lock, storage._engine.begin() as connection:
        yield connection


def _pooled(url: str, **_: object) -> Engine:
    engine = create_engine(url, poolclass=QueuePool, connect_args={"check_same_thread": False})
    listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys=ON"))
    return engine


def copy_instance(one: dg.DagsterInstance, other: dg.DagsterInstance) -> None:
    """Make a new ephemeral instance hold what another one does."""
    for storage in ("_run_storage", "_event_storage"):
        source, target = (getattr(i, storage)._held_conn.connection.driver_connection for i in (one, other))
        source.backup(target)
