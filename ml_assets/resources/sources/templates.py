"""How file names contain time: `{year}`, `{month}`, `{day}`, `{hour}`, and which names make up a window."""

import re
from datetime import datetime, timedelta

from ml_assets.core.errors import ConfigError
from ml_assets.core.windows import Window

UNITS = {"hour": "%H", "day": "%d", "month": "%m", "year": "%Y"}
"""Placeholders, finest first, and how each is written: zero-padded."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def placeholders(template: str) -> set[str]:
    """Names in braces, known or not.

    >>> sorted(placeholders("trips_{year}-{month}.parquet"))
    ['month', 'year']
    """
    return set(_PLACEHOLDER.findall(template))


def render(template: str, instant: datetime) -> str:
    """The template with the time of `instant` in it.

    >>> render("trips_{year}-{month}.parquet", datetime(2019, 3, 1))
    'trips_2019-03.parquet'
    """
    for unit, written in UNITS.items():
        template = template.replace("{" + unit + "}", instant.strftime(written))
    return template


def names_of(template: str, window: Window, *, rows_filtered: bool) -> list[str]:
    """The names that together hold the window, oldest first; the template itself if it contains no time.

    A template finer than the window gives several names. One coarser than the window, or not aligned with it,
    needs rows to be filtered by event time: otherwise a row would be in several windows.

    Raises:
        ConfigError: rows are not filtered and the window is not made of whole files.
    """
    unit = next((u for u in UNITS if u in placeholders(template)), None)
    if unit is None:
        return [template]
    starts = [_floor(window.start, unit)]
    while (after := _next(starts[-1], unit)) < window.end:
        starts.append(after)
    if not rows_filtered and (starts[0] != window.start or after != window.end):
        raise ConfigError(
            f"source.path {template!r}, partition {window.key}",
            found=f"files of one {unit} for the window from {window.start} to {window.end}",
            expected=f"partitions of whole {unit}s",
            cure=f"set source.event_time, partition by {unit}, or use files that fit the partitions",
        )
    return list(dict.fromkeys(render(template, start) for start in starts))


def month_after(start: datetime) -> datetime:
    """The first instant of the month after the one that begins at `start`."""
    return _next(start, "month")


def _floor(instant: datetime, unit: str) -> datetime:
    floored = instant.replace(minute=0, second=0, microsecond=0)
    if unit != "hour":
        floored = floored.replace(hour=0)
    if unit in ("month", "year"):
        floored = floored.replace(day=1)
    return floored.replace(month=1) if unit == "year" else floored


def _next(start: datetime, unit: str) -> datetime:
    longest = {"hour": 1 / 24, "day": 1, "month": 31, "year": 366}
    return _floor(start + timedelta(days=longest[unit]), unit)
