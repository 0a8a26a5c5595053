"""Minutes at four fifths of what one worker can answer, while the champion is swapped: `--only soak --minutes 10`.

Capacity is measured in the same run, as many requests as are answered over 16 connections. Then requests come at a
fixed rate, and the ledger gets one release or rollback after the other, written as `ml-assets release` and `rollback`
do; each has to answer before the next. It ends with an error unless every request was answered by LightGBM's own
number of the version that it names, no answer fell behind a swap, and the prediction log has every answer once.
"""

import http.client
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import numpy as np
import psutil

from benchmarks import serving_data
from benchmarks.serving_asking import ask, requests_to, running
from benchmarks.serving_contenders import CONTENDERS, OURS
from benchmarks.serving_data import DATA
from benchmarks.serving_files import MODEL
from benchmarks.serving_process import Server, can_pin, pinned
from benchmarks.soak_checks import Swap, lags, log_faults, slope_mb_a_minute, torn
from ml_assets.project import pipeline_named
from ml_assets.releasing import ReleaseDesk
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.models import Models
from ml_assets.resources.prediction_log import PredictionLogs
from ml_assets.resources.storage import Store

CONNECTIONS, SHARE, CAPACITY_SECONDS = 16, 0.8, 10.0
SWAPS = 50
MOST_LAG_SECONDS, MOST_MB_A_MINUTE = 2.0, 1.0
CONFIRM_SECONDS, LOOK_SECONDS, SAMPLE_SECONDS = 30.0, 0.05, 2.0


@dataclass(frozen=True)
class Soaked:
    """What was seen.

    Args:
        capacity: requests a second over all connections, closed loop.
        rate: requests a second that were due.
        seconds: for so long.
        requests: answered, all rightly.
        latencies_ms: from when each was due to its answer.
        swaps: in order.
        lags: of each swap, seconds from the ledger's event to the first answer by its version.
        memory: of the server, seconds since the start of the load and MB resident.
        logged: answers found in the prediction log, each once.
        busy: share of its core that the load generator used.
    """

    capacity: float
    rate: float
    seconds: float
    requests: int
    latencies_ms: np.ndarray
    swaps: Sequence[Swap]
    lags: Sequence[float]
    memory: Sequence[tuple[float, float]]
    logged: int
    busy: float


def main(minutes: float, swaps: int = SWAPS) -> str:
    """Measure, and return the table.

    Raises:
        RuntimeError: a request failed, a swap did not take effect, or the log is not what was answered.
    """
    with tempfile.TemporaryDirectory(prefix="ml_assets_bench_") as scratch:
        return told(soak(Path(scratch), minutes * 60, swaps))


def soak(
    folder: Path, seconds: float, swaps: int, *, trees: int = serving_data.TREES,
    capacity_seconds: float = CAPACITY_SECONDS, share: float = SHARE,
) -> Soaked:  # fmt: skip
    """One server under load for so long, with so many swaps spread over the time.

    Args:
        folder: an empty one, for models, ledger and log.
        seconds: of the load.
        swaps: releases and rollbacks, in turn.
        trees: of each of the three models.
        capacity_seconds: of the closed loop before.
        share: of the capacity.

    Raises:
        RuntimeError: as in `main`.
    """
    versions, expected = serving_data.make_several(folder, trees)
    contender, desk = CONTENDERS[OURS], desk_of(folder / DATA)
    lines = folder / "lines.npz"
    with running(contender, folder) as server:
        capacity = ask(contender, server, requests_to(contender, folder), CONNECTIONS, folder, seconds=capacity_seconds)
        rate = share * capacity["per_second"]
        plan = {
            "port": server.port, "requests": requests_to(contender, folder), "connections": CONNECTIONS,
            "seconds": seconds, "rate": rate, "versions": versions, "expected": expected, "lines": str(lines),
        }  # fmt: skip
        (folder / "soak.json").write_text(json.dumps(plan))
        with pinned(1):
            load = Popen(
                [sys.executable, "-m", "benchmarks.soak_load", str(folder / "soak.json")], stdout=PIPE, text=True
            )
            try:
                swapped, memory = _swap(server, desk, versions, seconds, swaps)
                printed, _ = load.communicate(timeout=seconds + 60)
            finally:
                load.kill()
                load.wait()
    if load.returncode:
        raise RuntimeError("the load generator failed")
    came, kept = json.loads(printed), np.load(lines)
    faults = [*came["shown"], *([f"{came['lost']} requests lost"] if came["lost"] else [])]
    if came["faults"] or came["lost"] or came["asked"] != kept["number"].size:
        raise RuntimeError("\n  ".join([f"{came['faults']} of {came['asked']:,} answers were wrong:", *faults]))
    if behind := torn(swapped, kept["version"], kept["sent_ns"], kept["taken_ns"]):
        raise RuntimeError(f"{behind} requests were answered by the version before, after the new one had answered")
    return Soaked(
        capacity["per_second"], rate, came["wall"], int(kept["number"].size),
        (kept["taken_ns"] - kept["sent_ns"]) / 1e6, swapped, lags(swapped, kept["version"], kept["taken_ns"]), memory,
        _logged(folder / DATA, dict(zip(kept["number"].tolist(), kept["version"].tolist(), strict=True)), versions),
        came["busy"],
    )  # fmt: skip


