"""A model server in a process of its own, for as long as a demonstration needs one. What it does is in `serving`."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ml_assets.core.errors import ServerUnreachable
from ml_assets.resources.serving_client import connected
from ml_assets.resources.settings import settings

READY_WITHIN_SECONDS, ASKED_EVERY_SECONDS = 60.0, 0.5


@contextmanager
def served(pipeline: str, port: int) -> Iterator[str]:
    """A model server in a process of its own, from when it is ready; gives its URL. Its log is kept beside the data."""
    url, log = f"http://127.0.0.1:{port}", settings().data / "serve.log"
    command = [str(Path(sys.executable).with_name("ml-assets")), "serve", "--pipeline", pipeline, "--port", str(port)]
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ)  # noqa: S603 - our own command
        try:
            asyncio.run(_ready(pipeline, url, process, log))
            yield url
        finally:
            process.terminate()
            process.wait()


async def _ready(pipeline: str, url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + READY_WITHIN_SECONDS
    async with connected(url, connections=1) as client:
        while time.monotonic() < until and process.poll() is None:
            try:
                if await client.is_ready(pipeline):
                    return
            except ServerUnreachable:
                pass  # it is starting
            await asyncio.sleep(ASKED_EVERY_SECONDS)
    raise ServerUnreachable(
        f"server {url}", found=f"it ended with {process.returncode}" if process.poll() is not None else "not ready",
        expected=f"a server that is ready within {READY_WITHIN_SECONDS:g} s",
        cure=f"read {log}; is the port taken? name another with --port",
    )  # fmt: skip
