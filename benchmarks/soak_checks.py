"""What is made of the lines of a soak: when each swap took effect, whether it was whole, whether the log has it all.

Pure: from arrays and tables to figures and faults. Who asks is `soak_load`, who swaps is `soak`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from benchmarks.soak_load import IDS


@dataclass(frozen=True)
class Swap:
    """Another champion.

    Args:
        kind: `release` or `rollback`.
        version: number of the one that answers from then on.
        at_ns: when the ledger had it, on the clock of the lines.
    """

    kind: str
    version: int
    at_ns: int


def lags(swaps: Sequence[Swap], version: np.ndarray, taken_ns: np.ndarray) -> list[float]:
    """Seconds from each swap to the first answer by its version; NaN where there is none before the next swap.

    >>> swaps = [Swap("release", 1, 10_000_000_000), Swap("rollback", 0, 20_000_000_000)]
    >>> lags(swaps, np.array([0, 1, 1, 1]), np.array([9, 12, 19, 21]) * 1_000_000_000)
    [2.0, nan]
    """
    ends = [*(s.at_ns for s in swaps[1:]), np.iinfo(np.int64).max]
    told = []
    for swap, end in zip(swaps, ends, strict=True):
        own = taken_ns[(version == swap.version) & (taken_ns >= swap.at_ns) & (taken_ns < end)]
        told.append(float(own.min() - swap.at_ns) / 1e9 if own.size else float("nan"))
    return told


def away_from(swaps: Sequence[Swap], sent_ns: np.ndarray, seconds: float) -> np.ndarray:
    """Which requests were due at least so long after a swap, and before the next.

    >>> away_from([Swap("release", 1, 10_000_000_000)], np.array([9, 12, 14]) * 1_000_000_000, 3.0)
    array([ True, False,  True])
    """
    near = np.zeros(sent_ns.size, bool)
    for swap in swaps:
        near |= (sent_ns >= swap.at_ns) & (sent_ns < swap.at_ns + seconds * 1e9)
    return ~near


def torn(swaps: Sequence[Swap], version: np.ndarray, sent_ns: np.ndarray, taken_ns: np.ndarray) -> int:
    """Answers by the version before a swap to requests that were sent after the first answer by the new one.

    One worker puts a model in place at once: there are none.

    >>> swaps = [Swap("release", 1, 10)]
    >>> torn(swaps, np.array([0, 1, 0]), np.array([9, 11, 13]), np.array([12, 12, 14]))
    1
    """
    ends = [*(s.at_ns for s in swaps[1:]), np.iinfo(np.int64).max]
    found = 0
    for swap, end in zip(swaps, ends, strict=True):
        own = taken_ns[(version == swap.version) & (taken_ns >= swap.at_ns) & (taken_ns < end)]
        if own.size:
            found += int(((sent_ns > own.min()) & (taken_ns < end) & (version != swap.version)).sum())
    return found


def log_faults(log: pl.DataFrame, answered: Mapping[int, int], versions: Sequence[str]) -> list[str]:
    """Where the prediction log is not what clients were answered, in words; empty if nowhere.

    Args:
        log: `request_id` and `bundle` of the answers in the log.
        answered: number of each request that was answered -> number of the version that did.
        versions: SHA-256 of each.
    """
    told = pl.DataFrame(
        {
            "request_id": [IDS.format(n) for n in answered],
            "answered_by": [versions[v] for v in answered.values()],
        },
        schema={"request_id": pl.String, "answered_by": pl.String},
    )
    times = log.group_by("request_id").agg(pl.len().alias("times"), pl.col("bundle").first())
    both = told.join(times, on="request_id", how="full", coalesce=True)
    wrong = {
        "answered and not in the log": pl.col("times").is_null(),
        "in the log and not answered": pl.col("answered_by").is_null(),
        "in the log more than once": pl.col("times") > 1,
        "in the log with another version": pl.col("bundle") != pl.col("answered_by"),
    }
    faults = []
    for what, where in wrong.items():
        found = both.filter(where)["request_id"].sort()
        if found.len():
            faults.append(f"{found.len():,} requests {what}, such as {found[0]}")
    return faults


@dataclass(frozen=True)
class Sample:
    """Memory of the server just before a swap, when the last one has settled.

    Args:
        at: seconds since the load began.
        mb: resident.
        after: kind of the swap before; how much is loaded depends on it.
    """

    at: float
    mb: float
    after: str


def slope_mb_a_minute(samples: Sequence[Sample]) -> float:
    """Least-squares slope of memory over the second half of the time, in MB a minute; NaN of too few samples.

    In the first half caches and the allocator fill. Samples are compared with those after the same kind of swap.

    >>> samples = [(0, 10, "release"), (60, 200, "release"), (90, 230, "rollback"), (120, 202, "release")]
    >>> slope_mb_a_minute([Sample(*s) for s in samples])
    2.0
    """
    half = (samples[0].at + samples[-1].at) / 2 if samples else 0.0
    products, squares = 0.0, 0.0
    for kind in {s.after for s in samples}:
        at, mb = np.array([(s.at, s.mb) for s in samples if s.after == kind and s.at >= half] or [(0.0, 0.0)]).T
        products += float(((at - at.mean()) * (mb - mb.mean())).sum())
        squares += float(((at - at.mean()) ** 2).sum())
    return round(products / squares * 60, 3) if squares else float("nan")
