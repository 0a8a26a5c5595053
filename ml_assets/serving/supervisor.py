"""Keeps worker processes alive that share one listening socket, and ends them in order.

What a worker does is in `server`. A worker that is killed is replaced; one that dies soon after its start, only after
a while, so that what is broken does not burn a core.
"""

import logging
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any

LIVED_WELL_SECONDS = 10.0
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.5, 30.0

logger = logging.getLogger("ml_assets.serving")


class Supervisor:
    """Some processes that run the same function.

    Args:
        target: what each runs; picklable.
        arguments: it is given, and after them the number of the worker, from 0.
        workers: how many.
        buried: told the process id of each that has died.
        ending: called before the workers are ended: to let go of what they share.
    """

    def __init__(
        self,
        target: Callable[..., None],
        arguments: tuple[Any, ...],
        workers: int,
        *,
        buried: Callable[[int], None],
        ending: Callable[[], None],
    ) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._target, self._arguments, self._buried, self._let_go = target, arguments, buried, ending
        self._processes: list[Any] = [None] * workers
        self._started_at = [0.0] * workers
        self._failures = [0] * workers
        self._start_at = [0.0] * workers
        self._ending = threading.Event()

    def run(self) -> None:
        """Run until a SIGTERM or SIGINT, which the workers are given too, and until they have ended."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._ending.set())
        while not self._ending.is_set():
            self._start_those_due()
            wait([p.sentinel for p in self._processes if p is not None], timeout=0.2)
            self._bury()
        self._let_go()
        for process in filter(None, self._processes):
            process.terminate()
        for process in filter(None, self._processes):
            process.join()
            self._buried(process.pid)

    def _start_those_due(self) -> None:
        now = time.monotonic()
        for at, process in enumerate(self._processes):
            if process is None and now >= self._start_at[at]:
                new = self._context.Process(target=self._target, args=(*self._arguments, at), name=f"worker-{at}")
                new.start()
                self._processes[at], self._started_at[at] = new, now

    def _bury(self) -> None:
        now = time.monotonic()
        for at, process in enumerate(self._processes):
            if process is None or process.is_alive():
                continue
            lived = now - self._started_at[at]
            self._failures[at] = 0 if lived >= LIVED_WELL_SECONDS else self._failures[at] + 1
            pause = min(FIRST_PAUSE_SECONDS * 2 ** (self._failures[at] - 1), LAST_PAUSE_SECONDS)
            pause = pause if self._failures[at] > 1 else 0.0
            logger.error(
                "a worker died and is replaced",
                extra={"worker": at, "pid": process.pid, "exit_code": process.exitcode, "pause_seconds": pause},
            )
            self._buried(process.pid)
            self._processes[at], self._start_at[at] = None, now + pause


def end_with_parent() -> None:
    """End this worker in order when its supervisor is gone, by whatever: nobody could stop it any more."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), name="parent", daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    signal.raise_signal(signal.SIGTERM)
