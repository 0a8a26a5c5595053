"""What a trip costs and how it is paid: rate code, payment, fare and its additions, in dollars.

Rules of the fare are the TLC's of 2018 to 2020 (data dictionary and rate card); shares and spreads
are measured.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml_assets.core.simulation import hours
from ml_assets.core.simulation.dirt import UNKNOWN_PATTERNS
from ml_assets.core.simulation.plan import Plan
from ml_assets.core.simulation.sampling import NOISE_BITS, Floats, chance, slots
from ml_assets.core.simulation.trips import Trips

_JFK, _NEWARK = 131, 0  # zones from 0
_FLAT_FARE, _NEWARK_EXTRA, _AIRPORT_RUSH = 52.0, 17.5, 4.5
_LEAST_FARE = 2.5
_SURCHARGE, _MTA_TAX, _IMPROVEMENT = 2.5, 0.5, 0.3
_UNRECORDED_EXTRA = 2.75  # until the pandemic the surcharge of unrecorded trips stood here
_TOLL_BEFORE, _TOLL_AFTER, _USUAL_TOLL = 5.76, 6.12, 0.93
_FLAT_SHARE, _OUTER_RATE_SHARE = 0.985, 0.3
_USUAL_MINUTES = 180.0


@dataclass
class Bill:
    """Money columns (n,) in dollars, and the codes they follow from; 0 stands for missing codes."""

    rate_code: npt.NDArray[np.uint8]
    payment: npt.NDArray[np.uint8]
    fare: Floats
    extra: Floats
    mta_tax: Floats
    tip: Floats
    tolls: Floats
    improvement: Floats
    surcharge: Floats
    total: Floats


def bill(trips: Trips, plan: Plan, rng: np.random.Generator) -> Bill:
    """Return what `trips` cost."""
    rows = len(trips.miles)
    flags, money, look = trips.flags, plan.calibration.money, plan.tables
    rate = _rate_codes(trips, plan, rng)
    regime = plan.regime[trips.hour]
    fare = _fares(trips, rate, plan, rng)
    band = np.searchsorted(money.tip_fare_bands[:-1], fare)
    payment = _payments(trips, plan, rng)

    week_hour = plan.hour_of_week[trips.hour]
    rush = hours.RUSH_EXTRA[week_hour]
    extra = 0.5 * hours.NIGHT_EXTRA[week_hour] + 1.0 * rush
    extra[rate == 2] = _AIRPORT_RUSH * rush[rate == 2]
    extra[rate == 5] = 0
    extra[flags.unrecorded] = np.where(regime[flags.unrecorded] == 0, _UNRECORDED_EXTRA, 0.0)
    surcharge = _surcharges(trips, plan, rng)
    first = (trips.vendor == 1) & (surcharge > 0)
    extra[first] += surcharge[first]  # vendor 1 shows it twice, and adds it up once

    mta_tax = np.where((rate == 3) | ((rate == 5) & chance(rng, rows, 0.5)), 0.0, _MTA_TAX)
    pair = trips.pickup.astype(np.int64) * len(plan.calibration.zones.cluster) + trips.dropoff
    tolled = np.flatnonzero(chance(rng, rows, look.toll_share[pair]) & (trips.miles > 1))
    usual = np.where(
        plan.day[trips.hour[tolled]] >= plan.day_of(plan.calibration.toll_raised_on),
        _TOLL_AFTER,
        _TOLL_BEFORE,
    )
    other = look.toll_other[slots(rng, len(tolled), NOISE_BITS)]
    tolls = np.zeros(rows)
    tolls[tolled] = np.where(chance(rng, len(tolled), _USUAL_TOLL), usual, other)

    shown = np.where(first | (surcharge < 0), 0.0, surcharge)
    before_tip = fare + extra + mta_tax + tolls + _IMPROVEMENT + shown
    own = (trips.vendor == 1).astype(np.int64)
    tip_table = ((own * 2 + regime) * len(money.tip_fare_bands) + band) << NOISE_BITS
    tip = np.where(payment == 1, look.tip_share[tip_table + slots(rng, rows, NOISE_BITS)] * before_tip, 0.0)
    at = np.flatnonzero(flags.unrecorded)
    tipped = chance(rng, len(at), float(plan.figures.unrecorded_tipped[0]))
    tip[at] = np.where(tipped, look.unrecorded_tip[slots(rng, len(at), NOISE_BITS)], 0.0)
    result = Bill(
        rate_code=rate,
        payment=payment,
        fare=_cents(fare),
        extra=extra,
        mta_tax=mta_tax,
        tip=_cents(tip),
        tolls=_cents(tolls),
        improvement=np.full(rows, _IMPROVEMENT),
        surcharge=surcharge,
        total=_cents(before_tip + tip),
    )
    _refund(result, flags.negative)
    return result


def _cents(dollars: Floats) -> Floats:
    return np.asarray(np.rint(dollars * 100) / 100, dtype=np.float64)


def _rate_codes(trips: Trips, plan: Plan, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    rows, flags = len(trips.miles), trips.flags
    flat = plan.calibration.zones.flat_fare > 0
    airport = ((trips.pickup == _JFK) & flat[trips.dropoff]) | ((trips.dropoff == _JFK) & flat[trips.pickup])
    rate = np.where(airport & chance(rng, rows, _FLAT_SHARE), 2, 1).astype(np.uint8)
    rate[trips.dropoff == _NEWARK] = 3
    outer = UNKNOWN_PATTERNS[flags.unknown].max(axis=1) == 265
    rate[outer & chance(rng, rows, _OUTER_RATE_SHARE)] = 4
    negotiated = plan.calibration.money.negotiated
    rate[chance(rng, rows, np.where(flags.short | outer, negotiated[1], negotiated[0]))] = 5
    rate[flags.unrecorded] = 0
    return rate


def _payments(trips: Trips, plan: Plan, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return the payment codes; long trips are paid by card more often.

    Distance and not the fare decides, so that a change of speed leaves this input of other models alone.
    """
    rows, flags = len(trips.miles), trips.flags
    free, disputed = plan.figures.payments[2:]
    band = np.searchsorted(plan.calibration.money.card_miles_bands[:-1], trips.miles)
    by_zone = plan.figures.card_log_odds + plan.calibration.zones.card_log_odds
    log_odds = np.add.outer(by_zone, plan.calibration.money.card_log_odds)
    card = (1 / (1 + np.exp(-log_odds)))[trips.pickup, band]
    payment = np.where(chance(rng, rows, card), 1, 2).astype(np.uint8)
    odd = rng.random(rows, dtype=np.float32)
    payment[odd < free + disputed] = 4
    payment[odd < free] = 3
    dirt = plan.calibration.dirt
    for mask, shares in ((flags.short, dirt.short_payment), (flags.negative, dirt.refund_payment)):
        payment[mask] = 1 + rng.choice(4, size=int(mask.sum()), p=shares / shares.sum())
    payment[flags.unrecorded] = 0
    return payment


