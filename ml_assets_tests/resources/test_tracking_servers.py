"""Tracking beside real servers: MLflow's, Postgres, and Dagster's executors in their processes."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

from ml_assets.core.tracked import TrackedRun
from ml_assets.resources.bundle_files import load
from ml_assets.resources.tracking import Tracking
from ml_assets_tests.postgres import Postgres

HERE = Path(__file__).parent
_spec = spec_from_file_location("tracking_processes", HERE / "tracking_processes.py")
entries = module_from_spec(_spec)
_spec.loader.exec_module(entries)

pytestmark = [
    pytest.mark.slow(seconds=75),
    pytest.mark.filterwarnings(
        "ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"  # mlflow 3.17 with SQLAlchemy 2.1
    ),
]
RUN = TrackedRun("trip_duration", "0a1b2c3d", "2019-03", 1000.5, "train", "drift")
STEPS = ("tuning", "candidate", "champion")
EXECUTORS = ("multiprocess", "in_process")
OUTCOMES = {
    "success": ("SUCCESS", "FINISHED"), "failure": ("FAILURE", "FAILED"), "cancellation": ("CANCELED", "KILLED"),
}  # fmt: skip
"""What a run is to come to -> how Dagster, and how MLflow, is to say that it ended."""


def found_by(client):
    experiment = client.get_experiment_by_name("trip_duration")
    every = client.search_runs([experiment.experiment_id])
    parents = [r for r in every if "mlflow.parentRunId" not in r.data.tags]
    return parents, [r for r in every if "mlflow.parentRunId" in r.data.tags]


@pytest.fixture
def server(data):
    """URL and process of a real MLflow server that keeps the artifacts, too."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{data}/mlflow.db", "--artifacts-destination", f"{data}/served",
    ]  # fmt: skip
    with (data / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=data, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        )  # fmt: skip
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1):
                break
        except OSError:
            assert process.poll() is None, (data / "server.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
    yield url, process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_server_gets_everything_and_what_it_missed(server, data, bundle, caplog, monkeypatch):
    import mlflow

    url, process = server
    tracking = Tracking(uri=url, queue=f"{data}/tracking", timeout_seconds=10)
    told = [tracking.track(RUN, step, entries.entry_of(step, bundle)) for step in STEPS]
    assert caplog.text == ""
    client = mlflow.MlflowClient(url, url)
    [run], trials = found_by(client)
    assert (len(trials), run.data.metrics["candidate/mae"]) == (4, 1.5)
    page = f"{url}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    assert {m["mlflow_run"].value for m in told} == {page}
    assert {a.path for a in client.list_artifacts(run.info.run_id, "tuning")} == {
        "tuning/residuals.png", "tuning/report.html", "tuning/data_versions.json"
    }  # fmt: skip

    # As a person would load the champion.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    model = mlflow.pyfunc.load_model("models:/trip_duration@champion")
    ours = load(Path(bundle[0]), bundle[1])
    import polars as pl

    frame = pl.DataFrame({"zone": ["z1", None], "miles": [2.5, None], "hour": [7.0, 8.0]})
    np.testing.assert_array_equal(model.predict(frame.to_pandas()), ours.predict(frame))

    # It hangs: accepts, and does not answer.
    os.killpg(process.pid, signal.SIGSTOP)
    later = TrackedRun("trip_duration", "later", "2019-04", 2000.0)
    hurried = Tracking(uri=url, queue=f"{data}/tracking", timeout_seconds=1)
    started = time.monotonic()
    assert hurried.track(later, "tuning", entries.entry_of("tuning"))["tracked_by"].value == "mlflow: 1 waiting"
    assert time.monotonic() - started < 10
    os.killpg(process.pid, signal.SIGCONT)
    delivered = tracking.catch_up()
    assert delivered.waiting == {"mlflow": 0}
    parents, trials = found_by(client)
    assert sorted(r.info.run_name for r in parents) == ["trip_duration 2019-03", "trip_duration 2019-04"]
    assert len(trials) == 8


def test_six_steps_in_six_processes_share_one_run_of_a_fresh_postgres(tmp_path, processes, bundle):
    server = Postgres()
    try:
        tracking = {"uri": server.url, "queue": f"{tmp_path}/tracking"}
        steps = [f"step{i}" for i in range(4)] + ["tuning", "candidate"]
        at_once = {
            "run": "0a1b", "tracking": tracking, "at_once": True, "bundle": list(bundle),
            "children": [{"step": s} for s in steps],
        }  # fmt: skip
        assert processes([at_once]) == [[0] * 6]
        from mlflow import MlflowClient

        url = server.url.replace("postgresql://", "postgresql+psycopg2://")
        client = MlflowClient(url, url)
        [run], trials = found_by(client)
        assert {name.split("/")[0] for name in run.data.params} == set(steps)
        assert len(trials) == 4
        [version] = client.search_model_versions("name = 'trip_duration'")
        assert (Path(version.source) / "MLmodel").is_file()
        assert version.source.startswith(f"{tmp_path}/mlartifacts/")
    finally:
        server.cleanup()


@pytest.fixture(scope="module")
def ended(tmp_path_factory, fresh_database):
    """A folder for each executor and outcome, in which a job was run; and how Dagster says that its runs ended."""
    root = tmp_path_factory.mktemp("jobs")
    folders = [root / f"{executor}-{outcome}" for executor in EXECUTORS for outcome in OUTCOMES]
    for folder in folders:
        (folder / "dagster").mkdir(parents=True)
        (folder / "dagster/dagster.yaml").write_text("telemetry: {enabled: false}\n")
        shutil.copy(fresh_database, folder / "mlflow.db")
    done = subprocess.run(
        [sys.executable, str(HERE / "tracking_job.py"), *map(str, folders)], cwd=HERE.parents[1], text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return root, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_dagsters_runs_end_in_mlflow_as_they_ended(ended, executor, outcome):
    from mlflow import MlflowClient

    root, statuses = ended
    dagster, mlflow = OUTCOMES[outcome]
    assert statuses[f"{executor}-{outcome}"] == dagster
    client = MlflowClient(f"sqlite:///{root}/{executor}-{outcome}/mlflow.db")
    [run], trials = found_by(client)
    assert run.info.status == mlflow
    assert [t.info.status for t in trials] == ["FINISHED"]
    steps = {"training_set/rows"} | ({"candidate/mae"} if outcome == "success" else set())
    assert set(run.data.metrics) == steps
