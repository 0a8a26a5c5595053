"""Trips and bills as the TLC publishes them: 18 columns, their order, types and empty fields; trips that are
recorded twice.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from ml_assets.core.simulation.dirt import UNKNOWN_PATTERNS
from ml_assets.core.simulation.figures import RECORD_COLUMNS
from ml_assets.core.simulation.money import Bill
from ml_assets.core.simulation.plan import Plan
from ml_assets.core.simulation.sampling import Ints, chance
from ml_assets.core.simulation.trips import Trips

SCHEMA = pl.Schema(
    {
        "VendorID": pl.Int64(),
        "tpep_pickup_datetime": pl.Datetime("us"),
        "tpep_dropoff_datetime": pl.Datetime("us"),
        "passenger_count": pl.Float64(),
        "trip_distance": pl.Float64(),
        "RatecodeID": pl.Float64(),
        "store_and_fwd_flag": pl.String(),
        "PULocationID": pl.Int64(),
        "DOLocationID": pl.Int64(),
        "payment_type": pl.Int64(),
        "fare_amount": pl.Float64(),
        "extra": pl.Float64(),
        "mta_tax": pl.Float64(),
        "tip_amount": pl.Float64(),
        "tolls_amount": pl.Float64(),
        "improvement_surcharge": pl.Float64(),
        "total_amount": pl.Float64(),
        "congestion_surcharge": pl.Float64(),
    }
)
"""Columns of a TLC yellow-taxi file of 2018 to 2020, in order."""

_MONEY = tuple(SCHEMA)[10:17]
_MOST_PASSENGERS = 9
Columns = dict[str, npt.NDArray[Any]]


def record(trips: Trips, bill: Bill, plan: Plan, rng: np.random.Generator, drift: np.random.Generator) -> Columns:
    """Return the published columns (n,); VendorID 0, NaN passengers, surcharge -1 stand for empty fields.

    `drift` is the stream of random numbers for injections.
    """
    hidden = UNKNOWN_PATTERNS[trips.flags.unknown]
    pickup_us = (trips.pickup_s + plan.start_s) * 1_000_000
    digits = np.where(trips.vendor == 1, 10.0, 100.0)  # vendor 1 measures in tenths of a mile
    miles = np.rint(trips.miles.astype(np.float64) * digits) / digits
    small = (miles == 0) & (trips.miles > 0) & ~trips.flags.short
    miles[small] = 1 / digits[small]
    return {
        "VendorID": trips.vendor,
        "tpep_pickup_datetime": pickup_us,
        "tpep_dropoff_datetime": pickup_us + trips.seconds * 1_000_000,
        "passenger_count": _passengers(trips, plan, rng, drift),
        "trip_distance": miles,
        "RatecodeID": bill.rate_code,
        "store_and_fwd_flag": (trips.vendor == 1) & chance(rng, len(miles), float(plan.figures.stored[0])),
        "PULocationID": np.where(hidden[:, 0] > 0, hidden[:, 0], trips.pickup + 1),
        "DOLocationID": np.where(hidden[:, 1] > 0, hidden[:, 1], trips.dropoff + 1),
        "payment_type": bill.payment,
        "fare_amount": bill.fare,
        "extra": bill.extra,
        "mta_tax": bill.mta_tax,
        "tip_amount": bill.tip,
        "tolls_amount": bill.tolls,
        "improvement_surcharge": bill.improvement,
        "total_amount": bill.total,
        "congestion_surcharge": bill.surcharge,
    }


def _passengers(
    trips: Trips, plan: Plan, rng: np.random.Generator, drift: np.random.Generator
) -> npt.NDArray[np.float64]:
    cumulated = np.cumsum(plan.figures.passengers, axis=1)
    cumulated /= cumulated[:, -1:]
    which = np.array([0, 0, 1, 0, 2])[trips.vendor]
    drawn = rng.random(len(which)) + which
    offset = cumulated + np.arange(3)[:, None]
    seats = offset.shape[1]
    count = np.minimum(np.searchsorted(offset.ravel(), drawn, side="right") - seats * which, seats - 1)
    passengers = count.astype(np.float64)
    if added := plan.effects.passengers_added:
        whole = np.floor(added)
        moved = passengers + whole + chance(drift, len(which), added - whole)
        passengers = np.clip(moved, 0, _MOST_PASSENGERS)
    passengers[trips.vendor == 0] = np.nan
    if missing := plan.effects.passengers_missing:
        passengers[chance(drift, len(which), missing)] = np.nan
    return np.asarray(passengers, dtype=np.float64)


def choose_recorded_twice(trips: Trips, plan: Plan, count: int, rng: np.random.Generator) -> Ints:
    """Choose `count` recorded trips to be recorded twice; sets their vendor and flags to match, in place."""
    sources = rng.choice(np.flatnonzero(~trips.flags.unrecorded), size=count, replace=False)
    first = chance(rng, count, float(plan.calibration.dirt.twice_vendor_one[0]))
    trips.vendor[sources] = np.where(first, 1, 2)
    trips.flags.negative[sources] = False
    return np.asarray(sources, dtype=np.int64)


def record_twice(columns: Columns, sources: Ints) -> Columns:
    """Return the columns with a second row after each of `sources` (row numbers, unique).

    Such pairs agree in times, zones and distance, never in all columns: of vendor 1 the second has no record
    (vendor, passengers, codes), of the others it is the refund of the first.
    """
    repeats = np.ones(len(columns["VendorID"]), dtype=np.int64)
    repeats[sources] = 2
    index = np.repeat(np.arange(len(repeats)), repeats)
    twice = {name: values[index] for name, values in columns.items()}
    copy = np.zeros(len(index), dtype=np.bool_)
    copy[1:] = index[1:] == index[:-1]
    lost, refund = copy & (twice["VendorID"] == 1), copy & (twice["VendorID"] != 1)
    for name in RECORD_COLUMNS:
        twice[name][lost] = np.nan if name == "passenger_count" else 0
    twice["total_amount"][refund] -= twice["tip_amount"][refund]
    twice["tip_amount"][refund] = 0
    for name in _MONEY:
        twice[name][refund] = 0 - twice[name][refund]
    twice["congestion_surcharge"][refund & (twice["congestion_surcharge"] > 0)] *= -1
    return twice


def as_frame(columns: Columns) -> pl.DataFrame:
    """Return the columns as a frame of `SCHEMA`, with empty fields where the stand-ins are."""
    number = {name: pl.Series(name, values) for name, values in columns.items()}
    frame = pl.DataFrame(list(number.values()))
    absent = pl.col("VendorID") == 0
    return frame.select(
        pl.when(~absent).then("VendorID"),
        pl.col("tpep_pickup_datetime", "tpep_dropoff_datetime"),
        pl.col("passenger_count").fill_nan(None),
        "trip_distance",
        pl.when(~absent).then("RatecodeID"),
        pl.when(absent).then(None).when("store_and_fwd_flag").then(pl.lit("Y")).otherwise(pl.lit("N"))
        .alias("store_and_fwd_flag"),
        pl.col("PULocationID", "DOLocationID"),
        pl.when(~absent).then("payment_type"),
        pl.col(_MONEY),
        pl.when(pl.col("congestion_surcharge") != -1).then("congestion_surcharge"),
    ).cast(SCHEMA)  # fmt: skip
