"""The server's handle of the process that scores beside: begins it, sends to it without ever waiting, hears of it.

The pipe between them is the queue, and its size the bound: what finds it full is not sent. The process gives way to
whatever else wants a core, this server first of all.
"""

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import wait
from typing import IO, cast

import msgspec

from ml_assets.serving.shadows.messages import Beside, Plan, Told, reported

PROCESS = "ml_assets.serving.shadows.process"
PIPE_BYTES = 1 << 20
"""As large as Linux lets everybody have a pipe: some 3,000 requests of 25 numbers."""
LEAST_URGENT = 19
"""Its `nice` value from the first moment; when it has loaded its models it gives way altogether."""
LOOK_SECONDS = 0.05
_READ = 1 << 16


class Child:
    """A process that scores beside.

    Args:
        plan: what it is for.
    """

    def __init__(self, plan: Plan) -> None:
        self.beside = Beside(frozenset(plan.shadows), frozenset(plan.timed))
        self.began = time.monotonic()
        self.told: Mapping[str, Told] = {}
        """What it last said."""
        self.sent: Counter[str] = Counter()
        """Requests that it was sent, by pipeline."""
        self._rest, self._heard = b"", b""
        self._writing, self._is_open = threading.Lock(), True
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", PROCESS, msgspec.json.encode(plan).decode()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, process_group=0,
            env={**os.environ, "POLARS_MAX_THREADS": "1"},
        )  # fmt: skip
        os.setpriority(os.PRIO_PROCESS, self._process.pid, LEAST_URGENT)
        self._requests = cast("IO[bytes]", self._process.stdin)
        self._reports = cast("IO[bytes]", self._process.stdout)
        os.set_blocking(self._requests.fileno(), False)
        with suppress(AttributeError, OSError):  # a system without it has smaller pipes
            fcntl.fcntl(self._requests.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def send(self, pipeline: str, message: bytes) -> bool:
        """Send it a request, from any thread and without waiting; False where there is no room, or nobody."""
        with self._writing:
            if not self._is_open or not self._write_rest():
                return False
            self._rest = message
            self._write_rest()
            # Not even its beginning went out.
            if len(self._rest) == len(message):
                self._rest = b""
                return False
            self.sent[pipeline] += 1
            return True

    def _write_rest(self) -> bool:
        """Whether the last message is sent to its end now."""
        if self._rest:
            with suppress(BlockingIOError, BrokenPipeError):
                self._rest = self._rest[os.write(self._requests.fileno(), self._rest) :]
        return not self._rest

    def hear(self, seconds: float) -> bool:
        """Hear what it says, waiting so long for it at most; whether it may say more. For one thread only."""
        with self._writing:
            if self._is_open:
                self._write_rest()
        if not wait([self._reports.fileno()], timeout=seconds):
            return True
        piece = os.read(self._reports.fileno(), _READ)
        *lines, self._heard = (self._heard + piece).split(b"\n")
        if lines:
            self.told = reported(lines[-1])
        return bool(piece)

    def end(self) -> None:
        """Send no more; it ends when it has scored what it was sent."""
        with self._writing:
            if self._is_open:
                self._is_open = False
                self._requests.close()

    def bury(self, seconds: float) -> int:
        """Wait for its end, which is forced after so long; its exit code."""
        self.end()
        until = time.monotonic() + seconds
        while self.hear(LOOK_SECONDS):
            if time.monotonic() > until:
                self._process.kill()
        self._reports.close()
        return self._process.wait()
