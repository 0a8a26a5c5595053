"""Making months: `simulate_batches` and `simulate_month`. What is drawn is in `trips`, `money`, `dirt`.

A month is made in blocks of whole hours, each from a stream of random numbers of its own that depends on
seed, month, number of rows and first hour: no month, and no order of making, changes another. Injections
draw from streams beside these, so that they change what they are about and nothing else.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from ml_assets.core.errors import ConfigError
from ml_assets.core.simulation.calibration import Calibration
from ml_assets.core.simulation.dirt import break_rows, outside_after, outside_before, spoil
from ml_assets.core.simulation.injections import Injection, combine
from ml_assets.core.simulation.money import bill
from ml_assets.core.simulation.plan import Plan, plan_month
from ml_assets.core.simulation.records import as_frame, choose_recorded_twice, record, record_twice
from ml_assets.core.simulation.sampling import Ints, chance, generator
from ml_assets.core.simulation.trips import draw_trips

BLOCK_ROWS = 262_144
"""A block takes whole hours until it has this many rows: about 40 MB as a frame, 120 MB at work."""


def simulate_batches(
    calibration: Calibration, month: str, *, rows: int, seed: int, injections: Sequence[Injection] = ()
) -> Iterator[pl.DataFrame]:
    """Return the trips of `month` (`YYYY-MM`) block by block, sorted by pick-up time throughout.

    Args:
        calibration: the measured figures.
        month: one of `calibration.months`.
        rows: trips in the month, exactly; 1 or more.
        seed: 0 or more; same seed, month, rows and injections give the same trips.
        injections: drift to add where active in `month`.

    Returns:
        Frames with the 18 columns of the TLC's files (`records.SCHEMA`), none of them empty.

    Raises:
        ConfigError: an unknown month, or a value out of range; raised at the call, not at the first block.
    """
    least = {"rows": (rows, 1), "seed": (seed, 0)}
    wrong = [f"{name} = {value}" for name, (value, bound) in least.items() if value < bound]
    if wrong:
        raise ConfigError(
            f"simulated month {month}",
            found=wrong,
            expected="rows >= 1, seed >= 0",
            cure="correct the simulated source",
        )
    plan = plan_month(calibration, month, combine(injections, month, calibration.month(month)))
    return _blocks(plan, rows, seed)


def simulate_month(
    calibration: Calibration, month: str, *, rows: int, seed: int, injections: Sequence[Injection] = ()
) -> pl.DataFrame:
    """Return the frames of `simulate_batches` as one, (rows, 18)."""
    return pl.concat(simulate_batches(calibration, month, rows=rows, seed=seed, injections=injections))


def _blocks(plan: Plan, rows: int, seed: int) -> Iterator[pl.DataFrame]:
    entropy = (seed, int(plan.key[:4]), int(plan.key[5:]), rows)
    rng = generator(*entropy)
    before = int(rng.binomial(rows, plan.shares["before_month"]))
    after = int(rng.binomial(rows - before, plan.shares["after_month"]))
    counts = rng.multinomial(rows - before - after, plan.weight)
    early = outside_before(rng, before)
    late = outside_after(rng, after, len(counts) * 3600)
    first = 0
    while first < len(counts):
        last = first + 1 + int(np.searchsorted(np.cumsum(counts[first:]), BLOCK_ROWS))
        last = len(counts) if last >= len(counts) or not counts[last:].any() else last
        outside = (early if first == 0 else early[:0], late if last == len(counts) else late[:0])
        if counts[first:last].any() or any(map(len, outside)):
            streams = generator(*entropy, first), generator(*entropy, first, 1)
            yield _block(plan, counts[first:last], first, outside, *streams)
        first = last


def _block(
    plan: Plan,
    counts: Ints,
    first: int,
    outside: tuple[Ints, Ints],
    rng: np.random.Generator,
    drift: np.random.Generator,
) -> pl.DataFrame:
    """Return the trips of the hours from `first` on, `counts` by hour, plus those outside the month."""
    pickup_s, unrecorded = _pickups(plan, counts, first, rng)
    recorded = np.flatnonzero(~unrecorded)
    twice = min(int(rng.binomial(len(pickup_s), plan.shares["recorded_twice"])), len(recorded) // 2)
    if twice:  # their second rows take the places of others, so that the number of rows stays
        dropped = rng.choice(recorded, size=twice, replace=False)
        pickup_s, unrecorded = np.delete(pickup_s, dropped), np.delete(unrecorded, dropped)
    before, after = outside
    pickup_s = np.concatenate([before, pickup_s, after])
    unrecorded = np.pad(unrecorded, (len(before), len(after)))
    trips = draw_trips(plan, pickup_s, unrecorded, rng, drift)
    sources = choose_recorded_twice(trips, plan, twice, rng)
    spoil(trips, plan, rng)
    costs = bill(trips, plan, rng)
    break_rows(trips, plan, drift)
    columns = record(trips, costs, plan, rng, drift)
    if twice:
        columns = record_twice(columns, sources)
    return as_frame(columns)


def _pickups(plan: Plan, counts: Ints, first: int, rng: np.random.Generator) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Draw sorted pick-up times, in seconds since the start of the month, and which have no record."""
    hour_s = np.repeat((np.arange(len(counts)) + first) * 3600, counts)
    pickup_s = hour_s + rng.integers(0, 3600, size=len(hour_s), dtype=np.uint16)
    unrecorded = chance(rng, len(pickup_s), plan.shares["unrecorded"])
    to_the_minute = unrecorded & chance(rng, len(pickup_s), float(plan.calibration.dirt.unrecorded_to_the_minute[0]))
    pickup_s[to_the_minute] -= pickup_s[to_the_minute] % 60
    keys = np.sort(2 * pickup_s + unrecorded)
    return keys >> 1, (keys & 1).astype(np.bool_)
