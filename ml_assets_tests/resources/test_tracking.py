"""MLflow as a reader finds it after real deliveries: whole, once and settled."""

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from ml_assets.core.errors import ConfigError
from ml_assets.core.tracked import Entry, TrackedRun, Trial
from ml_assets.resources import tracking_runs
from ml_assets.resources.tracking import Tracking
from ml_assets.resources.tracking_queue import Queue
from ml_assets_tests.resources.tracked import RUN, client_of, entries, files_in, rows_in, runs_in, tracking_in

pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"  # mlflow 3.17 with SQLAlchemy 2.1
)


@pytest.fixture(scope="module")
def full(tmp_path_factory, fresh_database, bundle):
    """A data folder after a tuning, a candidate and a champion; with the metadata that each step got."""
    folder = tmp_path_factory.mktemp("full")
    shutil.copy(fresh_database, folder / "mlflow.db")
    tracking = tracking_in(folder, dagster_url="http://dagster:3000/")
    steps = ("tuning", "candidate", "champion")
    told = {step: tracking.track(RUN, step, entries.entry_of(step, bundle)) for step in steps}
    return folder, told


def test_a_run_says_what_it_was_and_leads_back(full):
    folder, told = full
    [run] = runs_in(folder)["runs"]
    assert (run.info.run_name, run.info.status, run.info.start_time) == ("trip_duration 2019-03", "RUNNING", 1000500)
    for name, value in {
        "dagster_run_id": "0a1b2c3d", "as_of": "2019-03", "job": "train", "reason": "drift", "git_commit": "ab" * 20,
        "mlflow.source.git.commit": "ab" * 20, "dagster_url": "http://dagster:3000/runs/0a1b2c3d",
        "data_versions": json.dumps({"2019-03": "ab" * 32}),
    }.items():  # fmt: skip
        assert run.data.tags[name] == value
    for metadata in told.values():
        assert metadata["mlflow_run_id"].value == run.info.run_id
        assert run.info.run_id in metadata["mlflow_run"].value
        assert f"mlflow ui --backend-store-uri 'sqlite:///{folder}/mlflow.db'" in metadata["mlflow_run"].value
        assert metadata["tracked_by"].value == "mlflow"


def test_parameters_metrics_and_curves_of_every_step_are_there(full):
    folder, _ = full
    [run] = runs_in(folder)["runs"]
    assert run.data.params == {
        f"{step}/{name}": value
        for step in ("tuning", "candidate", "champion")
        for name, value in {"trees": "30", "space.window": "[2, 3]"}.items()
    }
    assert run.data.metrics["candidate/mae"] == 1.5
    history = client_of(folder).get_metric_history(run.info.run_id, "candidate/train")
    assert [(m.step, m.value) for m in history] == [(1, 3.0), (2, 2.0), (3, 1.0)]


def test_what_was_read_has_our_digests(full):
    folder, _ = full
    [run] = runs_in(folder)["runs"]
    read = client_of(folder).get_run(run.info.run_id).inputs.dataset_inputs
    assert {(i.tags[0].value, i.dataset.digest, json.loads(i.dataset.profile)["sha256"]) for i in read} == {
        ("train", "0" * 36, "0" * 64), ("validation", "1" * 36, "1" * 64), ("holdout", "2" * 36, "2" * 64)
    }  # fmt: skip
    assert {i.dataset.name for i in read} == {
        f"p/training_set 2019-03 ({part})" for part in ("train", "validation", "holdout")
    }


def test_trials_are_nested_runs_with_their_ends(full):
    found = runs_in(full[0])
    assert [t.data.tags["mlflow.parentRunId"] for t in found["trials"]] == [found["runs"][0].info.run_id] * 4
    told = [(t.info.run_name, t.data.params, t.data.metrics, t.info.status) for t in found["trials"]]
    assert told == [
        (f"trial 00{i}", {"leaves": str(i)}, {"score": float(i)}, "KILLED" if i == 1 else "FINISHED") for i in range(4)
    ]
    assert [t.data.tags["trial_state"] for t in found["trials"]] == ["complete", "pruned", "complete", "complete"]
    assert {(t.info.start_time, t.info.end_time) for t in found["trials"]} == {(5000, 6000)}


