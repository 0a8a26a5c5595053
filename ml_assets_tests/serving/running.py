"""A server in a process of its own, on a ledger with real bundles, and clients that ask it without pause."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ml_assets.core.releases import RELEASED, ROLLED_BACK
from ml_assets.resources.bundle_files import save
from ml_assets.resources.ledger_database import LedgerDatabase
from ml_assets_tests.core.test_bundle import PARAMS, VALIDATION, made

REPOSITORY = Path(__file__).resolve().parents[2]
PIPELINE = "trip_duration"
END = "2018-04-01T00:00:00"
ROW = {"zone": "z1", "miles": 2.5, "hour": 8.0}
PATH = f"/v2/models/{PIPELINE}/infer"


def body(row: dict = ROW) -> bytes:
    kinds = {str: "BYTES", float: "FP64"}
    inputs = [{"name": n, "shape": [1], "datatype": kinds[type(v)], "data": [v]} for n, v in row.items()]
    return json.dumps({"inputs": inputs}).encode()


class Released:
    """A data folder with three bundles of `trip_duration`, whose ledger a test writes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ledger = LedgerDatabase(f"sqlite:///{root / 'ledger.db'}")
        self.bundles = []
        for seed in range(3):
            bundle = made(seed=seed, params=PARAMS, pipeline=PIPELINE)
            save(bundle, root / "models")
            self.bundles.append(bundle)

    def version(self, number: int) -> str:
        return self.bundles[number].sha256

    def scores(self) -> dict[str, float]:
        """What each version says of `ROW`."""
        import polars as pl

        frame = pl.DataFrame([ROW], schema=VALIDATION.select("zone", "miles", "hour").schema)
        return {b.sha256: float(b.predict(frame)[0]) for b in self.bundles}

    def append(self, kind: str, **facts: object) -> int:
        after = len(self.ledger.events(PIPELINE))
        return self.ledger.append(PIPELINE, kind, facts, after=after).sequence

    def make_live(self, version: str, kind: str = RELEASED, **more: object) -> int:
        facts = {
            "bundle": version, "as_of": "2018-03", "as_of_end": END, "scores_from": END, "record": None, "forced": True,
            "by": "a test", "reason": "a test",
        }  # fmt: skip
        return self.append(kind, **{**facts, **more})

    def roll_back(self, version: str, from_bundle: str) -> int:
        return self.make_live(version, ROLLED_BACK, from_bundle=from_bundle)


@dataclass
class Server:
    """A running server."""

    process: subprocess.Popen
    port: int
    log: Path

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def ask(self, method: str = "POST", path: str = PATH, content: bytes | None = None, headers=(), timeout=30):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body() if content is None and method == "POST" else content, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read(), answer
        finally:
            connection.close()

    def version(self) -> str | None:
        return self.ask()[2].getheader("x-model-version")

    def metric(self, name: str, *labels: str) -> float:
        text = self.ask("GET", "/metrics")[1].decode()
        found = [line for line in text.splitlines() if line.startswith(name) and all(lab in line for lab in labels)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)

    def rss_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))

    def workers(self) -> list[int]:
        """Process ids of the workers that serve."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(p) for p in children if b"spawn_main" in Path(f"/proc/{p}/cmdline").read_bytes()]


def until(what, seconds: float = 30.0, every: float = 0.02):
    """Wait for something to be true; what it then is."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError, http.client.HTTPException):
            if found := what():
                return found
        time.sleep(every)
    raise AssertionError(f"not true within {seconds} s: {what}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(data: Path, *arguments: str, ready: bool = True, wrapper: tuple[str, ...] = ()):
    """A server on a data folder; ended when the test is."""
    port, log = free_port(), data / "server.log"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "ML_ASSETS_DATA": str(data)}
    command = [*wrapper, sys.executable, "-m", "ml_assets.cli", "serve", "--port", str(port), "--json", *arguments]
    with log.open("w") as said:
        process = subprocess.Popen(command, stderr=said, stdout=said, env=environment, cwd=data)
    server = Server(process, port, log)
    try:
        until(lambda: server.ask("GET", f"/health/{'ready' if ready else 'live'}")[0] == 200, 60)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass
class Clients:
    """Some connections that ask without pause: what they were answered, and what went wrong."""

    port: int
    connections: int
    path: str = PATH
    content: bytes = body()
    """Of a request; may be another one from now on."""
    pause: float = 0.0
    """Seconds between an answer and the next request of a connection."""
    answers: list[tuple[float, str, float]] = field(default_factory=list)
    """When, by which version, and the prediction."""
    errors: list[str] = field(default_factory=list)
    refused: int = 0

    def __enter__(self) -> "Clients":
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(self.connections)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            self._ask(connection)

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        while not self._stop.is_set():
            try:
                if connection.sock is None:
                    connection.connect()
            except ConnectionRefusedError:
                self.refused += 1
                if self.refused > 20:
                    return
                time.sleep(0.02)
                continue
            except OSError as e:
                self.errors.append(f"connecting: {e!r}")
                continue
            try:
                connection.request("POST", self.path, self.content)
                answer = connection.getresponse()
                read = answer.read()
            except (OSError, http.client.HTTPException) as e:
                self.errors.append(repr(e))
                connection.close()
                continue
            if answer.status != 200:
                self.errors.append(f"{answer.status} {read[:200]!r}")
                continue
            prediction = json.loads(read)["outputs"][0]["data"][0]
            self.answers.append((time.monotonic(), answer.getheader("x-model-version"), prediction))
            time.sleep(self.pause)
        connection.close()
