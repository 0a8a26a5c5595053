"""Weights of an ensemble: where the best are known, they are found; and the best member is never beaten by them."""

import json

import numpy as np
import pytest

from ml_assets.core.errors import ConfigError, ContractError
from ml_assets.core.metrics import DECIDING_OF, losses
from ml_assets.core.models.combination import Combination
from ml_assets.core.models.combination_weights import fit_weights

ROWS = 3000
TASKS = [(task, metric) for task, metrics in DECIDING_OF.items() for metric in metrics]


def softmax(sums):
    raised = np.exp(sums - sums.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def simulated(task, *, noise=(0.5, 1.0, 3.0), seed=0, scale=1.0):
    """Labels, and members that see the truth through noise of their own."""
    random = np.random.default_rng(seed)
    truth = random.normal(size=(ROWS, 3))
    seen = [truth + random.normal(0, n, truth.shape) for n in noise]
    names = [f"m{i}" for i in range(len(noise))]
    if task == "regression":
        return scale * (truth[:, 0] + random.normal(0, 0.1, ROWS)), dict(
            zip(names, (scale * s[:, 0] for s in seen), strict=True)
        )
    if task == "binary":
        label = random.random(ROWS) < 1 / (1 + np.exp(-2 * truth[:, 0]))
        return label.astype(float), dict(zip(names, (1 / (1 + np.exp(-2 * s[:, 0])) for s in seen), strict=True))
    drawn = (softmax(2 * truth).cumsum(axis=1) < random.random((ROWS, 1))).sum(axis=1).clip(0, 2)
    return drawn.astype(float), dict(zip(names, (softmax(2 * s) for s in seen), strict=True))


def mean_loss(metric, label, scores):
    return losses(metric, label, scores, alpha=0.5).mean()


@pytest.mark.parametrize(("task", "metric"), TASKS)
@pytest.mark.parametrize("method", ["blending", "stacking"])
def test_it_is_better_than_every_member(task, metric, method):
    label, members = simulated(task)
    found = fit_weights(members, label, method=method, task=task, metric=metric, alpha=0.5)
    together = found.of(members)
    best = min(mean_loss(metric, label, m) for m in members.values())
    assert mean_loss(metric, label, together) < 0.98 * best
    assert min(found.weights.values()) >= 0
    assert found.weights["m0"] > found.weights["m1"] > found.weights["m2"]
    if method == "blending":
        assert sum(found.weights.values()) == pytest.approx(1, abs=1e-12)
        assert found.intercepts == ()
    fresh_label, fresh = simulated(task, seed=1)
    assert mean_loss(metric, fresh_label, found.of(fresh)) < min(
        mean_loss(metric, fresh_label, m) for m in fresh.values()
    )
    again = Combination.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found
    assert np.array_equal(again.of(members), together)
    alone = [found.of({name: m[i : i + 1] for name, m in members.items()}) for i in range(100)]
    assert np.array_equal(np.concatenate(alone), together[:100])


@pytest.mark.parametrize(("task", "metric"), TASKS)
def test_no_other_blend_is_better(task, metric):
    label, members = simulated(task, noise=(0.7, 1.0))
    found = fit_weights(members, label, method="blending", task=task, metric=metric, alpha=0.5)
    grid = [mean_loss(metric, label, w * members["m0"] + (1 - w) * members["m1"]) for w in np.linspace(0, 1, 201)]
    assert mean_loss(metric, label, found.of(members)) <= min(grid) * (1 + 1e-6)


@pytest.mark.parametrize(("task", "metric"), TASKS)
@pytest.mark.parametrize("method", ["blending", "stacking"])
def test_never_worse_than_the_best_member(task, metric, method):
    label, members = simulated(task, noise=(0.0, 2.0))
    if task == "regression":
        members["m0"] = label
    found = fit_weights(members, label, method=method, task=task, metric=metric, alpha=0.5)
    best = min(mean_loss(metric, label, m) for m in members.values())
    assert mean_loss(metric, label, found.of(members)) <= best
    assert found.together <= min(found.by_member.values())


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e6])
def test_weights_do_not_depend_on_the_labels_unit(scale):
    usual_label, usual = simulated("regression")
    label, members = simulated("regression", scale=scale)
    for method in ("blending", "stacking"):
        for metric in ("mae", "rmse"):
            found = fit_weights(members, label, method=method, task="regression", metric=metric)
            same = fit_weights(usual, usual_label, method=method, task="regression", metric=metric)
            assert list(found.weights.values()) == pytest.approx(list(same.weights.values()), abs=2e-4)


def test_stacking_undoes_what_a_member_gets_wrong_by_line():
    label, members = simulated("regression", noise=(0.3,))
    members = {"m0": members["m0"] * 0.5 + 40}
    found = fit_weights(members, label, method="stacking", task="regression", metric="rmse")
    slope, intercept = np.polyfit(members["m0"], label, 1)
    assert found.weights["m0"] == pytest.approx(slope, abs=1e-4)
    assert found.intercepts[0] == pytest.approx(intercept, abs=1e-3)
    label, members = simulated("binary", noise=(0.0,))
    overdone = {"m0": 1 / (1 + (1 / members["m0"] - 1) ** 3 * np.e)}
    found = fit_weights(overdone, label, method="stacking", task="binary", metric="log_loss")
    assert found.weights["m0"] == pytest.approx(1 / 3, abs=0.03)
    assert found.intercepts[0] == pytest.approx(1 / 3, abs=0.1)


def test_a_member_that_says_the_opposite_is_left_out():
    label, members = simulated("regression", noise=(0.0, 0.3))
    members["contrary"] = -20 * members.pop("m1")
    for method in ("blending", "stacking"):
        found = fit_weights(members, label, method=method, task="regression", metric="mae")
        assert found.weights["contrary"] == 0
        assert np.isfinite(found.of({"m0": members["m0"]})).all()


def test_members_that_are_alike_or_worthless():
    label, members = simulated("regression", noise=(0.5,))
    twins = {"a": members["m0"], "b": members["m0"].copy()}
    found = fit_weights(twins, label, method="stacking", task="regression", metric="rmse")
    assert found.together <= found.by_member["a"]
    contrary = {"a": -members["m0"]}
    found = fit_weights(contrary, label, method="stacking", task="regression", metric="rmse")
    assert found.weights == {"a": 1.0}
    assert np.array_equal(found.of(contrary), contrary["a"])


def test_what_can_not_be_combined_is_refused():
    label, members = simulated("binary")
    given = {"method": "blending", "task": "binary", "metric": "log_loss"}
    with pytest.raises(ConfigError, match="method voting"):
        fit_weights(members, label, **{**given, "method": "voting"})
    with pytest.raises(ConfigError, match="one of log_loss, brier"):
        fit_weights(members, label, **{**given, "metric": "mae"})
    with pytest.raises(ConfigError, match="0 members"):
        fit_weights({}, label, **given)
    with pytest.raises(ContractError, match="predictions of m0, binary: 3000 predictions are outside 0 to 1"):
        fit_weights({"m0": members["m0"] + 2}, label, **given)
