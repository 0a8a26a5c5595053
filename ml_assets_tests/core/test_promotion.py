"""What is decided at the bounds; whole cases are in `test_gate`."""

import math
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from ml_assets.core.bootstrap import paired_bootstrap
from ml_assets.core.policy import Policy
from ml_assets.core.promotion import Decision, decide
from ml_assets.core.releases import Champion

LIVE = Champion("b" * 64, "2019-06", datetime(2019, 7, 1), datetime(2019, 7, 1), 1)
POLICY = Policy("mae", margin=0.01, min_labels=500)


def evaluation(versus: tuple[float, float, float] | None = (-0.1, -0.2, -0.05), **changes: Any) -> dict[str, Any]:
    """A candidate against a champion whose MAE is 10, and a naive baseline whose MAE is 20."""
    naive = {"estimate": -10.0, "low": -11.0, "high": -9.0}
    champion = dict(zip(("estimate", "low", "high"), versus or (), strict=False))
    mae = {"candidate": {"mae": 10.0}, "naive": {"mae": 20.0}}
    return {
        "bundle": "c" * 64, "as_of": "2019-07", "scores_from": "2019-08-01T00:00:00", "task": "regression",
        "rows": 10_000, "rows_immature": 3, "calibration": None, "slice_differences": {},
        "metrics": mae | ({"champion": {"mae": 10.0}} if versus else {}),
        "differences": {"naive": naive} | ({"champion": champion} if versus else {}),
        "champion": {"bundle": LIVE.bundle, "as_of": LIVE.as_of, "sequence": 1} if versus else None,
        "champion_learnt_holdout": False,
        **changes,
    }  # fmt: skip


def outcome(decision: Decision, name: str) -> str:
    [check] = [c for c in decision.checks if c.name == name]
    return check.outcome


@pytest.mark.parametrize(
    ("versus", "non_inferiority", "verdict"),
    [
        ((-0.1, -0.2, -0.0001), 0.0, "promote"),
        ((-0.1, -0.2, 0.0), 0.0, "undecided"),  # not surely better
        ((-0.05, -0.0999, 0.0001), 0.0, "reject"),  # can't be better by 1 %, which is 0.1
        ((0.1, 0.0001, 0.2), 0.0, "reject"),
        ((0.0, 0.0, 0.0), 0.0, "reject"),  # the same predictions
        ((0.0, 0.0, 0.0), 0.01, "promote"),
        ((0.05, 0.01, 0.0999), 0.01, "promote"),  # surely worse, by less than is allowed
        ((0.05, -0.02, 0.12), 0.01, "reject"),
        ((0.0, -0.2, 0.2), 0.01, "undecided"),
        ((0.3, 0.11, 0.5), 0.01, "reject"),
    ],
)
def test_against_the_champion(versus, non_inferiority, verdict):
    policy = Policy("mae", margin=0.01, non_inferiority=non_inferiority)
    assert decide(evaluation(versus), policy, LIVE).verdict == verdict


def test_every_check_is_told_with_words_and_numbers():
    decision = decide(evaluation(), POLICY, LIVE)
    assert decision.verdict == "promote"
    assert {c.name: c.outcome for c in decision.checks} == dict.fromkeys(
        ("comparable", "not_older", "enough_labels", "beats_champion", "beats_naive", "slices", "calibration"), "passed"
    )
    assert decision.reasons[0] == (
        "mae 10 against 10 of the champion, -1.00% (-2.00% to -0.50%); surely below +0.00% asked for"
    )
    assert all(c.words for c in decision.checks)
    [numbers] = [c.numbers for c in decision.checks if c.name == "beats_champion"]
    assert numbers == {
        "estimate": -0.1, "low": -0.2, "high": -0.05, "loss": 10.0, "bound": 0.0, "smallest_that_matters": -0.1,
    }  # fmt: skip


def test_the_best_of_the_naive_baselines_is_the_one_to_beat_and_the_linear_model_is_not():
    told = evaluation()
    told["metrics"] |= {"last_value": {"mae": 10.05}, "linear": {"mae": 5.0}}
    told["differences"] |= {
        "last_value": {"estimate": -0.05, "low": -0.06, "high": -0.04},
        "linear": {"estimate": 5.0, "low": 4.0, "high": 6.0},
    }
    decision = decide(told, POLICY, LIVE)
    assert outcome(decision, "beats_naive") == "failed"
    assert "last value known" in decision.reasons[0]
    del told["metrics"]["last_value"]
    assert decide(told, POLICY, LIVE).verdict == "promote"


def test_squared_errors_are_judged_in_shares_of_the_rmse():
    metrics = {"candidate": {"rmse": 9.0}, "champion": {"rmse": 10.0}, "naive": {"rmse": 20.0}}
    told = evaluation((-19.0, -20.0, -18.0), metrics=metrics)
    told["differences"]["naive"] = {"estimate": -319.0, "low": -330.0, "high": -300.0}
    decision = decide(told, Policy("rmse", margin=0.01), LIVE)
    assert decision.verdict == "promote"
    assert "-10.00% (-10.56% to -9.45%)" in decision.reasons[0]
    told["differences"]["champion"] = {"estimate": -1.0, "low": -1.98, "high": 0.1}
    assert decide(told, Policy("rmse", margin=0.01), LIVE).verdict == "reject"
    told["differences"]["champion"]["low"] = -2.0  # 1 % of an RMSE of 10 is 1.99 of the squares
    assert decide(told, Policy("rmse", margin=0.01), LIVE).verdict == "undecided"


