"""The ledger as a resource of assets and sensors; the database itself is in `ledger_database`."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from ml_assets.core.releases import Event
from ml_assets.resources.ledger_database import BUSY_TIMEOUT_SECONDS, LedgerDatabase


class Ledger(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Append to a pipeline's ledger, and read it; see `LedgerDatabase`, which says what goes wrong.

    Args:
        url: an SQLAlchemy URL; `postgresql://` means psycopg2.
        busy_timeout_seconds: how long a locked database, or a server that does not answer, is waited for.
    """

    url: str
    busy_timeout_seconds: float = BUSY_TIMEOUT_SECONDS

    @property
    def database(self) -> LedgerDatabase:
        """The same ledger, for who does without Dagster."""
        return LedgerDatabase(self.url, self.busy_timeout_seconds)

    def events(self, pipeline: str) -> list[Event]:
        """All events of a pipeline, oldest first, their chain checked."""
        return self.database.events(pipeline)

    def as_stored(self, pipeline: str) -> list[Event]:
        """All events of a pipeline as they are stored, whether or not anybody changed them."""
        return self.database.as_stored(pipeline)

    def append(self, pipeline: str, kind: str, facts: Mapping[str, Any], *, after: int) -> Event:
        """Add one event; see `LedgerDatabase.append`."""
        return self.database.append(pipeline, kind, facts, after=after)
