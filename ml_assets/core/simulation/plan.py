"""Everything about a month that is ready before the first row is drawn: look-up tables and counts by hour."""

from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_assets.core.simulation import hours
from ml_assets.core.simulation.calibration import Calibration
from ml_assets.core.simulation.figures import CURVE_POINTS, CURVE_START, CURVE_STEP, DIRTY_KINDS, ZONES, Month
from ml_assets.core.simulation.injections import Effects
from ml_assets.core.simulation.sampling import (
    NOISE_BITS,
    ZONE_BITS,
    Ints,
    Singles,
    Small,
    choice_table,
    quantile_table,
)

PAIRS = ZONES * ZONES
FINE_STEP = 0.02
"""Resolution of ln(miles) at which the speed curves are looked up."""
FINE_POINTS = int(CURVE_POINTS * CURVE_STEP / FINE_STEP)


@dataclass(frozen=True, eq=False)
class Tables:
    """Look-up tables of a calibration, flat; the index of each is said beside it."""

    pickup: Small  # trip type, slot of ZONE_BITS; unrecorded trip types follow the others
    dropoff: Small
    log_miles: Singles  # pair: ln of the typical miles
    miles_band: npt.NDArray[np.int32]  # pair: first slot of its noise
    miles_noise: Singles
    unrecorded_miles_noise: Singles
    pair_minutes: Singles  # regime, busy, pair
    curve: Singles  # regime, time band, fine ln(miles)
    noise_band: npt.NDArray[np.int32]  # fine ln(miles): first slot of its noise
    noise: Singles
    toll_share: Singles  # pair
    short_seconds: Singles
    short_miles: Singles
    long_minutes: Singles
    outer_miles: Singles
    meter_noise: Singles
    unrecorded_meter_noise: Singles
    negotiated_fare: Singles
    toll_other: Singles
    unrecorded_tip: Singles
    tip_share: Singles  # vendor (1: vendor 1), regime, fare band, slot


@lru_cache(maxsize=4)
def tables(calibration: Calibration) -> Tables:
    """Lay out the look-up tables of `calibration`: about 10 MB, built once."""
    mix, speed, zones, money, dirt = (
        calibration.mix,
        calibration.speed,
        calibration.zones,
        calibration.money,
        calibration.dirt,
    )
    squared = (
        np.subtract.outer(zones.x_miles, zones.x_miles) ** 2
        + np.subtract.outer(zones.y_miles, zones.y_miles) ** 2
        + np.add.outer(zones.radius_miles**2, zones.radius_miles**2)
    )
    log_miles = 0.5 * np.log(np.maximum(squared, 1e-4)) + np.add.outer(zones.log_detour, zones.log_detour)
    cluster = zones.cluster.astype(np.intp)
    by_cluster = speed.clusters[cluster[:, None], cluster[None, :]]
    ends = speed.pickup[:, :, :, None] + speed.dropoff[:, :, None, :]
    coarse = CURVE_START + CURVE_STEP * (np.arange(CURVE_POINTS) + 0.5)
    fine = CURVE_START + FINE_STEP * (np.arange(FINE_POINTS) + 0.5)
    curve = np.array([np.interp(fine, coarse, row) for row in speed.miles_curve.reshape(-1, CURVE_POINTS)])

    def one(quantiles: npt.NDArray[np.float64]) -> Singles:
        return quantile_table(quantiles.reshape(-1, quantiles.shape[-1]))

    return Tables(
        pickup=choice_table(np.concatenate([mix.pickup, mix.unrecorded_pickup]), ZONE_BITS),
        dropoff=choice_table(np.concatenate([mix.dropoff, mix.unrecorded_dropoff]), ZONE_BITS),
        log_miles=log_miles.astype(np.float32).ravel(),
        miles_band=_first_slots(speed.miles_bands, log_miles.ravel()),
        miles_noise=one(speed.miles_noise),
        unrecorded_miles_noise=one(speed.unrecorded_miles_noise),
        pair_minutes=(ends + by_cluster).astype(np.float32).ravel(),
        curve=curve.astype(np.float32).ravel(),
        noise_band=_first_slots(speed.noise_bands, fine),
        noise=one(speed.noise),
        toll_share=money.toll_share[cluster[:, None], cluster[None, :]].astype(np.float32).ravel(),
        short_seconds=one(dirt.short_seconds),
        short_miles=one(dirt.short_miles),
        long_minutes=one(dirt.long_minutes),
        outer_miles=one(dirt.outer_miles),
        meter_noise=one(money.meter_noise),
        unrecorded_meter_noise=one(money.unrecorded_meter_noise),
        negotiated_fare=one(money.negotiated_fare),
        toll_other=one(money.toll_other),
        unrecorded_tip=one(money.unrecorded_tip),
        tip_share=one(money.tip_share),
    )