def test_how_many_labels_are_missing():
    assert decide(evaluation(rows=480), POLICY, LIVE).labels_missing == 20
    # Half the width must shrink from 0.3 to 0.2, the way to the bound at 0: 10,000 * (1.5 ** 2 - 1).
    assert decide(evaluation((-0.2, -0.5, 0.1)), POLICY, LIVE).labels_missing == 12_500
    # Were it equal, it would be seen sooner that it is no better by 1 %.
    assert decide(evaluation((0.0, -0.3, 0.3)), POLICY, LIVE).labels_missing == 80_000
    first = evaluation(None)
    first["differences"]["naive"] = {"estimate": -0.2, "low": -0.5, "high": 0.1}
    assert decide(first, POLICY, None).labels_missing == 10_000_000, "at the bound itself: as many as are ever told"


def test_so_many_labels_do_settle_it():
    rng = np.random.default_rng(1)
    champion = rng.gamma(2.0, 5.0, 200_000)
    candidate = champion * 0.98 + rng.normal(0, 4, champion.size)

    def verdict(rows: int) -> Decision:
        loss, other = candidate[:rows], champion[:rows]
        found = paired_bootstrap(loss, other, seed=0)
        told = evaluation((found.estimate, found.low, found.high), rows=rows)
        told["metrics"] = {"candidate": {"mae": loss.mean()}, "champion": {"mae": other.mean()}, "naive": {"mae": 20.0}}
        return decide(told, POLICY, LIVE)

    early = verdict(500)
    assert early.verdict == "undecided"
    assert 1000 < early.labels_missing < 5000
    assert verdict(500 + 2 * early.labels_missing).verdict == "promote"


def test_too_few_labels_are_never_a_reason_to_reject_but_an_older_model_is():
    told = evaluation((9.0, 8.0, 10.0), rows=100, calibration={"error": 0.9, "expected_by_chance": 0.1})
    decision = decide(told, POLICY, LIVE)
    assert decision.verdict == "undecided"
    assert decision.reasons[0].startswith("100 holdout rows")
    assert len(decision.reasons) == 2
    older = {**told, "scores_from": "2019-06-01T00:00:00"}
    assert decide(older, POLICY, LIVE).verdict == "reject"


@pytest.mark.parametrize(
    ("as_of_end", "verdict"), [(datetime(2019, 8, 1), "promote"), (datetime(2019, 8, 1, 1), "reject")]
)
def test_a_candidate_older_than_the_champion(as_of_end, verdict):
    # Going back made it live long after it was trained: what counts is what it was trained on.
    now = Champion(LIVE.bundle, "2019-07", as_of_end, datetime(2020, 1, 1), 1)
    assert decide(evaluation(), POLICY, now).verdict == verdict


@pytest.mark.parametrize(
    ("changes", "champion", "words"),
    [
        ({"champion_learnt_holdout": True, "champion": None}, LIVE, "has learnt from rows of this holdout"),
        ({"champion": None}, LIVE, "not what the evaluation compares with (no champion)"),
        ({"champion": {"bundle": "d" * 64, "as_of": "2019-01", "sequence": 1}}, LIVE, "(dddddddddddd)"),
        ({}, None, "nothing is released"),
        ({"bundle": LIVE.bundle}, LIVE, "is this very bundle"),
    ],
)
def test_what_is_not_comparable_is_refused(changes, champion, words):
    decision = decide(evaluation(**changes), POLICY, champion)
    assert decision.verdict == "reject"
    assert words in decision.reasons[0]


@pytest.mark.parametrize(
    ("error", "chance", "verdict"),
    [(0.0499, 0.03, "promote"), (0.051, 0.03, "reject"), (0.05, 0.06, "promote"), (math.nan, 0.03, "reject")],
)
def test_calibration(error, chance, verdict):
    told = evaluation(task="binary", calibration={"error": error, "expected_by_chance": chance})
    assert decide(told, Policy("mae", calibration_margin=0.02), LIVE).verdict == verdict


def test_a_classifier_without_calibration_is_not_released():
    assert decide(evaluation(task="binary"), POLICY, LIVE).verdict == "reject"
    assert decide(evaluation(task="multiclass"), POLICY, LIVE).verdict == "promote"


@pytest.mark.parametrize("part", ["estimate", "low", "high"])
@pytest.mark.parametrize("other", ["champion", "naive"])
def test_what_is_no_number_is_no_promotion(part, other):
    told = evaluation()
    told["differences"][other] |= {part: math.nan}
    decision = decide(told, POLICY, LIVE)
    assert decision.verdict == "reject"
    assert "no finite number" in decision.reasons[0]
