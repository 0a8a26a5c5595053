"""Every kind of model is the same to the byte in another process, with other hashes and another number of threads."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ml_assets.core.models.ensemble import fit_ensemble
from ml_assets.core.models.fit import Fit
from ml_assets_tests.core.models.conftest import Rides, simulated

ESTIMATORS = {
    "regression": ["ensemble.RandomForestRegressor", "ensemble.HistGradientBoostingRegressor"],
    "multiclass": ["linear_model.LogisticRegression"],
}
SMALL = {"ensemble.RandomForestRegressor": {"max_leaf_nodes": 20, "n_estimators": 5}}


def digest_of(fit: Fit, rides: Rides) -> str:
    """Of everything that a fit gives."""
    digest = hashlib.sha256(json.dumps(fit.model.facts(), sort_keys=True).encode())
    for name, content in sorted(fit.model.files().items()):
        digest.update(name.encode() + content)
    digest.update(rides.scores(fit).tobytes())
    digest.update(json.dumps([fit.importances, fit.train_curve, fit.validation_curve]).encode())
    return digest.hexdigest()


def digests(threads: int) -> dict[str, str]:
    found = {}
    for task, paths in ESTIMATORS.items():
        rides = Rides(task, simulated(1000, 1, task), simulated(200, 2, task))
        objectives = ["l1", "poisson"] if task == "regression" else [None]
        specs = {f"linear_{o}": rides.spec(objective=o) for o in objectives}
        specs["segmented"] = rides.spec(per=("vendor",), min_rows=200)
        specs["trees"] = rides.spec("lightgbm", trees=20, leaves=7, per=("vendor",), min_rows=200)
        for path in paths:
            named = path.replace(".", "_")
            specs[named] = rides.spec("sklearn", estimator="sklearn." + path, **SMALL.get(path, {}))
        fits = {name: rides.fit(spec, threads=threads) for name, spec in specs.items()}
        members, scores = dict(fits), {name: rides.scores(fit) for name, fit in fits.items()}
        label = rides.validation["label"].to_numpy()
        metric = "mae" if task == "regression" else "log_loss"
        for method in ("blending", "stacking"):
            fits[method] = fit_ensemble(members, scores, label, method=method, task=task, metric=metric)
        found |= {f"{task} {name}": digest_of(fit, rides) for name, fit in fits.items()}
    return found


PROGRAM = f"import json; from {__name__} import digests; print(json.dumps(digests(2)))"


def test_another_process_with_two_threads_gives_the_same_as_this_one_with_one():
    several = dict.fromkeys(("PYTHONHASHSEED", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "2")
    environment = {**os.environ, **several, "OMP_WAIT_POLICY": "PASSIVE"}
    command, folder = [sys.executable, "-c", PROGRAM], Path(__file__).resolve().parents[3]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, cwd=folder, **pipes) as other:
        here = digests(1)
        printed, errors = other.communicate(timeout=120)
    assert other.returncode == 0, errors
    there = json.loads(printed)
    assert {name for name in here.keys() | there if here.get(name) != there.get(name)} == set()
    assert len(here) == (6 + 2) + (4 + 2)


def test_what_is_compared_differs_where_the_model_does(minutes):
    facts = minutes.fit(minutes.spec()).model.facts()
    assert facts != minutes.fit(minutes.spec(l2=2.0)).model.facts()
    assert facts != minutes.fit(minutes.spec(), seed=1).model.facts()
    assert facts["coefficients"] != pytest.approx(0)
