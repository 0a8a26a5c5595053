"""What scoring beside costs the champion: its p99 with a model in its shadow, beside its p99 without.

At a rate that leaves the core time for both models: as many requests as are answered, asked of one core, would leave
none, and most of the shadow's would be dropped. So it is half of what fills the core by requests that come one by one.
"""

import json
import socket
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.serving_asking import ask, middle, requests_to, running
from benchmarks.serving_contenders import CONTENDERS, OURS, SHADOWING
from benchmarks.serving_load import parse

CONNECTIONS, SECONDS, MOST = 16, 6.0, 1.10
SCORED = "ml_assets_shadow_requests"


class Shadow(NamedTuple):
    """The table, and the aim with what was found."""

    text: str
    aim: str


def main(folder: Path, repetitions: int, rate: float) -> Shadow:
    """Measure in turn.

    Args:
        folder: of `serving_data`.
        repetitions: turns.
        rate: requests a second.

    Raises:
        RuntimeError: nothing was scored beside; or as `serving_asking.ask`.
    """
    told: dict[str, list[dict[str, float]]] = {"alone": [], "with a shadow": []}
    with ExitStack() as stack:
        servers = [
            (name, one, stack.enter_context(running(one, folder)))
            for name, one in zip(told, (CONTENDERS[OURS], SHADOWING), strict=True)
        ]
        for _ in range(repetitions):
            for name, one, server in servers:
                asked = ask(one, server, requests_to(one, folder), CONNECTIONS, folder, seconds=SECONDS, rate=rate)
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
        f"{rate:,.0f} requests a second, each due at its time: half of what fills the core one by one. "
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
