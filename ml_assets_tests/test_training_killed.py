"""A training killed with SIGKILL at every stage, or on a full disk, a locked ledger, without MLflow; and given again.

Each row of `KILLS` is one process of a chain, which does what `ml-assets demo` does on one data folder: the next one
finds what the one before left. The last one is not disturbed, and must end as one that never was.
"""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ml_assets.core.releases import DECIDED, RELEASED, check_chain, live
from ml_assets.ledger_audit import audit
from ml_assets.releasing import ReleaseDesk
from ml_assets.resources.bundle_files import load
from ml_assets.resources.durable import CURES
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.models import Models
from ml_assets.resources.storage import Store
from ml_assets.resources.studies import Studies
from ml_assets.resources.tracking import Tracking
from ml_assets.resources.tracking_queue import Queue

pytestmark = [
    pytest.mark.slow(seconds=130),
    pytest.mark.filterwarnings(
        "ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"  # mlflow 3.17 with SQLAlchemy 2.1
    ),
]
SCRIPT = Path(__file__).with_name("training_processes.py")
FIRST, AS_OF = "2018-02", "2018-05"
TRIALS = 6
NOUNS = ("training_set", "candidate", "evaluation", "decision")
PIPELINE = {
    "model": {"window": 2, "params": {"trees": 20}},
    "tuning": {
        "trials": TRIALS,
        "folds": 2,
        "space": {"leaves": [15, 31], "learning_rate": {"low": 0.05, "high": 0.2, "log": True}},
    },
    "trackers": ["mlflow"],
    # The second training is asked for by hand, so that it has a study, too.
    "retraining": None,
}

TELL, GROW = "optuna.study:Study.tell", "lightgbm:Booster.update"
SAVING, FOLDER = "ml_assets.resources.bundle_files:flush", "ml_assets.resources.bundle_files:flush_folder"
APPEND, MLFLOW = "ml_assets.resources.ledger:Ledger.append", "mlflow:MlflowClient"
KILLS: dict[str, dict[str, dict[str, Any]]] = {
    "tuning": {
        "in the middle of a trial's trees": {"call": GROW, "n": 5},
        "before the first trial is told": {"call": TELL, "n": 2},  # the first is that of the trial left above
        "after the third trial": {"call": "ml_assets.core.tuning:_tell", "n": 3, "after": True},
        "in the middle of the trials in MLflow": {"call": f"{MLFLOW}.create_run", "n": 3, "after": True},
    },
    "training": {
        "in the middle of the model's trees": {"call": GROW, "n": 5, "since": "ml_assets.core.learning:learn"},
        "between two files of the bundle": {"call": SAVING, "after": True},
        "before the bundle is renamed": {"call": FOLDER, "after": True},
        "after the bundle is renamed": {"call": FOLDER, "n": 2},
        "before the bundle is uploaded": {"call": f"{MLFLOW}.log_artifacts", "given": "candidate"},
        "before the version is registered": {"call": f"{MLFLOW}.create_model_version"},
        "after the version is registered": {"call": f"{MLFLOW}.create_model_version", "after": True},
    },
    "releasing": {
        "before the decision is in the ledger": {"call": APPEND, "given": DECIDED},
        "between decision and release": {"call": APPEND, "given": DECIDED, "after": True},
        "before the release is in the ledger": {"call": APPEND, "given": RELEASED},
        "after the release is in the ledger": {"call": APPEND, "given": RELEASED, "after": True},
        "before MLflow's alias is moved": {"call": f"{MLFLOW}.set_registered_model_alias"},
        "after MLflow's alias is moved": {"call": f"{MLFLOW}.set_registered_model_alias", "after": True},
        "before the run is ended in MLflow": {"call": "ml_assets.resources.tracking:Tracking.settle", "n": 2},
    },
}
EVERY_KILL = [pytest.param(chain, i, id=name) for chain, kills in KILLS.items() for i, name in enumerate(kills)]
FULL = {"all": "", "models": "models"}
"""What is on the full disk: the whole data folder, or the bundles alone."""
OUTAGE = {"ML_ASSETS_TRACKING": "http://127.0.0.1:1"}


