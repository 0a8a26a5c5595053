"""Parameters by name, and values that are refused before anything is trained."""

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
    ],
)
def test_refused(params, objective, words):
    with pytest.raises(ConfigError, match=words):
        ModelParams.read(params, objective=objective)
