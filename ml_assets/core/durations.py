"""Lengths of time as people write them in YAML and in features: `90s`, `60m`, `24h`, `7d`, `2w`.

Months and years are no lengths: they differ. What a partition's length is, is in `ml_assets.partitions`.
"""

import re
from datetime import timedelta

from ml_assets.core.errors import ConfigError

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str, owner: str) -> timedelta:
    """The length of time that a text says.

    Args:
        text: a whole number and a unit, or several such pairs, longest first or not.
        owner: what the text belongs to, for the message.

    Raises:
        ConfigError: it is no such text.

    >>> duration("1h30m", "window")
    datetime.timedelta(seconds=5400)
    """
    pairs = re.findall(r"(\d+)([smhdw])", text) if isinstance(text, str) else []
    if not pairs or "".join(n + unit for n, unit in pairs) != text:
        raise ConfigError(
            owner,
            found=repr(text),
            expected="a length of time: 90s, 60m, 24h, 7d, 2w, or such together (1h30m)",
            cure="write a whole number followed by s, m, h, d or w; months and years differ in length",
        )
    return timedelta(**{UNITS[unit]: sum(int(n) for n, u in pairs if u == unit) for _, unit in pairs})


def in_words(length: timedelta) -> str:
    """A length of time for people, in its two largest units.

    >>> in_words(timedelta(hours=26, minutes=3)), in_words(timedelta(seconds=75)), in_words(timedelta(0))
    ('1 d 2 h', '1 min 15 s', '0 s')
    """
    left, told = max(0, int(length.total_seconds())), []
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        number, left = divmod(left, seconds)
        told += [f"{number} {unit}"] if number else []
    return " ".join(told[:2]) or "0 s"
