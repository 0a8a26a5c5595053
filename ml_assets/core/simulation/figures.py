"""The measured figures, section by section, with the shape of each. Reading the file is in `calibration`.

The sections of the JSON file are the classes below, key by key. A shape written with letters is free in that
letter; the same letter means the same length everywhere: k trip types, u unrecorded trip types, c clusters.
Regime 0 is before the pandemic, 1 is the pandemic.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ml_assets.core.simulation.sampling import PROBABILITIES, Floats

ZONES = 263
"""Taxi zones 1 … 263; 264 and 265 mean unknown (TLC data dictionary)."""
CURVE_START, CURVE_STEP, CURVE_POINTS = -4.0, 0.2, 46
"""Grid of ln(miles) on which the speed curves are given: from 0.02 to 148 miles."""
REGIMES = ("before the pandemic", "pandemic")
DIRTY_KINDS = (
    "under_a_minute",
    "over_three_hours",
    "zero_distance",
    "unknown_zone",
    "negative_fare",
    "unrecorded",
    "before_month",
    "after_month",
    "recorded_twice",
)
RECORD_COLUMNS = ("VendorID", "passenger_count", "RatecodeID", "store_and_fwd_flag", "payment_type")
"""Empty together, in `unrecorded` rows."""
_Q = len(PROBABILITIES)


def _array(*shape: int | str, least: float = -np.inf) -> Any:
    return field(metadata={"shape": shape, "least": least})


@dataclass(frozen=True, eq=False)
class Zones:
    """One figure per zone; the map is learnt from trip distances, not from geography."""

    x_miles: Floats = _array(ZONES)
    y_miles: Floats = _array(ZONES)
    radius_miles: Floats = _array(ZONES, least=0)
    log_detour: Floats = _array(ZONES)  # ln(driven / straight), half of it due to each end
    cluster: Floats = _array(ZONES, least=0)
    flat_fare: Floats = _array(ZONES, least=0)  # 1 where a ride to or from JFK costs the flat fare
    surcharged: Floats = _array(ZONES, least=0)  # 1 in the congestion zone of 2019-02
    card_log_odds: Floats = _array(ZONES)  # paying by card, relative to the month


@dataclass(frozen=True, eq=False)
class Mix:
    """Trip types: who goes from where to where, and at what hours (probabilistic latent semantic analysis)."""

    pickup: Floats = _array("k", ZONES, least=0)
    dropoff: Floats = _array("k", ZONES, least=0)
    hours: Floats = _array(2, 48, "k", least=0)  # regime, hour of working day or weekend
    unrecorded_pickup: Floats = _array("u", ZONES, least=0)
    unrecorded_dropoff: Floats = _array("u", ZONES, least=0)
    unrecorded_hours: Floats = _array(2, 48, "u", least=0)


@dataclass(frozen=True, eq=False)
class Speed:
    """Additive terms of ln(minutes), and the spread around them."""

    hour_of_week: Floats = _array(2, 168)
    miles_curve: Floats = _array(2, 6, CURVE_POINTS)  # regime, time band, ln(miles)
    pickup: Floats = _array(2, 2, ZONES)  # regime, busy
    dropoff: Floats = _array(2, 2, ZONES)
    clusters: Floats = _array("c", "c")
    detour: Floats = _array(11)  # driven / typical miles of the pair, ln, in steps of 0.15 from -0.75
    unrecorded: Floats = _array(2)
    noise_bands: Floats = _array("n")  # upper ends in ln(miles), the last is open
    noise: Floats = _array("n", _Q)  # quantiles of ln(minutes) around the sum of the terms
    miles_bands: Floats = _array("m")  # upper ends in ln(typical miles)
    miles_noise: Floats = _array("m", _Q)  # quantiles of ln(miles) around the typical of the pair
    unrecorded_miles_noise: Floats = _array(_Q)


@dataclass(frozen=True, eq=False)
class Money:
    """Fares, in dollars. Tips are a share of the rest of the bill, by regime and fare band."""

    meter: Floats = _array(3)  # flag drop, per mile, per minute
    meter_noise: Floats = _array(_Q)
    tip_fare_bands: Floats = _array("f")
    tip_share: Floats = _array(2, "f", _Q)
    toll_share: Floats = _array("c", "c", least=0)
    toll_other: Floats = _array(_Q)
    negotiated_fare: Floats = _array(_Q)
    negotiated: Floats = _array(2, least=0)  # share of rate code 5: ordinary trips, those under a minute
    surcharge_share: Floats = _array(3, least=0)  # with 0, 1, 2 ends in the congestion zone
    unrecorded_surcharge: Floats = _array(2, least=0)  # by regime
    unrecorded_tip: Floats = _array(2, least=0)
    unrecorded_meter: Floats = _array(3)
    unrecorded_meter_noise: Floats = _array(_Q)


@dataclass(frozen=True, eq=False)
class Dirt:
    """What comes with what in dirty rows."""

    short_seconds: Floats = _array(_Q)
    short_miles: Floats = _array(_Q)  # mostly zeros
    short_same_zone: Floats = _array(1, least=0)
    short_unknown: Floats = _array(1, least=0)
    short_payment: Floats = _array(4, least=0)
    long_minutes: Floats = _array(_Q)
    unknown_patterns: Floats = _array(8, least=0)  # see `dirt.UNKNOWN_PATTERNS`
    outer_miles: Floats = _array(_Q)  # trips from or to 265, outside the city
    refund_payment: Floats = _array(4, least=0)
    zero_vendor_one: Floats = _array(1, least=0)
    unknown_vendor_one: Floats = _array(1, least=0)
    unrecorded_to_the_minute: Floats = _array(1, least=0)
    twice_vendor_one: Floats = _array(1, least=0)  # share of them; copied without a record, the others refunded


@dataclass(frozen=True, eq=False)
class Volume:
    """Relative number of pick-ups by hour of the week."""

    hour_of_week: Floats = _array(2, 168, least=0)


@dataclass(frozen=True, eq=False)
class Month:
    """What differs from month to month. Two columns per `by regime`: a month may see both regimes."""

    days: Floats = _array("d", least=0)  # pick-ups by day of the month, relative
    day_log_minutes: Floats = _array("d")
    log_minutes: Floats = _array(2)  # by regime
    log_miles: Floats = _array(2)
    mix: Floats = _array(2, "k", least=0)  # factors on the trip types
    unrecorded_mix: Floats = _array("u", least=0)
    dirty: Floats = _array(len(DIRTY_KINDS), least=0)  # share of rows, by kind of `DIRTY_KINDS`
    vendors: Floats = _array(3, least=0)  # 1, 2, 4
    passengers: Floats = _array(3, 8, least=0)  # vendor, 0 … 7 passengers
    payments: Floats = _array(4, least=0)  # card, cash, no charge, dispute
    stored: Floats = _array(1, least=0)  # share of vendor 1's rows kept on board before sending
    clean: Floats = _array(1, least=0)  # share of clean rows
    speed_mph: Floats = _array(3)  # quartiles over clean rows
    miles: Floats = _array(5)  # quartiles over clean rows; mean and standard deviation over all rows
    minutes: Floats = _array(3)  # quartiles over clean rows
    passenger_count: Floats = _array(2)  # mean and standard deviation over recorded rows
