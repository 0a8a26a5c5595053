"""A contender's server for as long as a block lasts, and one turn in which the load generator asks it."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.serving_contenders import REPOSITORY, Contender
from benchmarks.serving_files import EXPECTED, ROWS
from benchmarks.serving_process import Server, free_port, run_load, start, stop

SECONDS, WARM_SECONDS = 2.0, 0.5
MOST_BUSY = 0.8
"""Share of its core from which the load generator would be what is measured."""


def ask(
    contender: Contender,
    server: Server,
    requests: Sequence[str],
    connections: int,
    folder: Path,
    *,
    seconds: float = SECONDS,
    rate: float | None = None,
    ids: str | None = None,
) -> dict[str, float]:
    """One turn of one server, as `serving_load` has it; its CPU microseconds a request are added.

    Raises:
        RuntimeError: requests were lost, answers wrong, or the generator had too much to do.
    """
    used = server.cpu_seconds()
    plan: dict[str, Any] = {
        "port": server.port,
        "requests": requests,
        "connections": connections,
        "warm_seconds": WARM_SECONDS,
        "seconds": seconds,
        "rate": rate,
        "ids": ids,
        "expected": None if contender.answer is None else json.loads((folder / EXPECTED).read_text()),
        "answer": list(contender.answer or ()),
    }
    told = run_load(plan, folder)
    if told["wrong"] or told["lost"]:
        end = server.log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{told['wrong']} wrong answers, {told['lost']} lost requests; the server printed\n{end}")
    if rate is None and told["busy"] > MOST_BUSY:
        raise RuntimeError(f"the load generator is {told['busy']:.0%} busy, and would be what is measured")
    return {**told, "cpu_us": (server.cpu_seconds() - used) / told["answered_with_warm_up"] * 1e6}


@contextmanager
def running(contender: Contender, folder: Path) -> Iterator[Server]:
    """A contender's server, until the block ends."""
    port = free_port()
    first = requests_to(contender, folder)[0].encode()
    env = {"PYTHONPATH": str(REPOSITORY), **contender.env(folder)}
    log = folder / f"{port}.log"
    server = start(contender.command(folder, port), env, REPOSITORY, port, first, log)
    try:
        yield server
    finally:
        stop(server)


def requests_to(contender: Contender, folder: Path) -> list[str]:
    """A request for each row."""
    return [contender.request(row) for row in json.loads((folder / ROWS).read_text())]


def middle(turns: Sequence[Mapping[str, float]], what: str) -> float:
    """Median of a figure."""
    return statistics.median(one[what] for one in turns)
