"""What a cron expression means in partitions of event time."""

from datetime import datetime
from itertools import pairwise

import pytest

from ml_assets.core.windows import Window
from ml_assets.partitions import with_a_tick

STARTS = [datetime(2019, m, 1) for m in range(1, 7)]
MONTHS = [Window(f"{a:%Y-%m}", a, b) for a, b in pairwise(STARTS)]


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
