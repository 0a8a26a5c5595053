"""A server in processes of its own: started, asked until it answers rightly, measured, stopped.

Servers get one core and the load generator another, where the machine has two, so that neither takes from the other.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.serving_load import parse

READY_SECONDS = 180.0
STOP_SECONDS = 20.0
LOOK_SECONDS = 0.02
ONE_THREAD = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}


@dataclass(frozen=True)
class Started:
    """What it took until the first right answer.

    Args:
        wall: seconds.
        cpu: seconds of all its processes.
        mb: resident memory of all its processes, in MB.
        processes: how many there were.
    """

    wall: float
    cpu: float
    mb: float
    processes: int


@dataclass(frozen=True)
class Server:
    """A running server."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path
    started: Started

    def cpu_seconds(self) -> float:
        """Of all its processes so far, those included that have ended."""
        return _used(self.process.pid)[0]

    def memory_mb(self) -> float:
        """Resident, of all its processes."""
        return _used(self.process.pid)[1]


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """What is started inside runs on this core only; where the machine has fewer than two, or can't say, on any."""
    if not can_pin():
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[core]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def can_pin() -> bool:
    """Whether servers and load generator get a core each."""
    return hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def start(command: Sequence[str], env: Mapping[str, str], cwd: Path, port: int, request: bytes, log: Path) -> Server:
    """Start a server on the first core, and ask it until it answers with 200.

    Raises:
        RuntimeError: it ended, or did not answer in time; with the end of what it printed.
    """
    with pinned(0), log.open("wb") as printed:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            env={**os.environ, **ONE_THREAD, **env},
            cwd=cwd,
            stdout=printed,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    while _asked(port, request) != 200:
        if process.poll() is not None or time.perf_counter() - began > READY_SECONDS:
            _stop(process)
            end = log.read_text(errors="replace")[-3000:]
            raise RuntimeError(f"{' '.join(command)} does not answer; it printed:\n{end}")
        time.sleep(LOOK_SECONDS)
    wall = time.perf_counter() - began
    return Server(process, port, log, Started(wall, *_used(process.pid)))


def stop(server: Server) -> None:
    """End it, and all that it started."""
    _stop(server.process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    _, alive = psutil.wait_procs(family[1:], timeout=5)
    for left in alive:
        left.kill()
    process.wait()


def run_load(plan: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Run the load generator on the second core; see `serving_load`."""
    file = folder / "plan.json"
    file.write_text(json.dumps(plan))
    with pinned(1):
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.serving_load", str(file)], stdout=subprocess.PIPE, text=True
        )
    printed, _ = process.communicate()
    if process.returncode:
        raise RuntimeError("the load generator failed")
    told: dict[str, Any] = json.loads(printed)
    return told


def _asked(port: int, request: bytes) -> int | None:
    """Status of one answer; None where nobody answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as asking:
            asking.sendall(request)
            received = b""
            while (answer := parse(received)) is None:
                data = asking.recv(65536)
                if not data:
                    return None
                received += data
            return answer[0]
    except OSError:
        return None


def _used(pid: int) -> tuple[float, float, int]:
    """CPU seconds, resident MB and number of a process and its descendants."""
    first = psutil.Process(pid)
    cpu, mb, number = 0.0, 0.0, 0
    for one in (first, *first.children(recursive=True)):
        try:
            times, memory = one.cpu_times(), one.memory_info()
        except psutil.NoSuchProcess:
            continue
        cpu += times.user + times.system + times.children_user + times.children_system
        mb += memory.rss / 1e6
        number += 1
    return cpu, mb, number
