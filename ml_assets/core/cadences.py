"""Partitions of event time by their keys alone: what a key stands for, and which one comes next.

Pure, so that whoever reads stored partitions needs no Dagster; what a cadence means there is in `ml_assets.partitions`.
"""

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

from ml_assets.core.errors import ConfigError
from ml_assets.core.windows import Window

Cadence = Literal["hourly", "daily", "weekly", "monthly"]

KEY_FORMATS: dict[Cadence, str] = {
    "hourly": "%Y-%m-%d-%H",
    "daily": "%Y-%m-%d",
    "weekly": "%Y-%m-%d",
    "monthly": "%Y-%m",
}
SHORTEST: dict[Cadence, timedelta] = {
    "hourly": timedelta(hours=1),
    "daily": timedelta(days=1),
    "weekly": timedelta(days=7),
    "monthly": timedelta(days=28),
}
LONGEST: dict[Cadence, timedelta] = {**SHORTEST, "monthly": timedelta(days=31)}
_FROM_ONE_MONTH_INTO_THE_NEXT = timedelta(days=32)


def window_of_key(cadence: Cadence, key: str) -> Window:
    """The window of event time that a partition key stands for.

    Raises:
        ConfigError: it is no key of this cadence.

    >>> window_of_key("monthly", "2019-12").end
    datetime.datetime(2020, 1, 1, 0, 0)
    """
    try:
        start = datetime.strptime(key, KEY_FORMATS[cadence])
    except ValueError:
        raise ConfigError(
            f"partition {key!r}", found="no key of a partition", expected=f"{cadence}, as {KEY_FORMATS[cadence]}",
            cure="move what was not written by ml-assets out of the store",
        ) from None  # fmt: skip
    end = start + SHORTEST[cadence]
    if cadence == "monthly":
        end = (start + _FROM_ONE_MONTH_INTO_THE_NEXT).replace(day=1)
    return Window(key, start, end)


def newest_in_a_row(cadence: Cadence, keys: Iterable[str], before: int) -> list[Window]:
    """The newest of some partitions and up to `before` ahead of it, oldest first, as far as none is missing.

    >>> [w.key for w in newest_in_a_row("monthly", ["2019-01", "2019-03", "2019-04"], 2)]
    ['2019-03', '2019-04']
    """
    windows = sorted((window_of_key(cadence, key) for key in keys), key=lambda w: w.start)
    found = windows[-1:]
    for window in windows[-2::-1]:
        if len(found) > before or window.end != found[0].start:
            break
        found.insert(0, window)
    return found


def partitions_before(cadence: Cadence, reach: timedelta) -> int:
    """How many partitions before its own an event may reach into, at most."""
    return math.ceil(reach / SHORTEST[cadence])
