"""Ensembles: members that answer as one, weighed by rows that no member has learnt from."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ml_assets.core.errors import ConfigError
from ml_assets.core.models.ensemble import fit_ensemble
from ml_assets.core.models.kinds import fit_model

METRIC = {"regression": "mae", "binary": "log_loss", "multiclass": "log_loss"}
TREES = {"trees": 25, "leaves": 7, "min_rows_per_leaf": 10, "max_categories": 20}


def folds(rides):
    return [(rides.train[: 600 + 300 * i], rides.train[600 + 300 * i : 900 + 300 * i]) for i in range(2)]


def judged(rides, specs):
    """Rows that models did not learn from, and what they say of them, by model."""
    predictions = {spec.name: [] for spec in specs}
    for train, rows in folds(rides):
        for spec in specs:
            fit = fit_model(spec, train, None, features=rides.features, seed=0, threads=1)
            frame = rows.select(s.name for s in fit.specs)
            predictions[spec.name].append(fit.model.scores(frame, fit.specs, threads=1))
    rows = pl.concat([rows for _, rows in folds(rides)])
    return rows, {name: np.concatenate(parts) for name, parts in predictions.items()}


def members_of(rides):
    tree = {"regression": "Regressor"}.get(rides.task, "Classifier")
    estimator = f"sklearn.tree.DecisionTree{tree}"
    return [
        rides.spec("lightgbm", name="trees", **TREES),
        rides.spec("linear", name="lines", per=("vendor",)),
        rides.spec("sklearn", name="one_tree", estimator=estimator, min_samples_leaf=20),
    ]


@pytest.fixture(scope="module")
def fitted(rides):
    """Members of each task, fitted once: rows out of fold, what is predicted of them, and the fits on all rows."""
    specs = members_of(rides)
    return *judged(rides, specs), {spec.name: rides.fit(spec) for spec in specs}


@pytest.mark.parametrize("method", ["blending", "stacking"])
def test_it_learns_every_task_and_is_better_than_its_members(rides, fitted, method):
    rows, predictions, fits = fitted
    label = rows["label"].to_numpy()
    fit = fit_ensemble(fits, predictions, label, method=method, task=rides.task, metric=METRIC[rides.task])
    rides.check(fit)
    facts = fit.model.facts()
    assert facts["method"] == method
    assert set(facts["weights"]) == set(fits)
    assert {m["name"] for m in facts["members"]} == {n for n, w in facts["weights"].items() if w > 0}
    assert facts["out_of_fold"]["rows"] == rows.height == 600
    assert fit.validation_curve == (facts["out_of_fold"]["together"],)
    assert facts["out_of_fold"]["together"] <= min(facts["out_of_fold"]["by_member"].values())
    kept = {member["name"] for member in facts["members"]}
    assert {name.split(".")[0] for name in fit.model.files()} == kept - {"lines"}
    assert rides.loss(rides.scores(fit)) <= 1.1 * min(rides.loss(rides.scores(f)) for f in fits.values())


def test_members_keep_their_own_vocabularies(minutes):
    specs = members_of(minutes)[:2]
    fits = {spec.name: minutes.fit(spec) for spec in specs}
    vocabularies = {name: len(fit.specs[0].vocabulary) for name, fit in fits.items()}
    assert vocabularies == {"trees": 20, "lines": 59}
    label = minutes.validation["label"].to_numpy()
    own = {name: minutes.scores(fit) for name, fit in fits.items()}
    noise = np.random.default_rng(0)
    told = {name: label + noise.normal(size=label.size) for name in fits}
    fit = fit_ensemble(fits, told, label, method="blending", task="regression", metric="rmse")
    weights = fit.model.facts()["weights"]
    assert min(weights.values()) > 0
    assert len(fit.specs[0].vocabulary) == 59
    together = weights["trees"] * own["trees"] + weights["lines"] * own["lines"]
    assert minutes.scores(fit) == pytest.approx(together, rel=1e-12)


def test_members_that_do_not_belong_together_are_refused(minutes):
    lines = minutes.fit(minutes.spec())
    fewer = minutes.fit(minutes.spec(), features=minutes.features[1:4])
    own, label = minutes.scores(lines), minutes.validation["label"].to_numpy()
    given = {"method": "blending", "task": "regression", "metric": "mae"}
    with pytest.raises(ConfigError, match=r"(?s)other has no predictions.*else predicts and is no member"):
        fit_ensemble({"lines": lines, "other": lines}, {"lines": own, "else": own}, label, **given)
    with pytest.raises(ConfigError, match="fewer has other features"):
        fit_ensemble({"lines": lines, "fewer": fewer}, {"lines": own, "fewer": own}, label, **given)
    with pytest.raises(ConfigError, match=r"the name 'a\.b'"):
        fit_ensemble({"a.b": lines}, {"a.b": own}, label, **given)
    renamed = replace(lines, importances=dict(lines.importances))
    assert fit_ensemble({"lines": renamed}, {"lines": own}, label, **given).importances == lines.importances
