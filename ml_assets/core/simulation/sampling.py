"""Drawing from distributions by one look-up per row. What is drawn is decided elsewhere.

A distribution is laid out over `2**bits` equal slots; a row draws a slot. This is inverse-transform sampling
at a fixed resolution (Devroye, Non-Uniform Random Variate Generation, 1986, II.2 and III.3.1), and costs one
gather where a binary search costs fifteen.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Small = npt.NDArray[np.uint16]

ZONE_BITS = 15
NOISE_BITS = 12

_TAIL = [0.0005, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075]
PROBABILITIES: Floats = np.array([*_TAIL, *np.round(np.arange(0.1, 0.9001, 0.04), 2), *(1 - np.array(_TAIL[::-1]))])
"""Where quantile functions are tabulated: 37 points, denser in the tails."""


def generator(*entropy: int) -> np.random.Generator:
    """Return a stream of random numbers that depends on `entropy` and on nothing else."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(list(entropy))))


def slots(rng: np.random.Generator, rows: int, bits: int) -> Small:
    """Draw `rows` slots, uniform on 0 … 2**bits - 1."""
    return rng.integers(0, 1 << bits, size=rows, dtype=np.uint16)


def chance(rng: np.random.Generator, rows: int, share: Any) -> npt.NDArray[np.bool_]:
    """Draw `rows` yes/no answers, yes with probability `share`, a number or one number per row."""
    return np.asarray(rng.random(rows, dtype=np.float32) < share, dtype=np.bool_)


def apportion(shares: npt.ArrayLike, total: int) -> Ints:
    """Split `total` into whole numbers proportional to `shares`, by largest remainders; evenly if all are 0.

    >>> apportion([0.5, 0.3, 0.2], 8).tolist()
    [4, 2, 2]
    """
    weights = np.asarray(shares, dtype=np.float64)
    weights = weights if weights.any() else np.ones_like(weights)
    exact = weights / weights.sum() * total
    counts: Ints = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: total - int(counts.sum())]] += 1
    return counts


def choice_table(shares: npt.NDArray[Any], bits: int) -> Small:
    """Return, per distribution in the rows of `shares` (d, n), its `2**bits` slots, flat: (d * 2**bits,)."""
    values = np.arange(shares.shape[1], dtype=np.uint16)
    return np.concatenate([np.repeat(values, apportion(row, 1 << bits)) for row in shares])


def quantile_table(quantiles: npt.NDArray[Any], bits: int = NOISE_BITS) -> Singles:
    """Return, per quantile function in the rows of `quantiles` (d, 37), its `2**bits` slots, flat."""
    middles = (np.arange(1 << bits) + 0.5) / (1 << bits)
    return np.concatenate([np.interp(middles, PROBABILITIES, row) for row in quantiles]).astype(np.float32)


def quantiles_of(values: npt.NDArray[Any], digits: int = 3) -> list[float]:
    """Tabulate the quantile function of `values` at `PROBABILITIES`, rounded; zeros where there are none."""
    if len(values) == 0:
        return [0.0] * len(PROBABILITIES)
    return [round(float(q), digits) for q in np.quantile(values, PROBABILITIES)]
