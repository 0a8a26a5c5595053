"""Raw fields to features: faults by the contract's rules, values by the features' expressions, history by lookup."""

import math
from datetime import datetime
from typing import Any

import pandera.polars as pa
import polars as pl
import pytest

from ml_assets.core.contract import Contract, column
from ml_assets.core.errors import ConfigError
from ml_assets.core.features import Feature
from ml_assets.core.history import HistoryFeature
from ml_assets.core.history_snapshot import snapshot_of
from ml_assets.core.online_features import Online, OnlineFeatures, Refused


class Ride(pa.DataFrameModel):
    """One ride."""

    started_at: datetime = column()
    ended_at: datetime = column(known_at="ended_at")
    zone: int = column(in_range=(1, 9))
    tag: str = column(nullable=True)
    miles: float = column(ge=0)
    riders: int = column(nullable=True, required=False)
    minutes: float = column(
        known_at="ended_at", derived=(pl.col("ended_at") - pl.col("started_at")).dt.total_seconds() / 60
    )
    yards: float = column(derived=pl.col("miles") * 1760)


RIDE = Contract.from_model(Ride)
LATE = {"minutes": "ended_at", "ended_at": "ended_at"}
FEATURES = [
    Feature("tag", pl.col("tag"), kind="category"),
    HistoryFeature("zone_minutes", by=("zone",), value="minutes", window="1h", how="mean", known_at="ended_at",
                   delay="1h"),
    Feature("zone", pl.col("zone"), kind="category"),
    Feature("yards", pl.col("yards"), kind="number"),
    Feature("per_mile", pl.col("riders") / pl.col("miles"), kind="number"),
    Feature("hour", pl.col("started_at").dt.hour(), kind="number"),
]  # fmt: skip
ONLINE = OnlineFeatures.of(RIDE, FEATURES, event_time="started_at", known_late=LATE)
GOOD: dict[str, Any] = {"started_at": "2020-03-05T12:00:00", "zone": 7, "tag": None, "miles": 2.5, "riders": 1}
PAST = pl.DataFrame(
    {
        "started_at": [datetime(2020, 3, 5, 11, 0), datetime(2020, 3, 5, 11, 30), datetime(2020, 3, 5, 11, 40)],
        "ended_at": [datetime(2020, 3, 5, 11, 20), datetime(2020, 3, 5, 12, 0), datetime(2020, 3, 5, 11, 50)],
        "zone": [7, 7, 8],
        "minutes": [20.0, 30.0, 10.0],
    }
)
SNAPSHOT = snapshot_of(
    [PAST.lazy()], ONLINE.history, event_time="started_at", known_late=LATE, complete_from=datetime(2020, 3, 1),
    newest_from=datetime(2020, 3, 5),
)  # fmt: skip


def features(snapshot=SNAPSHOT, **change: Any) -> dict:
    found = ONLINE.read([GOOD | change], snapshot)
    assert isinstance(found, Online), found
    return {name: values[0] for name, values in found.columns.items()}


def refused(**change: Any) -> list[tuple[str, str]]:
    found = ONLINE.read([GOOD | change], SNAPSHOT)
    assert isinstance(found, Refused)
    return [(fault.rule, fault.column) for fault in found.faults[0]]


def test_features_come_as_declared_under_their_kinds():
    assert features() == {
        "tag": None, "zone_minutes": 20.0, "zone": "7", "yards": 4400.0, "per_mile": 0.4, "hour": 12.0
    }  # fmt: skip
    assert [type(v) for v in features().values()] == [type(None), float, str, float, float, float]
    assert list(features()) == [f.name for f in FEATURES]


def test_a_record_brings_what_computed_columns_are_computed_from():
    assert [c.name for c in ONLINE.rules.fields] == ["started_at", "zone", "tag", "miles", "riders"]


