"""The windows of partitions, all of them and those after an instant, and what a cron expression means in them."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from ml_assets.core.windows import Window
from ml_assets.partitions import time_partitions, window_of, windows_from, windows_through, with_a_tick

STARTS = {
    "before the table": datetime(2017, 5, 1),
    "at the table's start": datetime(2018, 1, 1),
    "where one begins": datetime(2018, 1, 8),
    "within one": datetime(2018, 1, 8, 0, 30),
    "near the end": datetime(2018, 2, 27),
    "at the end": datetime(2018, 3, 1),
    "after it": datetime(2018, 6, 1),
}


@pytest.mark.parametrize("cadence", ["hourly", "daily", "weekly", "monthly"])
@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_first_windows_that_begin_at_or_after_an_instant(cadence, start, count):
    partitions = time_partitions(cadence, datetime(2018, 1, 1), datetime(2018, 3, 1))
    expected = [w for w in windows_through(partitions) if w.start >= start][:count]
    assert windows_from(partitions, start, count) == expected


@pytest.mark.parametrize("cadence", ["hourly", "daily", "weekly", "monthly"])
def test_the_windows_of_all_partitions_are_those_of_each(cadence):
    partitions = time_partitions(cadence, datetime(2024, 1, 30), None)
    windows = windows_through(partitions, now=datetime(2024, 4, 2, 3, 30, tzinfo=UTC))
    assert windows == [window_of(partitions, w.key) for w in windows]
    assert windows[-1].end <= datetime(2024, 4, 2, 3, 30)
    assert all(one.end == after.start for one, after in pairwise(windows))
    assert windows_through(partitions, windows[1].key, 2) == windows[:2]
    assert windows_through(partitions, count=0) == []
    assert windows_through(partitions, now=datetime(2024, 1, 30, tzinfo=UTC)) == []


MONTHS = [Window(f"{a:%Y-%m}", a, b) for a, b in pairwise(datetime(2019, m, 1) for m in range(1, 7))]


@pytest.mark.parametrize(
    ("cron", "newest"),
    [
        ("0 6 2 * *", ["2019-01", "2019-02", "2019-03", "2019-04", "2019-05"]),
        ("0 0 1 * *", ["2019-01", "2019-02", "2019-03", "2019-04", "2019-05"]),
        ("0 6 2 4 *", ["2019-03"]),
        ("0 0 1 4 *", ["2019-03"]),
        ("59 23 31 3 *", ["2019-02"]),
        ("0 6 2 6 *", ["2019-05"]),
        ("0 6 2 7 *", []),
    ],
)
def test_a_tick_asks_at_the_end_of_the_newest_partition_that_is_over(cron, newest):
    assert with_a_tick(cron, MONTHS) == set(newest)
