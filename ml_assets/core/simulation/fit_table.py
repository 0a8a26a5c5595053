"""Measuring the whole table of figures from TLC trip records. The parts are in the other `fit_` modules;
reading and writing files is the business of `scripts/calibrate_simulation.py`.

Shares, levels and quantiles are rounded to three or four digits: no row of the records survives in the table.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from ml_assets.core.simulation import hours
from ml_assets.core.simulation.calibration import FORMAT
from ml_assets.core.simulation.figures import CURVE_POINTS, CURVE_START, CURVE_STEP, ZONES
from ml_assets.core.simulation.fit_match import match_levels
from ml_assets.core.simulation.fit_mix import fit_mix
from ml_assets.core.simulation.fit_money import (
    card_log_odds,
    fit_dirt,
    fit_money,
    flat_fare_zones,
    surcharged_zones,
)
from ml_assets.core.simulation.fit_months import change_days, fit_months, hour_volume
from ml_assets.core.simulation.fit_speed import MILES_ENDS, NOISE_ENDS, Term, backfit, quantiles_by_band
from ml_assets.core.simulation.fit_zones import CLUSTERS, ZoneMap, fit_clusters, fit_map
from ml_assets.core.simulation.sampling import Floats, Ints, quantiles_of

TRIP_TYPES, UNRECORDED_TYPES = 30, 4
NOISE_SCALE = 0.94
"""The additive terms explain a little less than boosted trees do; so much of what they leave is noise.
Chosen so that such a model errs on simulated trips as it does on real ones (data/reference/README.md)."""

_TWIN = ["tpep_pickup_datetime", "tpep_dropoff_datetime", "PULocationID", "DOLocationID", "trip_distance"]


def prepare(files: Mapping[str, pl.DataFrame], pandemic_from: date) -> pl.DataFrame:
    """Return the records of all months in one frame, with what the measuring needs beside the TLC's columns.

    Args:
        files: TLC frames by month `YYYY-MM`.
        pandemic_from: first day of the second regime.
    """
    keyed = [frame.with_columns(month=pl.lit(key)) for key, frame in sorted(files.items())]
    trips = pl.concat(keyed, how="vertical_relaxed")
    pickup = pl.col("tpep_pickup_datetime")
    begin = pl.col("month").str.to_datetime("%Y-%m")
    end = begin.dt.offset_by("1mo") - pl.duration(hours=1)
    seconds = (pl.col("tpep_dropoff_datetime") - pickup).dt.total_seconds()
    trips = trips.with_columns(
        pickup_at=pickup,
        moment=pl.max_horizontal(begin, pl.min_horizontal(end, pickup)),
        minutes=seconds / 60,
        miles="trip_distance",
        fare="fare_amount",
        tip="tip_amount",
        total="total_amount",
        tolls="tolls_amount",
        pu=pl.col("PULocationID").clip(1, ZONES) - 1,
        do=pl.col("DOLocationID").clip(1, ZONES) - 1,
        unknown=pl.max_horizontal("PULocationID", "DOLocationID") > ZONES,
        unrecorded=pl.col("VendorID").is_null(),
        again=pl.struct(_TWIN).is_duplicated() & (pl.col("VendorID").is_null() | (pl.col("fare_amount") < 0)),
    )
    usual = pl.col("minutes").is_between(1, 180) & (pl.col("miles") > 0) & (pl.col("miles") < 100)
    moment = pl.col("moment")
    return trips.with_columns(
        clean=usual & ~pl.col("unknown"),
        regime=(moment.dt.date() >= pandemic_from).cast(pl.Int64),
        hour_of_week=(moment.dt.weekday().cast(pl.Int64) - 1) * 24 + moment.dt.hour(),
        date=moment.dt.date(),
    )


def fit_table(trips: pl.DataFrame, pandemic_from: date, seed: int) -> dict[str, Any]:
    """Measure every section of the table on `trips` as prepared by `prepare`; deterministic for a `seed`."""
    good = trips.filter("clean")
    keys = _Keys(good, sorted(trips["month"].unique()))
    zone_map = fit_map(keys.pickup, keys.dropoff, keys.log_miles)
    busy = np.bincount(keys.pickup, minlength=ZONES) + np.bincount(keys.dropoff, minlength=ZONES)
    cluster = fit_clusters(zone_map, busy.astype(np.float64), seed)
    off = keys.log_miles - zone_map.log_miles(keys.pickup, keys.dropoff)
    segments = 2 * len(keys.months)
    level = np.bincount(keys.segment, off, segments) / (np.bincount(keys.segment, minlength=segments) + 50)
    level -= level.mean()
    off -= level[keys.segment]

    tables, rest = backfit(np.log(good["minutes"].to_numpy()), _terms(keys, cluster, off))
    lost = keys.unrecorded
    mix = _fit_mix(keys, ~lost, TRIP_TYPES, keys.segment, segments, seed)
    odd = _fit_mix(keys, lost, UNRECORDED_TYPES, keys.segment // 2, len(keys.months), seed)
    card_by_zone, card_by_miles = card_log_odds(trips)
    months = fit_months(trips, card_by_zone, card_by_miles)
    for number, key in enumerate(keys.months):
        both = slice(2 * number, 2 * number + 2)
        months[key] |= {
            "log_miles": level[both].round(3).tolist(),
            "log_minutes": tables["segment"][both].round(3).tolist(),
            "day_log_minutes": _days(tables["day"], keys, key),
            "mix": mix.factors[both].tolist(),
            "unrecorded_mix": odd.factors[number].tolist(),
        }
    table = {
        "format": FORMAT,
        "pandemic_from": pandemic_from.isoformat(),
        **change_days(trips),
        "zones": _zones(trips, zone_map, cluster, card_by_zone),
        "mix": {
            "pickup": mix.pickup.tolist(),
            "dropoff": mix.dropoff.tolist(),
            "hours": mix.hours.tolist(),
            "unrecorded_pickup": odd.pickup.tolist(),
            "unrecorded_dropoff": odd.dropoff.tolist(),
            "unrecorded_hours": odd.hours.tolist(),
        },
        "speed": _speed(tables) | _spread(keys, off, rest, zone_map),
        "money": fit_money(trips, cluster, card_by_miles),
        "dirt": fit_dirt(trips),
        "volume": {"hour_of_week": hour_volume(trips)},
        "months": months,
    }
    match_levels(table, seed)
    return table


class _Keys:
    """Clean trips as arrays (n,) of the numbers that tables are looked up by."""

    def __init__(self, good: pl.DataFrame, months: list[str]) -> None:
        self.months = months
        self.pickup: Ints = good["pu"].to_numpy().astype(np.int64)
        self.dropoff: Ints = good["do"].to_numpy().astype(np.int64)
        self.hour_of_week: Ints = good["hour_of_week"].to_numpy()
        self.regime: Ints = good["regime"].to_numpy()
        self.log_miles: Floats = np.log(good["miles"].to_numpy())
        self.unrecorded = good["unrecorded"].to_numpy()
        self.segment: Ints = 2 * np.searchsorted(months, good["month"].to_numpy().astype(str)) + self.regime
        self.first = date.fromisoformat(months[0] + "-01")
        self.day: Ints = (good["date"] - self.first).dt.total_days().to_numpy().astype(np.int64)


def _terms(keys: _Keys, cluster: Ints, off: Floats) -> dict[str, Term]:
    point = np.clip((keys.log_miles - CURVE_START) / CURVE_STEP, 0, CURVE_POINTS - 1).astype(np.int64)
    regime, band = keys.regime, hours.TIME_BAND[keys.hour_of_week]
    busy = regime * 2 + hours.BUSY[keys.hour_of_week]
    detour = np.clip(np.rint(off / 0.15), -5, 5).astype(np.int64) + 5
    pair = cluster[keys.pickup] * CLUSTERS + cluster[keys.dropoff]
    return {
        "curve": Term(point, CURVE_POINTS, 1),
        "segment": Term(keys.segment, 2 * len(keys.months), 20),
        "hour": Term(regime * 168 + keys.hour_of_week, 336, 20),
        "band_curve": Term((regime * 6 + band) * CURVE_POINTS + point, 12 * CURVE_POINTS, 20),
        "pickup": Term(keys.pickup, ZONES, 20),
        "dropoff": Term(keys.dropoff, ZONES, 20),
        "busy_pickup": Term(busy * ZONES + keys.pickup, 4 * ZONES, 40),
        "busy_dropoff": Term(busy * ZONES + keys.dropoff, 4 * ZONES, 40),
        "clusters": Term(pair, CLUSTERS**2, 30),
        "detour": Term(detour, 11, 20),
        "unrecorded": Term(np.where(keys.unrecorded, 1 + regime, 0), 3, 20),
        "day": Term(keys.day, int(keys.day.max()) + 32, 60),
    }


def _speed(tables: dict[str, Floats]) -> dict[str, Any]:
    curve = tables["curve"] + tables["band_curve"].reshape(2, 6, CURVE_POINTS)
    return {
        "hour_of_week": tables["hour"].reshape(2, 168).round(3).tolist(),
        "miles_curve": curve.round(3).tolist(),
        "pickup": (tables["pickup"] + tables["busy_pickup"].reshape(2, 2, ZONES)).round(3).tolist(),
        "dropoff": (tables["dropoff"] + tables["busy_dropoff"].reshape(2, 2, ZONES)).round(3).tolist(),
        "clusters": tables["clusters"].reshape(CLUSTERS, CLUSTERS).round(3).tolist(),
        "detour": tables["detour"].round(3).tolist(),
        "unrecorded": (tables["unrecorded"][1:] - tables["unrecorded"][0]).round(3).tolist(),
    }


def _spread(keys: _Keys, off: Floats, rest: Floats, zone_map: ZoneMap) -> dict[str, Any]:
    typical, usual = zone_map.log_miles(keys.pickup, keys.dropoff), ~keys.unrecorded
    noise = NOISE_SCALE * quantiles_by_band(rest, keys.log_miles, NOISE_ENDS)
    return {
        "noise_bands": NOISE_ENDS.round(3).tolist(),
        "noise": noise.round(3).tolist(),
        "miles_bands": MILES_ENDS.round(3).tolist(),
        "miles_noise": quantiles_by_band(off[usual], typical[usual], MILES_ENDS).round(3).tolist(),
        "unrecorded_miles_noise": quantiles_of(off[keys.unrecorded]),
    }


def _fit_mix(keys: _Keys, rows: Any, types: int, segment: Ints, segments: int, seed: int) -> Any:
    day_hour = keys.regime * hours.DAY_HOURS + hours.DAY_HOUR[keys.hour_of_week]
    return fit_mix(
        keys.pickup[rows],
        keys.dropoff[rows],
        day_hour[rows],
        segment[rows],
        segments=segments,
        types=types,
        seed=seed,
    )


def _days(effects: Floats, keys: _Keys, month: str) -> list[float]:
    begin = (date.fromisoformat(month + "-01") - keys.first).days
    year, number = int(month[:4]), int(month[5:])
    after = date(year + number // 12, number % 12 + 1, 1)
    return [float(e) for e in effects[begin : (after - keys.first).days].round(3)]


def _zones(trips: pl.DataFrame, zone_map: ZoneMap, cluster: Ints, card_by_zone: Floats) -> dict[str, Any]:
    return {
        "x_miles": zone_map.x.tolist(),
        "y_miles": zone_map.y.tolist(),
        "radius_miles": zone_map.radius.tolist(),
        "log_detour": zone_map.log_detour.tolist(),
        "cluster": cluster.tolist(),
        "flat_fare": flat_fare_zones(trips).tolist(),
        "surcharged": surcharged_zones(trips).tolist(),
        "card_log_odds": card_by_zone.tolist(),
    }
