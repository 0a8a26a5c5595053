"""Serving one row at a time: ours beside other servers and beside empty handlers, with what each takes to start.

Who they are is in `serving_contenders`, what they serve in `serving_data`, who asks them in `serving_load`. All servers
are up while each is asked in turn for a few seconds, so that whatever else the machine does meets all alike.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import serving_data, serving_shadow
from benchmarks.serving_asking import SECONDS, ask, middle, requests_to, running
from benchmarks.serving_contenders import (
    BARE,
    BENTOML,
    CONTENDERS,
    EMPTY,
    FLOOR,
    MLFLOW,
    OURS,
    OURS_INVOCATIONS,
)
from benchmarks.serving_process import Started, can_pin

CONNECTIONS = (1, 16, 64)
MOST_STARTS = 3
SHADOW_TURNS = 3
"""Turns with and without a shadow, for each other repetition: a p99 of six seconds is one of few long moments."""
LEAST = {MLFLOW: 10.0, BENTOML: 5.0, EMPTY: 0.6}
"""How many times the requests per second of another ours is to answer; of all others more than 1."""
MOST_CPU_SECONDS, MOST_MB = 5.0, 200.0

Told = Mapping[str, float]
Cells = Mapping[str, Mapping[int, Sequence[Told]]]
"""Contender -> connections -> what `serving_load` told of each repetition, with `cpu_us` of the server a request."""


def main(repetitions: int) -> str:
    """Measure, and return the tables.

    Raises:
        RuntimeError: a server does not start, loses requests, or answers anything but the prediction.
    """
    with tempfile.TemporaryDirectory(prefix="ml_assets_bench_") as scratch:
        folder = Path(scratch)
        serving_data.make(folder)
        for contender in CONTENDERS.values():
            contender.prepare(folder)
        starts = cold_starts(folder, min(repetitions, MOST_STARTS))
        cells = speed(folder, repetitions)
        shadow = serving_shadow.main(folder, SHADOW_TURNS * repetitions)
    return "\n\n".join(
        [
            f"{serving_data.TREES} trees of {serving_data.LEAVES} leaves, 25 features, one row a request, one worker. "
            f"{_where()} Closed loop over keep-alive connections, {SECONDS:g} s each, {repetitions} times in turn; "
            "medians. Ratios are medians of those of each turn. All answers were compared with LightGBM's own, to the "
            "bit.",
            *(f"### {n} connection{'s' if n > 1 else ''}\n\n{table(cells, n)}" for n in CONNECTIONS),
            f"### Until the first right answer\n\n{start_table(starts)}",
            f"### With a model in the champion's shadow\n\n{shadow.text}",
            "### Aims\n\n" + "\n".join(f"- {line}" for line in [*aims(cells, starts), shadow.aim]),
        ]
    )


def _where() -> str:
    return (
        "Servers have one core, the load generator another."
        if can_pin()
        else "Servers and load generator share the cores."
    )


def cold_starts(folder: Path, repetitions: int) -> dict[str, list[Started]]:
    """Each server started alone, in turn."""
    told: dict[str, list[Started]] = {name: [] for name in CONTENDERS if name != OURS_INVOCATIONS}
    for _ in range(repetitions):
        for name, seen in told.items():
            with running(CONTENDERS[name], folder) as server:
                seen.append(server.started)
            sys.stderr.write(f"{name}: {server.started}\n")
    return told


def speed(folder: Path, repetitions: int) -> dict[str, dict[int, list[dict[str, float]]]]:
    """All servers at once, asked in turn."""
    requests = {name: requests_to(one, folder) for name, one in CONTENDERS.items()}
    told: dict[str, dict[int, list[dict[str, float]]]] = {n: {c: [] for c in CONNECTIONS} for n in CONTENDERS}
    with ExitStack() as stack:
        servers = {name: stack.enter_context(running(one, folder)) for name, one in CONTENDERS.items()}
        for _ in range(repetitions):
            for connections in CONNECTIONS:
                for name, server in servers.items():
                    one = ask(CONTENDERS[name], server, requests[name], connections, folder)
                    told[name][connections].append(one)
                    sys.stderr.write(f"{name}, {connections}: {json.dumps(one)}\n")
    return told


def ratio(cells: Cells, connections: int, name: str, what: str = "per_second", base: str = OURS) -> float:
    """Median of the ratios of `base` to another, turn by turn."""
    pairs = zip(cells[base][connections], cells[name][connections], strict=True)
    return statistics.median(ours[what] / other[what] for ours, other in pairs)


def table(cells: Cells, connections: int) -> str:
    """One number of connections."""
    lines = [
        "| server | requests/s | ml_assets answers | p50 ms | p99 ms | CPU µs a request | times ours |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, turns in ((n, by[connections]) for n, by in cells.items()):
        figures = [f"{middle(turns, 'per_second'):,.0f}", f"{ratio(cells, connections, name):.2f} ×"]
        figures += [f"{middle(turns, q):.2f}" for q in ("p50_ms", "p99_ms")]
        figures += [f"{middle(turns, 'cpu_us'):.0f}", f"{1 / ratio(cells, connections, name, 'cpu_us'):.2f}"]
        lines.append("| " + " | ".join([name, *figures]) + " |")
    return "\n".join(lines)


def start_table(starts: Mapping[str, Sequence[Started]]) -> str:
    """What each took to start."""
    lines = ["| server | CPU s | wall s | MB | processes |", "|---|---|---|---|---|"]
    for name, seen in starts.items():
        cpu, wall, mb, number = (
            statistics.median(getattr(s, f) for s in seen) for f in ("cpu", "wall", "mb", "processes")
        )
        lines.append(f"| {name} | {cpu:.2f} | {wall:.2f} | {mb:.0f} | {number:.0f} |")
    return "\n".join(lines)


def aims(cells: Cells, starts: Mapping[str, Sequence[Started]]) -> list[str]:
    """What was aimed at, what was found, and whether that is enough."""
    told = []
    for name in (MLFLOW, EMPTY):
        reached = [ratio(cells, n, name, base=FLOOR) for n in CONNECTIONS]
        told.append(f"requests per second of the floor, times those of {name}: {_listed(reached)}")
    for name in CONTENDERS:
        if name in (OURS, OURS_INVOCATIONS, BARE, FLOOR):
            continue
        least, found = LEAST.get(name, 1.0), [ratio(cells, n, name) for n in CONNECTIONS]
        told.append(_line(f"requests per second, times those of {name}", found, f"at least {least:g}", least.__le__))
        if name != EMPTY:
            worst = [max(ratio(cells, n, name, q) for q in ("p50_ms", "p99_ms")) for n in CONNECTIONS]
            told.append(_line(f"p50 and p99 beside {name}, the worse ratio", worst, "less than 1", (1.0).__gt__))
    cpu, mb = (statistics.median(getattr(s, f) for s in starts[OURS]) for f in ("cpu", "mb"))
    told.append(_line("CPU seconds to start", [cpu], f"below {MOST_CPU_SECONDS:g}", MOST_CPU_SECONDS.__gt__))
    told.append(_line("MB when started", [mb], f"below {MOST_MB:g}", MOST_MB.__gt__))
    return told


def _line(what: str, found: Sequence[float], aim: str, is_reached: Callable[[float], Any]) -> str:
    reached = "reached" if all(is_reached(one) for one in found) else "MISSED"
    return f"{what}: {_listed(found)} (aim: {aim}): {reached}"


def _listed(found: Sequence[float]) -> str:
    return ", ".join(f"{one:.2f}" for one in found)
