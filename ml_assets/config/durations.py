"""Lengths of time in YAML, with errors that pydantic collects. What a text says is in `core.durations`."""

from datetime import timedelta

from ml_assets.core.durations import duration
from ml_assets.core.errors import ConfigError


def length(text: str, owner: str) -> timedelta:
    """The length of time that a text says.

    Args:
        text: such as 90s, 15m, 24h, 7d, 1h30m.
        owner: YAML key, for the message.

    Raises:
        ValueError: it is no such text, or no time at all.
    """
    try:
        found = duration(text, owner)
    except ConfigError as e:
        raise ValueError(str(e)) from e
    if not found:
        raise ValueError(f"{owner}: {text!r} is no time at all; expected a length above 0, such as 15m or 7d")
    return found
