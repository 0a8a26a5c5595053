"""MLflow after steps in processes of their own: all at once, and killed anywhere."""

import shutil
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from ml_assets_tests.resources.tracked import client_of, runs_in, tracking_in

pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"  # mlflow 3.17 with SQLAlchemy 2.1
)


KILLS = {
    "tuning": [
        (["create_run", 1], False), (["create_run", 1], True), (["log_batch", 1], True), (["log_inputs", 1], False),
        (["log_artifacts", 1], False), (["create_run", 3], True), (["log_batch", 3], False),
        (["set_terminated", 2], False), (["set_terminated", 4], True), (["mark", 1], False),
    ],
    "candidate": [
        (["log_artifacts", 1], True), (["create_registered_model", 1], False), (["create_registered_model", 1], True),
        (["create_model_version", 1], False), (["create_model_version", 1], True),
    ],
    "champion": [(["set_registered_model_alias", 1], False), (["set_registered_model_alias", 1], True)],
}  # fmt: skip
EVERY = [(step, *kill) for step, kills in KILLS.items() for kill in kills]
STEPS = ("tuning", "candidate", "champion")
KILLED = "0a1b2c3d-0000-4000-8000-000000000000"


def killed_cases(kills, folder, fresh_database, bundle):
    """Three steps of a run, each in a process; one of them is killed, and at last the queue is caught up."""
    cases = []
    for i, (step, kill, after) in enumerate(kills):
        place = folder / str(i)
        place.mkdir()
        shutil.copy(fresh_database, place / "mlflow.db")
        children = [{"step": s, "started": 5.0} for s in (*STEPS, "catch_up")]
        children[STEPS.index(step)] |= {"kill": kill, "after": after}
        tracking = {"uri": f"sqlite:///{place}/mlflow.db", "queue": f"{place}/tracking"}
        cases.append({"run": KILLED, "tracking": tracking, "bundle": list(bundle), "children": children})
    return cases


def check_kills(kills, folder, codes, bundle):
    for i, (step, kill, after) in enumerate(kills):
        where = f"{step}: {'after' if after else 'before'} {kill}"
        assert codes[i] == [-9 if s == step else 0 for s in (*STEPS, "catch_up")], where
        check_whole(folder / str(i), bundle, where)


def check_whole(folder, bundle, where):
    found, client = runs_in(folder), client_of(folder)
    assert len(found["runs"]) == 1, where
    [run] = found["runs"]
    assert [t.info.run_name for t in found["trials"]] == [f"trial 00{i}" for i in range(4)], where
    assert [t.info.status for t in found["trials"]] == ["FINISHED", "KILLED", "FINISHED", "FINISHED"], where
    assert [len(client.get_metric_history(t.info.run_id, "score")) for t in found["trials"]] == [1] * 4, where
    for step in STEPS:
        assert len(client.get_metric_history(run.info.run_id, f"{step}/train")) == 3, where
        assert f"{step}/trees" in run.data.params, where
    assert len(client.get_run(run.info.run_id).inputs.dataset_inputs) == 3, where
    [version] = client.search_model_versions("name = 'trip_duration'")
    assert (version.status, version.tags["bundle"]) == ("READY", bundle[1]), where
    assert client.get_model_version_by_alias("trip_duration", "champion").version == version.version, where
    assert (Path(version.source) / "data" / bundle[1] / "manifest.json").is_file(), where
    assert client.search_logged_models([run.info.experiment_id]) == [], where
    with dg.DagsterInstance.ephemeral() as instance:
        create_run_for_test(instance, run_id=KILLED, status=dg.DagsterRunStatus.FAILURE)
        tracking_in(folder).settle(instance)
    assert {r.info.status for rs in runs_in(folder).values() for r in rs} <= {"FINISHED", "FAILED", "KILLED"}, where


@pytest.fixture(scope="module")
def in_processes(tmp_path_factory, fresh_database, bundle, processes):
    """What six steps at once have made of no database, and steps that were killed and caught up."""
    folder = tmp_path_factory.mktemp("processes")
    steps = [f"step{i}" for i in range(5)] + ["tuning"]
    tracking = {"uri": f"sqlite:///{folder}/six/mlflow.db", "queue": f"{folder}/six/tracking"}
    at_once = {"run": KILLED, "tracking": tracking, "at_once": True, "children": [{"step": s} for s in steps]}
    cases = killed_cases(EVERY, folder, fresh_database, bundle)
    return folder, processes([at_once, *cases])


@pytest.mark.slow(seconds=50)
def test_six_steps_in_six_processes_share_one_run_of_a_database_that_was_not_there(in_processes):
    folder, codes = in_processes[0] / "six", in_processes[1][0]
    assert codes == [0] * 6
    found = runs_in(folder)
    [run] = found["runs"]
    assert {name.split("/")[0] for name in run.data.params} == {*(f"step{i}" for i in range(5)), "tuning"}
    assert (run.info.status, len(found["trials"])) == ("RUNNING", 4)
    assert [p.name for p in folder.glob("*mlflow.db*") if not p.name.endswith(("-wal", "-shm"))] == ["mlflow.db"]


@pytest.mark.slow(seconds=50)
def test_a_kill_anywhere_is_made_good(in_processes, bundle):
    folder, codes = in_processes
    check_kills(EVERY, folder, codes[1:], bundle)
