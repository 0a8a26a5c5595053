"""The same data, YAML and seed give the same bundles through the whole graph: on any number of threads, in any process.

Tuning is on, there are several models of all kinds and an ensemble. One tuned model in one process is in `test_graph`,
one that comes back after `restore` in `test_restore`, one that ends as ever after kills in `test_training_killed`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ml_assets.resources.storage import Store

pytestmark = pytest.mark.slow(seconds=50)
SCRIPT = Path(__file__).with_name("training_processes.py")
AS_OF = "2018-02"
TRIALS = 5
NAMES = ("trees", "forest", "linear", "extra")
BUNDLES = (*(f"model_{name}" for name in NAMES), "ensemble", "candidate")


def several(threads: int) -> dict[str, Any]:
    return {
        "model": {"window": 2, "threads": threads},
        "models": [
            {"name": "trees", "params": {"trees": 20}},
            {"name": "forest", "params": {"boosting": "rf", "bagging_fraction": 0.6, "trees": 10}},
            {"name": "linear", "kind": "linear"},
            {
                "name": "extra", "kind": "sklearn", "estimator": "sklearn.ensemble.ExtraTreesRegressor",
                "params": {"n_estimators": 5, "max_depth": 6},
            },
        ],
        "ensemble": {"method": "stacking"},
        "tuning": {"trials": TRIALS, "folds": 2, "space": {"leaves": [7, 31], "l2": {"low": 0, "high": 9}}},
    }  # fmt: skip


def learnt(store: Store) -> dict[str, Any]:
    """All that was learnt: the hash of every bundle, what each says of unseen rows, and what the studies found."""
    key = dg.AssetKey(["duration", "tuning"])
    studies = store.record(key, AS_OF)["models"]
    return {
        **{noun: store.record(dg.AssetKey(["duration", noun]), AS_OF)["bundle"] for noun in BUNDLES},
        "out_of_fold": store.sha256(dg.AssetKey(["duration", "out_of_fold"]), AS_OF),
        "tuning": {n: [{**t, "seconds": 0.0} for t in told["trials"]] for n, told in studies.items()},
    }


def test_two_processes_with_one_and_two_threads_learn_judge_and_decide_the_same(tmp_path, write_project):
    running = []
    for threads in (1, 2):
        folder = tmp_path / str(threads)
        project = write_project(folder, "project_of_a_process", **several(threads))
        case = {"project": str(project), "data": str(folder / "data"), "last": AS_OF, "children": [{}]}
        (folder / "cases.json").write_text(json.dumps([[case]]))
        command = [sys.executable, "-W", "ignore", str(SCRIPT), str(folder / "cases.json")]
        # Sets are ordered otherwise in each; and threads that wait do so without keeping a core from the other one.
        env = {"PYTHONHASHSEED": str(threads), "OMP_WAIT_POLICY": "passive", "ML_ASSETS_SOURCE": "simulated"}
        running.append(subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True))
    assert [json.loads(process.communicate()[0]) for process in running] == [[[[0]]]] * 2
    found = []
    for threads in (1, 2):
        store = Store(root=str(tmp_path / f"{threads}/data/store"))
        judged = {n: store.record(dg.AssetKey(["duration", n]), AS_OF) for n in ("evaluation", "decision")}
        found.append(learnt(store) | judged)
    assert found[0] == found[1]
    assert [len(trials) for trials in found[0]["tuning"].values()] == [TRIALS, TRIALS]
    assert len({found[0][noun] for noun in BUNDLES}) == len(NAMES) + 1
    assert found[0]["decision"]["bundle"] == found[0]["candidate"]
    assert found[0]["decision"]["verdict"] == "promote"
