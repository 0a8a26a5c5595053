"""Parameters by name, and values that are refused before anything is trained."""

import json
from dataclasses import fields

import polars as pl
import pytest

from ml_assets.core.errors import ConfigError
from ml_assets.core.features import Feature
from ml_assets.core.parameters import ModelParams


def test_by_name_as_yaml_gives_them():
    read = ModelParams.read({"trees": 50, "learning_rate": 1, "alpha": 3}, objective="huber")
    assert (read.trees, read.learning_rate, read.objective, read.alpha_or_default) == (50, 1, "huber", 3)
    assert ModelParams.from_json(read.to_json()) == read


def test_alpha_by_default():
    found = {o: ModelParams(objective=o).alpha_or_default for o in ("l1", "huber", "quantile")}
    assert found == {"l1": None, "huber": 0.9, "quantile": 0.5}


def test_all_mistakes_at_once():
    with pytest.raises(ConfigError) as caught:
        ModelParams.read({"trees": 0, "leaves": 1.5, "l2": -1, "feature_fraction": True, "learning_rate": "fast"})
    assert [found.split(":")[0] for found in caught.value.found] == [
        "trees",
        "learning_rate",
        "leaves",
        "feature_fraction",
        "l2",
    ]


@pytest.mark.parametrize(
    ("params", "objective", "words"),
    [
        ({"tree": 5}, "l1", "tree: not a parameter"),
        ({"objective": "l2"}, "l1", "objective: not a parameter"),
        ({"alpha": 0.5}, "l1", "l1 has no use for"),
        ({"alpha": 1.5}, "quantile", "not a quantile"),
        ({}, "mse", "'mse', not one of l1"),
        ({"l2": float("nan")}, "l1", "l2: nan"),
        ({"trees": None}, "l1", "trees: None"),
        ({"alpha": "half"}, "quantile", "alpha: 'half', not a number"),
        ({"l2": float("inf")}, "l1", "l2: inf"),
        ({"boosting": "dart"}, "l1", "'dart', not one of gbdt, rf"),
        ({"boosting": "rf"}, "l1", "bagging_fraction: 1, so that all trees of a random forest are alike"),
        ({"boosting": "rf", "bagging_fraction": 0.6, "learning_rate": 0.2}, "l2", "learning_rate: 0.2, which a random"),
        (
            {"boosting": "rf", "bagging_fraction": 0.6, "early_stopping_rounds": 9},
            "l2",
            "early_stopping_rounds: 9",
        ),
        ({"linear_tree": 1}, "l2", "linear_tree: 1, not true or false"),
        ({"linear_tree": True}, "l1", "no linear trees for l1"),
        ({"linear_tree": True}, "quantile", "no linear trees for quantile"),
        ({"linear_tree": True, "monotone": {"miles": 1}}, "l2", "do not keep to it"),
        ({"monotone": {"miles": 1}}, "l1", "can't keep to it with l1"),
        ({"monotone": {"miles": 1}}, "quantile", "can't keep to it with quantile"),
        ({"monotone": {"miles": 1}}, "multiclass", "can't keep to it with multiclass"),
        ({"monotone": {"miles": 2}}, "l2", "monotone: miles: 2, not -1, 0 or 1"),
        ({"monotone": {"miles": True}}, "l2", "monotone: miles: True"),
        ({"monotone": ["miles"]}, "l2", "not a mapping of features"),
    ],
)
def test_refused(params, objective, words):
    with pytest.raises(ConfigError, match=words):
        ModelParams.read(params, objective=objective)


def test_unknown_names_and_bad_values_are_told_together():
    with pytest.raises(ConfigError) as caught:
        ModelParams.read({"tree": 5, "leaves": 1, "trees": 5})
    assert caught.value.found == ["tree: not a parameter", "leaves: 1, not in 2 to 131072"]
    with pytest.raises(ConfigError) as caught:
        ModelParams.read({"alpha": 1, "l2": -1}, objective="quantile")
    assert [found.split(":")[0] for found in caught.value.found] == ["l2", "alpha"]


BOUNDS = {
    "trees": (1, 100_000, 1),
    "learning_rate": (1e-6, 1, 1e-7),
    "leaves": (2, 131_072, 1),
    "min_rows_per_leaf": (1, 1_000_000_000, 1),
    "feature_fraction": (1e-6, 1, 1e-7),
    "bagging_fraction": (1e-6, 1, 1e-7),
    "l2": (0, 1e12, 1),
    "category_l2": (0, 1e12, 1),
    "early_stopping_rounds": (0, 100_000, 1),
    "max_categories": (1, 100_000, 1),
    "alpha": (1e-6, 1e12, 1e-7),
}
"""Lowest, highest, and a step that leaves the bounds."""


def test_every_number_has_bounds():
    assert {f.name for f in fields(ModelParams)} == {"objective", "boosting", "linear_tree", "monotone", *BOUNDS}


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds_are_inside_and_nothing_beyond_them(name):
    low, high, step = BOUNDS[name]
    for inside in (low, high):
        assert getattr(ModelParams.read({name: inside}, objective="huber"), name) == inside
    beyond = [low - step, high + max(step, 1e-3 * high if isinstance(high, float) else step)]
    for outside in (*beyond, float("nan"), "1", True, [1]):
        with pytest.raises(ConfigError, match=f"{name}: "):
            ModelParams.read({name: outside}, objective="huber")


def test_monotone_constraints_have_one_form_and_survive_json():
    read = ModelParams.read({"monotone": {"miles": 1, "hour": 0, "fare": -1}}, objective="l2")
    assert read.monotone == (("fare", -1), ("miles", 1))
    assert read == ModelParams.read({"monotone": {"fare": -1, "miles": 1}}, objective="l2")
    assert read.to_json()["monotone"] == {"fare": -1, "miles": 1}
    assert ModelParams.from_json(json.loads(json.dumps(read.to_json()))) == read
    assert hash(read) == hash(ModelParams.from_json(read.to_json()))


def test_monotone_constraints_name_numbers_of_the_features():
    features = [Feature("miles", pl.col("miles"), kind="number"), Feature("zone", pl.col("zone"), kind="category")]
    ModelParams(objective="l2", monotone=(("miles", 1),)).require_features(features)
    with pytest.raises(ConfigError) as caught:
        ModelParams(objective="l2", monotone=(("fare", -1), ("zone", 1))).require_features(features)
    assert caught.value.found == ["monotone: fare, which is no feature", "monotone: zone, which is a category"]
    assert "miles" in caught.value.expected


def test_what_an_objective_is_for_and_when_training_stops():
    tasks = {o: ModelParams(objective=o).task for o in ("l1", "poisson", "binary", "multiclass")}
    assert tasks == {"l1": "regression", "poisson": "regression", "binary": "binary", "multiclass": "multiclass"}
    assert ModelParams().stops_early
    assert not ModelParams(early_stopping_rounds=0).stops_early
    assert not ModelParams(boosting="rf", bagging_fraction=0.5).stops_early
