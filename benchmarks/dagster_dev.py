"""A real `dagster dev`, webserver and daemon, in processes of its own on 127.0.0.1, spoken to over GraphQL."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

OVER = ("SUCCESS", "FAILURE", "CANCELED")
LOCATIONS = """{ workspaceOrError { __typename ... on Workspace { locationEntries {
  name loadStatus locationOrLoadError { __typename ... on PythonError { message } ... on RepositoryLocation {
    repositories { name assetNodes { assetKey { path } description groupName } sensors { name sensorState { status } } }
} } } } } }"""
RUNS = """query($filter: RunsFilter) { runsOrError(filter: $filter, limit: 200) { __typename
  ... on Runs { results { runId status jobName tags { key value } creationTime startTime endTime } } } }"""
MADE = """query($key: AssetKeyInput!, $partitions: [String!]) { assetOrError(assetKey: $key) { __typename
  ... on Asset { assetMaterializations(partitions: $partitions) { runId timestamp metadataEntries { label
    ... on TextMetadataEntry { text } } } } } }"""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class DagsterDev:
    """One `dagster dev`; may be killed and started again on the same data.

    Args:
        command: what starts it, without the port: `--port N` is added.
        environment: of its processes; its DAGSTER_HOME, or else its ML_ASSETS_DATA, tells them from all others.
        log: file for what it says.
        cwd: folder that it starts in.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path, cwd: Path | None = None
    ) -> None:
        self.command, self.environment, self.log, self.cwd = list(command), dict(environment), log, cwd
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> "DagsterDev":
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it; `location` says when it can be worked with."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [*self.command, "--port", str(port)],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd=self.cwd,
                start_new_session=True,
            )

    def stop(self) -> None:
        """End it as a person does, and what is left of it after half a minute without mercy."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
        self.kill()

    def kill(self) -> list[int]:
        """Kill every process of it with -9 at once: webserver, daemon, code servers, runs.

        Returns:
            Their ids, once the last one is gone: one that was killed is still to be seen for a moment.
        """
        killed = set[int]()
        while found := self.processes():
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            killed |= set(found)
            time.sleep(0.05)
        if self.process is not None:
            self.process.wait()
        return sorted(killed)

    def processes(self) -> list[int]:
        """Ids of all processes that work on its data, by their environment."""
        told = next(name for name in ("DAGSTER_HOME", "ML_ASSETS_DATA") if name in self.environment)
        ours = f"{told}={self.environment[told]}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if int(folder.name) != os.getpid() and ours in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """What GraphQL answers.

        Raises:
            RuntimeError: errors in the answer.
        """
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            result: dict[str, Any] = json.load(answer)
        if "errors" in result:
            raise RuntimeError(str(result["errors"]))
        told: dict[str, Any] = result["data"]
        return told

    def wait(self, seconds: float, ready: Callable[[], T | None], every: float = 1.0) -> T:
        """What `ready` returns as soon as it is not None; no answer from the server is none yet.

        Raises:
            TimeoutError: there was none in that time; with the end of the log.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                if (found := ready()) is not None:
                    return found
            time.sleep(every)
        raise TimeoutError(f"nothing after {seconds} s; {self.log} ends with\n{self.log.read_text()[-3000:]}")

    def location(self) -> dict[str, Any] | None:
        """The code location, once it is loaded."""
        entries = self.ask(LOCATIONS)["workspaceOrError"].get("locationEntries", [])
        return next((e for e in entries if e["loadStatus"] == "LOADED" and e["locationOrLoadError"]), None)

    def runs(self, **filters: Any) -> list[dict[str, Any]]:
        """Runs, newest first, their tags as a mapping."""
        runs: list[dict[str, Any]] = self.ask(RUNS, filter=filters)["runsOrError"]["results"]
        return [{**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in runs]

    def runs_of(self, partition: str) -> list[dict[str, Any]]:
        """Runs of a partition, newest first."""
        return self.runs(tags=[{"key": "dagster/partition", "value": partition}])

    def made(self, key: str, partition: str) -> list[dict[str, Any]]:
        """Materializations of a partition, newest first, their texts as a mapping."""
        asset = self.ask(MADE, key={"path": key.split("/")}, partitions=[partition])["assetOrError"]
        return [
            {**one, "texts": {e["label"]: e["text"] for e in one["metadataEntries"] if "text" in e}}
            for one in asset.get("assetMaterializations", [])
        ]