def _fares(trips: Trips, rate: npt.NDArray[np.uint8], plan: Plan, rng: np.random.Generator) -> Floats:
    rows, money, look = len(rate), plan.calibration.money, plan.tables
    minutes = np.clip(trips.seconds / 60, 0, _USUAL_MINUTES)
    minutes[trips.flags.long] = 4 * np.abs(trips.miles[trips.flags.long])  # the clock ran on, the meter did not
    miles = np.abs(trips.miles).astype(np.float64)
    slot = slots(rng, rows, NOISE_BITS)
    metered = money.meter[0] + money.meter[1] * miles + money.meter[2] * minutes + look.meter_noise[slot]
    fare = np.maximum(np.rint(2 * metered) / 2, _LEAST_FARE)
    fare[rate == 2] = _FLAT_FARE
    fare[rate == 3] += _NEWARK_EXTRA
    fare[rate == 4] = np.rint(2.6 * fare[rate == 4]) / 2
    at = np.flatnonzero(rate == 5)
    fare[at] = look.negotiated_fare[slots(rng, len(at), NOISE_BITS)]
    at = np.flatnonzero(trips.flags.unrecorded)
    meter = money.unrecorded_meter
    own = meter[0] + meter[1] * miles[at] + meter[2] * minutes[at] + look.unrecorded_meter_noise[slot[at]]
    fare[at] = np.maximum(own, _LEAST_FARE)
    return np.asarray(fare, dtype=np.float64)


def _surcharges(trips: Trips, plan: Plan, rng: np.random.Generator) -> Floats:
    """Return the congestion surcharge; -1 where the column does not exist yet."""
    day = plan.day[trips.hour]
    zone = plan.calibration.zones.surcharged > 0
    ends = zone[trips.pickup].astype(np.intp) + zone[trips.dropoff]
    money = plan.calibration.money
    share = money.surcharge_share[ends]
    at = np.flatnonzero(trips.flags.unrecorded)
    share[at] = money.unrecorded_surcharge[plan.regime[trips.hour[at]]]
    due = chance(rng, len(share), share) & (day >= plan.day_of(plan.calibration.surcharge_from))
    known = day >= plan.day_of(plan.calibration.surcharge_column_from)
    return np.where(due, _SURCHARGE, np.where(known, 0.0, -1.0))


def _refund(bill: Bill, rows: npt.NDArray[np.bool_]) -> None:
    """Turn `rows` into refunds: every amount negative, no tip."""
    bill.total[rows] -= bill.tip[rows]
    bill.tip[rows] = 0
    for column in (bill.fare, bill.extra, bill.mta_tax, bill.tolls, bill.improvement, bill.total):
        column[rows] = 0 - column[rows]
    charged = rows & (bill.surcharge > 0)
    bill.surcharge[charged] = -_SURCHARGE
