"""Learning a map of the taxi zones from nothing but trip distances. Using the map is in `plan`.

Median distances of pairs of zones span a graph; its shortest paths are scaled to two dimensions (Isomap:
Tenenbaum, de Silva, Langford 2000), then the positions, a radius and a detour per zone are refined by
gradient descent (Adam: Kingma, Ba 2015) on the logarithm of the distances.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml_assets.core.simulation.figures import ZONES
from ml_assets.core.simulation.sampling import Floats, Ints, generator

_STEPS, _RATE = 800, 0.05
_MOST_WEIGHT, _CLIP, _SHRINK = 200.0, 0.5, 1e-4
CLUSTERS = 30


@dataclass(frozen=True)
class ZoneMap:
    """Positions (zones,) in miles from an arbitrary origin; `log_detour` is the half due to each end."""

    x: Floats
    y: Floats
    radius: Floats
    log_detour: Floats

    def log_miles(self, pickup: Ints, dropoff: Ints) -> Floats:
        """Return ln of the typical driven miles of each pair, (n,)."""
        squared = (self.x[pickup] - self.x[dropoff]) ** 2 + (self.y[pickup] - self.y[dropoff]) ** 2
        squared += self.radius[pickup] ** 2 + self.radius[dropoff] ** 2
        return np.asarray(0.5 * np.log(np.maximum(squared, 1e-4)) + self.log_detour[pickup] + self.log_detour[dropoff])


def fit_map(pickup: Ints, dropoff: Ints, log_miles: Floats) -> ZoneMap:
    """Learn the map from trips (n,) between zones numbered from 0."""
    pair = pickup * ZONES + dropoff
    count = np.bincount(pair, minlength=ZONES**2).astype(np.float64)
    seen = np.flatnonzero(count)
    target = np.bincount(pair, log_miles, ZONES**2)[seen] / count[seen]
    weight = np.minimum(count[seen], _MOST_WEIGHT)
    weight /= weight.sum()
    one, other = np.divmod(seen, ZONES)
    position = _isomap(one, other, np.exp(target))
    values = np.concatenate([position.ravel(), np.full(ZONES, np.log(0.3)), np.zeros(ZONES)])
    slope, power = np.zeros_like(values), np.zeros_like(values)
    for step in range(1, _STEPS + 1):
        gradient = _gradient(values, one, other, target, weight)
        slope = 0.9 * slope + 0.1 * gradient
        power = 0.99 * power + 0.01 * gradient**2
        rate = _RATE * (1 - step / (_STEPS + 1)) + 0.001
        values -= rate * (slope / (1 - 0.9**step)) / (np.sqrt(power / (1 - 0.99**step)) + 1e-8)
    x, y, radius, detour = _unpack(values)
    return ZoneMap(x.round(3), y.round(3), radius.round(3), detour.round(3))


def _unpack(values: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    position = values[: 2 * ZONES].reshape(ZONES, 2)
    return position[:, 0], position[:, 1], np.exp(values[2 * ZONES : 3 * ZONES]), values[3 * ZONES :]


def _gradient(values: Floats, one: Ints, other: Ints, target: Floats, weight: Floats) -> Floats:
    """Gradient of the weighted Huber loss of ln(miles) over the pairs seen."""
    x, y, radius, detour = _unpack(values)
    dx, dy = x[one] - x[other], y[one] - y[other]
    squared = dx**2 + dy**2 + radius[one] ** 2 + radius[other] ** 2
    error = 0.5 * np.log(squared) + detour[one] + detour[other] - target
    pull = weight * np.clip(error, -_CLIP, _CLIP)
    scaled = pull / squared
    ends = np.bincount(one, scaled, ZONES) + np.bincount(other, scaled, ZONES)
    along = [np.bincount(one, scaled * d, ZONES) - np.bincount(other, scaled * d, ZONES) for d in (dx, dy)]
    shift = np.bincount(one, pull, ZONES) + np.bincount(other, pull, ZONES) + _SHRINK * detour
    return np.concatenate([np.stack(along, axis=1).ravel(), ends * radius**2, shift])


def _isomap(one: Ints, other: Ints, miles: Floats) -> Floats:
    """Return starting positions (zones, 2); zones never seen land at the far end, and stay there."""
    path = np.full((ZONES, ZONES), np.inf)
    path[one, other] = miles
    path = np.minimum(path, path.T)
    np.fill_diagonal(path, 0)
    for via in range(ZONES):
        path = np.minimum(path, path[:, [via]] + path[[via], :])
    path[np.isinf(path)] = path[np.isfinite(path)].max()
    centre = np.eye(ZONES) - 1 / ZONES
    strength, axes = np.linalg.eigh(-0.5 * centre @ path**2 @ centre)
    axes = axes[:, -2:] * np.sign(axes[np.abs(axes[:, -2:]).argmax(axis=0), [-2, -1]])
    return np.asarray(axes * np.sqrt(np.maximum(strength[-2:], 0)))


def fit_clusters(zone_map: ZoneMap, trips: Floats, seed: int) -> npt.NDArray[np.intp]:
    """Group zones into neighbourhoods by k-means on the map, weighted by `trips` (zones,): (zones,)."""
    points = np.stack([zone_map.x, zone_map.y], axis=1)
    start = generator(seed).choice(ZONES, CLUSTERS, p=trips / trips.sum(), replace=False)
    middles = points[np.sort(start)]
    for _ in range(60):
        nearest = ((points[:, None] - middles[None]) ** 2).sum(axis=2).argmin(axis=1)
        mass = np.bincount(nearest, trips, CLUSTERS)
        for axis in (0, 1):
            total = np.bincount(nearest, trips * points[:, axis], CLUSTERS)
            middles[:, axis] = np.where(mass > 0, total / np.maximum(mass, 1e-9), middles[:, axis])
    return np.asarray(nearest, dtype=np.intp)
