"""Minutes at four fifths of what one worker can answer, while the champion is swapped: `--only soak --minutes 10`.

Capacity is measured in the same run, as many requests as are answered over 16 connections. Then requests come at a
fixed rate, and the ledger gets one release or rollback after the other, written as `ml-assets release` and `rollback`
do; each has to answer before the next. It ends with an error unless every request was answered by LightGBM's own
number of the version that it names, no answer fell behind a swap, and the prediction log has every answer once.
"""

import http.client
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
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
from benchmarks.serving_process import Server, pinned
from benchmarks.soak_checks import Sample, Swap, away_from, lags, log_faults, torn
from benchmarks.soak_report import CALM_SECONDS, CONNECTIONS, Soaked, told
from ml_assets.project import pipeline_named
from ml_assets.releasing import ReleaseDesk
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.models import Models
from ml_assets.resources.prediction_log import PredictionLogs
from ml_assets.resources.storage import Store

SHARE, CAPACITY_SECONDS = 0.8, 10.0
CAPACITY_IDS = "capacity-{:09d}"
"""Also there each request has an id of its own: heads that are all the same, the server need not parse again."""
SWAPS = 50
CONFIRM_SECONDS, LOOK_SECONDS = 30.0, 0.05


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
        capacity = ask(
            contender, server, requests_to(contender, folder), CONNECTIONS, folder,
            seconds=capacity_seconds, ids=CAPACITY_IDS,
        )  # fmt: skip
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
    answered = dict(zip(kept["number"].tolist(), kept["version"].tolist(), strict=True))
    return Soaked(
        capacity=capacity["per_second"],
        rate=rate,
        seconds=came["wall"],
        requests=len(answered),
        latencies_ms=(kept["taken_ns"] - kept["sent_ns"]) / 1e6,
        calm=away_from(swapped, kept["sent_ns"], CALM_SECONDS),
        swaps=swapped,
        lags=lags(swapped, kept["version"], kept["taken_ns"]),
        memory=memory,
        logged=_logged(folder / DATA, answered, versions),
        busy=came["busy"],
    )


def desk_of(data: Path) -> ReleaseDesk:
    """What `ml-assets release` and `rollback` write by, on that folder."""
    return ReleaseDesk(
        pipeline_named(MODEL), Store(root=str(data / "store")), Models(root=str(data / "models")),
        Ledger(url=f"sqlite:///{data / 'ledger.db'}"),
    )  # fmt: skip


def _swap(
    server: Server, desk: ReleaseDesk, versions: Sequence[str], seconds: float, swaps: int
) -> tuple[list[Swap], list[Sample]]:
    """Release one of the other models, go back, and so on; before each, look at the server's memory."""
    process, began = psutil.Process(server.process.pid), time.monotonic()
    swapped: list[Swap] = []
    memory: list[Sample] = []

    def wait_and_look(until: float) -> None:
        time.sleep(max(0.0, until - (time.monotonic() - began)))
        after = swapped[-1].kind if swapped else "rollback"
        memory.append(Sample(time.monotonic() - began, process.memory_info().rss / 1e6, after))

    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as asking:
        for n in range(swaps):
            wait_and_look((n + 0.5) * seconds / swaps)
            swapped.append(_swapped(desk, versions, n))
            _confirm(asking, versions[swapped[-1].version])
            sys.stderr.write(f"swap {n}: a {swapped[-1].kind}, before it {memory[-1].mb:.0f} MB\n")
    wait_and_look(seconds)
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
