"""Requests: the same verdicts as on a partition, whatever a client sends, at the price of one record."""

import json
import math
from datetime import date, datetime, timedelta
from typing import Any

import pandera.polars as pa
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ml_assets.core.contract import Contract, column
from ml_assets.core.errors import ConfigError, ContractError
from ml_assets.core.requests import Fault, RequestRules
from ml_assets.core.validation import judge
from ml_assets.core.windows import Window

EVER = Window("ever", datetime(1900, 1, 1), datetime(2100, 1, 1))


class Ride(pa.DataFrameModel):
    """One ride."""

    started_at: datetime = column(source="start", unit="local time")
    ended_at: datetime = column(source="end")
    ride_miles: float = column(source="miles", gt=0, lt=100, unit="miles")
    ride_minutes: float = column(
        derived=(pl.col("ended_at") - pl.col("started_at")).dt.total_seconds() / 60, in_range=(1, 180)
    )
    riders: int = column(nullable=True, isin=[1, 2, 4])
    zone: int = column(unique=True)
    tag: str = column(nullable=True, str_matches="^[a-z]*$")
    shared: bool = column(nullable=True)
    day: date = column(nullable=True)
    tip_usd: float = column(nullable=True, required=False, ge=0)
    paid_usd: float = column(nullable=True, known_at="ended_at")

    @pa.check("zone", element_wise=True)
    def not_unlucky(cls, zone: int) -> bool:
        return zone != 13

    @pa.dataframe_check
    def ends_after_start(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """The ride ended after it started."""
        return data.lazyframe.select(pl.col("ended_at") > pl.col("started_at"))

    @pa.dataframe_check
    def cheap_if_paid(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select((pl.col("paid_usd") < 100) | (pl.col("ride_miles") > 50))


RIDE = Contract.from_model(Ride)
SOURCES = {
    "started_at": "start", "ended_at": "end", "ride_miles": "miles", "riders": "riders", "zone": "zone", "tag": "tag",
    "shared": "shared", "day": "day", "tip_usd": "tip_usd",
}  # fmt: skip
RULES = RequestRules.of(RIDE, SOURCES, event_time="started_at")
GOOD: dict[str, Any] = {
    "started_at": "2020-03-05T12:00:00", "ended_at": "2020-03-05T12:10:00.5", "ride_miles": 2.5, "riders": 1,
    "zone": 7, "tag": "x", "shared": False, "day": "2020-03-05", "tip_usd": 0,
}  # fmt: skip


def broken(**change: Any) -> list[str]:
    """Rules that a good record breaks when it is changed."""
    return [fault.rule for fault in RULES.faults([GOOD | change])[0]]


def test_a_good_record_becomes_a_row_of_the_contract() -> None:
    assert RULES.faults([GOOD, GOOD]) == [[], []]
    frame = RULES.frame([GOOD])
    wanted = {name: dtype for name, dtype in RIDE.schema.items() if name in frame.columns}
    assert dict(frame.schema) == wanted
    assert frame["ride_minutes"].to_list() == [pytest.approx(10, abs=0.02)]
    assert frame["tip_usd"].to_list() == [0.0]


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"ride_miles": 0}, ["ride_miles_gt"]),
        ({"ride_miles": -1.5}, ["ride_miles_gt"]),
        ({"ride_miles": 100}, ["ride_miles_lt"]),
        ({"ride_miles": None}, ["ride_miles_not_null"]),
        ({"ride_miles": math.nan}, ["ride_miles_finite", "ride_miles_lt"]),
        ({"ride_miles": -math.inf}, ["ride_miles_finite", "ride_miles_gt"]),
        ({"tip_usd": math.inf}, ["tip_usd_finite"]),
        ({"ride_miles": "far"}, ["ride_miles_type"]),
        ({"ride_miles": [2.5]}, ["ride_miles_type"]),
        ({"ride_miles": {}}, ["ride_miles_type"]),
        ({"ride_miles": 10**308}, ["ride_miles_lt"]),
        ({"ride_miles": 10**400}, ["ride_miles_type"]),
        ({"riders": 3}, ["riders_isin"]),
        ({"riders": 1.5}, ["riders_type"]),
        ({"riders": 2**63}, ["riders_type"]),
        ({"riders": math.nan}, ["riders_type"]),
        ({"zone": 13}, ["zone_not_unlucky"]),
        ({"zone": 0.5}, ["zone_type"]),
        ({"tag": "X"}, ["tag_str_matches"]),
        ({"tag": "\ud800"}, ["tag_type"]),
        ({"tag": ["x"]}, ["tag_type"]),
        ({"shared": "maybe"}, ["shared_type"]),
        ({"shared": 2}, ["shared_type"]),
        ({"day": "5 March"}, ["day_type"]),
        ({"started_at": 1583409600}, ["started_at_type", "ride_minutes_not_null"]),
        ({"started_at": True}, ["started_at_type", "ride_minutes_not_null"]),
        ({"started_at": "2020-03-05T12:00:00Z"}, ["started_at_type", "ride_minutes_not_null"]),
        ({"ended_at": "2020-03-05T11:00:00"}, ["ride_minutes_in_range", "ends_after_start"]),
        ({"ended_at": "+12020-03-05T11:00:00"}, ["ride_minutes_in_range"]),
    ],
    ids=str,
)
def test_each_rule_fails_on_its_bad_value(change: dict[str, Any], rules: list[str]) -> None:
    assert broken(**change) == rules


