from datetime import date, datetime, time, timedelta
from decimal import Decimal

import polars as pl
import pytest

from ml_assets.core.conversion import conversion

ENUM = pl.Enum(["a", "b"])
NAIVE = pl.Datetime("us")
NEW_YORK = pl.Datetime("us", "America/New_York")


def converted(values: list[object], found: pl.DataType, wanted: pl.DataType) -> list[object]:
    one = conversion("x", found, wanted)
    assert one is not None
    raw = pl.DataFrame({"x": values}, schema={"x": found})
    result = raw.select(one.value).to_series()
    assert result.dtype == wanted
    if not one.can_fail:
        assert result.null_count() == raw["x"].null_count(), "said that it can't fail"
    return result.to_list()


@pytest.mark.parametrize(
    ("found", "wanted", "pairs"),
    [
        (
            pl.Float64(),
            pl.Int64(),
            [(1.0, 1), (1.5, None), (float("nan"), None), (float("inf"), None)],
        ),
        (pl.Int64(), pl.Int8(), [(127, 127), (128, None), (None, None)]),
        (pl.Int64(), pl.Float64(), [(3, 3.0)]),
        (pl.Int64(), pl.Boolean(), [(1, True), (0, False), (2, None)]),
        (pl.Boolean(), pl.Int64(), [(True, 1), (False, 0)]),
        (pl.Float64(), pl.String(), [(1.0, "1"), (2.5, "2.5"), (None, None)]),
        (pl.Int64(), pl.String(), [(1, "1")]),
        (pl.Float64(), pl.Decimal(10, 2), [(1.25, Decimal("1.25"))]),
        (
            pl.String(),
            pl.Int64(),
            [("7", 7), (" 7 ", 7), ("7.0", 7), ("7.5", None), ("x", None), ("", None)],
        ),
        (pl.String(), pl.Int64(), [("9007199254740993", 9007199254740993)]),
        (pl.String(), pl.Float64(), [("7.5", 7.5), ("1e3", 1000.0), ("x", None)]),
        (
            pl.String(),
            pl.Boolean(),
            [("Y", True), ("n", False), ("TRUE", True), ("0", False), ("x", None)],
        ),
        (pl.String(), ENUM, [("a", "a"), ("c", None)]),
        (pl.Categorical(), pl.String(), [("a", "a")]),
        (pl.Categorical(), pl.Int64(), [("7", 7), ("a", None)]),
        (pl.Null(), NAIVE, [(None, None)]),
        (pl.Date(), NAIVE, [(date(2020, 1, 2), datetime(2020, 1, 2))]),
        (
            NAIVE,
            pl.Date(),
            [(datetime(2020, 1, 2), date(2020, 1, 2)), (datetime(2020, 1, 2, 3), None)],
        ),
        (pl.Datetime("ns"), NAIVE, [(datetime(2020, 1, 2, 3), datetime(2020, 1, 2, 3))]),
        (pl.Duration("ms"), pl.Duration("us"), [(timedelta(1), timedelta(1))]),
        (pl.String(), pl.Date(), [("2020-01-02", date(2020, 1, 2)), ("02/01/2020", None)]),
        (pl.String(), pl.Time(), [("03:04:05", time(3, 4, 5)), ("3 pm", None)]),
        (
            pl.String(),
            NAIVE,
            [
                ("2020-01-02 03:04:05", datetime(2020, 1, 2, 3, 4, 5)),
                ("2020-01-02T03:04:05.5", datetime(2020, 1, 2, 3, 4, 5, 500_000)),
                ("2020-01-02 03:04", datetime(2020, 1, 2, 3, 4)),
                ("2020-01-02", datetime(2020, 1, 2)),
                ("2020-01-02T03:04:05Z", None),
                ("01/02/2020", None),
            ],
        ),
    ],
    ids=str,
)
def test_a_value_is_kept_or_null(found: pl.DataType, wanted: pl.DataType, pairs: list[tuple[object, object]]) -> None:
    values, expected = [p[0] for p in pairs], [p[1] for p in pairs]
    assert converted(values, found, wanted) == expected


def test_a_zoned_time_keeps_the_wall_clock_of_its_zone() -> None:
    noon = pl.Series([datetime(2020, 7, 1, 12)]).dt.replace_time_zone("America/New_York")
    one = conversion("x", NEW_YORK, NAIVE)
    assert one is not None
    assert pl.DataFrame({"x": noon}).select(one.value)["x"].to_list() == [datetime(2020, 7, 1, 12)]


def test_a_naive_time_that_its_zone_skips_or_repeats_is_null() -> None:
    skipped, repeated, plain = datetime(2020, 3, 8, 2, 30), datetime(2020, 11, 1, 1, 30), datetime(2020, 7, 1)
    result = converted([skipped, repeated, plain], NAIVE, NEW_YORK)
    assert [value is None for value in result] == [True, True, False]


def test_a_zoned_time_becomes_the_same_instant_in_another_zone() -> None:
    one = conversion("x", pl.Datetime("us", "UTC"), NEW_YORK)
    assert one is not None
    utc = pl.Series([datetime(2020, 7, 1, 16)]).dt.replace_time_zone("UTC")
    converted_ = pl.DataFrame({"x": utc}).select(one.value.dt.replace_time_zone(None))["x"]
    assert converted_.to_list() == [datetime(2020, 7, 1, 12)]


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (pl.Int64(), NAIVE),
        (pl.Float64(), pl.Date()),
        (NAIVE, pl.Int64()),
        (pl.Duration("us"), pl.Float64()),
        (pl.Duration("us"), NAIVE),
        (pl.Time(), NAIVE),
        (pl.Boolean(), NAIVE),
        (pl.List(pl.Int64()), pl.Int64()),
        (pl.Int64(), pl.List(pl.Int64())),
        (pl.String(), pl.List(pl.String())),
        (pl.Binary(), pl.Int64()),
        (pl.Struct({"a": pl.Int64()}), pl.String()),
    ],
    ids=str,
)
def test_what_would_be_a_guess_is_no_conversion(found: pl.DataType, wanted: pl.DataType) -> None:
    assert conversion("x", found, wanted) is None
