"""A tracker that is down, or broken, is never in a training's way, and is told later."""

import socket
import time

import dagster as dg
import pytest

from ml_assets.core.errors import ConfigError
from ml_assets.core.tracked import Entry, TrackedRun
from ml_assets.resources.tracking import Tracking
from ml_assets.resources.tracking_queue import Queue
from ml_assets_tests.resources.tracked import RUN, client_of, entries, runs_in, tracking_in

pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"  # mlflow 3.17 with SQLAlchemy 2.1
)


@pytest.fixture
def silent_port():
    """A server that accepts and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield server.getsockname()[1]


@pytest.fixture
def closed_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http://127.0.0.1:{}", "postgresql://me:hunter2@127.0.0.1:{}/mlflow"])
@pytest.mark.parametrize("port", ["closed_port", "silent_port"])
def test_a_tracker_that_does_not_answer_fails_nothing_and_loses_nothing(data, scheme, port, request, caplog):
    uri = scheme.format(request.getfixturevalue(port))
    gone = tracking_in(data, uri=uri, timeout_seconds=1)
    started = time.monotonic()
    for step in ("training_set", "tuning", "candidate"):
        told = gone.track(RUN, step, entries.entry_of(step))
        assert told["tracked_by"].value.startswith("mlflow: ")
        assert "mlflow_run" not in told
    assert time.monotonic() - started < 20
    last = caplog.records[-1].getMessage()
    for part in ("mlflow at ", "3 entries", "cure: see that", "ml-assets catch-up", str(data / "tracking")):
        assert part in last
    assert "hunter2" not in caplog.text
    with dg.DagsterInstance.ephemeral() as instance:
        assert gone.settle(instance) == {}

    delivered = tracking_in(data).catch_up()
    assert (delivered.delivered, delivered.waiting) == ({"mlflow": 3}, {"mlflow": 0})
    found = runs_in(data)
    assert [r.info.run_name for r in found["runs"]] == ["trip_duration 2019-03"]
    assert len(found["trials"]) == 4


def test_a_locked_a_damaged_and_a_forbidden_database_fail_nothing(data, caplog):
    (data / "mlflow.db").write_bytes(b"this is no database, " * 100)
    assert tracking_in(data).track(RUN, "tuning", Entry())["tracked_by"].value == "mlflow: 1 waiting"
    assert "file is not a database" in caplog.text
    nowhere = Tracking(uri="sqlite:////proc/nowhere/mlflow.db", queue=f"{data}/tracking2")
    assert nowhere.track(RUN, "tuning", Entry())["tracked_by"].value == "mlflow: 1 waiting"


def test_a_deleted_experiment_is_told_and_waits(data, caplog):
    tracking, client = tracking_in(data), client_of(data)
    experiment = client.create_experiment("trip_duration", f"{data}/mlartifacts/trip_duration")
    client.delete_experiment(experiment)
    tracking.track(RUN, "tuning", Entry())
    assert "a deleted experiment or run can be restored" in caplog.text
    client.restore_experiment(experiment)
    tracking.catch_up()
    assert len(runs_in(data)["runs"]) == 1


def test_a_fault_of_ours_is_raised(data, monkeypatch):
    def broken(*_):
        raise KeyError("ours")

    monkeypatch.setattr("ml_assets.resources.tracking.log_entry", broken)
    with pytest.raises(KeyError, match="ours"):
        tracking_in(data).track(RUN, "tuning", Entry())
    assert Queue(data / "tracking").pending("mlflow") == []
    [run] = runs_in(data)["runs"]
    assert run.info.status == "RUNNING"


def test_a_bundle_that_is_gone_is_a_fault_of_ours(data, bundle):
    from ml_assets.core.errors import BundleError

    with pytest.raises(BundleError, match=r"no manifest\.json"):
        tracking_in(data).track(RUN, "candidate", entries.entry_of("candidate", (bundle[0], "ab" * 32)))
    assert client_of(data).search_model_versions() == []


def test_every_tracker_gets_the_same_and_one_that_is_down_holds_up_none(data, closed_port, caplog):
    every = tracking_in(data, uri=f"http://127.0.0.1:{closed_port}", trackers=["mlflow", "tensorboard"])
    told = every.track(RUN, "tuning", entries.entry_of("tuning"))
    assert told["tracked_by"].value == "mlflow: 1 waiting, tensorboard"
    assert list((data / "tensorboard/trip_duration/2019-03 0a1b2c3d/tuning").glob("events.*"))
    # Whoever catches up: also one that would not tell MLflow anything itself.
    delivered = tracking_in(data, trackers=["tensorboard"]).catch_up()
    assert (delivered.delivered, len(runs_in(data)["trials"])) == ({"mlflow": 1}, 4)


def test_pipelines_with_other_trackers_share_a_journal(data, closed_port):
    gone = tracking_in(data, uri=f"http://127.0.0.1:{closed_port}")
    gone.track(RUN, "tuning", Entry())
    other = TrackedRun("high_tip", "2c3d", "2019-03", 5.0)
    assert gone.of(["tensorboard"]).track(other, "tuning", Entry())["tracked_by"].value == "tensorboard"
    assert [p.name for p in (data / "tensorboard").iterdir()] == ["high_tip"]
    assert len(Queue(data / "tracking").pending("mlflow")) == 1
    with pytest.raises(ConfigError, match="comet"):
        gone.of(["comet"])
