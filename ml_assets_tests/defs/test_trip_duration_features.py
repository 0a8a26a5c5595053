"""Features of trip duration: an oracle in SQL, what they may not know, and how well they predict real trips."""

from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from ml_assets.core.contract import Contract
from ml_assets.core.encoding import encode
from ml_assets.core.features import DTYPES, build_features
from ml_assets.core.parameters import ModelParams
from ml_assets.core.split import rows_of, time_split
from ml_assets.core.training import train_lightgbm
from ml_assets.core.validation import judge, split
from ml_assets.core.windows import Window
from ml_assets.defs.trip_duration.features import FEATURES
from ml_assets.defs.trips.schema import Trip

NAMES = {"label": "trip_minutes", "event_time": "pickup_at", "known_at": "dropoff_at"}

ORACLE = """
SELECT
    CAST(pickup_zone AS VARCHAR) AS pickup_zone,
    CAST(dropoff_zone AS VARCHAR) AS dropoff_zone,
    trip_miles,
    CAST(passengers AS DOUBLE) AS passengers,
    CAST(vendor AS VARCHAR) AS vendor,
    CAST(date_part('hour', pickup_at) AS DOUBLE) AS pickup_hour,
    CAST(date_part('isodow', pickup_at) AS DOUBLE) AS pickup_weekday,
    CAST(floor(date_diff('second', date_trunc('week', pickup_at), pickup_at) / 3600) AS DOUBLE) AS pickup_hour_of_week,
    CAST(date_diff('minute', date_trunc('day', pickup_at), pickup_at) AS DOUBLE) AS pickup_minute_of_day,
    CAST(date_part('month', pickup_at) AS DOUBLE) AS pickup_month
FROM trips ORDER BY row_number
"""


def trips(rows: int = 2000) -> pl.DataFrame:
    """Valid trips with every column of the contract, at all hours of two years, leap day and year's ends included."""
    rng = np.random.default_rng(11)
    start = datetime(2019, 12, 31, 23, 59, 59)
    pickup = [start + timedelta(seconds=int(s)) for s in rng.integers(0, 366 * 86_400, rows - 2)]
    pickup += [datetime(2020, 2, 29), datetime(2020, 12, 31, 23, 59, 59)]
    minutes = rng.integers(60, 7200, rows)
    frame = pl.DataFrame(
        {
            "row_number": pl.Series(range(rows), dtype=pl.UInt32),
            "pickup_at": pickup,
            "dropoff_at": [t + timedelta(seconds=int(s)) for t, s in zip(pickup, minutes, strict=True)],
            "trip_minutes": minutes / 60,
            "trip_miles": rng.gamma(2, 2, rows),
            "pickup_zone": rng.integers(1, 264, rows),
            "dropoff_zone": rng.integers(1, 264, rows),
            "passengers": [None if i % 6 == 0 else i % 5 for i in range(rows)],
            "vendor": [None if i % 6 == 0 else 1 + i % 2 for i in range(rows)],
        }
    )
    rest = [c for c in Contract.from_model(Trip).columns if c.name not in frame.columns]
    return frame.with_columns(pl.lit(1).cast(c.dtype).alias(c.name) for c in rest)


def test_against_sql():
    frame = trips()
    built = build_features(frame.lazy(), FEATURES, **NAMES).collect()
    database = duckdb.connect()
    database.register("trips", frame.to_arrow())
    expected = database.sql(ORACLE).pl()
    assert_frame_equal(built.select(f.name for f in FEATURES), expected)
    assert built["label_known_at"].equals(frame["dropoff_at"])


def test_nothing_of_the_outcome_is_used():
    outcome = {"dropoff_at", "trip_minutes", "payment_type", "rate_code", "store_and_forward"}
    outcome |= {c.name for c in Contract.from_model(Trip).columns if c.name.endswith("_usd")}
    build_features(trips(2).lazy(), FEATURES, **NAMES, known_late=outcome)
    read = {c for f in FEATURES for c in f.expr.meta.root_names()}
    assert read == {"pickup_at", "pickup_zone", "dropoff_zone", "trip_miles", "passengers", "vendor"}


def test_every_feature_is_described():
    for feature in FEATURES:
        assert feature.description
        assert feature.unit if feature.kind == "number" else feature.kind in DTYPES


def month(folder: Path, key: str) -> tuple[Window, pl.DataFrame]:
    start = datetime.strptime(key, "%Y-%m")
    window = Window(key, start, (start + timedelta(days=32)).replace(day=1))
    raw = pl.scan_parquet(folder / f"yellow_tripdata_{key}.parquet")
    valid, _ = split(judge(raw, Contract.from_model(Trip), event_time="pickup_at", window=window))
    return window, build_features(valid, FEATURES, **NAMES).collect()


def test_a_model_of_2018_predicts_real_trips_of_2019(tlc):
    windows, history = zip(*(month(tlc, f"2018-{m:02d}") for m in range(1, 13)), strict=True)
    parts = time_split(windows, validation=1 / 3, holdout=1 / 3)
    rows = pl.concat(history).lazy()
    train, validation = (rows_of(rows, parts, part).collect() for part in ("train", "validation"))
    model = train_lightgbm(train, validation, features=FEATURES, params=ModelParams(trees=120), seed=0, threads=1)

    import lightgbm as lgb

    booster = lgb.Booster(model_str=model.text)
    for key in ("2019-02", "2019-11"):
        _, later = month(tlc, key)
        scores = booster.predict(encode(later.select(f.name for f in FEATURES), model.specs), num_threads=1)
        label = later["label"].to_numpy()
        error, naive = np.abs(scores - label).mean(), np.abs(label - train["label"].median()).mean()
        assert error < 3.3
        assert error < 0.45 * naive
