"""`ml-assets dev` started for real: the location loads without a warning, GraphQL answers, a run succeeds."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.dagster_dev import OVER, DagsterDev
from ml_assets.resources.sources.simulated import write_tlc_files

pytestmark = pytest.mark.slow(seconds=80)

LAUNCH = """mutation($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename
  ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DagsterDev, Path]]:
    """The UI on an empty data folder, and that folder; its source has one month."""
    data, source = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("source")
    list(write_tlc_files(source, ["2018-01"], 2000, 0))
    command = [str(Path(sys.executable).with_name("ml-assets")), "dev", "--data", str(data), "--source", str(source)]
    environment = {k: v for k, v in os.environ.items() if k != "DAGSTER_HOME"} | {"ML_ASSETS_DATA": str(data)}
    with DagsterDev(command, environment, data / "dev.log") as server:
        yield server, data


def test_the_graph_loads_without_warnings_and_every_asset_and_sensor_is_described(ui):
    server, data = ui
    entry = server.wait(240, server.location)
    loaded = entry["locationOrLoadError"]
    assert loaded["__typename"] == "RepositoryLocation", loaded
    nodes = {"/".join(n["assetKey"]["path"]): n for r in loaded["repositories"] for n in r["assetNodes"]}
    assert {"trips/raw", "trips/validated", "trips/quarantine", "trip_duration/champion", "trip_duration/drift"} <= set(
        nodes
    )
    assert all(n["description"] and n["groupName"] != "default" for n in nodes.values())
    sensors = {s["name"]: s["sensorState"]["status"] for r in loaded["repositories"] for s in r["sensors"]}
    ends = {f"tracking_ends_on_{how}" for how in ("success", "failure", "canceled")}
    own = {f"{p}_{what}" for p in ("trip_duration", "high_tip") for what in ("late_labels", "new_bounds", "retraining")}
    ends |= {f"trainings_end_on_{how}" for how in ("failure", "canceled")}
    follow = {"data_side", "trips_new_data", "trip_duration_served_requests"}
    assert sensors == dict.fromkeys({*follow, *ends, *own}, "RUNNING")
    lines = (data / "dev.log").read_text().splitlines()
    # On a new instance Dagster's own daemon says once that it has no cursor yet.
    complaints = [line for line in lines if "warn" in line.lower() and "No cursor for event type" not in line]
    assert complaints == []


def test_a_materialization_launched_in_the_ui_succeeds_and_what_follows_runs_by_itself(ui):
    server, data = ui
    server.wait(240, server.location)
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
    assert server.wait(240, lambda: finished(server, run_id)) == "SUCCESS"
    assert (data / "store/trips/raw/2018-01.parquet").exists()
    features = data / "store/trip_duration/features/2018-01.parquet"
    assert server.wait(240, lambda: features if features.exists() else None)


def finished(server: DagsterDev, run_id: str) -> str | None:
    """How a run ended, once it has."""
    return next((run["status"] for run in server.runs() if run["runId"] == run_id and run["status"] in OVER), None)