class Trained:
    """What is in a data folder after trainings."""

    def __init__(self, data: Path, pipeline: Any) -> None:
        self.data = data
        self.store, self.ledger = Store(root=str(data / "store")), Ledger(url=f"sqlite:///{data}/ledger.db")
        self.desk = ReleaseDesk(pipeline, self.store, Models(root=str(data / "models")), self.ledger)
        self.key = pipeline.key

    def require_whole(self) -> None:
        """Nothing that is visible is half-done, and it all fits together."""
        check_chain(self.ledger.events("duration"))
        assert audit(self.desk)[1] == []
        for bundle in self.bundles:
            load(self.data / "models", bundle)
        for noun in (*NOUNS, "tuning"):
            # What is cut short is no JSON.
            self.store.record(self.key(noun), AS_OF)

    @property
    def bundles(self) -> list[str]:
        return sorted(p.name for p in (self.data / "models").iterdir() if not p.name.startswith("."))

    def outcome(self) -> dict[str, Any]:
        """All that a training leaves, without what differs by run: times and run ids."""
        return {
            "bundles": self.bundles,
            "events": [
                (e.kind, {k: v for k, v in e.facts.items() if k not in ("at", "by")})
                for e in self.ledger.events("duration")
            ],
            "records": {noun: self.store.record(self.key(noun), AS_OF) for noun in NOUNS},
            "champion": self.store.record(dg.AssetKey(["duration"]), "champion"),
            "studies": {n: [{**t, "seconds": 0.0} for t in trials] for n, trials in self.studies().items()},
        }

    def studies(self) -> dict[str, list[dict[str, Any]]]:
        """Of each study the trials that have ended."""
        from optuna import get_all_study_names

        from ml_assets.core.tuning import records

        studies = Studies(url=f"sqlite:///{self.data}/studies.db")
        return {name: [t.to_json() for t in records(studies.open(name))] for name in get_all_study_names(studies.url)}

    def tracked(self) -> dict[str, Any]:
        """What MLflow tells of it: versions with their aliases, and each run's trials."""
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{self.data}/mlflow.db", f"sqlite:///{self.data}/mlflow.db")
        runs = client.search_runs([client.get_experiment_by_name("duration").experiment_id], max_results=500)
        assert [r.info.run_name for r in runs if r.info.status == "RUNNING"] == []
        ours = {r.info.run_id: r.data.tags["dagster_run_id"] for r in runs if "mlflow.parentRunId" not in r.data.tags}
        assert len(set(ours.values())) == len(ours), "one run of MLflow for a run of Dagster"
        trials = Counter(r.data.tags["mlflow.parentRunId"] for r in runs if "mlflow.parentRunId" in r.data.tags)
        versions = client.search_model_versions("name = 'duration'")
        for v in versions:
            assert (Path(v.source) / "data" / v.tags["bundle"] / "manifest.json").is_file()
        found = [(v.tags["bundle"], v.status, v.tags["as_of"]) for v in versions]
        return {
            "versions": sorted(found),
            "champion": client.get_model_version_by_alias("duration", "champion").tags["bundle"],
            "runs": {ours[run]: trials[run] for run in ours},
        }

    def dagster_runs(self) -> list[dg.DagsterRun]:
        with dg.DagsterInstance.from_config(str(self.data / "dagster")) as instance:
            return instance.get_runs()

    def failures(self, run: dg.DagsterRun) -> list[str]:
        """Why its steps failed, as the UI tells it."""
        with dg.DagsterInstance.from_config(str(self.data / "dagster")) as instance:
            logs = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
            return [r.event_log_entry.dagster_event.step_failure_data.error.to_string() for r in logs]

    def require_ended(self) -> None:
        """No run is unfinished; each training that Dagster calls a success is one run of MLflow, with its trials."""
        runs = self.dagster_runs()
        assert [r.run_id for r in runs if not r.is_finished] == []
        trainings = [r for r in runs if r.job_name == "duration_train" and r.is_success]
        tracked = self.tracked()["runs"]
        for run in trainings:
            tuned = run.asset_selection is None or self.key("tuning") in run.asset_selection
            assert tracked[run.run_id] == (TRIALS if tuned else 0)
        assert Queue(self.data / "tracking").pending("mlflow") == []


