"""What defs.yaml says of a model: everything that does not belong together is refused before anything is fitted."""

import pytest

from ml_assets.core.errors import ConfigError
from ml_assets.core.models.linear_params import LinearParams
from ml_assets.core.models.sklearn_params import SklearnParams
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.parameters import ModelParams

FOREST = "sklearn.ensemble.ExtraTreesRegressor"


def read(kind="lightgbm", task="regression", **given) -> ModelSpec:
    return ModelSpec.read(name="model", kind=kind, task=task, **{"params": {}, **given})


@pytest.mark.parametrize("kind", ["lightgbm", "linear"])
@pytest.mark.parametrize(
    ("task", "objective"), [("regression", "l1"), ("binary", "binary"), ("multiclass", "multiclass")]
)
def test_the_objective_by_default_is_the_tasks_own(kind, task, objective):
    spec = read(kind, task, classes=3)
    assert (spec.params.objective, spec.params.task, spec.task) == (objective, task, task)
    assert isinstance(spec.params, ModelParams if kind == "lightgbm" else LinearParams)


def test_parameters_are_those_of_the_kind():
    assert read(params={"trees": 5}, objective="huber").params == ModelParams(objective="huber", trees=5)
    sklearn = read("sklearn", estimator=FOREST, params={"n_estimators": 5})
    assert isinstance(sklearn.params, SklearnParams)
    with pytest.raises(ConfigError, match="trees"):
        read("linear", params={"trees": 5})


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"kind": "sklearn"}, "estimator: None"),
        ({"estimator": FOREST}, f"estimator: {FOREST}"),
        (
            {"kind": "sklearn", "estimator": FOREST, "objective": "l1"},
            "objective: l1, which an estimator has",
        ),
        ({"objective": "mse"}, "objective: 'mse', not one of l1"),
        ({"objective": "binary"}, "objective: binary, of a regression"),
        ({"objective": "l2", "task": "binary"}, "objective: l2, of a binary"),
        ({"kind": "linear", "objective": "multiclass"}, "objective: multiclass, of a regression"),
    ],
)
def test_what_does_not_belong_together_is_refused(given, found):
    with pytest.raises(ConfigError) as caught:
        read(**given)
    assert [f[: len(found)] for f in caught.value.found] == [found]


def test_all_mistakes_at_once():
    with pytest.raises(ConfigError) as caught:
        read(estimator=FOREST, objective="mse")
    assert [f.split(":")[0] for f in caught.value.found] == ["estimator", "objective"]


def test_the_quantile_and_what_iterates():
    assert read(objective="quantile", params={"alpha": 0.9}).alpha == 0.9
    assert read("linear", objective="quantile").alpha == 0.5
    assert (read().alpha, read(objective="huber").alpha, read("sklearn", estimator=FOREST).alpha) == (None, None, None)
    assert read().iterates
    assert not read(params={"early_stopping_rounds": 0}).iterates
    assert not read(params={"boosting": "rf", "bagging_fraction": 0.5}).iterates
    assert not read("linear").iterates


def test_grown_to_so_many_iterations_it_stops_no_more():
    final = read(params={"trees": 300, "leaves": 9}).grown_to(57)
    assert final.params == ModelParams(trees=57, leaves=9, early_stopping_rounds=0)
    linear = read("linear")
    assert linear.grown_to(57) is linear


def test_as_json():
    told = read(params={"monotone": {"miles": 1}}, objective="l2", per=["zone"], min_rows=9).to_json()
    assert (told["per"], told["min_rows"], told["params"]["monotone"]) == (["zone"], 9, {"miles": 1})
