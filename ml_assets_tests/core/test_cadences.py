"""What a partition key stands for, without Dagster: the same as with it."""

from datetime import datetime

import pytest

from ml_assets.core.cadences import KEY_FORMATS, newest_in_a_row, window_of_key
from ml_assets.core.errors import ConfigError
from ml_assets.partitions import time_partitions, window_of


@pytest.mark.parametrize("cadence", sorted(KEY_FORMATS))
def test_windows_are_those_of_dagster(cadence):
    partitions = time_partitions(cadence, datetime(2019, 11, 25), datetime(2020, 4, 1))
    keys = partitions.get_partition_keys()
    assert len(keys) > 3
    for key in keys[:: max(1, len(keys) // 30)]:
        assert window_of_key(cadence, key) == window_of(partitions, key)


def test_no_key_of_the_cadence_is_refused():
    with pytest.raises(ConfigError, match="monthly, as %Y-%m"):
        window_of_key("monthly", "2019-03-01")


def test_a_missing_partition_ends_the_row():
    keys = ["2019-11", "2020-02", "2019-12", "2020-01"]
    assert [w.key for w in newest_in_a_row("monthly", keys, 2)] == ["2019-12", "2020-01", "2020-02"]
    assert [w.key for w in newest_in_a_row("monthly", keys, 9)] == ["2019-11", "2019-12", "2020-01", "2020-02"]
    assert [w.key for w in newest_in_a_row("monthly", ["2019-11", "2020-01", "2020-02"], 9)] == ["2020-01", "2020-02"]
    assert [w.key for w in newest_in_a_row("monthly", keys, 0)] == ["2020-02"]
    assert newest_in_a_row("monthly", [], 3) == []
