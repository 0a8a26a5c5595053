"""The search space: what YAML may say, what is refused and why, and that every value means what it says."""

from dataclasses import fields

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from ml_assets.core.errors import ConfigError
from ml_assets.core.parameters import ModelParams
from ml_assets.core.recency import Recency
from ml_assets.core.search_space import UNTUNED_RECENCY, SearchSpace, default_space

BASE = ModelParams()


def space(base=BASE, recency=UNTUNED_RECENCY, **told) -> SearchSpace:
    return SearchSpace.read(told, base=base, recency=recency, window=12)


def refused(**given) -> str:
    with pytest.raises(ConfigError) as caught:
        space(**given)
    assert caught.value.thing == "tuning.space"
    return "\n".join(caught.value.found)


def test_lists_and_ranges_become_distributions():
    read = space(
        window=(2, 12), leaves={"low": 15, "high": 255, "log": True}, l2={"low": 0, "high": 1}, objective=["l2", "l1"]
    )
    assert read.distributions() == {
        "leaves": IntDistribution(15, 255, log=True),
        "l2": FloatDistribution(0.0, 1.0),
        "objective": CategoricalDistribution(('"l2"', '"l1"')),
        "window": CategoricalDistribution(("2", "12")),
    }
    assert list(read.names) == sorted(read.names)


def test_values_become_parameters_and_recency():
    read = space(window=[2, 3], half_life=[None, 1.5], leaves=[7], monotone=[{}, {"miles": 1}], base=ModelParams("l2"))
    drawn = {"window": "2", "half_life": "1.5", "leaves": "7", "monotone": '{"miles": 1}'}
    params, recency = read.model(read.read_params(drawn))
    assert params == ModelParams("l2", leaves=7, monotone=(("miles", 1),))
    assert recency == Recency(2, 1.5)
    assert read.model({"window": 12, "half_life": None})[1] == Recency(None, None), "all there is, to the row"


def test_every_parameter_can_be_searched():
    values = {
        "objective": ["l2"], "alpha": [None], "trees": [5], "learning_rate": [0.3], "leaves": [3],
        "min_rows_per_leaf": [3], "feature_fraction": [0.3], "bagging_fraction": [0.3], "l2": [3.0],
        "category_l2": [3.0], "early_stopping_rounds": [3], "max_categories": [3], "boosting": ["gbdt", "rf"],
        "linear_tree": [True], "monotone": [{"a": 1}],
    }  # fmt: skip
    assert set(values) == {f.name for f in fields(ModelParams)}
    base = ModelParams("l2", bagging_fraction=0.5)
    for name, choices in values.items():
        read = space(base=base, **{name: choices})
        params, _ = read.model({name: choices[-1]})
        assert params.to_json()[name] == choices[-1]
        assert params.to_json() != base.to_json() or choices[-1] == base.to_json()[name]
    assert space(base=ModelParams("binary"), half_life=[1]).model({"half_life": 1})[0].objective == "binary"


def test_the_untuned_value_belongs_to_every_list():
    assert space(window=[2, 3]).names["window"].ends() == [2, 3, 12]
    assert space(leaves=[15, 63]).names["leaves"].ends() == [15, 63]
    assert space(half_life=[1, 2], recency=Recency(6, 4.0)).untuned == {"half_life": 4.0}
    assert space(window=[2], recency=Recency(6, None)).names["window"].ends() == [2, 6]


def test_what_is_outside_is_told_to_optuna_as_the_nearest():
    read = space(leaves={"low": 15, "high": 31}, l2={"low": 0.1, "high": 1, "log": True}, window=[2, 3])
    assert read.untuned == {"leaves": 63, "l2": 0.0, "window": 12}
    assert read.stored(read.untuned) == {"leaves": 31, "l2": 0.1, "window": "12"}
    assert read.stored({"leaves": 3, "window": 5, "unknown": 1}) == {"leaves": 15, "l2": 0.1, "window": "12"}


def test_presets_are_what_the_space_has_of_them():
    read = space(leaves={"low": 15, "high": 31}, feature_fraction=[0.5, 0.7], window=[3])
    assert [p["leaves"] for p in read.presets] == [31, 15]
    assert all({**p, "leaves": 31} == read.read_params(read.stored(read.untuned)) for p in read.presets)
    assert space(window=[2, 3]).presets == []


def test_the_default_fits_every_model_and_window():
    for base in (BASE, ModelParams("binary"), ModelParams("l2", boosting="rf", bagging_fraction=0.6)):
        for window in (1, 2, 5, 12, 168):
            read = SearchSpace.read(None, base=base, window=window)
            assert max(read.names["window"].ends()) == window
            assert ("learning_rate" in read.names) == (base.boosting == "gbdt")
    assert default_space(BASE, 12)["window"] == [2, 3, 6, 12]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"leafs": [3]}, "leafs: not a parameter"),
        ({"leaves": []}, "leaves: [], which is empty"),
        ({"leaves": [3, 3.0]}, "repeats a value"),
        ({"leaves": 3}, "leaves: 3, neither a list"),
        ({"leaves": {"low": 3}}, "neither a list"),
        ({"leaves": {"low": 9, "high": 3}}, "leaves: from 9 to 3, which is empty"),
        ({"leaves": {"low": 3.5, "high": 9}}, "whole number"),
        ({"leaves": {"low": "a", "high": 9}}, "not two finite numbers"),
        ({"leaves": {"low": 3, "high": float("inf")}}, "not two finite numbers"),
        ({"l2": {"low": 0, "high": 1, "log": True}}, "log from 0"),
        ({"objective": {"low": 0, "high": 1}}, "though it is no number"),
        ({"monotone": ["miles"]}, "'miles', not a mapping"),
        ({"leaves": {"low": 1, "high": 9}}, "leaves: 1, not in 2 to"),
        ({"leaves": [1.5]}, "1.5, not a whole number"),
        ({"feature_fraction": {"low": 0.5, "high": 1.5}}, "feature_fraction: 1.5"),
        ({"window": [2, 13]}, "window: 13, longer than model.window (12)"),
        ({"window": {"low": 0, "high": 12}}, "window: 0, not a whole number of partitions"),
        ({"half_life": [0]}, "half_life: 0"),
        ({"objective": ["l3"]}, "objective: 'l3', not one of"),
        ({"objective": ["binary"]}, "objective: binary, of another task than l1"),
        ({"alpha": [0.5]}, "alpha: 0.5, which l1 has no use for"),
        ({"objective": ["l2", "huber"], "alpha": [0.5]}, "alpha: 0.5, which l2 has no use for"),
        ({"boosting": ["rf"]}, "bagging_fraction: 1"),
        ({"learning_rate": [0.1], "base": ModelParams(boosting="rf", bagging_fraction=0.5)}, "no use for it"),
        ({}, "nothing to choose"),
    ],
)  # fmt: skip
def test_what_can_not_be_searched_is_refused(given, found):
    assert found in refused(**given)


def test_all_mistakes_are_told_at_once():
    found = refused(leafs=[1], leaves=[], window=[13], l2={"low": -1, "high": 1})
    for name in ("leafs", "leaves", "window", "l2"):
        assert f"{name}: " in found
