"""Trees: they learn, every parameter counts, and the model does not depend on process or threads."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import fields
from typing import get_args

import numpy as np
import polars as pl
import pytest

from ml_assets.core.errors import ConfigError
from ml_assets.core.features import Feature
from ml_assets.core.models.labels import mean_loss
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.models.trees import fit_trees
from ml_assets.core.models.trees_data import SAMPLE
from ml_assets.core.parameters import RENEWED, ModelParams, Objective
from ml_assets.core.split import UNIT
from ml_assets.core.target_encoding import TargetEncoding

FEATURES = [
    Feature("zone", pl.col("zone"), kind="category"),
    Feature("miles", pl.col("miles"), kind="number", unit="miles"),
    Feature("hour", pl.col("hour"), kind="number", unit="hours"),
]
BASE = {"trees": 30, "leaves": 7, "min_rows_per_leaf": 10}


def rides(rows: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    zone, miles, hour = rng.integers(0, 12, rows), rng.gamma(2, 2, rows), rng.integers(0, 24, rows)
    minutes = 3 + 4 * miles + (zone % 5) + np.where((hour > 7) & (hour < 10), 6, 0) + rng.exponential(2, rows)
    return pl.DataFrame(
        {"zone": [f"z{z}" for z in zone], "miles": miles, "hour": hour.astype(float), "label": minutes}
    ).with_columns(miles=pl.when(pl.int_range(pl.len()) % 20 == 0).then(None).otherwise("miles"))


TRAIN, VALIDATION = rides(1500, 1), rides(400, 2)


def labelled(frame: pl.DataFrame, objective: str) -> pl.DataFrame:
    """The same rides with labels that the objective is for: whole numbers, or classes."""
    steps = {"poisson": [6, 9, 12, 18, 25], "binary": [15], "multiclass": [10, 20]}
    if objective not in steps:
        return frame
    return frame.with_columns(label=sum(pl.col("label") > step for step in steps[objective]).cast(pl.Float64))


def trained(
    train=TRAIN, validation=VALIDATION, *, seed=0, threads=1, on_iteration=None, weights=None, features=FEATURES,
    **params,
):  # fmt: skip
    settings = ModelParams(**{**BASE, **params})
    spec = ModelSpec("model", "lightgbm", settings.task, settings, classes=3 if settings.task == "multiclass" else 2)
    return fit_trees(
        spec, train, validation, features=features, seed=seed, threads=threads, weights=weights,
        on_iteration=on_iteration,
    )  # fmt: skip


def scores(fit, frame=VALIDATION, threads=1):
    return fit.model.scores(frame.select("zone", "miles", "hour"), fit.specs, threads=threads)


def text(fit):
    return fit.model.text


def test_it_learns_and_says_nothing(capfd):
    seen = []
    model = trained(on_iteration=lambda *told: seen.append(told))
    said = capfd.readouterr()
    error = np.abs(scores(model) - VALIDATION["label"].to_numpy()).mean()
    naive = (VALIDATION["label"] - TRAIN["label"].median()).abs().mean()
    assert error < naive / 2
    assert model.validation_curve[model.best_iteration - 1] == pytest.approx(error)
    assert model.train_curve[-1] < model.train_curve[0]
    assert seen == [(i, 30, loss) for i, loss in enumerate(model.validation_curve, start=1)]
    assert list(model.importances) == ["zone", "miles", "hour"]
    assert sum(model.importances.values()) == pytest.approx(1)
    assert max(model.importances, key=model.importances.get) == "miles"
    assert (said.out, said.err) == ("", "")


def test_early_stopping_keeps_the_best_tree():
    model = trained(trees=400, leaves=31, learning_rate=0.5, early_stopping_rounds=5)
    assert model.best_iteration == int(np.argmin(model.validation_curve)) + 1 < 400
    assert len(model.validation_curve) == model.best_iteration + 5
    assert text(model).count("\nTree=") == model.best_iteration


OTHER = {
    "objective": "l2",
    "trees": 20,
    "learning_rate": 0.3,
    "leaves": 5,
    "min_rows_per_leaf": 100,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.5,
    "l2": 30.0,
    "category_l2": 100.0,
    "early_stopping_rounds": 1,
    "max_categories": 3,
    "linear_tree": True,
    "monotone": (("hour", -1),),
}


@pytest.mark.parametrize("name", [f.name for f in fields(ModelParams) if f.name not in ("alpha", "boosting")])
def test_every_parameter_counts(name):
    # Trained to overfit, so that stopping early matters.
    base = {"trees": 60, "learning_rate": 0.8, "feature_fraction": 1.0, "category_l2": 1.0, "early_stopping_rounds": 0}
    if name in ("linear_tree", "monotone"):
        base["objective"] = "huber"
    before, after = trained(**base), trained(**{**base, name: OTHER[name]})
    assert not np.array_equal(scores(before), scores(after))


def test_alpha_counts():
    low, high = (scores(trained(objective="quantile", alpha=a)) for a in (0.1, 0.8))
    actual = VALIDATION["label"].to_numpy()
    assert (actual < low).mean() < 0.25 < 0.65 < (actual < high).mean()
    near, far = (scores(trained(objective="huber", alpha=a)) for a in (0.5, 5.0))
    assert not np.array_equal(near, far)


OBJECTIVES = get_args(Objective)
LINEAR = tuple(o for o in OBJECTIVES if o not in RENEWED)
MODES = {
    **{f"{o}": {"objective": o, "bagging_fraction": 0.8} for o in OBJECTIVES},
    **{f"{o}, forest": {"objective": o, "boosting": "rf", "bagging_fraction": 0.6} for o in OBJECTIVES},
    **{f"{o}, linear": {"objective": o, "linear_tree": True} for o in LINEAR},
    "l2, linear forest": {"objective": "l2", "linear_tree": True, "boosting": "rf", "bagging_fraction": 0.6},
    "binary, monotone": {"objective": "binary", "monotone": (("miles", 1),)},
}


@pytest.mark.parametrize("mode", MODES)
def test_every_objective_in_every_mode_beats_the_same_answer_for_all(mode):
    params = MODES[mode]
    objective, alpha = params["objective"], ModelParams(objective=params["objective"]).alpha_or_default
    train, validation = labelled(TRAIN, objective), labelled(VALIDATION, objective)
    fit = trained(train, validation, **params)
    label, found = validation["label"].to_numpy(), scores(fit, validation)
    assert found.shape == ((400, 3) if objective == "multiclass" else (400,))
    assert np.isfinite(found).all()
    if objective == "multiclass":
        np.testing.assert_allclose(found.sum(axis=1), 1)
        naive = np.tile(np.bincount(train["label"].cast(int)) / train.height, (400, 1))
    else:
        naive = np.full(400, train["label"].median() if objective == "l1" else train["label"].mean())
        naive = np.full(400, train["label"].quantile(alpha)) if objective == "quantile" else naive
    losses = [mean_loss(objective, label, s, alpha=alpha) for s in (found, naive)]
    # Steps of huber are at most alpha times the learning rate: thirty of them don't go far.
    assert losses[0] < (0.97 if objective == "huber" else 0.75) * losses[1]
    assert fit.validation_loss == pytest.approx(losses[0])
    assert sum(fit.importances.values()) == pytest.approx(1)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_curves_are_of_the_loss_that_lightgbm_knows_by_that_name(objective, monkeypatch):
    import lightgbm as lgb

    own = {"binary": "binary_logloss", "multiclass": "multi_logloss"}.get(objective, objective)
    train, theirs = lgb.train, {}

    def also_its_own(settings, *args, callbacks, **kwargs):
        callbacks = [lgb.record_evaluation(theirs), *callbacks]
        return train({**settings, "metric": own}, *args, callbacks=callbacks, **kwargs)

    monkeypatch.setattr(lgb, "train", also_its_own)
    weights = np.random.default_rng(0).uniform(0.1, 2, TRAIN.height)
    fit = trained(labelled(TRAIN, objective), labelled(VALIDATION, objective), objective=objective, trees=5)
    np.testing.assert_allclose(fit.validation_curve, theirs["validation"][own], rtol=1e-6)
    np.testing.assert_allclose(fit.train_curve, theirs["training"][own], rtol=1e-6)
    weighted = trained(labelled(TRAIN, objective), labelled(VALIDATION, objective), objective=objective, trees=5,
                       weights=weights)  # fmt: skip
    np.testing.assert_allclose(weighted.validation_curve, theirs["validation"][own], rtol=1e-6)
    assert weighted.train_curve != fit.train_curve


def test_weights_count_in_training_and_not_in_judging():
    far = TRAIN["miles"].fill_null(0).to_numpy() > 4
    same = trained(weights=np.ones(TRAIN.height))
    assert (text(same), same.train_curve) == (text(trained()), trained().train_curve)
    fit = trained(objective="l2", weights=np.where(far, 1.0, 0.001), trees=10)
    error = np.abs(scores(fit) - VALIDATION["label"].to_numpy())
    near = VALIDATION["miles"].fill_null(0).to_numpy() < 4
    before = np.abs(scores(trained(objective="l2", trees=10)) - VALIDATION["label"].to_numpy())
    assert error[near].mean() > 2 * before[near].mean()
    assert fit.validation_loss == pytest.approx((error**2).mean())


def test_the_training_curve_is_of_a_fixed_sample():
    train = rides(3 * SAMPLE + 5, 3)
    weights = np.where(np.arange(train.height) % 3 == 0, 1.0, 2.0)
    fit = trained(train, trees=4, weights=weights)
    sample = train.gather_every(3)
    expected = np.abs(scores(fit, sample) - sample["label"].to_numpy()).mean()
    assert fit.train_curve[-1] == pytest.approx(expected), "every third row, all of weight 1"


def test_early_stopping_by_validation_rows_only(monkeypatch):
    """Training loss falls for ever; stopping looks at validation rows even where they get worse from the first tree."""
    worse = VALIDATION.with_columns(label=VALIDATION["label"].reverse() * 3)
    fit = trained(validation=worse, trees=200, learning_rate=0.5, early_stopping_rounds=5)
    assert len(fit.validation_curve) == fit.best_iteration + 5 < 200
    assert list(fit.train_curve) == sorted(fit.train_curve, reverse=True)


def test_a_forest_is_not_stopped():
    fit = trained(boosting="rf", bagging_fraction=0.5, early_stopping_rounds=1)
    assert fit.best_iteration == len(fit.validation_curve) == 30


def test_without_validation_rows_all_trees_are_kept_and_they_are_the_same():
    alone = trained(validation=None, trees=40, early_stopping_rounds=3)
    assert (alone.best_iteration, alone.validation_curve, alone.validation_loss) == (40, (), None)
    assert len(alone.train_curve) == 40
    assert text(alone) == text(trained(trees=40, early_stopping_rounds=0))


class Stop(Exception):
    """What stops a trial."""


def test_what_on_iteration_raises_comes_out_and_leaves_no_trace(capfd):
    def stop(tree, most, loss):
        if tree == 3:
            raise Stop

    with pytest.raises(Stop):
        trained(on_iteration=stop)
    assert capfd.readouterr() == ("", "")
    told = []
    trained(validation=None, trees=2, on_iteration=lambda *t: told.append(t))
    assert [t[:2] for t in told] == [(1, 2), (2, 2)]
    assert np.isnan([t[2] for t in told]).all()


def rising(fit) -> np.ndarray:
    """Change of the scores as miles rise and all else stays."""
    miles = np.linspace(0, 12, 200)
    rows = pl.concat([VALIDATION.head(20).select("zone", "hour").with_columns(miles=pl.lit(m)) for m in miles])
    grid = rows.select("zone", "miles", "hour")
    return np.diff(fit.model.scores(grid, fit.specs, threads=1).reshape(200, 20), axis=0)


@pytest.mark.parametrize("objective", ["l2", "huber", "poisson", "binary"])
@pytest.mark.parametrize("forest", [{}, {"boosting": "rf", "bagging_fraction": 0.6}])
def test_monotone_constraints_hold(objective, forest):
    hump = pl.when(pl.col("miles").is_between(3, 5)).then(12).otherwise(0)
    train, validation = (labelled(f.with_columns(label=pl.col("label") + hump), objective) for f in (TRAIN, VALIDATION))
    params = {"objective": objective, "leaves": 15, **forest}
    assert (rising(trained(train, validation, **params)) < 0).any()
    assert (rising(trained(train, validation, monotone=(("miles", 1),), **params)) >= 0).all()
    assert (rising(trained(train, validation, monotone=(("miles", -1),), **params)) <= 0).all()


def test_monotone_constraints_are_on_numbers_among_the_features():
    with pytest.raises(ConfigError) as caught:
        trained(objective="l2", monotone=(("kilometres", 1), ("miles", 1), ("zone", -1)))
    assert caught.value.found == [
        "monotone: kilometres, which is no feature", "monotone: zone, which is a category",
    ]  # fmt: skip
    train = TRAIN.with_columns(pl.int_range(pl.len(), dtype=pl.UInt64).alias(UNIT))
    listed = [*FEATURES, TargetEncoding("mean_by_zone", of=("zone",))]
    fit = trained(train, features=listed, objective="l2", monotone=(("mean_by_zone", 1),))
    assert "[monotone_constraints: 0,0,0,1]" in text(fit)


def test_linear_leaves_follow_a_line_and_live_with_missing_numbers():
    line = pl.col("miles").fill_null(0) * 5
    train, validation = TRAIN.with_columns(label=line), VALIDATION.with_columns(label=line)
    params = {"objective": "l2", "trees": 5, "leaves": 4, "feature_fraction": 1.0, "learning_rate": 0.8}
    stepped, linear = (trained(train, validation, linear_tree=t, **params) for t in (False, True))
    assert linear.validation_loss < stepped.validation_loss / 3
    assert np.isfinite(scores(linear, validation.with_columns(miles=pl.lit(None, pl.Float64)))).all()
    assert "is_linear=1" in text(linear)


def test_the_seed_counts():
    first, again, other = (text(trained(seed=s, bagging_fraction=0.5)) for s in (0, 0, 1))
    assert first == again != other


def digests(threads: int) -> dict[str, str]:
    """Of everything that a fit in each mode gives."""
    found = {}
    train, validation = rides(1500, 5), rides(300, 6)
    weights = np.random.default_rng(0).uniform(0.2, 1, train.height)
    for mode, params in MODES.items():
        of = params["objective"]
        fit = trained(labelled(train, of), labelled(validation, of), threads=threads, weights=weights,
                      **{**params, "trees": 4})  # fmt: skip
        told = [text(fit), fit.best_iteration, fit.train_curve, fit.validation_curve, fit.importances]
        told.append(scores(fit, validation, threads=threads).tolist())
        found[mode] = hashlib.sha256(json.dumps(told).encode()).hexdigest()
    return found


SCRIPT = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("test_trees", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(json.dumps(module.digests(int(sys.argv[2]))))
"""


