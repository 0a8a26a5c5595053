"""Training: it learns, every parameter counts, and the model does not depend on process or threads."""

import hashlib
import subprocess
import sys
from dataclasses import fields

import numpy as np
import polars as pl
import pytest

from ml_assets.core.encoding import encode
from ml_assets.core.errors import ScoringError, TrainingError
from ml_assets.core.features import Feature
from ml_assets.core.parameters import ModelParams
from ml_assets.core.split import UNIT
from ml_assets.core.target_encoding import TargetEncoding
from ml_assets.core.training import train_lightgbm

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


def trained(train=TRAIN, validation=VALIDATION, *, seed=0, threads=1, on_iteration=None, **params):
    settings = ModelParams(**{**BASE, **params})
    return train_lightgbm(
        train, validation, features=FEATURES, params=settings, seed=seed, threads=threads, on_iteration=on_iteration
    )


def scores(model, frame=VALIDATION):
    import lightgbm as lgb

    return lgb.Booster(model_str=model.text).predict(encode(frame.select("zone", "miles", "hour"), model.specs))


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
    assert model.text.count("\nTree=") == model.best_iteration


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
}


@pytest.mark.parametrize("name", [f.name for f in fields(ModelParams) if f.name != "alpha"])
def test_every_parameter_counts(name):
    # Trained to overfit, so that stopping early matters.
    base = {"trees": 60, "learning_rate": 0.8, "feature_fraction": 1.0, "category_l2": 1.0, "early_stopping_rounds": 0}
    before, after = trained(**base), trained(**{**base, name: OTHER[name]})
    assert not np.array_equal(scores(before), scores(after))


def test_alpha_counts():
    low, high = (scores(trained(objective="quantile", alpha=a)) for a in (0.1, 0.8))
    actual = VALIDATION["label"].to_numpy()
    assert (actual < low).mean() < 0.25 < 0.65 < (actual < high).mean()
    near, far = (scores(trained(objective="huber", alpha=a)) for a in (0.5, 5.0))
    assert not np.array_equal(near, far)


def test_poisson():
    assert (scores(trained(objective="poisson")) > 0).all()


def test_the_seed_counts():
    assert trained(seed=0, bagging_fraction=0.5).text == trained(seed=0, bagging_fraction=0.5).text
    assert trained(seed=0, bagging_fraction=0.5).text != trained(seed=1, bagging_fraction=0.5).text


# With l2 gradients are no whole numbers, so that the order of their sums shows; with l1 they are 1 and -1.
SUMMED = {"objective": "l2", "bagging_fraction": 0.8}
SCRIPT = """
import hashlib, importlib.util, sys
spec = importlib.util.spec_from_file_location("test_training", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
model = module.trained(threads=int(sys.argv[2]), **module.SUMMED)
print(hashlib.sha256(model.text.encode()).hexdigest())
"""


def test_the_same_bytes_in_other_processes_on_one_and_two_threads():
    running = [
        subprocess.Popen([sys.executable, "-c", SCRIPT, __file__, str(threads)], stdout=subprocess.PIPE, text=True)
        for threads in (1, 2)
    ]
    hashes = {process.communicate(timeout=60)[0].strip() for process in running}
    assert hashes == {hashlib.sha256(trained(**SUMMED).text.encode()).hexdigest()}


def test_the_text_knows_nothing_of_the_machine():
    text = trained().text
    assert "[num_threads: 0]" in text
    assert "/" not in text.replace("[label_gain: ]", "")


def test_a_vocabulary_comes_from_training_rows_only():
    new = VALIDATION.with_columns(zone=pl.lit("unseen"))
    model = trained(validation=new)
    assert "unseen" not in model.specs[0].vocabulary
    missing = new.with_columns(zone=pl.lit(None, pl.String))
    np.testing.assert_array_equal(scores(model, new), scores(model, missing))


@pytest.mark.parametrize(
    ("train", "params", "words"),
    [
        (TRAIN.clear(), {}, "train rows: no rows"),
        (TRAIN.drop("label"), {}, "no column label"),
        (TRAIN.with_columns(label=pl.when(pl.col("hour") > 1).then("label")), {}, "labels are missing or infinite"),
        (TRAIN.with_columns(label=pl.col("label") / 0), {}, "1500 labels are missing or infinite"),
        (TRAIN.with_columns(label=-pl.col("label")), {"objective": "poisson"}, "negative labels"),
        (TRAIN, {"min_rows_per_leaf": 1000}, "not one split"),
    ],
)
def test_nothing_can_be_learnt(train, params, words):
    with pytest.raises(TrainingError, match=words):
        trained(train, **params)


