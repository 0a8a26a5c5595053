"""`ml-assets dev` started for real: the location loads without a warning, GraphQL answers, a run succeeds."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

LOCATIONS = """{ workspaceOrError { __typename ... on Workspace { locationEntries {
  name loadStatus locationOrLoadError { __typename ... on PythonError { message } ... on RepositoryLocation {
    repositories { name assetNodes { assetKey { path } description groupName } sensors { name sensorState { status } } }
} } } } } }"""
LAUNCH = """mutation($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename
  ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
RUN = "query($id: ID!) { runOrError(runId: $id) { __typename ... on Run { status } } }"


class UI:
    """A running Dagster UI, spoken to over GraphQL."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            result: dict[str, Any] = json.load(answer)
        assert "errors" not in result, result["errors"]
        return result["data"]

    def wait(self, seconds: float, ready: Any) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if (found := ready()) is not None:
                    return found
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                pass
            time.sleep(1)
        raise TimeoutError(f"nothing after {seconds} s")

    def location(self) -> dict[str, Any] | None:
        entries = self.ask(LOCATIONS)["workspaceOrError"].get("locationEntries", [])
        return next((e for e in entries if e["loadStatus"] == "LOADED" and e["locationOrLoadError"]), None)

    def finished(self, run_id: str) -> str | None:
        status = self.ask(RUN, id=run_id)["runOrError"]["status"]
        return status if status in ("SUCCESS", "FAILURE", "CANCELED") else None


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[UI, Path]]:
    data = tmp_path_factory.mktemp("data")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = data / "dev.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("ml-assets")),
                "dev",
                "--port",
                str(port),
                "--data",
                str(data),
            ],
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield UI(port), data
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def test_the_graph_loads_without_warnings_and_every_asset_and_sensor_is_described(ui):
    server, data = ui
    entry = server.wait(120, server.location)
    loaded = entry["locationOrLoadError"]
    assert loaded["__typename"] == "RepositoryLocation", loaded
    nodes = {"/".join(n["assetKey"]["path"]): n for r in loaded["repositories"] for n in r["assetNodes"]}
    assert {"trips/raw", "trips/validated", "trips/quarantine", "trip_duration/champion", "trip_duration/drift"} <= set(
        nodes
    )
    assert all(n["description"] and n["groupName"] != "default" for n in nodes.values())
    sensors = {s["name"]: s["sensorState"]["status"] for r in loaded["repositories"] for s in r["sensors"]}
    ends = {f"tracking_ends_on_{how}" for how in ("success", "failure", "canceled")}
    late = {f"{pipeline}_late_labels" for pipeline in ("trip_duration", "high_tip")}
    assert sensors == dict.fromkeys({"data_side", "trips_new_data", *ends, *late}, "RUNNING")
    lines = (data / "dev.log").read_text().splitlines()
    # On a new instance Dagster's own daemon says once that it has no cursor yet.
    complaints = [line for line in lines if "warn" in line.lower() and "No cursor for event type" not in line]
    assert complaints == []


def test_a_materialization_launched_in_the_ui_succeeds_and_what_follows_runs_by_itself(ui):
    server, data = ui
    server.wait(120, server.location)
    launched = server.ask(
        LAUNCH,
        p={
            "selector": {
                "repositoryLocationName": "ml_assets",
                "repositoryName": "__repository__",
                "pipelineName": "__ASSET_JOB",
                "assetSelection": [{"path": ["trips", "raw"]}],
            },
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": "2018-01"}]},
        },
    )["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run_id = launched["run"]["runId"]
    assert server.wait(180, lambda: server.finished(run_id)) == "SUCCESS"
    assert (data / "store/trips/raw/2018-01.parquet").exists()
    features = data / "store/trip_duration/features/2018-01.parquet"
    assert server.wait(240, lambda: features if features.exists() else None)
