"""Expressions that see one row only, and those that see others."""

from datetime import datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml_assets.core.row_by_row import why_not_row_by_row

A, B, T = pl.col("a"), pl.col("b"), pl.col("t")

OWN_ROW = [
    A + 1,
    A * B,
    A.is_in([1, 2]),
    A.is_between(1, 2),
    A.fill_null(0),
    A.clip(0, 10),
    A.replace_strict({1: 2}, default=None),
    A.replace_strict([1, 2], [3, 4], default=B),
    A.replace({1: 2}),
    T.dt.truncate("1h"),
    pl.col("s").cast(pl.Enum(["x", "y"])).to_physical(),
    pl.when(A > 1).then(B).otherwise(None),
    pl.coalesce("a", "b"),
    pl.max_horizontal("a", "b"),
    T.dt.hour() * 60 + T.dt.minute(),
    (T - pl.datetime(2018, 1, 1)).dt.total_days(),
    pl.concat_str(A.cast(pl.String), B.cast(pl.String), separator="-"),
]
OTHER_ROWS = [
    A.mean(),
    A - A.mean(),
    A.fill_null(A.mean()),
    A.fill_null(strategy="forward"),
    A.mean().over("b"),
    pl.when(A.max() > A).then(1).otherwise(2),
    A.shift(1),
    A.diff(),
    A.cum_sum(),
    A.rank(),
    A.rolling_mean(3),
    A.sort(),
    A.reverse(),
    A.is_duplicated(),
    A.is_in(B.implode()),
    A.is_in(B),
    A.replace(B, pl.col("c")),
    A.replace_strict(B, pl.col("c"), default=None) + 1,
    A.gather(B),
    A - A.get(0),
    A.rolling_mean_by("t", window_size="1h"),
    A.ewm_mean(alpha=0.5),
    A.interpolate(),
    A + pl.int_range(pl.len()),
    A.clip(A.min(), None),
    A * pl.corr("a", "b"),
    (A > 3).any() & (A > 0),
    A - A.implode().list.max(),
    A + pl.len(),
    A.head(2),
    A.filter(B > 1),
    A.first(),
    A.shuffle(),
    pl.lit(pl.Series([1, 2, 3])),
]


@pytest.mark.parametrize("expr", OWN_ROW, ids=str)
def test_own_row(expr):
    assert why_not_row_by_row(expr) is None


@pytest.mark.parametrize("expr", OTHER_ROWS, ids=str)
def test_other_rows(expr):
    assert "looks across rows" in why_not_row_by_row(expr)


@pytest.mark.parametrize("expr", [pl.all(), pl.col("a", "b"), pl.col("^a.*$")], ids=str)
def test_patterns(expr):
    assert "name one column" in why_not_row_by_row(expr)


def test_python_functions_can_hide_anything():
    hidden = A.map_batches(lambda s: s - s.mean(), return_dtype=pl.Float64)
    assert "Python function" in why_not_row_by_row(hidden + 1)


def test_codes_of_a_categorical_depend_on_what_the_process_saw():
    physical = pl.col("s").cast(pl.Categorical).to_physical()
    assert "codes that depend on the rows seen before" in why_not_row_by_row(physical * 2)


@pytest.mark.parametrize("expr", OWN_ROW, ids=str)
def test_each_row_alone_gives_what_all_give(expr):
    t = [datetime(2019, 1, 1, 8, 20), datetime(2019, 1, 2), datetime(2019, 1, 2)]
    rows = pl.DataFrame({"a": [1, 2, None], "b": [2, 1, 1], "t": t, "s": ["x", None, "y"]})
    apart = [rows[i : i + 1].select(alone=expr) for i in range(3)]
    assert_frame_equal(pl.concat(apart), rows.select(alone=expr))
