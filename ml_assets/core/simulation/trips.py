"""Where a trip goes, how far and how long it takes; who drives and who records it. Fares are in `money`,
dirt that hides or spoils a trip afterwards in `dirt`.

ln(minutes) is a sum of looked-up terms (month, day, hour of the week, distance by time of day, both zones,
their neighbourhoods, detour) and noise drawn from the measured quantiles of what the sum leaves unexplained:
its tails are as heavy as the real ones.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml_assets.core.simulation.dirt import UNKNOWN_PATTERNS, Flags, draw_flags
from ml_assets.core.simulation.figures import CURVE_START, ZONES
from ml_assets.core.simulation.plan import FINE_POINTS, FINE_STEP, Plan
from ml_assets.core.simulation.sampling import NOISE_BITS, ZONE_BITS, Ints, Singles, Small, chance, slots

_LEAST_S, _MOST_S = 61, 10_740
_LEAST_MILES, _MOST_MILES = 0.01, 99.0
VENDORS = np.array([1, 2, 4], dtype=np.uint8)


@dataclass
class Trips:
    """Rows before they cost money, all arrays of one length, sorted by pick-up."""

    pickup_s: Ints  # seconds since the start of the month; negative before it
    hour: npt.NDArray[np.intp]  # of the month
    pickup: Small  # zone from 0
    dropoff: Small
    miles: Singles
    seconds: Ints
    vendor: npt.NDArray[np.uint8]  # 0 in unrecorded rows
    flags: Flags


def draw_trips(
    plan: Plan,
    pickup_s: Ints,
    unrecorded: npt.NDArray[np.bool_],
    rng: np.random.Generator,
    drift: np.random.Generator,
) -> Trips:
    """Draw one trip per pick-up time: `pickup_s` (n,) sorted, `unrecorded` (n,); `drift`: for injections."""
    rows = len(pickup_s)
    look = plan.tables
    hour = np.clip(pickup_s // 3600, 0, len(plan.weight) - 1).astype(np.intp)
    vendor = VENDORS[np.searchsorted(np.cumsum(plan.figures.vendors)[:-1], rng.random(rows), side="right")]
    vendor[unrecorded] = 0
    flags = draw_flags(plan, vendor, rng)

    at = plan.mix_start[hour] + slots(rng, rows, NOISE_BITS)
    kind = np.where(unrecorded, plan.unrecorded_mix[at], plan.mix[at]).astype(np.int64) << ZONE_BITS
    pickup = look.pickup[kind + slots(rng, rows, ZONE_BITS)]
    dropoff = look.dropoff[kind + slots(rng, rows, ZONE_BITS)]
    for shift in plan.effects.zone_shifts:
        moved = chance(drift, rows, shift.share)
        pickup = np.where(moved, drift.choice(np.array(shift.pickup_zones, np.uint16) - 1, size=rows), pickup)
    dropoff = np.where(flags.same_zone, pickup, dropoff).astype(np.uint16)

    pair = pickup.astype(np.int64) * ZONES + dropoff
    typical = look.log_miles[pair]
    slot = slots(rng, rows, NOISE_BITS)
    off = look.miles_noise[look.miles_band[pair] + slot]
    if unrecorded.any():
        off = np.where(unrecorded, look.unrecorded_miles_noise[slot], off)
    off += plan.log_miles[hour]
    outer = np.flatnonzero(UNKNOWN_PATTERNS[flags.unknown].max(axis=1) == 265)
    typical[outer] = np.log(look.outer_miles[slots(rng, len(outer), NOISE_BITS)]) - off[outer]
    log_miles = typical + off + np.float32(np.log(plan.effects.miles_factor))
    miles = np.clip(np.exp(log_miles), _LEAST_MILES, _MOST_MILES)

    fine = np.clip((log_miles - CURVE_START) / FINE_STEP, 0, FINE_POINTS - 1).astype(np.int64)
    detour = np.clip(np.rint(off / 0.15), -5, 5).astype(np.intp) + 5
    log_minutes = (
        plan.log_minutes[hour]
        + look.curve[plan.curve_start[hour] + fine]
        + look.pair_minutes[plan.pair_start[hour] + pair]
        + plan.calibration.speed.detour.astype(np.float32)[detour]
        + look.noise[look.noise_band[fine] + slots(rng, rows, NOISE_BITS)]
    )
    if unrecorded.any():
        log_minutes += np.where(unrecorded, plan.calibration.speed.unrecorded.astype(np.float32)[plan.regime[hour]], 0)
    seconds = np.clip(60 * np.exp(log_minutes), _LEAST_S, _MOST_S).astype(np.int64)
    return Trips(pickup_s, hour, pickup, dropoff, miles, seconds, vendor, flags)
