"""File names with time in them: which make up a window."""

from datetime import datetime, timedelta

import pytest

from ml_assets.core.errors import ConfigError
from ml_assets.core.windows import Window
from ml_assets.resources.sources.templates import month_after, names_of


def names(template, start, end, *, rows_filtered=False):
    return names_of(template, Window("k", start, end), rows_filtered=rows_filtered)


@pytest.mark.parametrize(
    ("template", "start", "end", "expected"),
    [
        ("{year}-{month}", datetime(2019, 1, 1), datetime(2019, 2, 1), ["2019-01"]),
        ("{year}-{month}", datetime(2019, 12, 1), datetime(2020, 1, 1), ["2019-12"]),
        ("{year}-{month}", datetime(2019, 12, 1), datetime(2020, 3, 1), ["2019-12", "2020-01", "2020-02"]),
        ("{month}{day}T{hour}", datetime(2020, 2, 28, 23), datetime(2020, 2, 29, 1), ["0228T23", "0229T00"]),
        ("{day}", datetime(2020, 2, 28), datetime(2020, 3, 1), ["28", "29"]),
        ("{year}", datetime(2019, 1, 1), datetime(2021, 1, 1), ["2019", "2020"]),
        ("all.csv", datetime(2019, 1, 1), datetime(2021, 1, 1), ["all.csv"]),
    ],
)
def test_names_of_a_window(template, start, end, expected):
    assert names(template, start, end) == expected


def test_a_window_of_parts_of_files_needs_rows_to_be_filtered():
    week = datetime(2019, 4, 29), datetime(2019, 5, 6)
    assert names("{year}-{month}", *week, rows_filtered=True) == ["2019-04", "2019-05"]
    with pytest.raises(ConfigError, match="whole months"):
        names("{year}-{month}", *week)
    with pytest.raises(ConfigError, match="whole days"):
        names("{year}-{month}-{day}", datetime(2019, 1, 1), datetime(2019, 1, 1, 6))


def test_every_month_of_a_century_has_one_name_and_follows_the_one_before():
    start = datetime(1999, 1, 1)
    for _ in range(1200):
        end = month_after(start)
        assert end.day == 1
        assert timedelta(28) <= end - start <= timedelta(31)
        assert len(names("{year}-{month}", start, end)) == 1
        start = end
    assert start == datetime(2099, 1, 1)
