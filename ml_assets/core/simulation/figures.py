"""The measured figures, section by section, with the shape of each. Reading the file is in `calibration`.

The sections of the JSON file are the classes below, key by key. A shape written with letters is free in that
letter; the same letter means the same length everywhere: k trip types, u unrecorded trip types, c clusters.
Regime 0 is before the pandemic, 1 is the pandemic.
"""

from dataclasses import dataclass
from typing import Annotated

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


class Shape:
    """The shape a figure must have, and the `least` value each of its numbers may take."""

    def __init__(self, *sizes: int | str, least: float = -np.inf) -> None:
        self.sizes = sizes
        self.least = least


@dataclass(frozen=True, eq=False)
class Zones:
    """One figure per zone; the map is learnt from trip distances, not from geography."""

    x_miles: Annotated[Floats, Shape(ZONES)]
    y_miles: Annotated[Floats, Shape(ZONES)]
    radius_miles: Annotated[Floats, Shape(ZONES, least=0)]
    log_detour: Annotated[Floats, Shape(ZONES)]  # ln(driven / straight), half of it due to each end
    cluster: Annotated[Floats, Shape(ZONES, least=0)]
    flat_fare: Annotated[Floats, Shape(ZONES, least=0)]  # 1 where a ride to or from JFK costs the flat fare
    surcharged: Annotated[Floats, Shape(ZONES, least=0)]  # 1 in the congestion zone of 2019-02
    card_log_odds: Annotated[Floats, Shape(ZONES)]  # card against cash, on top of the month's


@dataclass(frozen=True, eq=False)
class Mix:
    """Trip types: who goes from where to where, and at what hours; fitted in `fit_mix`."""

    pickup: Annotated[Floats, Shape("k", ZONES, least=0)]
    dropoff: Annotated[Floats, Shape("k", ZONES, least=0)]
    hours: Annotated[Floats, Shape(2, 48, "k", least=0)]  # regime, hour of working day or weekend
    unrecorded_pickup: Annotated[Floats, Shape("u", ZONES, least=0)]
    unrecorded_dropoff: Annotated[Floats, Shape("u", ZONES, least=0)]
    unrecorded_hours: Annotated[Floats, Shape(2, 48, "u", least=0)]


@dataclass(frozen=True, eq=False)
class Speed:
    """Additive terms of ln(minutes), and the spread around them."""

    hour_of_week: Annotated[Floats, Shape(2, 168)]
    miles_curve: Annotated[Floats, Shape(2, 6, CURVE_POINTS)]  # regime, time band, ln(miles)
    pickup: Annotated[Floats, Shape(2, 2, ZONES)]  # regime, busy
    dropoff: Annotated[Floats, Shape(2, 2, ZONES)]
    clusters: Annotated[Floats, Shape("c", "c")]
    detour: Annotated[Floats, Shape(11)]  # driven / typical miles of the pair, ln, in steps of 0.15 from -0.75
    unrecorded: Annotated[Floats, Shape(2)]
    noise_bands: Annotated[Floats, Shape("n")]  # upper ends in ln(miles), the last is open
    noise: Annotated[Floats, Shape("n", _Q)]  # quantiles of ln(minutes) around the sum of the terms
    miles_bands: Annotated[Floats, Shape("m")]  # upper ends in ln(typical miles)
    miles_noise: Annotated[Floats, Shape("m", _Q)]  # quantiles of ln(miles) around the typical of the pair
    unrecorded_miles_noise: Annotated[Floats, Shape(_Q)]


