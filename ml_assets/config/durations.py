"""Lengths of time in YAML, with errors that pydantic collects. What a text says is in `core.durations`."""

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

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
    found = _read(text, owner)
    if not found:
        raise ValueError(f"{owner}: {text!r} is no time at all; expected a length above 0, such as 15m or 7d")
    return found


def _read(text: str, owner: str) -> timedelta:
    try:
        return duration(text, owner)
    except ConfigError as e:
        raise ValueError(str(e)) from e


def _a_length(text: str, field: ValidationInfo) -> str:
    length(text, str(field.field_name))
    return text


def _a_delay(text: str, field: ValidationInfo) -> str:
    _read(text, str(field.field_name))
    return text


Length = Annotated[str, AfterValidator(_a_length)]
"""A field that says a length of time above 0; stays the text that it is, `length` reads it."""
Delay = Annotated[str, AfterValidator(_a_delay)]
"""A field that says a length of time, which may be 0; `core.durations.duration` reads it."""