@pytest.mark.parametrize(
    "change",
    [
        {"riders": 2.0}, {"riders": "2"}, {"riders": None}, {"ride_miles": "2.5"}, {"ride_miles": 3}, {"tag": None},
        {"tag": ""}, {"shared": "yes"}, {"shared": 1}, {"started_at": "2020-03-05 12:00"}, {"tip_usd": None},
    ],
    ids=str,
)  # fmt: skip
def test_what_a_source_may_write_a_request_may_write(change: dict[str, Any]) -> None:
    assert broken(**change) == []


def test_a_fault_says_what_was_found_and_what_is_expected() -> None:
    [faults] = RULES.faults([GOOD | {"ride_miles": 120, "riders": "two", "ended_at": "2020-03-05T11:00:00"}])
    assert faults == [
        Fault("ride_miles_lt", "ride_miles", "120", "ride_miles < 100"),
        Fault("ride_minutes_in_range", "ride_minutes", "-60.0", "ride_minutes ≥ 1 and ≤ 180"),
        Fault("riders_type", "riders", '"two"', "integer (Int64), or null"),
        Fault(
            "ends_after_start",
            "started_at, ended_at",
            'started_at: "2020-03-05T12:00:00", ended_at: "2020-03-05T11:00:00"',
            "The ride ended after it started.",
        ),
    ]
    [[late, _]] = RULES.faults([GOOD | {"started_at": 5}])
    assert late.expected == 'a time as ISO 8601 text without a zone, such as "2019-03-05T12:30:00", in local time'


def test_unknown_and_missing_fields_are_faults() -> None:
    record = {name: value for name, value in GOOD.items() if name not in ("zone", "riders", "tip_usd")}
    [faults] = RULES.faults([record | {"colour": "red", "paid_usd": 5, "ride_minutes": 10}])
    assert [(f.rule, f.column, f.found) for f in faults] == [
        ("unknown_field", "colour", '"red"'),
        ("unknown_field", "paid_usd", "5"),
        ("unknown_field", "ride_minutes", "10"),
        ("missing_field", "riders", "nothing"),
        ("missing_field", "zone", "nothing"),
    ]


@pytest.mark.parametrize("record", [None, [], "x", 1, [GOOD]], ids=str)
def test_a_record_that_is_no_object_is_a_fault(record: Any) -> None:
    good, [fault] = RULES.faults([GOOD, record])
    assert good == []
    assert fault.rule == "not_an_object"
    assert "started_at" in fault.expected


def test_no_records_have_no_faults() -> None:
    assert RULES.faults([]) == []
    assert RULES.frame([]).height == 0
    assert RULES.frame([]).schema == RULES.frame([GOOD]).schema


