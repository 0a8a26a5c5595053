"""What scoring beside costs the champion: its p99 with a model in its shadow, beside its p99 without.

At a rate that leaves the core time for both models: as many requests as are answered, asked of one core, would leave
none, and most of the shadow's would be dropped. So it is one that keeps the core half busy.
"""

import json
import socket
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.serving_asking import ask, middle, requests_to, running
from benchmarks.serving_contenders import CONTENDERS, OURS, SHADOWING, Contender
from benchmarks.serving_load import parse
from benchmarks.serving_process import Server

CONNECTIONS, SECONDS, MOST = 16, 6.0, 1.10
FIRST_RATE = 2_000.0
"""Requests a second by which it is found out how long the core is busy with one that is due by itself."""
SCORED = "ml_assets_shadow_requests"


class Shadow(NamedTuple):
    """The table, and the aim with what was found."""

    text: str
    aim: str


def main(folder: Path, repetitions: int, rate: float | None = None) -> Shadow:
    """Measure in turn.

    Args:
        folder: of `serving_data`.
        repetitions: turns.
        rate: requests a second; None: half of what fills the core.

    Raises:
        RuntimeError: nothing was scored beside; or as `serving_asking.ask`.
    """
    told: dict[str, list[dict[str, float]]] = {"alone": [], "with a shadow": []}
    with ExitStack() as stack:
        servers = [
            (name, one, stack.enter_context(running(one, folder)))
            for name, one in zip(told, (CONTENDERS[OURS], SHADOWING), strict=True)
        ]

        def asked_at(rate: float, one: Contender, server: Server) -> dict[str, float]:
            return ask(one, server, requests_to(one, folder), CONNECTIONS, folder, seconds=SECONDS, rate=rate)

        if rate is None:
            rate = 0.5e6 / asked_at(FIRST_RATE, *servers[0][1:])["cpu_us"]
        for _ in range(repetitions):
            for name, one, server in servers:
                asked = asked_at(rate, one, server)
                told[name].append(asked)
                sys.stderr.write(f"{name}: {json.dumps(asked)}\n")
        scored, dropped = (outcome(servers[1][2].port, name) for name in ("scored", "dropped"))
    if not scored:
        raise RuntimeError("nothing was scored in the shadow")
    lines = ["| ml_assets | requests/s | p50 ms | p99 ms | CPU µs a request |", "|---|---|---|---|---|"]
    for name, turns in told.items():
        p50, p99, cpu = (middle(turns, what) for what in ("p50_ms", "p99_ms", "cpu_us"))
        lines.append(f"| {name} | {middle(turns, 'per_second'):,.0f} | {p50:.2f} | {p99:.2f} | {cpu:.0f} |")
    ratios = [s["p99_ms"] / a["p99_ms"] for a, s in zip(told["alone"], told["with a shadow"], strict=True)]
    found = statistics.median(ratios)
    share = scored / (scored + dropped)
    return Shadow(
        f"{rate:,.0f} requests a second, each due at its time, which keeps the core half busy. "
        f"Of them {share:.1%} were scored beside, the others dropped.\n\n" + "\n".join(lines),
        f"p99 with a shadow, times that without: {found:.2f} (aim: at most {MOST:g}): "
        + ("reached" if found <= MOST else "MISSED"),
    )


def outcome(port: int, name: str) -> float:
    """What became of requests for the shadow, as the server's metrics tell."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as asking:
        asking.sendall(b"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        received = b""
        while (answer := parse(received)) is None:
            received += asking.recv(65536)
    [line] = [line for line in answer[1].decode().splitlines() if line.startswith(f'{SCORED}{{outcome="{name}"')]
    return float(line.rpartition(" ")[2])
