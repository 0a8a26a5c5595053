"""The score of a trial: the deciding loss by row on every fold, on data sets that are built once."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from ml_assets.core.features import Feature
from ml_assets.core.folds import Fold
from ml_assets.core.models.trees import grow
from ml_assets.core.models.trees_data import prepare
from ml_assets.core.parameters import ModelParams
from ml_assets.core.pruning import EVERY, Pruning
from ml_assets.core.recency import Recency
from ml_assets.core.search_space import SearchSpace
from ml_assets.core.trial_scoring import TrialScorer, TuningPlan
from ml_assets.core.trials import FoldScore

FEATURES = [Feature("zone", pl.col("zone"), kind="category"), Feature("miles", pl.col("miles"), kind="number")]
LENGTH, UNTIL, ROWS, CUT = timedelta(days=1), datetime(2019, 1, 5), 500, 400
BASE = ModelParams(trees=20, leaves=7, min_rows_per_leaf=5, early_stopping_rounds=0, learning_rate=0.3)
SPACE = {"window": [1, 2, 4], "half_life": [None, 1], "leaves": [7, 9], "objective": ["l1", "l2"]}


def rows(seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    zone, miles = rng.integers(0, 5, ROWS), rng.gamma(2, 2, ROWS)
    minutes = (zone + miles * np.linspace(4, 1, ROWS)) * rng.lognormal(0, 0.1, ROWS)
    event = pl.Series([UNTIL - (CUT - n) * 4 * LENGTH / CUT for n in range(ROWS)])
    return pl.DataFrame({"zone": [f"z{z}" for z in zone], "miles": miles, "label": minutes, "event_at": event})


def fold(number: int, judged: int) -> Fold:
    at = pl.int_range(pl.len())
    return Fold(number, UNTIL, rows(number), at < CUT, (at >= CUT) & (at < CUT + judged))


PLAN = TuningPlan(
    folds=(fold(0, 100), fold(1, 30)),
    space=SearchSpace.read(SPACE, base=BASE, window=4),
    features=FEATURES,
    metric="mae",
    length=LENGTH,
    seed=3,
    pruning=None,
)
UNTUNED = PLAN.space.untuned


def errors_by_hand(recency: Recency, **changed) -> list[np.ndarray]:
    """Errors on both folds of models that are trained afresh."""
    params, errors = replace(BASE, **changed), []
    for one in PLAN.folds:
        train = recency.learnt(one.train, until=one.until, length=LENGTH)
        weights = recency.weights(train, until=one.until, length=LENGTH)
        prepared = prepare(
            train, one.validation, features=FEATURES, params=params, seed=3, threads=1, weights=weights
        )  # fmt: skip
        model = grow(prepared, params, seed=3, threads=1).model
        judged = one.validation
        errors.append(
            model.scores(judged.select("zone", "miles"), prepared.specs, threads=1) - judged["label"].to_numpy()
        )
    return errors


@pytest.mark.parametrize(
    ("metric", "alpha", "loss"),
    [
        ("mae", None, abs),
        ("rmse", None, lambda e: e**2),
        ("pinball", 0.9, lambda e: np.where(e > 0, 0.1 * e, -0.9 * e)),
    ],
)
def test_it_is_the_deciding_loss_by_row_whatever_the_objective(metric, alpha, loss):
    found = TrialScorer(replace(PLAN, metric=metric, alpha=alpha), 1).score({**UNTUNED, "objective": "l2"}, [])
    errors = errors_by_hand(Recency(), objective="l2")
    assert [f.rows for f in found.folds] == [100, 30]
    assert [f.loss for f in found.folds] == pytest.approx([loss(e).mean() for e in errors])
    assert found.value == pytest.approx(loss(np.concatenate(errors)).mean()), "each row counts the same"


def test_weights_and_windows_are_for_learning_only_and_set_anew_for_each_trial():
    scorer = TrialScorer(PLAN, 1)
    for window, half_life in ((4, None), (4, 1), (2, 1), (4, None), (2, None)):
        found = scorer.score({**UNTUNED, "window": window, "half_life": half_life}, [])
        errors = errors_by_hand(Recency(None if window == 4 else window, half_life))
        assert [f.loss for f in found.folds] == [abs(e).mean() for e in errors], "to the last bit"
    assert scorer.built == 2 * 2


def test_data_sets_are_built_once_for_each_fold_and_window():
    scorer = TrialScorer(PLAN, 1)
    for leaves in (7, 9):
        for window in (4, 2):
            for half_life in (None, 1):
                scorer.score({**UNTUNED, "window": window, "half_life": half_life, "leaves": leaves}, [])
    assert scorer.built == 2 * 2
    scorer.score({**UNTUNED, "window": 1}, [])
    assert scorer.built == 3 * 2


def test_the_score_does_not_depend_on_threads():
    assert TrialScorer(PLAN, 2).score(UNTUNED, []) == TrialScorer(PLAN, 1).score(UNTUNED, [])


def test_a_trial_with_a_worse_curve_is_given_up():
    scorer = TrialScorer(replace(PLAN, pruning=Pruning(0.5, warm_up_trees=EVERY, warm_up_trials=3)), 1)
    complete = scorer.score(UNTUNED, []).curves
    assert complete.learning_rate == BASE.learning_rate
    assert [len(curve) for curve in complete.by_fold] == [2, 2]
    first, second = complete.by_fold
    better = replace(complete, by_fold=(tuple(loss / 2 for loss in first), second))
    later = replace(complete, by_fold=(first, tuple(loss / 2 for loss in second)))
    assert scorer.score(UNTUNED, [complete] * 3).state == "complete", "an equal is none that is worse"
    assert scorer.score(UNTUNED, [better] * 2).state == "complete", "two are too few to tell"
    for curves, at in ((better, 0), (later, 1)):
        pruned = scorer.score(UNTUNED, [curves] * 3)
        assert (pruned.state, pruned.value, len(pruned.folds)) == ("pruned", None, at)
        assert pruned.curves == replace(complete, by_fold=complete.by_fold[:at]), "of the folds it got through"
        assert pruned.given_up[:2] == (at, EVERY)
        assert f"fold {at}, tree {EVERY}" in pruned.reason


def test_a_trial_that_others_surpass_on_the_newest_fold_is_not_judged_on_older_ones():
    scorer = TrialScorer(replace(PLAN, pruning=Pruning()), 1)
    alone = scorer.score(UNTUNED)
    assert (alone.state, len(alone.folds)) == ("complete", 2)
    loss = alone.folds[0].loss

    def others(*losses: float) -> list[tuple[FoldScore, ...]]:
        # What was given up on the newest fold itself has no score of it, and does not count.
        return [(), *((FoldScore(one, 100, 20),) for one in losses)]

    assert scorer.score(UNTUNED, judged=others(loss, loss + 0.1)) == alone
    pruned = scorer.score(UNTUNED, judged=others(loss - 0.1, loss + 0.1))
    assert (pruned.state, pruned.value, pruned.folds) == ("pruned", None, alone.folds[:1])
    assert pruned.given_up == (0, 20, loss)
    assert pruned.reason == f"fold 0: the loss {loss:.6g} is above the {loss - 0.1:.6g} of an earlier trial"
    never = TrialScorer(replace(PLAN, pruning=None), 1)
    assert never.score(UNTUNED, judged=others(loss - 0.1, loss + 0.1)).state == "complete"


def test_labels_are_asked_what_each_objective_needs():
    negative = replace(PLAN.folds[0], rows=PLAN.folds[0].rows.with_columns(pl.col("label") - 5))
    space = SearchSpace.read({"objective": ["l2", "poisson"]}, base=BASE, window=4)
    scorer = TrialScorer(replace(PLAN, folds=(negative,), space=space), 1)
    assert scorer.score({"objective": "l2"}, []).state == "complete"
    refused = scorer.score({"objective": "poisson"}, [])
    assert (refused.state, refused.reason) == ("failed", "fold 0: negative labels")