def test_faulty_records_make_no_frame() -> None:
    with pytest.raises(ContractError, match=r"record 1: zone_type: zone is \"x\", expected integer") as raised:
        RULES.frame([GOOD, GOOD | {"zone": "x"}, *[{}] * 3])
    assert raised.value.found[-1] == "23 more"


def test_only_rules_that_one_record_can_keep_are_asked() -> None:
    asked = {rule.name for rule in RULES.rules}
    assert asked == {rule.name for rule in RIDE.rules} - {
        "zone_unique", "cheap_if_paid", "paid_usd_type", "paid_usd_finite",
    }  # fmt: skip
    assert RULES.faults([GOOD, GOOD]) == [[], []], "two records may share a key"
    few = RequestRules.of(RIDE, ["zone", "ended_at"], event_time="started_at")
    assert [c.name for c in few.fields] == ["ended_at", "zone"]
    assert [rule.name for rule in few.rules] == [
        "ended_at_type", "ended_at_not_null", "zone_type", "zone_not_null", "zone_not_unlucky",
    ]  # fmt: skip


def test_a_computed_column_is_asked_as_what_it_is_computed_from() -> None:
    rules = RequestRules.of(RIDE, ["ride_minutes"], event_time="started_at")
    assert [c.name for c in rules.fields] == ["started_at", "ended_at"]
    times = {name: GOOD[name] for name in ("started_at", "ended_at")}
    assert rules.frame([times])["ride_minutes"].to_list() == [pytest.approx(10, abs=0.02)]
    assert [f.rule for f in rules.faults([times | {"ended_at": "2020-03-06"}])[0]] == ["ride_minutes_in_range"]


