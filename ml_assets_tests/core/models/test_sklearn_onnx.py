"""Estimators of scikit-learn as ONNX: they say the same as the estimator, and nothing else is ever imported."""

import sys

import numpy as np
import polars as pl
import pytest

from ml_assets.core.errors import ConfigError, TrainingError
from ml_assets.core.models.onnx_export import AGREEMENT, export
from ml_assets.core.models.onnx_scorer import OnnxScorer
from ml_assets.core.models.sklearn_params import SklearnParams

REGRESSORS = [
    ("sklearn.ensemble.ExtraTreesRegressor", {"n_estimators": 8, "min_samples_leaf": 3}),
    ("sklearn.ensemble.HistGradientBoostingRegressor", {"max_iter": 20, "max_leaf_nodes": 7}),
    ("sklearn.neural_network.MLPRegressor", {"hidden_layer_sizes": [8], "max_iter": 60, "learning_rate_init": 0.01}),
    ("sklearn.svm.LinearSVR", {}),
]
CLASSIFIERS = [
    ("sklearn.ensemble.RandomForestClassifier", {"n_estimators": 8, "min_samples_leaf": 3}),
    ("sklearn.linear_model.LogisticRegression", {}),
    ("sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 12, "max_leaf_nodes": 7}),
]


@pytest.mark.parametrize(("estimator", "params"), REGRESSORS, ids=lambda p: p if isinstance(p, str) else "")
def test_regressors(minutes, estimator, params):
    fit = minutes.fit(minutes.spec("sklearn", estimator=estimator, **params))
    minutes.check(fit)
    assert max(fit.importances, key=fit.importances.get) == "miles"
    assert list(fit.model.files()) == ["model.onnx"]


@pytest.mark.parametrize(("estimator", "params"), CLASSIFIERS, ids=lambda p: p if isinstance(p, str) else "")
def test_classifiers(rides, estimator, params):
    if rides.task == "regression":
        with pytest.raises(ConfigError, match=f"{estimator} is no regressor"):
            rides.fit(rides.spec("sklearn", estimator=estimator, **params))
    else:
        fit = rides.fit(rides.spec("sklearn", estimator=estimator, **params))
        rides.check(fit, better_than=0.85)


def test_onnx_says_what_the_estimator_says(minutes):
    from sklearn.ensemble import RandomForestRegressor

    random = np.random.default_rng(0)
    matrix = random.normal(size=(500, 6)).astype(np.float32).astype(float)
    label = matrix[:, 0] * 3 + matrix[:, 1] ** 2
    forest = RandomForestRegressor(20, random_state=0).fit(matrix, label)
    scorer = export(forest, matrix, task="regression", deviation=label.std())
    fresh = random.normal(size=(300, 6)).astype(np.float32).astype(float)
    assert np.abs(scorer.run(fresh)[:, 0] - forest.predict(fresh)).max() < AGREEMENT["regression"] * label.std()


def test_a_row_is_scored_with_as_many_others_as_its_model_needs():
    from sklearn.linear_model import LinearRegression
    from sklearn.tree import DecisionTreeRegressor

    random = np.random.default_rng(0)
    matrix = random.normal(size=(600, 83)).astype(np.float32).astype(float)
    label = matrix @ random.normal(size=83)
    tree = export(DecisionTreeRegressor().fit(matrix, label), matrix, task="regression", deviation=label.std())
    assert (tree.double, tree.rows_at_once) == (False, 0)
    linear = export(LinearRegression().fit(matrix, label), matrix, task="regression", deviation=label.std())
    for at_once in (0, 16, 1):
        scorer = OnnxScorer(linear.content, linear.double, at_once)
        alone = np.concatenate([scorer.run(matrix[i : i + 1]) for i in range(600)])
        same = np.array_equal(alone, scorer.run(matrix))
        assert scorer.depends_on_neighbours(matrix) != same
    assert not linear.depends_on_neighbours(matrix)
    assert OnnxScorer(linear.content, linear.double, 1).run(matrix[:5]).shape == (5, 1)


class Moody(OnnxScorer):
    """Gives the first row of every run another score."""

    def run(self, matrix):
        scores = matrix[:, :1].copy()
        scores[0] += 1e-15
        return scores


def test_scores_that_depend_on_neighbours_are_found():
    matrix = np.linspace(0, 1, 400).reshape(-1, 1)
    assert Moody(b"", True).depends_on_neighbours(matrix)


def test_seed_parameters_and_weights_count_and_threads_do_not(minutes):
    def content(*, seed=0, threads=1, weights=None, **params):
        params = {"n_estimators": 5, "max_leaf_nodes": 20, **params}
        spec = minutes.spec("sklearn", estimator="sklearn.ensemble.RandomForestRegressor", **params)
        fit = minutes.fit(spec, seed=seed, threads=threads, weights=weights)
        return fit.model.files()["model.onnx"], fit.model.facts(), fit.importances

    usual = content()
    assert content(threads=2) == usual
    assert content(seed=1)[0] != usual[0]
    assert content(max_leaf_nodes=19)[0] != usual[0]
    assert content(one_hot_categories=2)[1]["columns"] != usual[1]["columns"]
    assert content(weights=np.where(np.arange(1200) < 600, 0.01, 1.0))[0] != usual[0]


def test_an_estimator_that_did_not_converge_says_so(minutes, recwarn):
    def converged(rounds):
        estimator = "sklearn.neural_network.MLPRegressor"
        spec = minutes.spec("sklearn", estimator=estimator, hidden_layer_sizes=[2], max_iter=rounds, tol=1.0)
        return minutes.fit(spec).model.facts()["converged"]

    assert not converged(2)
    assert converged(200)
    assert not recwarn.list


def test_a_class_without_a_row_is_unlikely_and_not_impossible(classes):
    train = classes.train.filter(pl.col("label") != 1)
    spec = classes.spec("sklearn", estimator="sklearn.naive_bayes.GaussianNB")
    scores = classes.scores(classes.fit(spec, train=train))
    assert scores[:, 1] == pytest.approx(1 / (train.height + 3))
    assert scores.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("os.system", "no class in a public module"),
        ("sklearn.os.System", "scikit-learn has no such estimator"),
        ("evil.sklearn.linear_model.Ridge", "no class in a public module"),
        ("sklearn.linear_model._ridge.Ridge", "no class in a public module"),
        ("sklearn.linear_model.ridge", "no class in a public module"),
        ("sklearn.linear_model.Nothing", "has no such estimator"),
        ("sklearn.nothing.Nothing", "has no such estimator"),
        ("sklearn.base.BaseEstimator", "is no regressor"),
        ("sklearn.preprocessing.StandardScaler", "is no regressor"),
        ("sklearn.linear_model.LogisticRegression", "is no regressor"),
        ("sklearn.ensemble.VotingRegressor", "estimators"),
    ],
)
def test_estimators_that_are_refused(path, complaint):
    before = set(sys.modules)
    with pytest.raises(ConfigError, match=complaint):
        SklearnParams.read({}, estimator=path).require_valid("regression")
    assert not any(name.startswith("evil") for name in set(sys.modules) - before)


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"trees": 3}, "trees: not a parameter of sklearn.ensemble.RandomForestRegressor, which has bootstrap, "),
        ({"n_estimators": -1}, "'n_estimators' parameter .* must be an int in the range"),
        ({"random_state": 3, "n_jobs": 2}, "it is the model's seed\n.*it is model.threads"),
        ({"max_features": {1, 2}}, "not a JSON value"),
        ({"max_categories": 0}, "max_categories: 0"),
    ],
)
def test_parameters_that_are_refused(params, complaint):
    with pytest.raises(ConfigError, match=complaint):
        SklearnParams.read(params, estimator="sklearn.ensemble.RandomForestRegressor").require_valid("regression")


