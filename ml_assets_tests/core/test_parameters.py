"""Parameters by name, and values that are refused before anything is trained."""

from dataclasses import fields

import pytest

from ml_assets.core.errors import ConfigError
from ml_assets.core.parameters import ModelParams


def test_by_name_as_yaml_gives_them():
    read = ModelParams.read({"trees": 50, "learning_rate": 1, "alpha": 3}, objective="huber")
    assert (read.trees, read.learning_rate, read.objective, read.alpha_or_default) == (50, 1, "huber", 3)
    assert ModelParams(**read.to_json()) == read


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
    assert {f.name for f in fields(ModelParams)} == {"objective", *BOUNDS}


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds_are_inside_and_nothing_beyond_them(name):
    low, high, step = BOUNDS[name]
    for inside in (low, high):
        assert getattr(ModelParams.read({name: inside}, objective="huber"), name) == inside
    beyond = [low - step, high + max(step, 1e-3 * high if isinstance(high, float) else step)]
    for outside in (*beyond, float("nan"), "1", True, [1]):
        with pytest.raises(ConfigError, match=f"{name}: "):
            ModelParams.read({name: outside}, objective="huber")
