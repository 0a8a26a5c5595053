"""Learning trip types: who goes from where to where, and when. Drawing from them is in `trips`.

A trip's pick-up zone, drop-off zone and hour are independent given its hidden type (probabilistic latent
semantic analysis: Hofmann 1999), fitted by expectation maximisation.
"""

from dataclasses import dataclass

import numpy as np

from ml_assets.core.simulation.figures import ZONES
from ml_assets.core.simulation.hours import DAY_HOURS
from ml_assets.core.simulation.sampling import ZONE_BITS, Floats, Ints, apportion, generator

_ROUNDS = 80
_HOUR_PRIOR, _SEGMENT_PRIOR = 5.0, 10.0
_ZONE_SLOTS = 1 << ZONE_BITS


@dataclass(frozen=True)
class FittedMix:
    """Trip types k: `pickup` and `dropoff` (k, zones) in slots, `hours` (2, 48, k) in thousandths, by regime;
    `factors` (segments, k): how much more of each type a segment has than its hours explain.
    """

    pickup: Ints
    dropoff: Ints
    hours: Ints
    factors: Floats


def fit_mix(
    pickup: Ints, dropoff: Ints, day_hour: Ints, segment: Ints, *, segments: int, types: int, seed: int
) -> FittedMix:
    """Fit `types` trip types on trips (n,).

    Args:
        pickup: zones from 0.
        dropoff: zones from 0.
        day_hour: regime * 48 + hour of a working day or weekend.
        segment: number of the stretch of months with a mix of its own.
        segments: how many there are.
        types: hidden types.
        seed: of the starting point.
    """
    bins = 2 * DAY_HOURS
    rng = generator(seed)
    start = rng.dirichlet(np.ones(types), size=len(pickup)).T.astype(np.float32)
    weight = (start**3 / (start**3).sum(axis=0)).astype(np.float32)
    for _ in range(_ROUNDS):
        size, starts, ends, times = _parts(weight, pickup, dropoff, day_hour, bins)
        weight = starts[:, pickup] * ends[:, dropoff] * times[:, day_hour] * size[:, None]
        weight /= np.maximum(weight.sum(axis=0), 1e-30)
    _, starts, ends, _ = _parts(weight, pickup, dropoff, day_hour, bins)
    by_bin = np.array([np.bincount(day_hour, w, bins) for w in weight])
    overall = np.stack([by_bin[:, :DAY_HOURS].sum(axis=1), by_bin[:, DAY_HOURS:].sum(axis=1)])
    overall = (overall + _HOUR_PRIOR * overall.sum(axis=0) / max(overall.sum(), 1e-9)) / (
        overall.sum(axis=1, keepdims=True) + _HOUR_PRIOR
    )
    prior = _HOUR_PRIOR * np.repeat(overall, DAY_HOURS, axis=0).T
    hours = (by_bin + prior) / (by_bin.sum(axis=0) + _HOUR_PRIOR)
    found = np.array([np.bincount(segment, w, segments) for w in weight])
    expected = np.array([np.bincount(segment, h[day_hour], segments) for h in hours])
    return FittedMix(
        pickup=np.array([apportion(row, _ZONE_SLOTS) for row in starts]),
        dropoff=np.array([apportion(row, _ZONE_SLOTS) for row in ends]),
        hours=np.array([apportion(row, 1000) for row in hours.T]).reshape(2, DAY_HOURS, types),
        factors=((found + _SEGMENT_PRIOR) / (expected + _SEGMENT_PRIOR)).T.round(3),
    )


def _parts(
    weight: "np.ndarray[tuple[int, int], np.dtype[np.float32]]",
    pickup: Ints,
    dropoff: Ints,
    hour: Ints,
    bins: int,
) -> tuple[Floats, Floats, Floats, Floats]:
    size = np.maximum(weight.sum(axis=1, dtype=np.float64), 1e-9)
    starts = np.array([np.bincount(pickup, w, ZONES) for w in weight]) / size[:, None]
    ends = np.array([np.bincount(dropoff, w, ZONES) for w in weight]) / size[:, None]
    times = np.array([np.bincount(hour, w, bins) for w in weight]) / size[:, None]
    single = np.float32
    return size.astype(single), starts.astype(single), ends.astype(single), times.astype(single)