def test_the_same_bytes_in_another_process_on_two_threads():
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}
    other = subprocess.Popen([sys.executable, "-c", SCRIPT, __file__, "2"], stdout=subprocess.PIPE, env=environment)
    here = digests(1)
    assert len(set(here.values())) == len(MODES)
    assert json.loads(other.communicate(timeout=60)[0]) == here


def test_the_text_knows_nothing_of_the_machine():
    told = text(trained())
    assert "[num_threads: 0]" in told
    assert "/" not in told.replace("[label_gain: ]", "")


def test_a_vocabulary_comes_from_training_rows_only():
    new = VALIDATION.with_columns(zone=pl.lit("unseen"))
    model = trained(validation=new)
    assert "unseen" not in model.specs[0].vocabulary
    missing = new.with_columns(zone=pl.lit(None, pl.String))
    np.testing.assert_array_equal(scores(model, new), scores(model, missing))


def test_without_early_stopping_all_trees_are_kept():
    model = trained(trees=60, learning_rate=0.8, early_stopping_rounds=0)
    assert model.best_iteration == len(model.validation_curve) == 60
    assert int(np.argmin(model.validation_curve)) + 1 < 60


def test_every_tree_splits_and_each_input_moves_the_answer():
    model = trained()
    assert all(int(line.split("=")[1]) > 1 for line in text(model).splitlines() if line.startswith("num_leaves="))
    before = scores(model)
    for name in ("zone", "miles", "hour"):
        assert not np.array_equal(before, scores(model, VALIDATION.with_columns(pl.col(name).reverse()))), name