def test_pictures_files_and_the_bundle_lie_beside_the_database(full, bundle):
    folder, _ = full
    [run] = runs_in(folder)["runs"]
    root = f"mlartifacts/trip_duration/{run.info.run_id}/artifacts"
    files = files_in(folder)
    for name in (
        "tuning/residuals.png",
        "tuning/report.html",
        "candidate/data_versions.json",
        "candidate/model/MLmodel",
    ):
        assert f"{root}/{name}" in files
    kept = {p.name: p.read_bytes() for p in (Path(bundle[0]) / bundle[1]).iterdir()}
    there = folder / root / "candidate/model/data" / bundle[1]
    assert {p.name: p.read_bytes() for p in there.iterdir()} == kept
    assert not any(f.endswith((".pkl", ".pickle")) for f in files)


def test_the_bundle_is_a_version_with_the_alias_and_scores(full, bundle):
    folder, _ = full
    version = client_of(folder).get_model_version_by_alias("trip_duration", "champion")
    assert (version.version, version.status, version.tags["bundle"]) == (1, "READY", bundle[1])
    assert (Path(version.source) / "MLmodel").is_file()


def test_what_is_delivered_twice_is_there_once(tmp_path, fresh_database, bundle, monkeypatch):
    shutil.copy(fresh_database, tmp_path / "mlflow.db")
    tracking = tracking_in(tmp_path)
    seen = []
    for forgetful in (True, False):
        monkeypatch.setattr(Queue, "mark", (lambda *_: None) if forgetful else Queue_mark)
        if forgetful:
            queue = Queue(tmp_path / "tracking")
            for step in ("tuning", "candidate", "champion"):
                queue.put(RUN, step, entries.entry_of(step, bundle), ["mlflow"])
            for folder in queue.pending("mlflow"):
                tracking._mlflow().deliver(queue.read(folder), print)
        else:
            tracking.catch_up()
        seen.append((rows_in(tmp_path), files_in(tmp_path)))
    assert seen[0] == seen[1]
    assert Queue(tmp_path / "tracking").pending("mlflow") == []


Queue_mark = Queue.mark


def test_names_of_any_kind_and_pictures_that_would_be_one_file_are_all_kept(data):
    names = ["error by a>b", "error by a<b", "größe/in m²", "x" * 300]
    entry = Entry(
        pictures=dict.fromkeys(names, entries.PNG), files={"../../up.html": b"<p>"}, metrics=dict.fromkeys(names, 1)
    )
    told = tracking_in(data).track(RUN, "evaluation", entry)
    assert told["tracked_by"].value == "mlflow"
    [run] = runs_in(data)["runs"]
    assert len(run.data.metrics) == 4
    root = f"mlartifacts/trip_duration/{run.info.run_id}/artifacts/evaluation/"
    assert all(name.startswith(root) for name in files_in(data))
    assert len([name for name in files_in(data) if name.endswith(".png")]) == 4


def test_a_step_that_is_repeated_with_other_parameters_keeps_both(data):
    tracking = tracking_in(data)
    for trees in (30, 40, 40):
        tracking.track(RUN, "candidate", Entry(params={"trees": trees}, metrics={"mae": trees}))
    [run] = runs_in(data)["runs"]
    assert run.data.params == {"candidate/trees": "30", "candidate/trees.2": "40"}
    assert run.data.metrics == {"candidate/mae": 40.0}


def test_a_trial_that_went_on_after_a_kill_is_completed(data):
    tracking = tracking_in(data)
    tracking.track(RUN, "tuning", Entry(trials=[Trial(0, {"a": 1}, None, "running", 5.0)]))
    [trial] = runs_in(data)["trials"]
    assert (trial.info.status, trial.data.tags["trial_state"]) == ("KILLED", "running")
    tracking.track(RUN, "tuning", Entry(trials=[Trial(0, {"a": 1}, 2.5, "complete", 5.0, 7.0)]))
    [trial] = runs_in(data)["trials"]
    assert (trial.info.status, trial.data.tags["trial_state"], trial.data.metrics) == (
        "FINISHED",
        "complete",
        {"score": 2.5},
    )


def test_there_is_one_run_per_partition_of_a_run_and_many_values_fit(data):
    tracking = tracking_in(data)
    values = {f"v{i}": i for i in range(250)}
    for as_of in ("2019-03", "2019-04"):
        run = TrackedRun("trip_duration", "0a1b", as_of, 5.0)
        tracking.track(run, "s", Entry(params=values, metrics=values, curves={"c": range(800)}))
    found = runs_in(data)["runs"]
    assert sorted(r.info.run_name for r in found) == ["trip_duration 2019-03", "trip_duration 2019-04"]
    assert {(len(r.data.params), len(r.data.metrics)) for r in found} == {(250, 251)}