def test_classifiers_need_probabilities():
    params = SklearnParams.read({"loss": "hinge"}, estimator="sklearn.linear_model.SGDClassifier")
    with pytest.raises(ConfigError, match="gives no probabilities"):
        params.require_valid("binary")
    SklearnParams.read({"loss": "log_loss"}, estimator="sklearn.linear_model.SGDClassifier").require_valid("binary")


@pytest.mark.parametrize(
    ("estimator", "params", "complaint"),
    [
        ("sklearn.dummy.DummyRegressor", {}, "Unable to find a shape calculator"),
        ("sklearn.isotonic.IsotonicRegression", {}, "Isotonic regression input X should be"),
        ("sklearn.tree.DecisionTreeRegressor", {"min_samples_leaf": 2000}, "one and the same score for all rows"),
    ],
)
def test_what_can_not_be_learnt_or_exported_is_refused(minutes, estimator, params, complaint):
    with pytest.raises(TrainingError, match=complaint):
        minutes.fit(minutes.spec("sklearn", estimator=estimator, **params))


def test_rows_that_count_differently_need_an_estimator_that_takes_them(minutes):
    spec = minutes.spec("sklearn", estimator="sklearn.cross_decomposition.PLSRegression")
    with pytest.raises(ConfigError, match="fit takes sample_weight"):
        minutes.fit(spec, weights=np.ones(1200))


def test_an_export_that_says_something_else_is_refused(minutes):
    frames = [
        f.with_columns(label=(pl.col("label") > 20).cast(pl.Float64)) for f in (minutes.train, minutes.validation)
    ]
    twice = type(minutes)("binary", *frames)
    # Of two classes, the converter of skl2onnx 1.20 takes the logit twice.
    spec = twice.spec("sklearn", estimator="sklearn.discriminant_analysis.LinearDiscriminantAnalysis")
    with pytest.raises(TrainingError, match=r"scores differ by up to 0\.[0-9]+\n.*in float32: scores differ"):
        twice.fit(spec)


def test_an_export_that_would_be_too_large_is_refused():
    from sklearn.linear_model import LinearRegression

    matrix = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32).astype(float)
    regressor = LinearRegression().fit(matrix, matrix[:, 0])
    export(regressor, matrix, task="regression", deviation=1.0)
    regressor.rows_ = np.zeros(2_000_000)
    with pytest.raises(TrainingError, match="numbers, training rows among them"):
        export(regressor, matrix, task="regression", deviation=1.0)
