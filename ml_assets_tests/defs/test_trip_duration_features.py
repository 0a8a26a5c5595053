"""Features of trip duration: computed once more by DuckDB, and none of them of what is known late."""

import subprocess
import sys
from datetime import datetime, timedelta

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml_assets.core.contract import Contract
from ml_assets.core.errors import ConfigError
from ml_assets.core.features import Feature, build_features
from ml_assets.core.row_by_row import why_not_row_by_row
from ml_assets.core.validation import judge, split
from ml_assets.core.windows import Window
from ml_assets.defs.trip_duration.features import FEATURES
from ml_assets.defs.trips.schema import Trip

NAMES = [f.name for f in FEATURES]
BY_ROW = [f for f in FEATURES if isinstance(f, Feature)]
KNOWN_LATE = ["fare_usd", "tip_usd", "tolls_usd", "dropoff_at", "rate_code", "payment_type"]
ORACLE = """
    SELECT row_number,
           pickup_at AS event_at,
           CAST(epoch_us(dropoff_at) - epoch_us(pickup_at) AS DOUBLE) / 60000000 AS label,
           dropoff_at AS label_known_at,
           CAST(pickup_zone AS VARCHAR) AS pickup_zone,
           CAST(dropoff_zone AS VARCHAR) AS dropoff_zone,
           CAST(trip_miles AS DOUBLE) AS trip_miles,
           CAST(passengers AS DOUBLE) AS passengers,
           CAST(vendor AS VARCHAR) AS vendor,
           CAST(extract(hour FROM pickup_at) AS DOUBLE) AS pickup_hour,
           CAST(extract(isodow FROM pickup_at) AS DOUBLE) AS pickup_weekday,
           CAST(date_diff('hour', date_trunc('week', pickup_at), pickup_at) AS DOUBLE) AS pickup_hour_of_week,
           CAST(date_diff('minute', date_trunc('day', pickup_at), pickup_at) AS DOUBLE) AS pickup_minute_of_day,
           CAST(extract(month FROM pickup_at) AS DOUBLE) AS pickup_month,
           CASE WHEN pickup_at - INTERVAL 27 HOUR >= first THEN (
               SELECT avg(past.speed_mph) FROM trips AS past
               WHERE past.dropoff_at < trip.pickup_at AND past.dropoff_at >= trip.pickup_at - INTERVAL 24 HOUR
                 AND past.dropoff_at - past.pickup_at <= INTERVAL 3 HOUR
           ) END AS city_speed_24h,
           CASE WHEN pickup_at - INTERVAL 171 HOUR >= first THEN (
               SELECT avg(past.speed_mph) FROM trips AS past
               WHERE past.dropoff_at < trip.pickup_at AND past.dropoff_at >= trip.pickup_at - INTERVAL 168 HOUR
                 AND past.dropoff_at - past.pickup_at <= INTERVAL 3 HOUR
                 AND past.pickup_zone = trip.pickup_zone
           ) END AS zone_speed_7d,
           CASE WHEN pickup_at - INTERVAL 24 HOUR >= first THEN CAST((
               SELECT count(*) FROM trips AS past
               WHERE past.pickup_at < trip.pickup_at AND past.pickup_at >= trip.pickup_at - INTERVAL 24 HOUR
                 AND past.pickup_zone = trip.pickup_zone
           ) AS DOUBLE) END AS zone_starts_24h
    FROM trips AS trip, (SELECT min(pickup_at) AS first FROM trips) ORDER BY row_number
"""


def trips() -> pl.DataFrame:
    """Pick-ups 97 minutes apart over 14 months: every weekday, hour and month, a leap day, and what is missing."""
    n = 6_400
    at = [datetime(2019, 1, 1) + timedelta(minutes=97 * i, seconds=i % 60) for i in range(n)]
    took = [timedelta(seconds=60 + 37 * i % 7200) for i in range(n)]
    return pl.DataFrame(
        {
            "row_number": range(n),
            "pickup_at": at,
            "dropoff_at": [t + d for t, d in zip(at, took, strict=True)],
            "trip_minutes": [d.total_seconds() / 60 for d in took],
            "trip_miles": [0.1 + i % 300 / 7 for i in range(n)],
            "speed_mph": [None if i % 17 == 0 else 5 + i % 400 / 9 for i in range(n)],
            "pickup_zone": [1 + i * i % 23 for i in range(n)],
            "dropoff_zone": [1 + 5 * i % 263 for i in range(n)],
            "passengers": [None if i % 11 == 0 else i % 7 for i in range(n)],
            "vendor": [None if i % 13 == 0 else 1 + i % 2 for i in range(n)],
            "fare_usd": [10.0] * n,
        },
        schema_overrides={"row_number": pl.UInt32},
    )


