"""Every kind of model is the same to the byte in another process, with other hashes and another number of threads."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import hashlib, json, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from conftest import Rides, simulated
from ml_assets.core.models.ensemble import fit_ensemble

def told(fit, rides):
    digest = hashlib.sha256(json.dumps(fit.model.facts(), sort_keys=True).encode())
    for name, content in sorted(fit.model.files().items()):
        digest.update(name.encode() + content)
    digest.update(rides.scores(fit).tobytes())
    digest.update(json.dumps([fit.importances, fit.train_curve, fit.validation_curve]).encode())
    return digest.hexdigest()

def main(threads):
    found = {}
    estimators = {"regression": ["ensemble.RandomForestRegressor", "ensemble.HistGradientBoostingRegressor"],
                  "multiclass": ["linear_model.LogisticRegression"]}
    for task, paths in estimators.items():
        rides = Rides(task, simulated(1000, 1, task), simulated(200, 2, task))
        fits = {}
        objectives = ["l1", "poisson"] if task == "regression" else [None]
        specs = {f"linear_{o}": rides.spec(objective=o) for o in objectives}
        specs["segmented"] = rides.spec(per=("vendor",), min_rows=200)
        specs["trees"] = rides.spec("lightgbm", trees=20, leaves=7, per=("vendor",), min_rows=200)
        for path in paths:
            size = {"ensemble.RandomForestRegressor": {"max_leaf_nodes": 20, "n_estimators": 5}}.get(path, {})
            specs[path.replace(".", "_")] = rides.spec("sklearn", estimator="sklearn." + path, **size)
        fits = {name: rides.fit(spec, threads=threads) for name, spec in specs.items()}
        scores = {name: rides.scores(fit) for name, fit in fits.items()}
        label = rides.validation["label"].to_numpy()
        metric = "mae" if task == "regression" else "log_loss"
        for method in ("blending", "stacking"):
            fits[method] = fit_ensemble(
                {n: f for n, f in fits.items() if n in scores}, scores, label, method=method, task=task, metric=metric)
        found |= {f"{task} {name}": told(fit, rides) for name, fit in fits.items()}
    print(json.dumps(found))

main(int(sys.argv[2]))
"""


def started(folder: str, threads: int) -> subprocess.Popen:
    count = str(threads)
    environment = {**os.environ, "PYTHONHASHSEED": count, "OMP_NUM_THREADS": count, "OPENBLAS_NUM_THREADS": count,
                   "POLARS_MAX_THREADS": count}  # fmt: skip
    command = [sys.executable, "-c", PROGRAM, folder, count]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result(process: subprocess.Popen) -> dict:
    out, err = process.communicate()
    assert process.returncode == 0, err[-2000:]
    return json.loads(out)


def test_two_processes_with_one_and_two_threads_give_the_same(request):
    folder = str(request.path.parent)
    first, second = [result(process) for process in [started(folder, 1), started(folder, 2)]]
    assert first == second
    assert len(first) == (6 + 2) + (4 + 2)


def test_what_is_compared_differs_where_the_model_does(minutes):
    facts = minutes.fit(minutes.spec()).model.facts()
    assert facts != minutes.fit(minutes.spec(l2=2.0)).model.facts()
    assert facts != minutes.fit(minutes.spec(), seed=1).model.facts()
    assert facts["coefficients"] != pytest.approx(0)
