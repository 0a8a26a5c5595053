"""Trainings that are killed and disturbed for real, in processes of their own, and given again: nothing half-done."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ml_assets.resources.ledger import Ledger

pytestmark = pytest.mark.slow
PROGRAM = Path(__file__).with_name("training_processes.py")
TRIALS = 4
TUNED = {
    "model": {"window": 3, "threads": 1, "params": {"trees": 20}},
    "tuning": {"trials": TRIALS, "folds": 2, "space": {"window": [1, 3], "leaves": {"low": 7, "high": 31}}},
    "trackers": ["mlflow"],
}
FOLLOWED = {"stop_after": ["2018-03", "follow"]}
APPEND, CLIENT = "ml_assets.resources.ledger:Ledger.append", "mlflow:MlflowClient"
KILLS = {
    "tuning: after three trials": {"at": "ml_assets.core.tuning:_one_trial", "n": 3, "after": True},
    "tuning: within a trial": {"at": "lightgbm:Booster.update", "n": 30},
    "tuning: a trial is scored, not told": {"at": "ml_assets.core.tuning:_tell", "n": 2},
    "training: trees are growing": {
        "at": "lightgbm:Booster.update", "n": 5, "armed_by": "ml_assets.core.learning:learn",
    },
    "bundle: half of its files are written": {"at": "ml_assets.resources.bundle_files:flush", "n": 2},
    "bundle: it is there, and nothing speaks of it": {"at": "ml_assets.resources.models:Models.save", "after": True},
    "tracking: a run was made, and is empty": {"at": f"{CLIENT}.create_run", "after": True},
    "tracking: some trials are told": {"at": f"{CLIENT}.create_run", "n": 4},
    "registering: before": {"at": f"{CLIENT}.create_model_version"},
    "registering: after": {"at": f"{CLIENT}.create_model_version", "after": True},
    "decision: its record is kept, the ledger has nothing": {"at": APPEND},
    "decision: the ledger has it, nothing shows it": {"at": APPEND, "after": True},
    "release: between decision and release": {"at": APPEND, "n": 2},
    "release: the ledger has it, nothing shows it": {"at": APPEND, "n": 2, "after": True},
    "release: the run is over, MLflow has not heard": {"at": "ml_assets.resources.tracking:Tracking.settle"},
    "release: before the alias": {"at": f"{CLIENT}.set_registered_model_alias"},
    "release: after the alias": {"at": f"{CLIENT}.set_registered_model_alias", "after": True},
}  # fmt: skip


class Processes:
    """Replays of the world's project in other processes, from a history that is followed and not learnt from."""

    def __init__(self, world, root: Path) -> None:
        self.world, self.root, self.followed = world, root, root / "followed"
        world.project.load(world.table, world.changed(world.pipeline, **TUNED))

    def run(self, cases: dict, *, anew: bool = True) -> dict:
        """What the children of each case told; the history is followed first, unless it was."""
        cases = {**({"followed": [self.child(self.followed, **FOLLOWED)]} if anew else {}), **cases}
        file = self.root / "cases.json"
        file.write_text(json.dumps(cases))
        environment = {"OMP_NUM_THREADS": "2", "POLARS_MAX_THREADS": "2", **os.environ}
        done = subprocess.run(
            [sys.executable, str(PROGRAM), str(self.world.project.root), str(file)],
            check=False, capture_output=True, text=True, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(file.with_suffix(".told").read_text())

    def child(self, data: Path, **told: object) -> dict:
        return {"data": str(data), "last": "2018-03", **told}

    def fresh(self, name: str, **told: object) -> dict:
        """A child with a data folder of its own."""
        return self.child(self.root / "".join(c if c.isalnum() else "_" for c in name), copy=str(self.followed), **told)

    def copied(self, name: str, **told: object) -> dict:
        """The same, made now."""
        self.run({})
        made = self.fresh(name, **told)
        shutil.copytree(made.pop("copy"), made["data"])
        return made

    def again(self, first: dict, **told: object) -> dict:
        """The same command on the same data."""
        return self.child(first["data"], **told)


@pytest.fixture
def processes(world, tmp_path) -> Processes:
    return Processes(world, tmp_path)


def whole(found: dict, bundle: str) -> None:
    """One training, done once and told once, whatever it took."""
    assert (found["code"], found["error"], found["left_to_do"], found["faults"]) == (0, None, [], [])
    assert found["bundles"] == [bundle]
    assert found["candidates"] == {"2018-03": bundle}
    assert found["events"] == [["decided", "2018-03", bundle], ["released", "2018-03", bundle]]
    assert found["page"] == bundle
    assert found["going_on"] == []
    assert found["waiting"] == 0
    [study] = found["studies"]
    assert study.get("COMPLETE", 0) + study.get("PRUNED", 0) == TRIALS
    assert not {"RUNNING", "WAITING"} & set(study)
    told = found["mlflow"]
    assert told["versions"] == [bundle]
    assert told["champion"] == bundle
    assert set(told["runs"]) <= {"FINISHED", "FAILED"}
    assert "FINISHED" in told["runs"]
    assert "RUNNING" not in told["trials"]


def test_killed_anywhere_and_given_again_it_ends_as_if_nothing_had_been(processes):
    cases = {}
    for name, kill in [(n,k) for n,k in KILLS.items() if "nothing shows it" in n or "not heard" in n]:
        first = processes.fresh(name, kill=kill)
        cases[name] = [first, processes.again(first, look=True)]
    told = processes.run({"calm": [processes.fresh("calm", look=True)], **cases})
    [undisturbed] = told.pop("calm")
    [bundle] = undisturbed["bundles"]
    whole(undisturbed, bundle)
    assert undisturbed["mlflow"]["runs"] == ["FINISHED"]
    del told["followed"]
    wrong = {}
    for name, (killed, found) in told.items():
        try:
            assert killed["code"] == -9
            assert found["warnings"] == []
            whole(found, bundle)
        except AssertionError as error:
            wrong[name] = f"{error} {found}"
    assert not wrong


def test_a_disk_that_is_full_leaves_no_half_bundle(processes):
    cases = {}
    for n in (1, 2):
        first = processes.fresh(f"full at {n}", disk_full=n)
        cases[f"full at {n}"] = [{**first, "look": True}, processes.again(first, look=True)]
    for failed, found in list(processes.run(cases).values())[1:]:
        assert "No space left on device" in failed["error"]
        assert "give the same command again" in failed["error"]
        assert (failed["code"], failed["events"], failed["candidates"]) == (0, [], {})
        whole(found, found["made"]["candidate"])


def test_without_a_tracker_a_training_succeeds_and_the_next_delivers_all(processes):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
        first = processes.fresh("down", environment={"ML_ASSETS_TRACKING": nowhere}, look=True)
        later = processes.again(first, last="2018-06", look=True)
        down, found = processes.run({"down": [first, later]})["down"]
    assert (down["code"], down["error"], down["mlflow"]) == (0, None, None)
    assert [kind for kind, _, _ in down["events"]] == ["decided", "released"]
    assert down["waiting"] >= len(("training_set", "tuning", "candidate", "evaluation", "decision", "champion"))
    assert any(f"has not got {down['waiting']} entries" in text for text in down["warnings"])
    assert any(nowhere in text for text in down["warnings"])
    assert found["error"] is None
    assert found["waiting"] == 0
    assert found["mlflow"]["runs"] == ["FINISHED", "FINISHED"]
    assert sorted(found["mlflow"]["versions"]) == found["bundles"]
    assert found["mlflow"]["trials"] == {"FINISHED": 2 * TRIALS}
    assert found["mlflow"]["champion"] == found["page"]


def test_a_locked_ledger_stops_the_training_and_unlocked_it_completes(processes):
    locked = processes.copied("locked", busy_seconds=1)
    file = Path(locked["data"]) / "ledger.db"
    Ledger(url=f"sqlite:///{file}").append("another", "decided", {}, after=0)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        [failed] = processes.run({"locked": [locked]}, anew=False)["locked"]
        other.execute("ROLLBACK")
    assert (failed["code"], failed["steps"]) == (0, []), failed
    assert "database is locked (after waiting up to 1 s)" in failed["error"]
    assert "wait until whoever holds the database has ended" in failed["error"]
    [found] = processes.run({"unlocked": [{**locked, "look": True}]}, anew=False)["unlocked"]
    whole(found, found["made"]["candidate"])


def test_of_two_trainings_at_once_one_releases_and_the_other_says_why_or_finds_it_done(processes):
    one = processes.copied("two", alone=False)
    *two, found = processes.run({"two": [[one, one], processes.again(one, look=True)]}, anew=False)["two"]
    assert [told["code"] for told in two] == [0, 0]
    assert any(told["steps"] == [["2018-03", "train"]] for told in two)
    refused = [told["error"] for told in two if told["error"]]
    assert len(refused) <= 1
    assert all("by somebody else meanwhile" in e or "another process" in e for e in refused), refused
    bundle = found["made"]["candidate"]
    assert [kind for kind, _, _ in found["events"]].count("released") == 1
    assert (found["error"], found["faults"], found["left_to_do"], found["going_on"]) == (None, [], [], [])
    assert (found["bundles"], found["page"], found["mlflow"]["versions"]) == ([bundle], bundle, [bundle])
    assert "RUNNING" not in found["mlflow"]["runs"]