def build(rows: pl.DataFrame, features=FEATURES, known_late=None) -> pl.DataFrame:
    names = {"label": "trip_minutes", "event_time": "pickup_at", "known_at": "dropoff_at"}
    return build_features(rows.lazy(), features, **names, known_late=known_late).collect()


def recomputed(rows: pl.DataFrame) -> pl.DataFrame:
    with duckdb.connect() as database:
        database.register("trips", rows.to_arrow())
        return pl.DataFrame(database.sql(ORACLE).to_arrow_table())


def test_duckdb_computes_the_same_for_every_row():
    rows = trips()
    assert {t.month for t in rows["pickup_at"]} == set(range(1, 13))
    built = build(rows)
    assert built.columns == ["row_number", "event_at", "label", "label_known_at", *NAMES]
    assert_frame_equal(built, recomputed(rows), rel_tol=0, abs_tol=1e-9, check_exact=False)
    assert built["passengers"].null_count() == rows["passengers"].null_count() > 0
    assert built["vendor"].null_count() == rows["vendor"].null_count() > 0


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("pickup_") and n != "pickup_zone"])
def test_the_oracle_tells_a_clock_that_is_off_by_a_minute(name):
    rows = trips()
    late = rows.with_columns(pl.col("pickup_at") + pl.duration(minutes=1))
    assert not build(late)[name].equals(recomputed(rows)[name])


def test_duckdb_computes_the_same_for_real_trips(tlc):
    contract = Contract.from_model(Trip)
    window = Window("2019-07", datetime(2019, 7, 1), datetime(2019, 8, 1))
    raw = pl.scan_parquet(tlc / "yellow_tripdata_2019-07.parquet")
    rows = split(judge(raw, contract, event_time="pickup_at", window=window))[0].collect()
    assert rows.height > 9_000
    assert_frame_equal(build(rows), recomputed(rows), rel_tol=0, abs_tol=1e-9, check_exact=False)


def test_edges_of_the_week_the_day_and_the_year():
    at = [datetime(2018, 12, 31), datetime(2019, 1, 6, 23, 59, 59), datetime(2020, 2, 29, 12, 30)]
    rows = trips().head(3).with_columns(pickup_at=pl.Series(at), dropoff_at=pl.Series(at) + timedelta(minutes=5))
    columns = ["pickup_hour_of_week", "pickup_minute_of_day", "pickup_hour", "pickup_weekday", "pickup_month"]
    assert build(rows).select(columns).rows() == [
        (0, 0, 0, 1, 12),
        (167, 1439, 23, 7, 1),
        (5 * 24 + 12, 750, 12, 6, 2),
    ]


def test_nothing_that_is_known_late_is_read():
    read = {column for f in BY_ROW for column in f.expr.meta.root_names()}
    assert not read & {"trip_minutes", *KNOWN_LATE}
    assert read <= set(Trip.to_schema().columns)
    speed = Feature("speed", pl.col("trip_miles") / pl.col("fare_usd"), kind="number")
    with pytest.raises(ConfigError, match="speed: reads fare_usd"):
        build(trips(), [*FEATURES, speed], known_late=dict.fromkeys(KNOWN_LATE, "dropoff_at"))


def test_a_trip_alone_has_the_features_it_has_among_others():
    rows = trips().sample(20, seed=0)
    together = build(rows, BY_ROW)
    apart = pl.concat(build(rows[i : i + 1], BY_ROW) for i in range(rows.height))
    assert_frame_equal(together, apart)
    assert [why_not_row_by_row(f.expr) for f in BY_ROW] == [None] * len(BY_ROW)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda f: f.name)
def test_each_is_described_and_numbers_have_a_unit(feature):
    assert feature.description
    assert (feature.unit is not None) == (feature.kind == "number")


def test_the_history_features_say_something_on_most_trips():
    built = build(trips())
    for name in ("city_speed_24h", "zone_speed_7d", "zone_starts_24h"):
        assert built[name].null_count() < 0.1 * built.height
        assert built[name].n_unique() >= 3, name


def test_loading_them_is_cheap():
    heavy = "{'lightgbm', 'pandas', 'matplotlib', 'sklearn', 'pandera'}"
    code = f"import sys, ml_assets.defs.trip_duration.features; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