@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_frame_that_does_not_fit(part):
    frames = {"train": TRAIN, "validation": VALIDATION}
    frames[part] = frames[part].drop("zone").with_columns(pl.col("hour").cast(pl.Int64))
    with pytest.raises(ScoringError) as caught:
        trained(**frames)
    assert caught.value.found == ["column zone is missing", "column hour is Int64, not Float64"]


@pytest.mark.parametrize("label", [None, float("nan"), float("inf")])
def test_validation_labels_must_be_known_too(label):
    unknown = pl.when(pl.int_range(pl.len()) < 3).then(pl.lit(label, pl.Float64)).otherwise("label")
    with pytest.raises(TrainingError, match="validation rows: 3 labels are missing or infinite"):
        trained(validation=VALIDATION.with_columns(label=unknown))
    with pytest.raises(TrainingError, match="validation rows: no rows"):
        trained(validation=VALIDATION.clear())


def test_without_early_stopping_all_trees_are_kept():
    model = trained(trees=60, learning_rate=0.8, early_stopping_rounds=0)
    assert model.best_iteration == len(model.validation_curve) == 60
    assert int(np.argmin(model.validation_curve)) + 1 < 60


def test_a_refusal_says_nothing_else(capfd):
    with pytest.raises(TrainingError):
        trained(min_rows_per_leaf=1000)
    assert capfd.readouterr() == ("", "")


def test_every_tree_splits_and_each_input_moves_the_answer():
    model = trained()
    assert all(int(line.split("=")[1]) > 1 for line in model.text.splitlines() if line.startswith("num_leaves="))
    before = scores(model)
    for name in ("zone", "miles", "hour"):
        assert not np.array_equal(before, scores(model, VALIDATION.with_columns(pl.col(name).reverse()))), name


def test_columns_in_another_order_are_the_same_training_set():
    assert trained(TRAIN.select(reversed(TRAIN.columns))).text == trained().text


def test_lightgbm_is_told_the_threads_and_to_sum_in_one_order(monkeypatch):
    import lightgbm as lgb

    train, told = lgb.train, []
    monkeypatch.setattr(
        lgb, "train", lambda settings, *args, **kwargs: told.append(settings) or train(settings, *args, **kwargs)
    )
    text = trained(threads=2, trees=3).text
    assert told[0]["num_threads"] == 2
    # By their names only: 100,000 rows on 2 threads gave the same trees on every run without them as well.
    assert "[deterministic: 1]" in text
    assert "[force_col_wise: 1]" in text


def test_training_rows_are_encoded_out_of_fold_and_validation_rows_by_all_of_training(monkeypatch):
    import lightgbm as lgb

    seen, dataset = [], lgb.Dataset
    monkeypatch.setattr(
        lgb, "Dataset", lambda data, *args, **kwargs: seen.append(data) or dataset(data, *args, **kwargs)
    )
    train = TRAIN.with_columns(pl.int_range(pl.len(), dtype=pl.UInt64).alias(UNIT))
    encoding = TargetEncoding("mean_by_zone", of=("zone",))
    listed = [encoding, *FEATURES]
    model = train_lightgbm(train, VALIDATION, features=listed, params=ModelParams(trees=3), seed=0, threads=1)
    [fitted] = model.encodings
    learnt, stopping = (matrix[:, -1] for matrix in seen)
    assert np.unique(learnt).size == 5 * np.unique(fitted.values(TRAIN)).size
    np.testing.assert_array_equal(stopping, fitted.values(VALIDATION))
    assert list(model.importances) == ["zone", "miles", "hour", "mean_by_zone"]
    assert "feature_names=zone miles hour mean_by_zone" in model.text


def test_target_encodings_need_rows_that_can_be_divided():
    encoding = TargetEncoding("mean_by_zone", of=("zone",))
    with pytest.raises(TrainingError, match="target encoding mean_by_zone"):
        train_lightgbm(TRAIN, VALIDATION, features=[*FEATURES, encoding], params=ModelParams(), seed=0, threads=1)
