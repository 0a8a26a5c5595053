"""Features: what is computed, and every declaration that is refused."""

from datetime import datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml_assets.core.errors import ConfigError
from ml_assets.core.features import Feature, build_features, look_ahead
from ml_assets.core.windows import Window

NOON = datetime(2019, 3, 1, 12)
MILES = Feature("miles", pl.col("miles"), kind="number", unit="miles")
ZONE = Feature("zone", pl.col("zone"), kind="category")


def rides(miles=(1.0, 2.0, 3.0)) -> pl.LazyFrame:
    n = len(miles)
    return pl.LazyFrame(
        {
            "row_number": range(n),
            "start_at": [NOON + timedelta(hours=i) for i in range(n)],
            "end_at": [NOON + timedelta(hours=i, minutes=20) for i in range(n)],
            "minutes": [20] * n,
            "miles": miles,
            "zone": [7, None, 9][:n],
            "fare_usd": [10.0] * n,
        },
        schema_overrides={"miles": pl.Float64, "zone": pl.Int64},
    )


def build(*features, rows=None, **kwargs):
    names = {"label": "minutes", "event_time": "start_at", "known_at": "end_at", **kwargs}
    return build_features(rides() if rows is None else rows, features, **names).collect()


def complaint(*features, **kwargs):
    with pytest.raises(ConfigError) as caught:
        build(*features, **kwargs)
    return "\n".join(caught.value.found)


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_of_any_unit_are_stored_in_microseconds(unit):
    rows = rides().with_columns(pl.col("start_at", "end_at").dt.cast_time_unit(unit))
    built = build(MILES, rows=rows)
    assert built.schema["event_at"] == built.schema["label_known_at"] == pl.Datetime("us")
    assert built["event_at"].to_list() == [NOON + timedelta(hours=i) for i in range(3)]


def test_columns_order_and_dtypes():
    hour = Feature("hour", pl.col("start_at").dt.hour(), kind="number")
    expected = pl.DataFrame(
        {
            "row_number": pl.Series([0, 1, 2], dtype=pl.UInt32),
            "event_at": [NOON + timedelta(hours=i) for i in range(3)],
            "label": [20.0] * 3,
            "label_known_at": [NOON + timedelta(hours=i, minutes=20) for i in range(3)],
            "zone": ["7", None, "9"],
            "miles": [1.0, 2.0, 3.0],
            "hour": [12.0, 13.0, 14.0],
            "slice_hour": [12.0, 13.0, 14.0],
            "slice_fare_usd": [10.0] * 3,
        }
    )
    assert_frame_equal(build(ZONE, MILES, hour, keep=["hour", "fare_usd"]), expected)


def test_not_a_number_is_missing():
    assert build(MILES, rows=rides([1.0, float("nan"), None]))["miles"].to_list() == [1.0, None, None]


def test_each_row_alone_has_the_same_features():
    speed = Feature("per_hour", pl.col("miles") / (pl.col("start_at").dt.hour() + 1), kind="number")
    together = build(ZONE, MILES, speed)
    apart = pl.concat(build(ZONE, MILES, speed, rows=rides().slice(i, 1)) for i in range(3))
    assert_frame_equal(together, apart)


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        (Feature("x", pl.col("minutes") / 2, kind="number"), "reads minutes, which is not known"),
        (Feature("x", pl.col("end_at").dt.hour(), kind="number"), "reads end_at, which is not known"),
        (Feature("x", pl.col("fare_usd"), kind="number"), "reads fare_usd, which is not known"),
        (Feature("x", pl.col("mils"), kind="number"), "reads mils, which is no column"),
        (Feature("x", pl.lit(1), kind="number"), "reads no column"),
        (Feature("x", pl.col("miles") - pl.col("miles").mean(), kind="number"), "looks across rows"),
        (Feature("x", pl.col("miles").mean().over("zone"), kind="number"), "looks across rows"),
        (Feature("x", pl.col("miles").shift(), kind="number"), "looks across rows"),
        (Feature("x", pl.col("miles") + pl.col("minutes").fill_null(0), kind="number"), "reads minutes"),
        (Feature("x", pl.when(pl.col("end_at").is_null()).then("miles"), kind="number"), "reads end_at"),
        (Feature("x", pl.col("^mil.*$"), kind="number"), "name one column"),
        (Feature("x", pl.col("miles").cast(pl.String), kind="number"), "gives String, which is no number"),
        (Feature("x", pl.col("start_at"), kind="number"), "gives Datetime"),
        (Feature("x", pl.col("miles"), kind="category"), "gives Float64, which is no category"),
        (Feature("x", pl.col("zone").dt.hour(), kind="number"), "can't be computed"),
        (Feature("x", pl.col("miles"), kind="colour"), "kind 'colour'"),
        (Feature("label", pl.col("miles"), kind="number"), "reserved"),
        (Feature("event_at", pl.col("miles"), kind="number"), "reserved"),
        (Feature("label_known_at", pl.col("miles"), kind="number"), "reserved"),
        (Feature("row_number", pl.col("miles"), kind="number"), "reserved"),
        (Feature("slice_x", pl.col("miles"), kind="number"), "reserved"),
        (Feature("a b", pl.col("miles"), kind="number"), "no identifier"),
    ],
)
def test_refused(feature, words):
    assert words in complaint(feature, known_late={"fare_usd": "end_at"})