def desk_of(data: Path) -> ReleaseDesk:
    """What `ml-assets release` and `rollback` write by, on that folder."""
    return ReleaseDesk(
        pipeline_named(MODEL), Store(root=str(data / "store")), Models(root=str(data / "models")),
        Ledger(url=f"sqlite:///{data / 'ledger.db'}"),
    )  # fmt: skip


def _swap(
    server: Server, desk: ReleaseDesk, versions: Sequence[str], seconds: float, swaps: int
) -> tuple[list[Swap], list[tuple[float, float]]]:
    """Release one of the other models, go back, and so on; between, look at the server's memory."""
    process, began = psutil.Process(server.process.pid), time.monotonic()
    swapped: list[Swap] = []
    memory: list[tuple[float, float]] = []

    def sample() -> float:
        at = time.monotonic() - began
        memory.append((at, process.memory_info().rss / 1e6))
        return at

    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as asking:
        for n in range(swaps):
            while (at := sample()) < (n + 0.5) * seconds / swaps:
                time.sleep(min(SAMPLE_SECONDS, (n + 0.5) * seconds / swaps - at))
            swapped.append(_swapped(desk, versions, n))
            _confirm(asking, versions[swapped[-1].version])
    while (at := sample()) < seconds:
        time.sleep(min(SAMPLE_SECONDS, seconds - at))
    return swapped, memory


def _swapped(desk: ReleaseDesk, versions: Sequence[str], n: int) -> Swap:
    """A release where n is even, else the way back from it; the models that are released take turns."""
    if n % 2:
        now = desk.roll_back(to=None, by="benchmark", reason=f"swap {n}", not_before=None)
        kind = "rollback"
    else:
        now = desk.release(versions[1 + n // 2 % 2], by="benchmark", reason=f"swap {n}", forced=True)
        kind = "release"
    return Swap(kind, versions.index(now.bundle), time.perf_counter_ns())


def _confirm(asking: http.client.HTTPConnection, version: str) -> None:
    """Wait until the server says that this version is its champion."""
    end = time.monotonic() + CONFIRM_SECONDS
    while time.monotonic() < end:
        asking.request("GET", f"/v2/models/{MODEL}")
        told: dict[str, Any] = json.loads(asking.getresponse().read())
        if told["versions"][0] == version:
            return
        time.sleep(LOOK_SECONDS)
    raise RuntimeError(f"{version[:12]} is not the server's champion after {CONFIRM_SECONDS:g} s")


def _logged(data: Path, answered: dict[int, int], versions: Sequence[str]) -> int:
    import polars as pl

    logs = PredictionLogs(root=str(data / "predictions"))
    rows = logs.rows(
        MODEL, "requests", where=pl.col("request_id").str.starts_with("soak-"), without=["values", "key", "prediction"]
    )
    if faults := log_faults(rows, answered, versions):
        raise RuntimeError("\n  ".join(["the prediction log is not what clients were answered:", *faults]))
    return rows.height


def told(seen: Soaked) -> str:
    """The table, and what was aimed at."""
    p50, p99 = (float(np.percentile(seen.latencies_ms, q)) for q in (50, 99))
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
        "p50 ms, from when a request was due": f"{p50:.2f}",
        "p99 ms": f"{p99:.2f}",
        "swaps, each confirmed": f"{len(seen.swaps)}",
        **{
            f"from a {kind} in the ledger to its first answer, s": f"median {statistics.median(found):.2f}, "
            f"most {max(found):.2f}"
            for kind, found in by_kind.items()
            if found
        },
        "answers by the model before, after the new one's first": "0",
        "memory of the server, MB, at the start and at the end": f"{seen.memory[0][1]:.0f}, {seen.memory[-1][1]:.0f}",
        "its slope over the second half, MB a minute": f"{slope:+.2f}",
        "answers found in the prediction log, each once": f"{seen.logged:,}",
    }
    where = "The server has one core, the load generator another" if can_pin() else "All share one core"
    aims = [
        _aim("seconds from the ledger to the first answer, at most", max(seen.lags), MOST_LAG_SECONDS),
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


def _aim(what: str, found: float, most: float) -> str:
    return f"- {what}: {found:.2f} (aim: at most {most:g}): {'reached' if found <= most else 'MISSED'}"