@dataclass(frozen=True, eq=False)
class Money:
    """Fares, in dollars. Tips are a share of the rest of the bill, by regime and fare band."""

    meter: Annotated[Floats, Shape(3)]  # flag drop, per mile, per minute
    meter_noise: Annotated[Floats, Shape(_Q)]
    tip_fare_bands: Annotated[Floats, Shape("f")]
    tip_share: Annotated[Floats, Shape(2, 2, "f", _Q)]  # vendor 1 or another: their terminals suggest other amounts
    toll_share: Annotated[Floats, Shape("c", "c", least=0)]
    toll_other: Annotated[Floats, Shape(_Q)]
    negotiated_fare: Annotated[Floats, Shape(_Q)]
    negotiated: Annotated[Floats, Shape(2, least=0)]  # share of rate code 5: ordinary trips, those under a minute
    surcharge_share: Annotated[Floats, Shape(3, least=0)]  # with 0, 1, 2 ends in the congestion zone
    unrecorded_surcharge: Annotated[Floats, Shape(2, least=0)]  # by regime
    unrecorded_tip: Annotated[Floats, Shape(_Q)]  # dollars, where there is one
    card_miles_bands: Annotated[Floats, Shape("b")]  # upper ends in miles
    card_log_odds: Annotated[Floats, Shape("b")]  # card against cash by distance, on top of month and zone
    unrecorded_meter: Annotated[Floats, Shape(3)]
    unrecorded_meter_noise: Annotated[Floats, Shape(_Q)]


@dataclass(frozen=True, eq=False)
class Dirt:
    """What comes with what in dirty rows."""

    short_seconds: Annotated[Floats, Shape(_Q)]
    short_miles: Annotated[Floats, Shape(_Q)]  # mostly zeros
    short_same_zone: Annotated[Floats, Shape(1, least=0)]
    short_unknown: Annotated[Floats, Shape(1, least=0)]
    short_payment: Annotated[Floats, Shape(4, least=0)]
    long_minutes: Annotated[Floats, Shape(_Q)]
    unknown_patterns: Annotated[Floats, Shape(8, least=0)]  # see `dirt.UNKNOWN_PATTERNS`
    outer_miles: Annotated[Floats, Shape(_Q)]  # trips from or to 265, outside the city
    refund_payment: Annotated[Floats, Shape(4, least=0)]
    zero_vendor_one: Annotated[Floats, Shape(1, least=0)]
    unknown_vendor_one: Annotated[Floats, Shape(1, least=0)]
    unrecorded_to_the_minute: Annotated[Floats, Shape(1, least=0)]
    twice_vendor_one: Annotated[Floats, Shape(1, least=0)]  # copied without record; the others are refunded


@dataclass(frozen=True, eq=False)
class Volume:
    """Relative number of pick-ups by hour of the week."""

    hour_of_week: Annotated[Floats, Shape(2, 168, least=0)]


@dataclass(frozen=True, eq=False)
class Month:
    """What differs from month to month. Two columns per `by regime`: a month may see both regimes."""

    days: Annotated[Floats, Shape("d", least=0)]  # pick-ups by day of the month, relative
    day_log_minutes: Annotated[Floats, Shape("d")]
    log_minutes: Annotated[Floats, Shape(2)]  # by regime
    log_miles: Annotated[Floats, Shape(2)]
    mix: Annotated[Floats, Shape(2, "k", least=0)]  # factors on the trip types
    unrecorded_mix: Annotated[Floats, Shape("u", least=0)]
    dirty: Annotated[Floats, Shape(len(DIRTY_KINDS), least=0)]  # share of rows, by kind of `DIRTY_KINDS`
    vendors: Annotated[Floats, Shape(3, least=0)]  # 1, 2, 4
    passengers: Annotated[Floats, Shape(3, 8, least=0)]  # vendor, 0 … 7 passengers
    payments: Annotated[Floats, Shape(4, least=0)]  # card, cash, no charge, dispute
    card_log_odds: Annotated[Floats, Shape(1)]  # card against cash where zone and distance add 0
    unrecorded_tipped: Annotated[Floats, Shape(1, least=0)]  # share of unrecorded rows with a tip
    stored: Annotated[Floats, Shape(1, least=0)]  # share of vendor 1's rows kept on board before sending
    clean: Annotated[Floats, Shape(1, least=0)]  # share of clean rows
    speed_mph: Annotated[Floats, Shape(3)]  # quartiles over clean rows
    miles: Annotated[Floats, Shape(5)]  # quartiles over clean rows; mean and standard deviation over all rows
    minutes: Annotated[Floats, Shape(3)]  # quartiles over clean rows
    passenger_count: Annotated[Floats, Shape(2)]  # mean and standard deviation over recorded rows