def test_of_two_runs_made_by_two_machines_at_once_the_first_stays(data):
    client = client_of(data)
    experiment = client.create_experiment("trip_duration", f"{data}/mlartifacts/trip_duration")
    first = tracking_runs.run_for(client, experiment, RUN)
    client.create_run(experiment, start_time=first.info.start_time + 1, tags=RUN.tags(), run_name=RUN.name)
    assert tracking_runs.run_for(client, experiment, RUN).info.run_id == first.info.run_id
    assert [r.info.run_id for r in runs_in(data)["runs"]] == [first.info.run_id]


def test_a_bundle_is_registered_once_whoever_trained_it(data, bundle):
    tracking = tracking_in(data)
    for run_id in ("0a1b", "2c3d"):
        run = TrackedRun("trip_duration", run_id, "2019-03", 5.0)
        tracking.track(run, "candidate", entries.entry_of("candidate", bundle))
    assert [v.version for v in client_of(data).search_model_versions("name = 'trip_duration'")] == [1]


def test_the_alias_follows_the_champion(data, bundle, caplog):
    tracking = tracking_in(data)
    tracking.alias("trip_duration", bundle[1])
    assert "no version of the registered model trip_duration holds bundle" in caplog.text
    tracking.track(RUN, "candidate", entries.entry_of("candidate", bundle))
    client = client_of(data)
    other = client.create_model_version("trip_duration", "/nowhere", tags={"bundle": "other"})
    for sha256, version in (("other", other.version), (bundle[1], 1), (bundle[1], 1)):
        tracking.alias("trip_duration", sha256)
        assert client.get_model_version_by_alias("trip_duration", "champion").version == version
    assert len(runs_in(data)["runs"]) == 1


def test_runs_are_ended_as_dagster_says(data):
    tracking = tracking_in(data)
    ends = {
        dg.DagsterRunStatus.SUCCESS: "FINISHED", dg.DagsterRunStatus.FAILURE: "FAILED",
        dg.DagsterRunStatus.CANCELED: "KILLED", dg.DagsterRunStatus.STARTED: "RUNNING",
    }  # fmt: skip
    with dg.DagsterInstance.ephemeral() as instance:
        made = {create_run_for_test(instance, status=status).run_id: end for status, end in ends.items()}
        made["of another instance"] = "RUNNING"
        for run_id in made:
            tracking.track(TrackedRun("trip_duration", run_id, "2019-03", 5.0), "s", Entry())
        # Trials that a killed delivery left behind.
        client = client_of(data)
        for parent in runs_in(data)["runs"]:
            tags = {
                "mlflow.parentRunId": parent.info.run_id,
                "trial_of_dagster_run_id": parent.data.tags["dagster_run_id"],
            }
            client.create_run(parent.info.experiment_id, tags=tags)
        settled = tracking.settle(instance)
        assert sorted(settled.values()) == ["FAILED", "FAILED", "FINISHED", "FINISHED", "KILLED", "KILLED"]
        found = runs_in(data)
        assert {r.data.tags["dagster_run_id"]: r.info.status for r in found["runs"]} == made
        assert {r.data.tags["trial_of_dagster_run_id"]: r.info.status for r in found["trials"]} == made
        assert tracking.settle(instance) == {}


def test_runs_are_not_settled_while_somebody_delivers(data, monkeypatch, caplog):
    monkeypatch.setattr("ml_assets.resources.tracking_queue.PATIENCE_SECONDS", 0.05)
    tracking = tracking_in(data)
    with dg.DagsterInstance.ephemeral() as instance:
        run_id = create_run_for_test(instance, status=dg.DagsterRunStatus.SUCCESS).run_id
        tracking.track(TrackedRun("trip_duration", run_id, "2019-03", 5.0), "s", Entry())
        with Queue(data / "tracking").alone(1):
            assert tracking.settle(instance) == {}
        assert "another process is delivering" in caplog.text
        assert list(tracking.settle(instance).values()) == ["FINISHED"]


def test_what_comes_late_does_not_open_a_run_again(data):
    tracking = tracking_in(data)
    with dg.DagsterInstance.ephemeral() as instance:
        run_id = create_run_for_test(instance, status=dg.DagsterRunStatus.FAILURE).run_id
        run = TrackedRun("trip_duration", run_id, "2019-03", 5.0)
        tracking.track(run, "tuning", Entry())
        tracking.settle(instance)
        [before] = runs_in(data)["runs"]
        tracking.track(run, "candidate", Entry(metrics={"mae": 1.0}))
        [after] = runs_in(data)["runs"]
        assert (after.info.status, after.info.end_time) == ("FAILED", before.info.end_time)
        assert after.data.metrics == {"candidate/mae": 1.0}


