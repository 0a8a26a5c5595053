"""Data sets that are prepared once: whatever was grown on them before, the same trees as on fresh ones."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ml_assets.core.errors import ConfigError, TrainingError
from ml_assets.core.features import Feature
from ml_assets.core.models.trees import grow
from ml_assets.core.models.trees_data import prepare
from ml_assets.core.parameters import ModelParams
from ml_assets.core.split import UNIT
from ml_assets.core.target_encoding import TargetEncoding

FEATURES = [
    Feature("zone", pl.col("zone"), kind="category"),
    Feature("miles", pl.col("miles"), kind="number", unit="miles"),
    TargetEncoding("mean_by_zone", of=("zone",)),
]


def rides(rows: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    zone, miles = rng.integers(0, 12, rows), rng.gamma(2, 2, rows)
    label = 3 + 4 * miles + (zone % 5) + rng.exponential(2, rows)
    return pl.DataFrame({"zone": [f"z{z}" for z in zone], "miles": miles, "label": label}).with_columns(
        pl.int_range(rows, dtype=pl.UInt64).alias(UNIT)
    )


TRAIN, VALIDATION = rides(1200, 1), rides(300, 2)
BASE = ModelParams(objective="l2", trees=12, leaves=7, min_rows_per_leaf=20)
TRIALS = [
    BASE,
    replace(BASE, min_rows_per_leaf=400),
    replace(BASE, min_rows_per_leaf=1),
    replace(BASE, learning_rate=0.5, leaves=31, early_stopping_rounds=2),
    replace(BASE, objective="quantile", alpha=0.2, l2=5.0, category_l2=1.0, feature_fraction=0.4),
    replace(BASE, monotone=(("miles", 1),)),
    replace(BASE, boosting="rf", bagging_fraction=0.5),
]


def prepared(params: ModelParams = BASE, seed: int = 0):
    return prepare(TRAIN, VALIDATION, features=FEATURES, params=params, seed=seed, threads=1)


def told(grown) -> tuple:
    return grown.model.text, grown.iterations, grown.train_curve, grown.validation_curve


def test_the_same_trees_on_a_data_set_used_before_as_on_a_fresh_one():
    shared = prepared()
    first = [told(grow(shared, params, seed=0, threads=1)) for params in TRIALS]
    second = [told(grow(shared, params, seed=0, threads=2)) for params in reversed(TRIALS)]
    assert first == second[::-1] == [told(grow(prepared(), params, seed=0, threads=1)) for params in TRIALS]
    assert len({text for text, *_ in first}) == len(TRIALS)


def test_a_trial_that_is_given_up_leaves_no_trace():
    shared, before = prepared(), told(grow(prepared(), BASE, seed=0, threads=1))

    def give_up(tree: int, most: int, loss: float) -> None:
        if tree == 4:
            raise KeyError(most, loss)

    for params in TRIALS[1:4]:
        with pytest.raises(KeyError):
            grow(shared, params, seed=0, threads=1, on_iteration=give_up)
    assert told(grow(shared, BASE, seed=0, threads=1)) == before


def test_another_seed_grows_other_trees_on_the_same_rows():
    shared = prepared()
    first, second = (grow(shared, BASE, seed=s, threads=1).model.text for s in (0, 1))
    assert first != second


def test_linear_leaves_on_shared_rows():
    linear = replace(BASE, linear_tree=True)
    shared = prepared(linear)
    texts = {grow(shared, linear, seed=0, threads=n).model.text for n in (1, 2, 1)}
    assert texts == {grow(prepared(linear), linear, seed=0, threads=1).model.text}


@pytest.mark.parametrize(
    ("params", "found"),
    [
        (replace(BASE, linear_tree=True), "linear_tree: True; prepared for False"),
        (replace(BASE, max_categories=3), "max_categories: 3; prepared for 1000"),
    ],
)
def test_rows_prepared_for_something_else_are_refused(params, found):
    with pytest.raises(ConfigError) as caught:
        grow(prepared(), params, seed=0, threads=1)
    assert caught.value.found == [found]


def test_weights_that_are_set_anew():
    weights = np.random.default_rng(0).uniform(0.1, 1, TRAIN.height)
    fresh = prepare(TRAIN, VALIDATION, features=FEATURES, params=BASE, seed=0, threads=1, weights=weights)
    shared = prepared()
    plain = told(grow(shared, BASE, seed=0, threads=1))
    for given, expected in ((weights, told(grow(fresh, BASE, seed=0, threads=1))), (None, plain)):
        shared.weigh(given)
        assert told(grow(shared, BASE, seed=0, threads=1)) == expected
    assert plain != told(grow(fresh, BASE, seed=0, threads=1))
    shared.weigh(np.full(TRAIN.height, 0.3))
    assert told(grow(shared, BASE, seed=0, threads=1)) == plain, "all alike"


@pytest.mark.parametrize(
    "weights", [np.ones(3), np.zeros(TRAIN.height), -np.ones(TRAIN.height), np.full(TRAIN.height, np.nan), np.ones(0)]
)
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(TrainingError, match="weights of training rows"):
        prepare(TRAIN, VALIDATION, features=FEATURES, params=BASE, seed=0, threads=1, weights=weights)