def test_a_rule_of_the_whole_column_is_asked_of_each_record_alone() -> None:
    class Whole(pa.DataFrameModel):
        at: datetime
        a: float
        record: float

        @pa.dataframe_check
        def none_is_negative(cls, data: pa.PolarsData) -> pl.LazyFrame:
            return data.lazyframe.select((pl.col("a") >= 0).all())

        @pa.dataframe_check
        def all_are_small(cls, data: pa.PolarsData) -> pl.LazyFrame:
            return data.lazyframe.select(pl.all().exclude("at") < 10)

        @pa.dataframe_check
        def never(cls, data: pa.PolarsData) -> pl.LazyFrame:
            return data.lazyframe.select(pl.lit(False))

    rules = RequestRules.of(Contract.from_model(Whole), ["at", "a", "record"], event_time="at")
    records = [{"at": "2020-01-01", "a": a, "record": 1} for a in (1, -1, 10)]
    found = [[f.rule for f in faults] for faults in rules.faults(records)]
    assert found == [["never"], ["none_is_negative", "never"], ["all_are_small", "never"]]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["zone", "height"], "height is no column of Ride"),
        (["paid_usd"], "paid_usd is known at ended_at, after the event"),
        ([], "no columns"),
    ],
)
def test_columns_that_no_request_can_bring_are_refused(columns: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RequestRules.of(RIDE, columns, event_time="started_at")


def test_a_column_that_json_can_not_hold_is_refused() -> None:
    class Listed(pa.DataFrameModel):
        at: datetime
        parts: pl.List(pl.Int64)  # type: ignore[valid-type]

    with pytest.raises(ConfigError, match=r"parts is List\(Int64\), which no JSON value can be read as"):
        RequestRules.of(Contract.from_model(Listed), ["parts"], event_time="at")


def test_a_time_that_python_can_not_hold_is_shown() -> None:
    class Delayed(pa.DataFrameModel):
        at: datetime
        ends_at: datetime = column(derived=pl.col("at") + pl.duration(days=4_000_000), lt=datetime(2100, 1, 1))

    rules = RequestRules.of(Contract.from_model(Delayed), ["at"], event_time="at")
    [[fault]] = rules.faults([{"at": "2020-01-01"}])
    assert (fault.rule, fault.column) == ("ends_at_lt", "ends_at")
    assert fault.found.startswith('"+12971-')


TIMES = [None, "2020-03-05T12:00:00", "2020-03-05 12:10", "2020-03-05T12:10:00.25", "2020-03-06", "yesterday", ""]
DIRT: dict[str, list[list[Any]]] = {
    "started_at": [TIMES],
    "ended_at": [TIMES],
    "ride_miles": [
        [0.0, 2.5, 100.0, -1.0, math.nan, math.inf, None],
        [0, 3, None],
        ["2.5", "far", " 3 ", "1e3", "nan", "", None],
        [True, False, None],
    ],
    "riders": [[1, 2, 3, None], [1.0, 1.5, math.nan, None], ["1", "1.0", "two", None], [True, False, None]],
    "zone": [[7, 13, 2**40, None], [7.0, 7.5, math.inf, None], ["7", "13", "x", None]],
    "tag": [["x", "X", "", None], [7, None], [1.5, None]],
    "shared": [[True, False, None], [0, 1, 2, None], ["yes", "N", "maybe", None], [1.0, 0.5, None]],
    "day": [[None, "2020-03-05", "5 March"]],
    "tip_usd": [[0.0, -1.0, math.nan, None], [0, -1, None], ["0", "a lot", None]],
}


@st.composite
def dirty(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Records whose columns are each of one JSON type, as a file's are."""
    n = draw(st.integers(1, 6))
    columns = {
        name: draw(st.lists(st.sampled_from(draw(st.sampled_from(kinds))), min_size=n, max_size=n))
        for name, kinds in DIRT.items()
    }
    return [{name: values[i] for name, values in columns.items()} for i in range(n)]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(dirty())
def test_a_request_and_a_partition_are_judged_alike(records: list[dict[str, Any]]) -> None:
    raw = pl.LazyFrame(
        [{SOURCES[name]: value for name, value in record.items()} for record in records], infer_schema_length=None
    ).with_columns(paid_usd=pl.lit(None, pl.Float64))
    partition = judge(raw, RIDE, event_time="started_at", window=EVER).collect()
    asked = {rule.name for rule in RULES.rules}
    judged = RULES.judge(records)
    expected = [[rule for rule in rules if rule in asked] for rules in partition["broken_rules"].to_list()]
    assert [[fault.rule for fault in faults] for faults in judged.faults] == expected
    assert_frame_equal(judged.rows, partition.select(judged.rows.columns))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([2**64, -(10**400), 0, 7]) | st.floats()
    | st.text(st.characters(), max_size=20) | st.sampled_from(["2020-03-05T12:00:00", "\udfff", "+99999-01-01", "\0"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
FIELDS = st.sampled_from([*GOOD, "colour", "\ud800"])


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(JSON | st.dictionaries(FIELDS, JSON, max_size=10), max_size=3))
def test_whatever_json_holds_is_answered_and_each_record_by_itself(records: list[Any]) -> None:
    faults = RULES.faults(records)
    assert faults == [RULES.faults([record])[0] for record in records]
    for record, found in zip(records, faults, strict=True):
        assert found or GOOD.keys() - {"tip_usd"} <= record.keys()
        for fault in found:
            told = json.dumps(fault.__dict__).encode()
            assert len(told) < 3000


def test_records_of_mixed_types_are_read_value_by_value() -> None:
    miles = [1, "2", 3.5, True, None, [4]]
    judged = RULES.judge([GOOD | {"ride_miles": value} for value in miles])
    assert judged.rows["ride_miles"].to_list() == [1.0, 2.0, 3.5, 1.0, None, None]
    found = [[f.rule for f in faults] for faults in judged.faults]
    assert found == [[], [], [], [], ["ride_miles_not_null"], ["ride_miles_type"]]


def test_a_time_that_is_given_stays_to_the_microsecond() -> None:
    [started] = RULES.frame([GOOD])["started_at"]
    assert started == datetime(2020, 3, 5, 12)
    assert RULES.frame([GOOD])["ended_at"].to_list() == [started + timedelta(minutes=10, milliseconds=500)]
