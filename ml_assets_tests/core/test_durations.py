"""Lengths of time as people write them."""

from datetime import timedelta

import pytest

from ml_assets.core.durations import duration
from ml_assets.core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "length"),
    [("90s", timedelta(seconds=90)), ("7d", timedelta(days=7)), ("2w", timedelta(14)), ("1h1h", timedelta(hours=2))],
)
def test_what_is_understood(text, length):
    assert duration(text, "window") == length


@pytest.mark.parametrize("text", ["", "60", "1mo", "1.5h", "-1h", "1 h", "h", "1y", None, 60])
def test_what_is_refused(text):
    with pytest.raises(ConfigError, match="window") as caught:
        duration(text, "window")
    assert "a length of time" in str(caught.value)
