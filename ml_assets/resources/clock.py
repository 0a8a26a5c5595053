"""What time it is: that of the machine, or in a replay of history that of what is replayed."""

from datetime import UTC, datetime

import dagster as dg
from pydantic import Field


class Clock(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Tells the time.

    Args:
        at: the time of a replay, in ISO 8601; None: the machine's.
    """

    at: str | None = Field(default=None)

    @property
    def is_replayed(self) -> bool:
        """Whether history is replayed."""
        return self.at is not None

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.now(UTC) if self.at is None else datetime.fromisoformat(self.at).replace(tzinfo=UTC)

    def last_tick(self, cron: str) -> datetime:
        """The last instant up to now that a cron expression names, in UTC."""
        from dagster._utils.schedules import reverse_cron_string_iterator

        return next(reverse_cron_string_iterator(self.now().timestamp(), cron, "UTC")).astimezone(UTC)