def test_nothing_of_the_process_is_changed(data, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    elsewhere = f"sqlite:///{data}/elsewhere.db"
    shutil.copy(data / "mlflow.db", data / "elsewhere.db")
    mlflow.set_tracking_uri(elsewhere)
    try:
        mlflow.set_experiment("mine")
        before = dict(os.environ)
        with mlflow.start_run() as mine:
            tracking_in(data).track(RUN, "tuning", Entry(metrics={"mae": 1.0}))
            assert mlflow.active_run().info.run_id == mine.info.run_id
            mlflow.log_metric("mine", 1.0)
        assert mlflow.get_tracking_uri() == elsewhere
        assert mlflow.get_run(mine.info.run_id).data.metrics == {"mine": 1.0}
        assert "dagster_run_id" not in mlflow.get_run(mine.info.run_id).data.tags
        assert dict(os.environ) == before
    finally:
        mlflow.set_tracking_uri(None)
        mlflow.tracking.fluent._active_experiment_id = None
        os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
    assert [r.data.metrics for r in runs_in(data)["runs"]] == [{"tuning/mae": 1.0}]
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_it_prints_nothing(data, capfd):
    tracking_in(data).track(RUN, "tuning", entries.entry_of("tuning"))
    assert capfd.readouterr() == ("", "")


def test_a_database_of_an_older_mlflow_is_upgraded_and_kept(tmp_path, caplog):
    import sqlalchemy as sa
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base

    url = f"sqlite:///{tmp_path}/mlflow.db"
    engine = sa.create_engine(url)
    Base.metadata.create_all(engine)
    config = _get_alembic_config(url)
    scripts = ScriptDirectory.from_config(config)
    [head] = scripts.get_heads()
    older = scripts.get_revision(head).down_revision
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, older)
    engine.dispose()
    told = tracking_in(tmp_path).track(RUN, "tuning", Entry(metrics={"mae": 1.0}))
    assert told["tracked_by"].value == "mlflow"
    assert "upgraded MLflow's database" in caplog.text

    def rows(file, query):
        with closing(sqlite3.connect(file)) as database:
            return database.execute(query).fetchall()

    [kept] = tmp_path.glob("mlflow.db.before-*")
    assert rows(kept, "select version_num from alembic_version") == [(older,)]
    assert rows(tmp_path / "mlflow.db", "select version_num from alembic_version") == [(head,)]
    assert rows(tmp_path / "mlflow.db", "select key, value from metrics") == [("tuning/mae", 1.0)]


def test_a_folder_is_no_tracking_uri(tmp_path):
    for uri in (str(tmp_path), f"file://{tmp_path}", "databricks"):
        with pytest.raises(ConfigError, match="name a server or a database"):
            tracking_in(tmp_path, uri=uri)


def test_an_unknown_tracker_and_a_missing_package_are_told_at_once(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="comet"):
        tracking_in(tmp_path, trackers=["mlflow", "comet"])
    for name, extra in (("wandb", "wandb"), ("tensorboard", "tensorboard")):
        monkeypatch.setattr(f"ml_assets.resources.tracking_{name}.find_spec", lambda _: None)
        with pytest.raises(ConfigError, match=rf"ml-assets\[{extra}\]"):
            tracking_in(tmp_path, trackers=[name])
        assert tracking_in(tmp_path, trackers=["mlflow"])


def test_steps_of_a_real_dagster_run_share_one_run(data):
    @dg.asset(key=["trip_duration", "candidate"], partitions_def=dg.StaticPartitionsDefinition(["2019-03"]))
    def candidate(context: dg.AssetExecutionContext, tracking: Tracking) -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata=tracking.track(context, "candidate", Entry(metrics={"mae": 1.0})))

    @dg.asset(key=["trip_duration", "champion"], deps=[candidate])
    def champion(context: dg.AssetExecutionContext, tracking: Tracking) -> None:
        tracking.track(context, "champion", Entry(), as_of="2019-03")
        raise ValueError

    tracking = tracking_in(data)
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [candidate, champion], resources={"tracking": tracking}, partition_key="2019-03", instance=instance,
            raise_on_error=False, tags={"ml_assets/reason": "by hand"},
        )  # fmt: skip
        assert list(tracking.settle(instance).values()) == ["FAILED"]
        record = instance.get_run_record_by_id(result.run_id)
    [run] = runs_in(data)["runs"]
    assert (run.data.tags["dagster_run_id"], run.data.tags["reason"]) == (result.run_id, "by hand")
    assert (run.info.start_time, run.info.end_time) == (int(record.start_time * 1000), int(record.end_time * 1000))
    [event] = result.get_asset_materialization_events()
    assert event.materialization.metadata["mlflow_run_id"].value == run.info.run_id
