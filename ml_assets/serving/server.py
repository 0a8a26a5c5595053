"""Runs the server: one process, or several that share a port; and ends it without losing a request.

After a SIGTERM it goes on answering for some seconds, says at `/health/ready` that it is not ready, and asks every
client to close its connection with its answer, so that whoever sends requests there finds another server meanwhile.
Then it listens no more, and ends when the last answer is out. A SIGINT, and a second signal, leave out the waiting.
How it is put together is in `building`.
"""

import asyncio
import ctypes
import gc
import multiprocessing
import os
import signal
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

import uvicorn

from ml_assets.core.errors import ConfigError
from ml_assets.serving.at_once import AtOnceProtocol
from ml_assets.serving.building import Built, Options, build
from ml_assets.serving.logs import log_to_stderr
from ml_assets.serving.supervisor import Supervisor, end_with_parent

LAST_ANSWERS_SECONDS = 30
IDLE_SECONDS = 75
"""An idle connection is kept longer than load balancers keep theirs, 60 s, so that it is they who close it."""
MOST_CONNECTIONS = 4_096
BACKLOG = 2_048
SWITCH_SECONDS = 0.0005
"""How long the log's or the watcher's thread may keep the interpreter from a request; Python's own 0.005 is a p99."""
CLOSES = (b"connection", b"close")
FIRST_REQUEST_SECONDS = 1.0
ATTACH_FILTER = 26
"""Linux' SO_ATTACH_FILTER."""


class DrainingServer(uvicorn.Server):
    """uvicorn's server, with a time between the signal and the end.

    Args:
        config: uvicorn's.
        built: what it serves.
        drain_seconds: that time.
        is_last: whether no other worker goes on listening at the same socket when this one ends.
    """

    def __init__(self, config: uvicorn.Config, built: Built, drain_seconds: float, is_last: Callable[[], bool]) -> None:
        super().__init__(config)
        self._is_last = is_last
        self._built, self._drain_seconds = built, drain_seconds
        self._ends_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain at the first SIGTERM; end at any other signal."""
        if sig == signal.SIGTERM and self._ends_at is None and self.started:
            self._ends_at = time.monotonic() + self._drain_seconds
            self._built.plane.closing = True
            self.config.encoded_headers.append(CLOSES)
            self.server_state.default_headers = [*self.server_state.default_headers, CLOSES]
            return
        super().handle_exit(sig, frame)
        # Else uvicorn raises it again when all is done, and a server that ended in order would seem killed.
        self._captured_signals.clear()

    async def on_tick(self, counter: int) -> bool:
        """End when the time is over."""
        if self._ends_at is not None and time.monotonic() >= self._ends_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Give the connections that are made, and not accepted yet, an answer; then end."""
        queues = [listening.dup() for listening in sockets or []]
        for server in self.servers:
            server.close()
        for queue in queues:
            await self._accept_the_last(queue)
        await super().shutdown()

    async def _accept_the_last(self, queue: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        # What was closed is closed in the next round of the loop; then this is the last that holds the socket here.
        await asyncio.sleep(0.01)
        if self._is_last():
            refuse_new_connections(queue)
            # Those that are being made are made, and come into the queue.
            await asyncio.sleep(0.05)
        queue.setblocking(False)
        make = partial(
            AtOnceProtocol, config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        while True:
            try:
                connection, _ = queue.accept()
            except OSError:
                break
            connection.setblocking(False)
            await loop.connect_accepted_socket(make, connection)
        queue.close()
        # The requests of new connections are on the way: they are read before idle connections are closed.
        until = loop.time() + FIRST_REQUEST_SECONDS
        while loop.time() < until and any(getattr(c, "cycle", c) is None for c in self.server_state.connections):
            await asyncio.sleep(0.02)


def serve(options: Options) -> None:
    """Serve until a signal ends it.

    Raises:
        ConfigError: a port is taken, or something that is asked for is not installed.
    """
    log_to_stderr(as_json=options.as_json)
    listening = _listening(options)
    if options.workers == 1:
        run_worker(options, listening, None, 0)
        return
    with tempfile.TemporaryDirectory(prefix="ml_assets_metrics_") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        # A connection made to this copy of the socket, while no worker accepts any more, would never be answered.
        ending = multiprocessing.get_context("spawn").Event()

        def let_go() -> None:
            ending.set()
            listening.close()

        Supervisor(run_worker, (options, listening, ending), options.workers, buried=_bury, ending=let_go).run()


def run_worker(options: Options, listening: socket.socket, ending: Any, number: int) -> None:  # noqa: ARG001
    """Serve in this process on a socket that is bound.

    Args:
        options: what the server is asked to be.
        listening: the socket, shared by all workers.
        ending: set when all workers end; None: this is the only one.
        number: of the worker.
    """
    log_to_stderr(as_json=options.as_json)
    end_with_parent()
    sys.setswitchinterval(SWITCH_SECONDS)
    built = build(options)
    built.watcher.placed = leave_to_stay
    config = uvicorn.Config(
        built.app, http=AtOnceProtocol, loop="uvloop", lifespan="on", ws="none", log_config=None, access_log=False,
        proxy_headers=False, server_header=False, date_header=False, timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=LAST_ANSWERS_SECONDS, limit_concurrency=MOST_CONNECTIONS, backlog=BACKLOG,
    )  # fmt: skip
    is_last = (lambda: True) if ending is None else ending.is_set
    DrainingServer(config, built, options.drain_seconds, is_last).run(sockets=[listening])


def leave_to_stay() -> None:
    """Take all that lives now out of the garbage collector's sight: looking through it stops requests for 50 ms."""
    gc.collect()
    gc.freeze()


def refuse_new_connections(listening: socket.socket) -> None:
    """Drop what would begin a connection, so that none is made that nobody accepts; others are made to the end.

    Whoever tries finds the port closed at the next try, and no request on its way. By a filter on the flags of TCP's
    head; where the system knows none, a connection may be made in the last moment, and reset.
    """
    drop_syn = (
        struct.pack("HBBI", 0x30, 0, 0, 13)  # load the byte of the flags
        + struct.pack("HBBI", 0x45, 0, 1, 0x02)  # is SYN among them?
        + struct.pack("HBBI", 0x06, 0, 0, 0)  # then nothing of it is kept
        + struct.pack("HBBI", 0x06, 0, 0, 0xFFFFFFFF)
    )
    program = ctypes.create_string_buffer(drop_syn)
    with suppress(OSError):
        listening.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, struct.pack("HL", 4, ctypes.addressof(program)))


def _listening(options: Options) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((options.host, options.port))
    except OSError as e:
        listening.close()
        raise ConfigError(
            "--host and --port", found=f"{options.host}:{options.port}: {e.strerror}",
            expected="an address of this machine and a port that is free", cure="choose others",
        ) from e  # fmt: skip
    return listening


def _bury(pid: int) -> None:
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)  # type: ignore[no-untyped-call]
