"""Whole columns convert by the rules by which single rows are judged."""

import polars as pl
import pyarrow as pa
import pytest

from ml_assets.core.conversion import conversion
from ml_assets.resources.sources.as_found import can_be_judged
from ml_assets.resources.sources.converting import converted

NUMBERS = [
    "1", "1.0", " 1 ", "+1", "-0", "0x10", "0X1f", "1e3", "1E3", "1e400", "nan", "NaN", "inf", "-inf", "Infinity",
    "1_000", "1,5", ".5", "5.", "", " ", "1e-400", "١", "00012", "9223372036854775808", "9007199254740993", "0b1",
    "9007199254740993.0", "1d", "1f", "true", "1.5e0", "1e18", "1e19", "--1", "0x1p3", "\t1\n", "1 000", "128", "-129",
]  # fmt: skip
TIMES = [
    "2019-03-01", "2019-03-01 12:00", "2019-03-01T12:00", "2019-03-01 12", "2019-03-01T12:00:00Z", "20190301",
    "2019-03-01 12:00:00+02:00", "2019-03-01 12:00:00.5", "2019-03-01 12:00:00.123456789", "2019-3-1", "2019-02-29",
    "2019-03-01 24:00:00", "9999-12-31 23:59:59.999999", "10000-01-01", "300000-01-01", "0001-01-01", "-0001-01-01",
    "2019-03-01 12:00:60", " 2019-03-01", "2019-03-01T12:00:00.", "2019-03-01T120000", "1677-01-01", "2262-05-01",
    "2019-03-01 1:02:03", "2019-03-01  12:00:00", "2019-060", "2099-01-01 00:00:00",
]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "texts"),
    [
        *((dtype, NUMBERS) for dtype in (pl.Int64(), pl.Int8(), pl.UInt8(), pl.Float64(), pl.Float32())),
        *((dtype, TIMES) for dtype in (pl.Datetime("us"), pl.Datetime("ms"), pl.Date())),
    ],
    ids=str,
)
def test_text_converts_as_a_column_if_and_only_if_it_converts_as_a_row(wanted, texts):
    """Otherwise a row's verdict would depend on its neighbours: one of them at fault changes the way it is read."""
    rules = conversion("x", pl.String(), wanted)
    for text in texts:
        by_row = pl.DataFrame({"x": [text]}).select(rules.value).to_series()
        result = converted(pa.array([text], pa.large_string()), wanted, text="any")
        assert (result.fault is None) == (by_row.null_count() == 0), text
        if result.fault is None:
            assert pl.Series("x", result.values).equals(by_row, null_equal=True) or text.lower() == "nan", text


def test_the_position_of_a_fault_is_that_of_the_first_value():
    cases = [
        (pa.array([1.0, None, float("nan"), 2.5, 3.5]), pl.Int64(), 3),
        (pa.array([1, None, 300, 400]), pl.Int8(), 2),
        (pa.array([*range(1000), 2**53 + 1, 2**53 + 3]), pl.Float64(), 1000),
        (pa.array([0, 1000, 1001], pa.timestamp("ns")), pl.Datetime("us"), 2),
        (pa.array([0, None, -(2**31)], pa.date32()), pl.Datetime("us"), 2),
        (pa.array(["a", None]), pl.Int64(), 0),
        (pa.array([None, 2]), pl.Boolean(), 1),
    ]
    for column, wanted, position in cases:
        result = converted(column, wanted, text="none")
        assert result.position == position, result.fault
        assert can_be_judged(column, wanted)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (pa.list_(pa.float64()), pl.Float64()),
        (pa.int64(), pl.Datetime("us")),
        (pa.timestamp("us"), pl.Int64()),
        (pa.binary(), pl.String()),
        (pa.string(), pl.List(pl.Int64())),
        (pa.timestamp("us", "No/Where"), pl.Datetime("us")),
    ],
    ids=str,
)
def test_what_no_rule_can_read_can_not_be_judged(found, wanted):
    assert not can_be_judged(pa.nulls(1, found), wanted)
