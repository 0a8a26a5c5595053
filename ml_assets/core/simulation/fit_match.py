"""Correcting the monthly levels by simulating with them and comparing medians with the measured ones, as
in indirect inference (Gouriéroux, Monfort, Renault 1993). The parts are measured one by one; what their
interplay shifts is put right here.
"""

from typing import Any

import numpy as np
import polars as pl

from ml_assets.core.simulation.calibration import calibration_from
from ml_assets.core.simulation.generate import simulate_month

_ROUNDS, _ROWS = 3, 40_000


def match_levels(table: dict[str, Any], seed: int) -> None:
    """Shift `log_miles` and `log_minutes` of every month of `table`, in place, until medians fit."""
    for turn in range(_ROUNDS):
        calibration = calibration_from(table, "the table being fitted")
        for key, month in table["months"].items():
            trips = simulate_month(calibration, key, rows=_ROWS, seed=seed + turn)
            miles, minutes = _logs(trips)
            far = np.log(month["miles"][1]) - _middle(miles)
            # Minutes and speed can't both be met exactly: halfway between what either asks for.
            slow = np.log(month["minutes"][1]) - _middle(minutes) - far
            slow += np.log(60) + _middle(miles - minutes) - np.log(month["speed_mph"][1])
            slow /= 2
            month["log_miles"] = [round(float(level + far), 3) for level in month["log_miles"]]
            month["log_minutes"] = [round(float(level + slow), 3) for level in month["log_minutes"]]


def _logs(trips: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    seconds = (pl.col("tpep_dropoff_datetime") - pl.col("tpep_pickup_datetime")).dt.total_seconds()
    known = pl.max_horizontal("PULocationID", "DOLocationID") <= 263
    clean = trips.filter(known & seconds.is_between(60, 10_800) & (pl.col("trip_distance") > 0))
    return clean["trip_distance"].log(), clean.select((seconds / 60).log().alias("minutes"))["minutes"]


def _middle(values: pl.Series) -> float:
    """Mean of the middle tenth: the median, but smooth where distances come in tenths of a mile."""
    low, high = np.quantile(values.to_numpy(), [0.45, 0.55])
    return float(np.asarray(values.filter(values.is_between(low, high)).to_numpy()).mean())
