"""The ledger: append-only events in an SQL database, SQLite by default.

What events mean is in `ml_assets.core.releases`. Two writers can't both win: (pipeline, sequence) is unique.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets.core.errors import LedgerConflict
from ml_assets.core.releases import GENESIS, Event, check_chain, event_hash

if TYPE_CHECKING:
    import sqlalchemy as sa

BUSY_TIMEOUT_SECONDS = 30


class Ledger(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Append to a pipeline's ledger, and read it."""

    url: str

    def events(self, pipeline: str) -> list[Event]:
        """All events of a pipeline, oldest first, their chain checked.

        Raises:
            LedgerError: the chain is broken.
        """
        import sqlalchemy as sa

        engine, table = _database(self.url)
        query = sa.select(table).where(table.c.pipeline == pipeline).order_by(table.c.sequence)
        with engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        events = [Event(**{**row, "facts": json.loads(row["facts"])}) for row in rows]
        check_chain(events)
        return events

    def append(self, pipeline: str, kind: str, facts: Mapping[str, Any], *, after: int) -> Event:
        """Add one event.

        Args:
            after: the sequence of the last event that the caller has read (0: none).

        Raises:
            LedgerConflict: somebody else appended since.
        """
        import sqlalchemy as sa

        engine, table = _database(self.url)
        previous = next((e.hash for e in self.events(pipeline) if e.sequence == after), GENESIS)
        event = Event(
            pipeline, after + 1, kind, facts, previous, event_hash(pipeline, after + 1, kind, facts, previous)
        )
        row = {
            "pipeline": pipeline, "sequence": event.sequence, "kind": kind, "facts": json.dumps(facts, sort_keys=True),
            "previous": previous, "hash": event.hash,
        }  # fmt: skip
        try:
            with engine.begin() as connection:
                connection.execute(sa.insert(table), row)
        except sa.exc.IntegrityError as e:
            raise LedgerConflict(
                f"ledger of {pipeline}",
                found=f"event {after + 1} was written by somebody else meanwhile",
                expected=f"event {after} to be the last one",
                cure="read the ledger again and decide anew; if a run failed on this, re-execute it",
            ) from e
        return event


@lru_cache(maxsize=8)
def _database(url: str) -> "tuple[sa.Engine, sa.Table]":
    import sqlalchemy as sa

    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        from pathlib import Path

        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg2")
    is_sqlite = parsed.get_backend_name() == "sqlite"
    engine = sa.create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_SECONDS} if is_sqlite else {})
    if is_sqlite:
        sa.event.listen(engine, "connect", lambda c, _: c.execute("PRAGMA journal_mode=WAL"))
    table = sa.Table(
        "events",
        sa.MetaData(),
        sa.Column("pipeline", sa.String(200), primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(50), nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
    return engine, table
