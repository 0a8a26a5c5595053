"""Windows of event time. What a partition key means in Dagster is in `ml_assets.partitions`."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, order=True)
class Window:
    """A half-open window of event time.

    Args:
        key: the partition's key, as the UI shows it (`2019-03`).
        start: first instant inside, naive, in the table's own clock.
        end: first instant after it.
    """

    key: str
    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise ValueError(f"window {self.key}: starts {self.start}, ends {self.end}")