def cases_in(folder: Path, project: Path, full: list[str]) -> list[list[dict[str, Any]]]:
    """The rounds for `training_processes.py`: all but the last training, then the last one of everyone."""

    def case(name: str, *children: dict[str, Any], **more: str) -> dict[str, Any]:
        start = {"project": str(project), "data": str(folder / name), "last": AS_OF}
        return {**start, **more, "children": list(children)}

    def disturbed(name: str, *hindered: dict[str, Any]) -> dict[str, Any]:
        return case(name, *({"hindrance": h} for h in hindered), {}, **{"from": str(folder / "before")})

    chains = [disturbed(chain, *kills.values()) for chain, kills in KILLS.items()]
    locks = [{"call": APPEND, "given": given, "what": "lock", "where": "ledger.db"} for given in (DECIDED, RELEASED)]
    fills = {name: {"call": SAVING, "what": "fill", "where": where} for name, where in FULL.items()}
    return [
        [case("before", {"until": [AS_OF, "follow"]})],
        [
            *reversed(chains),
            disturbed("locked", *locks),
            *(disturbed(f"full_{name}", fills[name]) for name in full),
            case("untracked", {"environment": OUTAGE}, **{"from": str(folder / "before")}),
            disturbed("undisturbed"),
        ],
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Of all data folders."""
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def full(folder) -> Iterator[list[str]]:
    """Those of `FULL` that are on a small disk of their own; none where nothing may be mounted."""
    mounted = {}
    try:
        for name, where in FULL.items():
            disk = folder / f"full_{name}" / where
            disk.mkdir(parents=True)
            mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(disk)]
            if shutil.which("mount") and subprocess.run(mount, check=False, capture_output=True).returncode == 0:
                mounted[name] = disk
        yield list(mounted)
    finally:
        for disk in mounted.values():
            # Lazily, as this process has databases on it open.
            subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.fixture(scope="module")
def processes(folder, full, write_project) -> dict[str, list[int]]:
    """Everything that is told here, done once; the exit codes of each data folder's processes."""
    project = write_project(folder / "project", "project_of_killed", **PIPELINE)
    rounds = cases_in(folder, project, full)
    file = folder / "cases.json"
    file.write_text(json.dumps(rounds))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(SCRIPT), str(file)],
        capture_output=True, text=True, check=False, env={**os.environ, "ML_ASSETS_SOURCE": "simulated"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    codes = json.loads(done.stdout)
    return {Path(c["data"]).name: e for r, es in zip(rounds, codes, strict=True) for c, e in zip(r, es, strict=True)}


@pytest.fixture(scope="module")
def trained(folder, processes, small_pipeline):
    """What is in a data folder."""
    return lambda name: Trained(folder / name, small_pipeline)


@pytest.fixture(scope="module")
def undisturbed(trained) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a training that nothing disturbed leaves, and what MLflow tells of it."""
    found = trained("undisturbed")
    found.require_whole()
    found.require_ended()
    outcome, tracked = found.outcome(), found.tracked()
    assert [kind for kind, _ in outcome["events"]] == [DECIDED, RELEASED] * 2
    assert len(outcome["bundles"]) == 2
    assert [len(trials) for trials in outcome["studies"].values()] == [TRIALS] * 2
    assert [t["origin"] for t in list(outcome["studies"].values())[1]].count("warm start") > 0
    assert tracked["champion"] == outcome["champion"]["bundle"] == outcome["records"]["candidate"]["bundle"]
    return outcome, {name: told for name, told in tracked.items() if name != "runs"}


def require_as_undisturbed(found: Trained, undisturbed: tuple[dict[str, Any], dict[str, Any]]) -> None:
    found.require_whole()
    found.require_ended()
    assert found.outcome() == undisturbed[0]
    tracked = found.tracked()
    assert {name: told for name, told in tracked.items() if name != "runs"} == undisturbed[1]


@pytest.mark.parametrize(("chain", "i"), EVERY_KILL)
def test_a_kill_leaves_nothing_half_done_to_be_seen(processes, trained, chain, i):
    assert processes[chain][i] == -9
    trained(f"{chain}-{i}").require_whole()


@pytest.mark.parametrize("chain", KILLS)
def test_killed_again_and_again_a_training_ends_as_if_it_had_never_been(processes, trained, undisturbed, chain):
    assert processes[chain] == [-9] * len(KILLS[chain]) + [0]
    require_as_undisturbed(trained(chain), undisturbed)


def test_trials_that_had_ended_before_a_kill_are_kept_and_not_made_again(trained):
    [_, done] = trained(f"tuning-{list(KILLS['tuning']).index('after the third trial')}").studies().values()
    [_, in_the_end] = trained("tuning").studies().values()
    # Also the seconds that they took are the same.
    assert [t["number"] for t in done] == [0, 1, 2]
    assert in_the_end[:3] == done


@pytest.mark.parametrize("disk", FULL)
def test_a_full_disk_ends_the_run_and_with_space_it_ends_as_ever(folder, full, processes, trained, undisturbed, disk):
    if disk not in full:
        pytest.skip("this process may not mount a small disk: that needs root")
    name = f"full_{disk}"
    assert processes[name] == [1, 0]
    said = (folder / f"{name}-0.said").read_text()
    assert "No space left on device" in said or "database or disk is full" in said
    left = trained(f"{name}-0")
    left.require_whole()
    assert len(left.bundles) == 1
    if disk == "models":
        # With the whole folder on it, Dagster can't write down why a run failed.
        [failed] = [why for run in left.dagster_runs() if not run.is_success for why in left.failures(run)]
        for told in (said, failed):
            assert f"StorageError: writing {folder / name / 'models'}/" in told
            assert re.search(r"No space left on device: [\d,]+ bytes to write, [\d,]+ free", told)
            assert f"cure: {CURES[errno.ENOSPC]}" in told
    require_as_undisturbed(trained(name), undisturbed)


def test_a_locked_ledger_fails_the_run_and_the_next_one_decides_and_releases(folder, processes, trained, undisturbed):
    assert processes["locked"] == [1, 1, 0]
    for i, events in enumerate(([DECIDED, RELEASED], [DECIDED, RELEASED, DECIDED])):
        said = (folder / f"locked-{i}.said").read_text()
        assert "database is locked" in said
        assert "give the same command again" in said
        left = trained(f"locked-{i}")
        left.require_whole()
        assert [e.kind for e in left.ledger.events("duration")] == events
        assert live(left.ledger.events("duration")).as_of == FIRST
    require_as_undisturbed(trained("locked"), undisturbed)


def test_without_mlflow_a_training_is_the_same_and_is_told_later(processes, trained, undisturbed):
    assert processes["untracked"] == [0]
    found = trained("untracked")
    found.require_whole()
    assert found.outcome() == undisturbed[0]
    assert [as_of for _, _, as_of in found.tracked()["versions"]] == [FIRST]
    assert Queue(found.data / "tracking").pending("mlflow")
    tracking = Tracking(uri=f"sqlite:///{found.data}/mlflow.db", queue=f"{found.data}/tracking")
    with dg.DagsterInstance.from_config(str(found.data / "dagster")) as instance:
        tracking.catch_up(instance)
    require_as_undisturbed(found, undisturbed)
