import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml_assets.core.contract import Contract
from ml_assets.core.validation import judge, rule_counts, split
from ml_assets.core.windows import Window
from ml_assets.defs.trips.schema import Trip

TRIP = Contract.from_model(Trip)
TLC = Path(os.environ.get("ML_ASSETS_TLC", Path(__file__).resolve().parents[2] / "../shared/data/tlc"))
FILES = sorted(TLC.glob("yellow_tripdata_*.parquet"))
needs_tlc = pytest.mark.skipif(
    not FILES, reason="real taxi trips are not here: set ML_ASSETS_TLC to a folder with yellow_tripdata_*.parquet"
)

START = datetime(2019, 3, 5, 12)
EVE = datetime(2019, 2, 28, 23)
GOOD: dict[str, Any] = {
    "VendorID": 2,
    "tpep_pickup_datetime": START,
    "tpep_dropoff_datetime": START + timedelta(minutes=15),
    "passenger_count": 1.0,
    "trip_distance": 2.5,
    "RatecodeID": 1.0,
    "store_and_fwd_flag": "N",
    "PULocationID": 161,
    "DOLocationID": 236,
    "payment_type": 1,
    "fare_amount": 12.0,
    "extra": 0.5,
    "mta_tax": 0.5,
    "tip_amount": 3.0,
    "tolls_amount": 0.0,
    "improvement_surcharge": 0.3,
    "total_amount": 18.8,
    "congestion_surcharge": 2.5,
}


def month(key: str) -> Window:
    year, number = int(key[:4]), int(key[5:])
    return Window(key, datetime(year, number, 1), datetime(year + number // 12, number % 12 + 1, 1))


def broken(*changes: dict[str, Any]) -> list[list[str]]:
    rows = pl.LazyFrame([GOOD | change for change in changes], infer_schema_length=None)
    judged = judge(rows, TRIP, event_time="pickup_at", window=month("2019-03"))
    return judged.collect()["broken_rules"].to_list()


def test_it_reads_the_columns_that_the_source_publishes() -> None:
    assert set(TRIP.source_schema) == set(GOOD)
    assert all(column.description for column in TRIP.columns)
    measured = {c.name: c.unit for c in TRIP.columns if c.dtype.is_float()}
    assert all(measured.values()), measured


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({}, []),
        ({"VendorID": None, "passenger_count": None, "RatecodeID": None, "payment_type": None}, []),
        ({"store_and_fwd_flag": None, "congestion_surcharge": None}, []),
        ({"passenger_count": 0.0}, []),
        ({"RatecodeID": 99.0}, []),
        ({"fare_amount": 0.0}, []),
        ({"tpep_dropoff_datetime": START + timedelta(minutes=180)}, []),
        ({"tpep_dropoff_datetime": START + timedelta(minutes=181)}, ["trip_minutes_in_range"]),
        ({"tpep_dropoff_datetime": START + timedelta(seconds=59)}, ["trip_minutes_in_range"]),
        ({"tpep_dropoff_datetime": START}, ["trip_minutes_in_range", "dropoff_after_pickup"]),
        ({"trip_distance": 0.0}, ["trip_miles_gt"]),
        ({"trip_distance": 100.0}, ["trip_miles_lt"]),
        ({"PULocationID": 264}, ["pickup_zone_in_range"]),
        ({"DOLocationID": 265}, ["dropoff_zone_in_range"]),
        ({"DOLocationID": 0}, ["dropoff_zone_in_range"]),
        ({"fare_amount": -0.01}, ["fare_usd_in_range"]),
        ({"fare_amount": 429490.2}, ["fare_usd_in_range"]),
        ({"VendorID": 3}, ["vendor_isin"]),
        ({"passenger_count": 1.5}, ["passengers_type"]),
        ({"store_and_fwd_flag": "?"}, ["store_and_forward_type"]),
        ({"total_amount": float("inf")}, ["total_usd_finite"]),
        (
            {"tpep_pickup_datetime": datetime(2019, 2, 28, 23)},
            ["trip_minutes_in_range", "pickup_at_in_partition"],
        ),
    ],
    ids=str,
)
def test_what_a_trip_may_be(change: dict[str, Any], rules: list[str]) -> None:
    assert broken(change) == [rules]


def test_a_trip_sent_twice_or_reversed_is_one_trip() -> None:
    other_provider = {"VendorID": None, "passenger_count": None, "extra": 0.0}
    reversed_fare = {"fare_amount": -12.0, "total_amount": -18.8, "payment_type": 3}
    assert broken({}, other_provider) == [[], ["unique"]]
    assert broken(reversed_fare, {}) == [["fare_usd_in_range", "total_usd_ge", "unique"], []]
    assert broken({}, {"trip_distance": 2.6}) == [[], []]


@needs_tlc
def test_of_the_real_trips_two_to_six_percent_are_quarantined() -> None:
    repeated = {}
    for file in FILES:
        key = file.stem.removeprefix("yellow_tripdata_")
        judged = judge(pl.scan_parquet(file), TRIP, event_time="pickup_at", window=month(key)).collect()
        valid, quarantine = (half.collect() for half in split(judged.lazy()))
        assert valid.height + quarantine.height == 10_000, key
        assert 0.02 < quarantine.height / 10_000 < 0.06, key
        counts = rule_counts(quarantine)
        assert not [name for name in counts if name.endswith(("_type", "_not_null"))], counts
        assert valid["vendor"].null_count() >= 0.8 * judged["vendor"].null_count(), key
        if "unique" in counts:
            repeated[key] = counts["unique"]
    assert repeated == {"2020-04": 11, "2020-05": 3, "2020-06": 3}


@needs_tlc
def test_real_values_arrive_unchanged() -> None:
    raw = pl.read_parquet(FILES[0])
    judged = judge(raw.lazy(), TRIP, event_time="pickup_at", window=month("2018-01")).collect()
    for column in TRIP.columns:
        if column.source is not None and column.dtype != pl.Boolean:
            before, after = raw[column.source].cast(pl.String), judged[column.name].cast(pl.String)
            unified = before.str.strip_suffix(".0"), after.str.strip_suffix(".0")
            assert unified[0].equals(unified[1], null_equal=True), column.name
    waited = {"Y": True, "N": False}
    assert judged["store_and_forward"].to_list() == [waited.get(v) for v in raw["store_and_fwd_flag"].to_list()]
