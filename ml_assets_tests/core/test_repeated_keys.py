"""Keys that two partitions share."""

import polars as pl

from ml_assets.core.repeated_keys import repeated_keys


def rows(*numbers: int | None) -> pl.LazyFrame:
    return pl.LazyFrame(
        {"order": list(numbers), "line": [1] * len(numbers)}, schema={"order": pl.Int64, "line": pl.Int64}
    )


def test_shared_keys_are_counted_once_and_shown():
    found = repeated_keys(rows(1, 2, 3, 3), {"a": rows(3, 3, 2), "b": rows(9), "c": rows(1)}, [["order"]])
    assert found.counts == {"a": 2, "c": 1}
    assert found.sample == [
        {"partition": "a", "order": 2},
        {"partition": "a", "order": 3},
        {"partition": "c", "order": 1},
    ]


def test_all_columns_of_a_key_must_agree_and_null_equals_null():
    other = rows(1, None).with_columns(line=pl.Series([2, 1]))
    assert repeated_keys(rows(1, None), {"a": other}, [["order", "line"]]).counts == {"a": 1}


def test_nothing_to_compare_with():
    assert repeated_keys(rows(1), {}, [["order"]]).counts == {}
    assert repeated_keys(rows(), {"a": rows(1)}, [["order"]]).counts == {}
