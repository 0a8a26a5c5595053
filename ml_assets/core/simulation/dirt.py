"""What is wrong with some rows, as it is in the real files. Which rows, how they are spoilt, and the injected
breakages; how often is measured and stands in the calibration.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ml_assets.core.simulation.plan import Plan
from ml_assets.core.simulation.sampling import NOISE_BITS, Ints, chance, slots

if TYPE_CHECKING:
    from ml_assets.core.simulation.trips import Trips

UNKNOWN_PATTERNS = np.array(
    [[0, 0], [264, 264], [264, 0], [0, 264], [265, 265], [265, 0], [0, 265], [264, 265], [265, 264]],
    dtype=np.uint16,
)
"""Pick-up and drop-off zone as published where unknown; 0 leaves the zone as it is. The first is no dirt."""

_DAY_S = 86_400
Mask = npt.NDArray[np.bool_]


@dataclass
class Flags:
    """What will be wrong with each row."""

    unrecorded: Mask
    short: Mask  # under a minute
    long: Mask  # over three hours
    zero: Mask  # zero distance although it lasted
    unknown: npt.NDArray[np.uint8]  # row of UNKNOWN_PATTERNS
    same_zone: Mask
    negative: Mask


def draw_flags(plan: Plan, vendor: npt.NDArray[np.uint8], rng: np.random.Generator) -> Flags:
    """Draw what is wrong with the rows of `vendor` (n,), 0 meaning unrecorded."""
    rows, share, dirt = len(vendor), plan.shares, plan.calibration.dirt
    recorded = max(1 - share["unrecorded"], 1e-9)
    of_two = max(recorded * float(plan.figures.vendors[1]), 1e-9)
    short_share = share["under_a_minute"] / recorded
    short = chance(rng, rows, short_share) & (vendor > 0)
    long = chance(rng, rows, share["over_three_hours"] / of_two) & (vendor == 2) & ~short
    zeros_when_short = float((plan.tables.short_miles < 0.005).mean())
    zero = _by_vendor(plan, share["zero_distance"], zeros_when_short, float(dirt.zero_vendor_one[0]))
    unknown = _by_vendor(plan, share["unknown_zone"], float(dirt.short_unknown[0]), float(dirt.unknown_vendor_one[0]))
    hidden = chance(rng, rows, np.where(short, dirt.short_unknown[0], unknown[vendor]))
    pattern = np.zeros(rows, dtype=np.uint8)
    odds = dirt.unknown_patterns / dirt.unknown_patterns.sum()
    pattern[hidden] = 1 + rng.choice(len(odds), size=int(hidden.sum()), p=odds)
    return Flags(
        unrecorded=vendor == 0,
        short=short,
        long=long,
        zero=chance(rng, rows, zero[vendor]) & ~short,
        unknown=pattern,
        same_zone=short & chance(rng, rows, float(dirt.short_same_zone[0])),
        negative=chance(rng, rows, share["negative_fare"] / of_two) & (vendor == 2),
    )


def _by_vendor(plan: Plan, share: float, when_short: float, vendor_one: float) -> npt.NDArray[np.float64]:
    """Return the chance by vendor number 0 … 4 that rows which are not short are hit, so that all in all
    `share` is, `when_short` of the short ones and `vendor_one` of those hit being of vendor 1.
    """
    short = plan.shares["under_a_minute"]
    rest = max(0.0, (share - when_short * short) / (1 - short))
    first = float(plan.figures.vendors[0])
    others = rest * (1 - vendor_one) / max(1 - first, 1e-9)
    return np.array([rest, rest * vendor_one / max(first, 1e-9), others, others, others]).clip(0, 1)


def spoil(trips: "Trips", plan: Plan, rng: np.random.Generator) -> None:
    """Change distance and duration of the flagged rows in place; run before they cost money."""
    flags, look = trips.flags, plan.tables
    trips.miles[flags.zero] = 0
    at = np.flatnonzero(flags.short)
    trips.seconds[at] = look.short_seconds[slots(rng, len(at), NOISE_BITS)].astype(np.int64)
    trips.miles[at] = look.short_miles[slots(rng, len(at), NOISE_BITS)]
    at = np.flatnonzero(flags.long)
    trips.seconds[at] = (60 * look.long_minutes[slots(rng, len(at), NOISE_BITS)]).astype(np.int64)
    at = np.flatnonzero(flags.unrecorded & (trips.pickup_s % 60 == 0))
    trips.seconds[at] -= trips.seconds[at] % 60
    trips.seconds[at] = np.maximum(trips.seconds[at], 60)


def break_rows(trips: "Trips", plan: Plan, rng: np.random.Generator) -> None:
    """Apply the injected `BrokenRows` in place."""
    if plan.effects.broken_share:
        broken = chance(rng, len(trips.miles), plan.effects.broken_share)
        trips.seconds[broken] = -np.abs(trips.seconds[broken]) - 60
        trips.miles[broken] = -np.abs(trips.miles[broken]) - 1


def outside_before(rng: np.random.Generator, rows: int) -> Ints:
    """Draw `rows` pick-ups before their month, in seconds from its start: mostly minutes, some by years."""
    near = -rng.integers(1, 300, size=rows)
    days = -rng.integers(1, 40, size=rows) * _DAY_S + rng.integers(0, _DAY_S, size=rows)
    reset_clock = -rng.integers(10, 12, size=rows) * 365 * _DAY_S + rng.integers(0, _DAY_S, size=rows)
    kind = rng.random(rows)
    return np.sort(np.where(kind < 0.7, near, np.where(kind < 0.9, days, reset_clock))).astype(np.int64)


def outside_after(rng: np.random.Generator, rows: int, month_s: int) -> Ints:
    """Draw `rows` pick-ups after their month, which has `month_s` seconds: by days, up to a month."""
    return np.sort(month_s + rng.integers(0, 30 * _DAY_S, size=rows)).astype(np.int64)
