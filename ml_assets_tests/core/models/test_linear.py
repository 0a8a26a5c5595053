"""Linear models: they find the least loss, and a row's score depends on no other row and no thread."""

import numpy as np
import polars as pl
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import QuantileRegressor

from ml_assets.core.errors import ConfigError, ScoringError, TrainingError
from ml_assets.core.models.labels import mean_loss
from ml_assets.core.models.linear_params import LinearParams
from ml_assets.core.models.linear_solvers import solve


def test_it_learns_every_task(rides):
    fit = rides.fit(rides.spec())
    rides.check(fit)
    assert max(fit.importances, key=fit.importances.get) == "miles"
    assert len(fit.train_curve) == len(fit.validation_curve) == fit.best_iteration == 1
    assert fit.validation_loss == rides.loss(rides.scores(fit))
    assert fit.model.files() == {}


@pytest.mark.parametrize("objective", ["l1", "l2", "huber", "quantile", "poisson"])
def test_every_objective_of_a_regression(minutes, objective):
    fit = minutes.fit(minutes.spec(objective=objective))
    minutes.check(fit)
    assert fit.loss == objective
    others = [minutes.fit(minutes.spec(objective=o)) for o in ("l2", "poisson") if o != objective]
    assert all(not np.array_equal(minutes.scores(fit), minutes.scores(other)) for other in others)


SKEWED = np.random.default_rng(3)
MATRIX = np.asfortranarray(SKEWED.normal(size=(600, 4)))
LABEL = MATRIX @ [1.0, -2.0, 0.5, 0.0] + SKEWED.exponential(2, 600) + 5


def found(objective, **params):
    params = LinearParams(objective=objective, l2=1e-6, **params)
    solution = solve(MATRIX, LABEL, params, None)
    return MATRIX @ solution.coefficients[0] + solution.intercepts[0], params


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_quantiles_are_those_of_linear_programming(quantile):
    oracle = QuantileRegressor(quantile=quantile, alpha=0).fit(MATRIX, LABEL).predict(MATRIX)
    ours, _ = found("quantile", alpha=quantile)
    least = mean_loss("quantile", LABEL, oracle, alpha=quantile)
    assert least <= mean_loss("quantile", LABEL, ours, alpha=quantile) < 1.001 * least
    assert np.mean(ours > LABEL) == pytest.approx(quantile, abs=0.02)


@pytest.mark.parametrize(("objective", "alpha"), [("l1", None), ("l2", None), ("huber", 0.5), ("huber", 3.0)])
def test_no_other_coefficients_have_a_smaller_loss(objective, alpha):
    ours, params = found(objective, alpha=alpha)

    def loss(x):
        return mean_loss(objective, LABEL, MATRIX @ x[:4] + x[4], alpha=params.alpha_or_default)

    start = np.linalg.lstsq(np.column_stack([MATRIX, np.ones(600)]), LABEL)[0]
    least = minimize(loss, start, method="Nelder-Mead", options={"maxiter": 5000, "xatol": 1e-7, "fatol": 1e-10}).fun
    assert mean_loss(objective, LABEL, ours, alpha=params.alpha_or_default) < 1.0005 * least


def test_the_penalty_and_weights_count(minutes):
    def coefficients(weights=None, **params):
        return minutes.fit(minutes.spec(objective="l2", **params), weights=weights).model.coefficients

    usual = coefficients()
    assert np.abs(coefficients(l2=1e4)).sum() < np.abs(usual).sum() / 2
    assert np.array_equal(coefficients(np.ones(1200)), usual)
    newer = np.where(np.arange(1200) < 600, 0.01, 1.0)
    assert not np.allclose(coefficients(newer), usual, rtol=1e-3)


@pytest.mark.parametrize("objective", ["l1", "poisson", "binary"])
def test_a_row_that_counts_twice_is_two_rows(objective):
    label = (LABEL > 6).astype(float) if objective == "binary" else LABEL.clip(0)
    params, twice = LinearParams(objective=objective), np.where(np.arange(600) < 200, 2.0, 1.0)
    weighted = solve(MATRIX, label, params, twice)
    repeated = solve(np.vstack([MATRIX, MATRIX[:200]]), np.r_[label, label[:200]], params, None)
    assert weighted.coefficients == pytest.approx(repeated.coefficients, rel=2e-2, abs=2e-2)
    assert weighted.coefficients != pytest.approx(solve(MATRIX, label, params, None).coefficients, rel=1e-3)


def test_a_class_without_a_row_is_unlikely_and_not_impossible(classes):
    for absent in (0, 2):
        train = classes.train.filter(pl.col("label") != absent)
        scores = classes.scores(classes.fit(classes.spec(), train=train))
        assert scores[:, absent] == pytest.approx(1 / (train.height + 3))
        assert scores.sum(axis=1) == pytest.approx(1)
        present = [k for k in range(3) if k != absent]
        right = scores[:, present].argmax(axis=1) == np.searchsorted(present, classes.validation["label"].to_numpy())
        assert right[classes.validation["label"].to_numpy() != absent].mean() > 0.8


def test_without_validation_rows_there_is_no_curve_of_them(minutes):
    from ml_assets.core.models.linear import fit_linear

    told = []
    given = {"features": minutes.features, "seed": 0, "threads": 1, "on_iteration": lambda *t: told.append(t)}
    fit = fit_linear(minutes.spec(), minutes.train, None, **given)
    assert fit.validation_curve == ()
    assert fit.validation_loss is None
    assert told[0][:2] == (1, 1)


def test_what_can_not_be_learnt_is_refused(minutes, classes):
    with pytest.raises(TrainingError, match="one label only"):
        minutes.fit(minutes.spec(), train=minutes.train.with_columns(label=3.0))
    with pytest.raises(TrainingError, match="4 labels are missing"):
        minutes.fit(minutes.spec(), train=minutes.train.with_columns(
            label=pl.when(pl.int_range(pl.len()) < 4).then(None).otherwise("label")))  # fmt: skip
    with pytest.raises(TrainingError, match="negative labels"):
        minutes.fit(minutes.spec(objective="poisson"), train=minutes.train.with_columns(pl.col("label") - 20))
    with pytest.raises(TrainingError, match="labels that are none of 0 to 2"):
        classes.fit(classes.spec(), train=classes.train.with_columns(pl.col("label") + 0.5))
    same = minutes.train.with_columns(zone=pl.lit("z1"), vendor=pl.lit("v1"), miles=1.0, hour=2.0)
    with pytest.raises(TrainingError, match="no feature in which they differ"):
        minutes.fit(minutes.spec(), train=same, features=minutes.features[:4])
    with pytest.raises(ScoringError, match="column miles is missing"):
        minutes.fit(minutes.spec(), validation=minutes.validation.drop("miles"))


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"l2": 0}, "l2: 0, not in 1e-06 to 1e.12"),
        ({"l2": "much"}, "l2: 'much', not a number"),
        ({"alpha": 0.5}, "alpha: 0.5, which l1 has no use for"),
        ({"trees": 3, "one_hot_categories": 0}, "trees: not a parameter of a linear model\n.*one_hot_categories: 0"),
        ({"encode_above": True}, "encode_above: True, not a whole number"),
    ],
)
def test_parameters_that_are_refused(params, complaint):
    with pytest.raises(ConfigError, match=complaint):
        LinearParams.read(params)
    with pytest.raises(ConfigError, match=r"alpha: 1\.5, not a quantile"):
        LinearParams.read({"alpha": 1.5}, objective="quantile")
