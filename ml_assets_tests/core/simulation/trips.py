"""Simulated trips as files of the TLC have them, and which of their rows are clean."""

from pathlib import Path

import numpy as np
import polars as pl

ROOT = Path(__file__).parents[3]
TABLE = ROOT / "data" / "reference" / "taxi_calibration.json"
ROWS = 10_000
PICKUP, DROPOFF = "tpep_pickup_datetime", "tpep_dropoff_datetime"
TWIN = [PICKUP, DROPOFF, "PULocationID", "DOLocationID", "trip_distance"]


def with_minutes(trips: pl.DataFrame) -> pl.DataFrame:
    return trips.with_columns(minutes=(pl.col(DROPOFF) - pl.col(PICKUP)).dt.total_seconds() / 60)


def middle(values: pl.Series) -> float:
    return float(np.median(values.to_numpy()))


def clean(trips: pl.DataFrame) -> pl.DataFrame:
    return with_minutes(trips).filter(
        pl.col("minutes").is_between(1, 180)
        & (pl.col("trip_distance") > 0)
        & (pl.col("trip_distance") < 100)
        & (pl.max_horizontal("PULocationID", "DOLocationID") < 264)
    )