def test_history_is_looked_up_at_the_event_and_strictly_before_it():
    assert features()["zone_minutes"] == 20.0
    assert features(started_at="2020-03-05T12:00:00.000001")["zone_minutes"] == 25.0
    assert features(zone=9)["zone_minutes"] is None
    assert features(snapshot=None)["zone_minutes"] is None
    assert features(started_at="2019-01-01T00:00:00")["zone_minutes"] is None


def test_the_age_is_that_of_the_newest_row_that_counts():
    found = ONLINE.read([GOOD, GOOD | {"started_at": "2020-03-05T11:20:01"}, GOOD | {"zone": 9}], SNAPSHOT)
    assert isinstance(found, Online)
    assert found.ages == [600.0, 1.0, 600.0]
    without = ONLINE.read([GOOD], None)
    assert isinstance(without, Online)
    assert without.ages == [None]


def test_optional_fields_may_be_left_out_and_nullable_ones_be_null():
    record = {name: value for name, value in GOOD.items() if name != "riders"}
    found = ONLINE.read([record], SNAPSHOT)
    assert isinstance(found, Online)
    assert found.columns["per_mile"] == [None]
    assert features(riders=None)["per_mile"] is None


def test_rules_of_the_contract_decide():
    assert refused(zone=0, miles=-1) == [("zone_in_range", "zone"), ("miles_ge", "miles")]
    assert refused(zone=None) == [("zone_not_null", "zone")]
    assert refused(speed=1) == [("unknown_field", "speed")]
    assert refused(minutes=1) == [("unknown_field", "minutes")], "known late"


def test_faults_are_told_for_each_record():
    found = ONLINE.read([GOOD, GOOD | {"zone": 0}, 3], SNAPSHOT)  # type: ignore[list-item]
    assert isinstance(found, Refused)
    assert [[f.rule for f in faults] for faults in found.faults] == [[], ["zone_in_range"], ["not_an_object"]]


def test_a_feature_that_would_be_infinite_is_a_fault_and_nan_is_missing():
    assert refused(miles=0) == [("feature_not_finite", "per_mile")]
    assert features(miles=0, riders=0)["per_mile"] is None


def test_a_feature_that_can_not_be_computed_of_a_record_is_its_fault_alone():
    strict = [Feature("number", pl.col("tag").cast(pl.Float64), kind="number")]
    online = OnlineFeatures.of(RIDE, strict, event_time="started_at", known_late=LATE)
    found = online.read([{"tag": "7"}, {"tag": "seven"}], None)
    assert isinstance(found, Refused)
    assert [[(f.rule, f.column) for f in faults] for faults in found.faults] == [
        [], [("feature_not_computed", "number")]
    ]  # fmt: skip
    good = online.read([{"tag": "7"}], None)
    assert isinstance(good, Online)
    assert good.columns == {"number": [7.0]}
    assert good.ages == [None], "no feature asks for earlier rows"


@pytest.mark.parametrize(
    ("expr", "told"),
    [
        (pl.col("miles").mean(), "looks across rows"),
        (pl.col("minutes"), "minutes is known at ended_at"),
        (pl.col("nothing"), "no column of Ride"),
    ],
)
def test_features_that_no_request_can_give_are_refused_at_once(expr, told):
    with pytest.raises(ConfigError, match=told):
        OnlineFeatures.of(RIDE, [Feature("bad", expr, kind="number")], event_time="started_at", known_late=LATE)


def test_many_records_are_what_each_is_alone():
    records = [GOOD | {"zone": 1 + i % 9, "miles": 0.5 + i / 7} for i in range(40)]
    together = ONLINE.read(records, SNAPSHOT)
    assert isinstance(together, Online)
    for i, record in enumerate(records):
        alone = ONLINE.read([record], SNAPSHOT)
        assert isinstance(alone, Online)
        assert {n: v[0] for n, v in alone.columns.items()} == {n: v[i] for n, v in together.columns.items()}
    assert not any(math.isnan(v) for values in together.columns.values() for v in values if isinstance(v, float))
