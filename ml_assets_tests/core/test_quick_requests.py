"""What is told from memory is what the judge says, of whatever JSON holds."""

import json
from datetime import date, datetime, timedelta
from typing import Any

import pandera.polars as pa
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ml_assets.core import quick_requests
from ml_assets.core.contract import Contract, column
from ml_assets.core.quick_requests import QuickRecords
from ml_assets.core.requests import RequestRules


class Ride(pa.DataFrameModel):
    """One ride."""

    started_at: datetime = column()
    ended_at: datetime = column()
    miles: float = column(gt=0, lt=100)
    riders: int = column(nullable=True, isin=[1, 2, 4])
    zone: int = column()
    tag: str = column(nullable=True, str_matches="^[a-zé]*$")
    shared: bool = column(nullable=True)
    day: date = column(nullable=True)
    change: float = column(nullable=True, required=False)
    yards: float = column(derived=pl.col("miles") * 1760, le=150_000)

    @pa.check("zone", element_wise=True)
    def not_unlucky(cls, zone: int) -> bool:
        return zone != 13

    @pa.dataframe_check
    def ends_after_start(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col("ended_at") > pl.col("started_at"))


FIELDS = ["started_at", "ended_at", "miles", "riders", "zone", "tag", "shared", "day", "change", "yards"]
RULES = RequestRules.of(Contract.from_model(Ride), FIELDS, event_time="started_at")
GOOD: dict[str, Any] = {
    "started_at": "2020-03-05T12:00:00", "ended_at": "2020-03-05T12:10:00.500000", "miles": 2.5, "riders": 1,
    "zone": 7, "tag": "x", "shared": False, "day": "2020-03-05", "change": -0.0,
}  # fmt: skip
TIMES = st.one_of(
    st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(datetime.isoformat),
    st.sampled_from([
        "2020-02-30T00:00:00", "2020-03-05T24:00:00", "2020-03-05T12:60:00", "2020-03-05T12:00:60",
        "2020-03-05 12:00:00",
        "2020-03-05T12:00:00Z", "2020-03-05T12:00:0²", "+020-03-05T12:00:00", "2020-03-05T12:00", "2020-03-05",
        " 2020-03-05T12:00:00", "2020-03-05T12:00:00.000000", "2020-03-05T12:00:00,000000", "2020-W10-4T12:00:00",
        "0000-03-05T12:00:00", "+12020-03-05T11:00:00", "20200305T12000000000",
    ]),
)  # fmt: skip
ANY = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 14), st.integers(), st.floats(), st.sampled_from([0.0, -0.0, 1e308, 7.5]),
    st.text(max_size=3), st.just("a" * 90), st.just("\ud800"), st.lists(st.integers(), max_size=2), st.just({}), TIMES,
)  # fmt: skip
CHANGES = st.dictionaries(st.sampled_from([*FIELDS, "unknown"]), ANY, max_size=3)


def same_as_the_judge(quick: QuickRecords, record: dict) -> bool:
    """Whether it answered; what it answered is compared."""
    found, judged = quick.row(record), RULES.judge([record])
    if found is None:
        return False
    assert judged.faults == [[]], record
    assert_frame_equal(found, judged.rows, check_exact=True)
    signs = [json.dumps(frame.row(0, named=True), default=str) for frame in (found, judged.rows)]
    assert signs[0] == signs[1], "minus nought is none"
    return True


@settings(max_examples=35, deadline=None, derandomize=True)
@given(changes=st.lists(CHANGES, min_size=1, max_size=4))
def test_it_answers_as_the_judge_does_or_not_at_all(changes):
    quick = QuickRecords(RULES)
    for change in (*changes, *changes):
        same_as_the_judge(quick, GOOD | change)


@settings(max_examples=35, deadline=None, derandomize=True)
@given(times=st.lists(TIMES, min_size=2, max_size=2))
def test_times_are_read_as_the_contract_reads_them(times):
    record = GOOD | dict(zip(("started_at", "ended_at"), times, strict=True))
    same_as_the_judge(QuickRecords(RULES), record)


def test_good_records_are_answered_for_also_the_first_time():
    quick = QuickRecords(RULES)
    for change in ({}, {"miles": 3}, {"miles": "3"}, {"riders": None}, {"shared": 1}, {"tag": "é"}, {"tag": "a" * 90}):
        for _ in range(2):
            assert same_as_the_judge(quick, GOOD | change), change
    assert same_as_the_judge(quick, {name: v for name, v in GOOD.items() if name != "change"})
    for second in range(3):
        later = (datetime(2020, 3, 5, 12) + timedelta(seconds=second)).isoformat()
        assert same_as_the_judge(quick, GOOD | {"started_at": later})


@pytest.mark.parametrize(
    "change",
    [{"miles": 0}, {"miles": 99}, {"zone": 13}, {"ended_at": "2020-03-05T11:00:00"}, {"other": 1}, {"zone": None}],
    ids=str,
)
def test_bad_records_are_left_to_the_judge_also_the_second_time(change):
    quick = QuickRecords(RULES)
    assert quick.row(GOOD) is not None
    assert [quick.row(GOOD | change) for _ in range(2)] == [None, None]
    assert RULES.faults([GOOD | change])[0]
    assert [quick.row(given) for given in (None, 3, [GOOD], {})] == [None] * 4


def test_polars_is_asked_once_for_a_value(monkeypatch):
    quick, asked = QuickRecords(RULES), []
    learn = quick_requests._learn
    monkeypatch.setattr(quick_requests, "_learn", lambda *given: asked.append(len(given[0])) or learn(*given))
    for _ in range(3):
        assert quick.row(GOOD) is not None
    assert asked == [7, 1, 1], "all that are no times; and minus nought each time"


def test_only_rules_of_several_fields_are_asked_each_time():
    quick = QuickRecords(RULES)
    assert [expr.meta.output_name() for expr in quick._together] == [
        rule.name for rule in RULES.rules if rule.name == "ends_after_start" or rule.columns == ("yards",)
    ]
    assert len(quick._together) > 1


def test_no_more_is_remembered_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(quick_requests, "REMEMBERED", 5)
    quick = QuickRecords(RULES)
    for i in range(40):
        assert quick.row(GOOD | {"miles": 1 + i, "tag": "a" * (60 + i)}) is not None
    assert all(len(one._known) <= 5 for one in quick._fields)
    tags = [key[1] for one in quick._fields if one.name == "tag" for key in one._known]
    assert max(map(len, tags)) <= quick_requests.LONGEST


def test_what_python_holds_with_a_loss_is_left_to_the_judge():
    class Opening(pa.DataFrameModel):
        opens: pl.Time = column()

    rules = RequestRules.of(Contract.from_model(Opening), ["opens"], event_time="opens")
    record = {"opens": "12:00:00.123456789"}
    assert rules.faults([record]) == [[]]
    assert QuickRecords(rules).row(record) is None