def _first_slots(upper_ends: npt.NDArray[Any], values: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    bands = np.minimum(np.searchsorted(upper_ends, values), len(upper_ends) - 1)
    return (bands << NOISE_BITS).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Plan:
    """One month, hour by hour. Arrays by hour have length 24 * days of the month."""

    key: str
    start_s: int  # first second of the month, since 1970, local time taken for UTC
    calibration: Calibration
    tables: Tables
    figures: Month
    effects: Effects
    shares: dict[str, float]  # dirty shares by kind
    weight: npt.NDArray[np.float64]  # by hour: share of the pick-ups
    hour_of_week: npt.NDArray[np.intp]  # by hour
    day: npt.NDArray[np.intp]  # by hour, from 0
    regime: npt.NDArray[np.intp]  # by hour
    log_minutes: Singles  # by hour: all terms that depend on time only
    log_miles: Singles  # by hour
    curve_start: Ints  # by hour: first entry of its speed curve
    pair_start: Ints  # by hour: first entry of its pairs
    mix_start: Ints  # by hour: first slot of its mix
    mix: Small  # regime, hour of day, slot of NOISE_BITS: trip type
    unrecorded_mix: Small

    def day_of(self, when: date) -> int:
        """Return the day of this month, from 0, that `when` is; negative before it, past its end after it."""
        return (when - date(int(self.key[:4]), int(self.key[5:]), 1)).days


def plan_month(calibration: Calibration, key: str, effects: Effects) -> Plan:
    """Prepare month `key` (`YYYY-MM`); ConfigError if it is not calibrated."""
    figures = calibration.month(key)
    year, number = int(key[:4]), int(key[5:])
    start = datetime(year, number, 1)
    days = len(figures.days)
    hour = np.arange(days * 24)
    day = hour // 24
    hour_of_week = (start.weekday() * 24 + hour) % 168
    regime = (day >= (calibration.pandemic_from - start.date()).days).astype(np.intp)
    within_day = calibration.volume.hour_of_week[regime, hour_of_week]
    totals = np.bincount(day, within_day)
    weight = figures.days[day] * within_day / totals[day]
    log_minutes = (
        calibration.speed.hour_of_week[regime, hour_of_week]
        + figures.log_minutes[regime]
        + figures.day_log_minutes[day]
        - np.log(effects.speed_factor)
    )
    mix, unrecorded = calibration.mix, calibration.mix.unrecorded_hours * figures.unrecorded_mix
    return Plan(
        key=key,
        start_s=(start.date() - date(1970, 1, 1)).days * 86_400,
        calibration=calibration,
        tables=tables(calibration),
        figures=figures,
        effects=effects,
        shares=dict(zip(DIRTY_KINDS, map(float, figures.dirty), strict=True)),
        weight=weight / weight.sum(),
        hour_of_week=hour_of_week,
        day=day,
        regime=regime,
        log_minutes=log_minutes.astype(np.float32),
        log_miles=figures.log_miles[regime].astype(np.float32),
        curve_start=(regime * hours.TIME_BANDS + hours.TIME_BAND[hour_of_week]) * FINE_POINTS,
        pair_start=(regime * 2 + hours.BUSY[hour_of_week]) * PAIRS,
        mix_start=(regime * hours.DAY_HOURS + hours.DAY_HOUR[hour_of_week]) << NOISE_BITS,
        mix=choice_table((mix.hours * figures.mix[:, None, :]).reshape(-1, mix.hours.shape[2]), NOISE_BITS),
        unrecorded_mix=choice_table(unrecorded.reshape(-1, unrecorded.shape[2]), NOISE_BITS)
        + np.uint16(mix.hours.shape[2]),
    )
