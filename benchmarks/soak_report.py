"""What was seen in a soak, as a table, and whether it is what was aimed at."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.serving_process import can_pin
from benchmarks.soak_checks import Sample, Swap, slope_mb_a_minute

CONNECTIONS = 16
MOST_LAG_SECONDS, MOST_MB_A_MINUTE = 2.0, 1.0
CALM_SECONDS = 3.0
"""After a swap, by which requests that waited for its load are answered."""


@dataclass(frozen=True)
class Soaked:
    """What was seen.

    Args:
        capacity: requests a second over all connections, closed loop.
        rate: requests a second that were due.
        seconds: for so long.
        requests: answered, all rightly.
        latencies_ms: from when each was due to its answer.
        calm: which of them were due when the last swap was over for `CALM_SECONDS`.
        swaps: in order.
        lags: of each swap, seconds from the ledger's event to the first answer by its version.
        memory: of the server.
        logged: answers found in the prediction log, each once.
        busy: share of the time in which the load generator worked on answers.
    """

    capacity: float
    rate: float
    seconds: float
    requests: int
    latencies_ms: np.ndarray
    calm: np.ndarray
    swaps: Sequence[Swap]
    lags: Sequence[float]
    memory: Sequence[Sample]
    logged: int
    busy: float


def told(seen: Soaked) -> str:
    """The table, and what was aimed at."""
    p50, p99 = percentiles(seen.latencies_ms)
    calm_p50, calm_p99 = percentiles(seen.latencies_ms[seen.calm])
    slope = slope_mb_a_minute(seen.memory)
    by_kind = {
        kind: [lag for swap, lag in zip(seen.swaps, seen.lags, strict=True) if swap.kind == kind]
        for kind in ("release", "rollback")
    }
    rows = {
        "capacity, closed loop, requests/s": f"{seen.capacity:,.0f}",
        f"rate, {seen.rate / seen.capacity:.0%} of it, requests/s": f"{seen.rate:,.0f}",
        "minutes": f"{seen.seconds / 60:.1f}",
        "requests answered": f"{seen.requests:,}",
        "errors, lost requests, wrong numbers": "0",
        "p50, p99 ms, from when a request was due": f"{p50:.2f}, {p99:.2f}",
        f"of those due {CALM_SECONDS:g} s or more after a swap": f"{calm_p50:.2f}, {calm_p99:.2f}",
        "swaps, each confirmed": f"{len(seen.swaps)}",
        **{
            f"from a {kind} in the ledger to its first answer, s": f"median {statistics.median(found):.2f}, "
            f"most {max(found):.2f}"
            for kind, found in by_kind.items()
            if found
        },
        "answers by the model before, after the new one's first": "0",
        "memory of the server, MB, at the start and at the end": f"{seen.memory[0].mb:.0f}, {seen.memory[-1].mb:.0f}",
        "its slope over the second half, MB a minute": f"{slope:+.2f}",
        "answers found in the prediction log, each once": f"{seen.logged:,}",
    }
    where = "The server has one core, the load generator another" if can_pin() else "All share one core"
    aims = [
        _aim(f"seconds from a {kind} to its first answer, {what}", of(found), MOST_LAG_SECONDS)
        for kind, what, of in (("rollback", "the longest", max), ("release", "median", statistics.median))
        if (found := by_kind[kind])
    ]
    aims += [
        _aim("MB a minute, over the second half", slope, MOST_MB_A_MINUTE),
    ]
    return "\n\n".join(
        [
            f"{where}, {seen.busy:.0%} busy. Three models of which one at a time is champion, over {CONNECTIONS} "
            "connections.",
            "\n".join(["| | |", "|---|---|", *(f"| {what} | {found} |" for what, found in rows.items())]),
            "\n".join(aims),
        ]
    )


def percentiles(ms: np.ndarray) -> tuple[float, float]:
    """The 50th and the 99th; NaN of none."""
    return (float(np.percentile(ms, 50)), float(np.percentile(ms, 99))) if ms.size else (float("nan"),) * 2


def _aim(what: str, found: float, most: float) -> str:
    return f"- {what}: {found:.2f} (aim: at most {most:g}): {'reached' if found <= most else 'MISSED'}"
