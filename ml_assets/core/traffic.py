"""When the rows of a partition are sent as live traffic, and when their labels follow.

How requests travel is in `ml_assets.resources.serving_client`; who sends them, in `ml_assets.traffic`.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from ml_assets.core.errors import ConfigError

PER = {"s": 1.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Due:
    """One thing to send.

    Args:
        at_s: seconds after the start of the replay.
        what: a `request`, or the `label` of a request that was sent before.
        row: position of the row.
    """

    at_s: float
    what: Literal["request", "label"]
    row: int


def rate_per_second(told: str) -> float:
    """Requests per second of a text such as `200/s`, `50` (per second) or `600/min`.

    >>> rate_per_second("200/s"), rate_per_second("600/min")
    (200.0, 10.0)

    Raises:
        ConfigError: it is no such text, or no rate above 0.
    """
    number, _, unit = told.strip().partition("/")
    try:
        rate = float(number) / PER[unit or "s"]
    except (ValueError, KeyError):
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise ConfigError(
            "--rate", found=repr(told), expected="a number above 0 per s, min or h", cure="write it as 200/s or 600/min"
        )
    return rate


def schedule(event_at: Sequence[datetime], known_at: Sequence[datetime | None], *, rate: float) -> Iterator[Due]:
    """Requests in the order of their events, evenly spaced; each label as soon as event time has reached its maturity.

    Event time runs from request to request; after the last one it runs on at once until every label is known.

    Args:
        event_at: when each row's event happened.
        known_at: when its label became known, None for a row without one; a label never goes before its request.
        rate: requests per second.
    """
    waiting: list[tuple[datetime, int]] = []
    order = sorted(range(len(event_at)), key=lambda row: (event_at[row], row))
    at_s = 0.0
    for position, row in enumerate(order):
        at_s = position / rate
        while waiting and waiting[0][0] <= event_at[row]:
            yield Due(at_s, "label", heapq.heappop(waiting)[1])
        yield Due(at_s, "request", row)
        if (known := known_at[row]) is not None:
            heapq.heappush(waiting, (known, row))
    while waiting:
        yield Due(at_s, "label", heapq.heappop(waiting)[1])


@dataclass
class Sent:
    """What became of the traffic.

    Args:
        requests: sent.
        labels: delivered.
        by_variant: answers by the variant that gave them.
        failures: what went wrong, in words -> how often.
        seconds: from when a request was due until it was answered, of every answer; waiting behind others counts, so
            that a server that stalls is not measured as if nobody had come meanwhile.
    """

    requests: int = 0
    labels: int = 0
    by_variant: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def answered(self, variant: str, seconds: float) -> None:
        """Count an answer."""
        self.by_variant[variant] = self.by_variant.get(variant, 0) + 1
        self.seconds.append(seconds)

    def failed(self, why: str) -> None:
        """Count a request or a label that went wrong."""
        self.failures[why] = self.failures.get(why, 0) + 1

    def quantile_ms(self, q: float) -> float | None:
        """A quantile of the answers' times in milliseconds, the nearest rank; None without answers."""
        ranked = sorted(self.seconds)
        return 1000 * ranked[min(len(ranked) - 1, int(q * len(ranked)))] if ranked else None