def test_columns_in_another_order_are_the_same_training_set():
    assert text(trained(TRAIN.select(reversed(TRAIN.columns)))) == text(trained())


@pytest.mark.parametrize(("linear", "threads"), [(False, 2), (True, 1)])
def test_lightgbm_is_told_the_threads_and_to_sum_in_one_order(monkeypatch, linear, threads):
    import lightgbm as lgb

    train, told = lgb.train, []
    monkeypatch.setattr(
        lgb, "train", lambda settings, *args, **kwargs: told.append(settings) or train(settings, *args, **kwargs)
    )
    model = text(trained(threads=2, trees=3, objective="l2", linear_tree=linear))
    # The sums of linear leaves do depend on the threads: on two of them other trees came out.
    assert told[0]["num_threads"] == threads
    # Nor may a loss that it sums by thread say which tree is best: in a tie the last digit would.
    assert told[0]["metric"] == "None"
    # By their names only: 100,000 rows on 2 threads gave the same trees on every run without them as well.
    assert "[deterministic: 1]" in model
    assert "[force_col_wise: 1]" in model


def test_training_rows_are_encoded_out_of_fold_and_validation_rows_by_all_of_training(monkeypatch):
    import lightgbm as lgb

    seen, dataset = [], lgb.Dataset
    monkeypatch.setattr(
        lgb, "Dataset", lambda data, *args, **kwargs: seen.append(data) or dataset(data, *args, **kwargs)
    )
    train = TRAIN.with_columns(pl.int_range(pl.len(), dtype=pl.UInt64).alias(UNIT))
    encoding = TargetEncoding("mean_by_zone", of=("zone",))
    fit = trained(train, features=[encoding, *FEATURES], trees=3)
    [fitted] = fit.model.encodings
    learnt, stopping, sample = (matrix[:, -1] for matrix in seen)
    assert np.unique(learnt).size == 5 * np.unique(fitted.values(TRAIN)).size
    np.testing.assert_array_equal(stopping, fitted.values(VALIDATION))
    np.testing.assert_array_equal(sample, learnt)
    assert list(fit.importances) == ["zone", "miles", "hour", "mean_by_zone"]
    assert "feature_names=zone miles hour mean_by_zone" in text(fit)