def test_all_mistakes_at_once():
    said = complaint(
        MILES,
        MILES,
        Feature("x", pl.col("mils") + pl.col("minutes"), kind="number"),
        label="minuets",
        event_time="miles",
        keep=["borough"],
    )
    for words in ("label column minuets is missing", "time column miles is Float64", "2 features have this name",
                  "x: reads mils", "kept column borough"):  # fmt: skip
        assert words in said
    assert complaint() == "there are none"


def test_infinite_is_refused_with_counts():
    inverse = Feature("inverse", 1 / pl.col("miles"), kind="number")
    assert complaint(MILES, inverse, rows=rides([0.0, 0.0, 1.0])) == "inverse: infinite in 2 rows"


def test_look_ahead_counts_what_is_not_point_in_time():
    window = Window("2019-03-01T12", NOON, NOON + timedelta(hours=2))
    assert look_ahead(build(MILES).lazy(), window) == {
        "events_outside_the_partition": 1,
        "labels_known_before_the_event": 0,
    }
    early = build(MILES, known_at="start_at", event_time="end_at").lazy()
    assert look_ahead(early, window)["labels_known_before_the_event"] == 3


def test_a_label_that_is_no_number_is_missing_and_an_infinite_one_refused():
    rows = rides().with_columns(minutes=pl.Series([20.0, float("nan"), None]))
    assert build(MILES, rows=rows)["label"].to_list() == [20.0, None, None]
    infinite = rides().with_columns(minutes=pl.Series([20.0, float("inf"), float("-inf")]))
    assert complaint(MILES, rows=infinite) == "label: infinite in 2 rows"


def test_categories_come_from_whatever_names_things():
    paid = Feature("paid", pl.col("paid"), kind="category")
    known = Feature("known", pl.col("zone").is_not_null(), kind="number")
    for values, dtype in ((["a", "b", None], pl.String), (["a", "b", None], pl.Enum(["b", "a"]))):
        built = build(paid, known, rows=rides().with_columns(paid=pl.Series(values, dtype=dtype)))
        assert built.select("paid", "known").to_dict(as_series=False) == {"paid": values, "known": [1.0, 0.0, 1.0]}
        assert built.schema["paid"] == pl.String
    built = build(paid, rows=rides().with_columns(paid=pl.Series([True, None, False])))
    assert built["paid"].to_list() == ["true", None, "false"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (rides().drop("row_number"), "column row_number is missing"),
        (rides().with_columns(row_number=1.5), "column row_number is Float64"),
        (rides().with_columns(minutes=pl.lit("20")), "label column minutes is String"),
        (rides().with_columns(end_at=pl.col("end_at").dt.date()), "time column end_at is Date"),
    ],
)
def test_a_table_that_does_not_fit(rows, words):
    assert words in complaint(MILES, rows=rows)


def test_a_kept_column_may_be_one_that_is_known_late_and_is_kept_once():
    built = build(MILES, keep=["minutes", "fare_usd", "minutes"], known_late={"fare_usd": "end_at"})
    assert built.columns[4:] == ["miles", "slice_minutes", "slice_fare_usd"]


def test_the_end_of_a_partition_is_outside_and_its_start_inside():
    for start, outside in ((NOON, 0), (NOON + timedelta(microseconds=1), 1)):
        window = Window("w", start, NOON + timedelta(hours=2, microseconds=1))
        assert look_ahead(build(MILES).lazy(), window)["events_outside_the_partition"] == outside
    exact = Window("w", NOON, NOON + timedelta(hours=2))
    assert look_ahead(build(MILES).lazy(), exact)["events_outside_the_partition"] == 1


def test_a_label_known_at_once_is_not_early():
    window = Window("w", NOON, NOON + timedelta(hours=3))
    assert set(look_ahead(build(MILES, known_at="start_at").lazy(), window).values()) == {0}


def labelled(values: list, **kwargs) -> pl.DataFrame:
    rows = rides().with_columns(paid=pl.Series(values))
    return build(MILES, rows=rows, label="paid", **kwargs)


@pytest.mark.parametrize(
    ("values", "classes", "label"),
    [
        ([True, None, False], (), [1.0, None, 0.0]),
        ([False, True, None], ("true", "false"), [1.0, 0.0, None]),
        (["card", "cash", "free"], ("cash", "card", "free"), [1.0, 0.0, 2.0]),
        ([4, 1, 2], ("1", "2", "4"), [2.0, 0.0, 1.0]),
    ],
)
def test_a_class_becomes_its_position(values, classes, label):
    assert labelled(values, classes=classes)["label"].to_list() == label


def test_a_value_that_is_no_class_is_refused_with_its_count():
    with pytest.raises(ConfigError) as refused:
        labelled(["card", "cheque", "cheque"], classes=("card", "cash"))
    assert "label column paid is 'cheque' in 2 rows, which is no class" in str(refused.value)


def test_a_number_is_no_class():
    with pytest.raises(ConfigError, match="label column paid is Float64, not text, integer or Boolean"):
        labelled([1.0, 2.0, 3.0], classes=("1.0", "2.0", "3.0"))
