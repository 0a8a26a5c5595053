"""Tuning: the same trials and winner however often it is killed, on any threads, in any process; and it finds what
is better. Run as a program, it tunes into a database until it kills itself.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count, pairwise

import numpy as np
import optuna
import polars as pl
import pytest

from ml_assets.core import trial_scoring
from ml_assets.core.errors import TrainingError
from ml_assets.core.features import Feature
from ml_assets.core.folds import make_folds, rows_before_holdout
from ml_assets.core.manifest import make_manifest
from ml_assets.core.models.trees import grow
from ml_assets.core.parameters import ModelParams
from ml_assets.core.pruning import Pruning
from ml_assets.core.recency import Recency
from ml_assets.core.search_space import SearchSpace
from ml_assets.core.time_split import time_split
from ml_assets.core.trial_scoring import TuningPlan
from ml_assets.core.trials import Tuned, ranked
from ml_assets.core.tuning import RANDOM_TRIALS, records, study_name, tune
from ml_assets.core.windows import Window

DAYS = [datetime(2019, 1, d) for d in range(1, 6)]
WINDOWS = [Window(f"{a:%Y-%m-%d}", a, b) for a, b in pairwise(DAYS)]
LENGTH = timedelta(days=1)
ROWS = 300
SHIFT = datetime(2019, 1, 3)
FEATURES = [
    Feature("zone", pl.col("zone"), kind="category"),
    Feature("miles", pl.col("miles"), kind="number", unit="miles"),
]
BASE = ModelParams(trees=12, leaves=7, min_rows_per_leaf=5, early_stopping_rounds=5, learning_rate=0.3)
SPACE = {
    "window": [1, 2, 4],
    "half_life": [None, 1],
    "leaves": {"low": 2, "high": 31, "log": True},
    "learning_rate": {"low": 0.1, "high": 0.5},
}
TRIALS = RANDOM_TRIALS + 4


def partition(window: Window, seed: int) -> pl.LazyFrame:
    rng = np.random.default_rng(seed)
    zone, miles = rng.integers(0, 5, ROWS), rng.gamma(2, 2, ROWS)
    # Before the shift, a mile takes three times as long.
    minutes = (zone + miles * (4 if window.start < SHIFT else 1.3)) * rng.lognormal(0, 0.05, ROWS)
    number = pl.int_range(ROWS, dtype=pl.UInt32)
    event = pl.lit(window.start) + (window.end - window.start) / ROWS * number
    frame = pl.DataFrame({"zone": [f"z{z}" for z in zone], "miles": miles, "label": minutes})
    return frame.lazy().with_columns(
        row_number=number, event_at=event, label_known_at=event + pl.duration(minutes=1), slice_zone="zone"
    )


HISTORY = {w.key: partition(w, seed) for seed, w in enumerate(WINDOWS)}
SPLIT = time_split(WINDOWS, validation=0.33, holdout=0.33)
MANIFEST = make_manifest(HISTORY, WINDOWS, {k: f"sha of {k}" for k in HISTORY}, split=SPLIT, min_rows=1)
FOLDS = make_folds(rows_before_holdout(HISTORY, SPLIT), SPLIT, 2)
PLAN = TuningPlan(
    folds=FOLDS,
    space=SearchSpace.read(SPACE, base=BASE, window=4),
    features=FEATURES,
    metric="mae",
    length=LENGTH,
    seed=3,
    pruning=Pruning(0.5, warm_up_trees=10, warm_up_trials=3),
)


def ticks() -> Iterator[float]:
    """A clock of one second a look."""
    return map(float, count())


def fresh(name="study") -> optuna.Study:
    return optuna.create_study(study_name=name)


def tuned(study=None, plan=PLAN, *, trials=TRIALS, threads=1, clock=None, **more) -> Tuned:
    return tune(study or fresh(), plan, trials=trials, threads=threads, clock=clock or ticks().__next__, **more)


def told(found: Tuned) -> dict:
    """All that must be the same wherever it was found."""
    record = found.to_json()
    for trial in record["trials"]:
        del trial["seconds"]
    return record


@pytest.fixture(scope="module")
def uninterrupted() -> Tuned:
    return tuned()


def test_it_finds_what_is_better_and_what_to_learn_from(uninterrupted):
    first, best = uninterrupted.trials[0], uninterrupted.best
    assert (first.origin, first.params) == ("untuned", PLAN.space.untuned)
    assert [t.number for t in uninterrupted.trials] == list(range(TRIALS))
    assert best.value < first.value
    assert best.value == min(t.value for t in uninterrupted.trials if t.value is not None)
    assert uninterrupted.recency.effective(4) <= 2, "two of four days are from before the shift"
    assert uninterrupted.ended_by == "trials"
    params, _ = PLAN.space.model(best.params)
    assert uninterrupted.params == replace(
        params, trees=2 * best.trees, learning_rate=params.learning_rate / 2, early_stopping_rounds=0
    ), "smaller steps, and more of them"
    assert best.trees == round(sum(f.trees for f in best.folds) / 2)


def test_large_and_small_trees_then_each_window_and_half_life_are_tried_before_the_search(uninterrupted):
    presets, recency = ([t for t in uninterrupted.trials if t.origin == origin] for origin in ("preset", "recency"))
    large, small = ({**PLAN.space.untuned, "leaves": leaves, "learning_rate": 0.1} for leaves in (31, 15))
    assert [t.params for t in presets] == PLAN.space.presets == [large, small], "the nearest that the space has"
    changes = [{"window": 1}, {"window": 2}, {"half_life": 1}]
    assert [t.params for t in recency] == [{**PLAN.space.untuned, **change} for change in changes]
    assert [t.number for t in (*presets, *recency)] == [1, 2, 3, 4, 5]
    assert all(t.origin == "search" for t in uninterrupted.trials[6:])


def test_seed_and_trials_decide_everything_and_threads_nothing(uninterrupted):
    few = tuned(threads=2, trials=4).trials
    assert [replace(t, seconds=0) for t in few] == [replace(t, seconds=0) for t in uninterrupted.trials[:4]]
    other = tuned(plan=replace(PLAN, seed=4))
    assert [t.params for t in other.trials] != [t.params for t in uninterrupted.trials]


class Killed(BaseException):
    """What no code of ours may catch."""


def test_interrupted_in_every_trial_it_ends_the_same(uninterrupted, monkeypatch):
    study = fresh()
    left = 0

    def killed_sometimes(*args, **kwargs):
        nonlocal left
        left += 1
        # The second fold of a trial, at another trial in each call.
        if left == 2:
            raise Killed
        return grow(*args, **kwargs)

    monkeypatch.setattr(trial_scoring, "grow", killed_sometimes)
    for _ in range(3 * TRIALS):
        left = 0 if left == 2 else left
        try:
            found = tuned(study, on_trial=lambda *_: (_ for _ in ()).throw(Killed()))
        except Killed:
            left = 10
            continue
        break
    states = [t.state for t in study.get_trials(deepcopy=False)]
    assert states.count(optuna.trial.TrialState.FAIL) >= 1
    assert not [s for s in states if not s.is_finished()]
    assert told(found) == told(uninterrupted)


def test_killed_for_real_and_resumed_by_another_process(uninterrupted, tmp_path):
    killed_in = RANDOM_TRIALS + 2
    url = f"sqlite:///{tmp_path}/studies.db"
    program = [sys.executable, "-W", "ignore", __file__, url, str(killed_in)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    study = optuna.load_study(study_name="study", storage=url)
    before = [t.state.name for t in study.get_trials()]
    ended = ["COMPLETE" if t.state == "complete" else "PRUNED" for t in uninterrupted.trials[:killed_in]]
    assert before == [*ended, "RUNNING"]
    new = []
    resumed = tuned(study, on_trial=lambda *told: new.append(told))
    assert [t.number for t, _, _ in new] == list(range(killed_in, TRIALS))
    assert told(resumed) == told(uninterrupted)
    assert [t.state.name for t in study.get_trials()].count("FAIL") == 1


def test_a_finished_study_is_read_and_more_trials_continue_it(uninterrupted):
    study = fresh()
    five = tuned(study, trials=5)
    assert [replace(t, seconds=0) for t in five.trials] == [replace(t, seconds=0) for t in uninterrupted.trials[:5]]
    seen = []
    again = tuned(study, trials=5, on_trial=lambda *told: seen.append(told))
    assert (again, seen) == (five, [])
    assert told(tuned(study)) == told(uninterrupted)
    assert tuned(study, trials=5) == five, "a smaller budget is not told of later trials"
    assert [t.number for t in records(study)] == list(range(TRIALS))


def test_the_time_budget_ends_it_and_counts_earlier_calls():
    study = fresh()
    found = tuned(study, timeout_seconds=5)
    assert found.ended_by == "timeout"
    assert 1 < len(found.trials) < TRIALS
    assert tuned(study, timeout_seconds=5).trials == found.trials
    assert len(tuned(study, timeout_seconds=6).trials) > len(found.trials)
    assert len(tuned(timeout_seconds=0).trials) == 1, "the untuned model is always tried"


def test_progress_is_told_after_each_trial(uninterrupted):
    seen = []
    tuned(trials=4, on_trial=lambda *told: seen.append(told))
    assert [(t.number, of) for t, of, _ in seen] == [(n, 4) for n in range(4)]
    for trial, _, best in seen:
        assert best == ranked([t for t, _, _ in seen[: trial.number + 1]])[0]


def test_the_warm_start_is_tried_first():
    good = {"window": 2, "half_life": None, "leaves": 12, "learning_rate": 0.4, "unknown": 1}
    far = {"window": 7, "half_life": 1, "leaves": 1000}
    found = tuned(trials=5, warm_start=[good, far, PLAN.space.untuned, good])
    assert [t.origin for t in found.trials] == ["untuned", "warm start", "warm start", "preset", "preset"]
    assert found.trials[1].params == {k: v for k, v in good.items() if k != "unknown"}
    assert found.trials[2].params == {"window": 4, "half_life": 1, "leaves": 31, "learning_rate": 0.3}
    assert found.warm_start == [dict(t.params) for t in found.ranked]
    settled = {"params": found.params.to_json(), "recency": found.recency.to_json()}
    assert found.facts() == {"study": "study", "trials": 5, "best": found.warm_start, **settled}


@pytest.mark.parametrize(
    ("task", "metric", "base"),
    [("binary", "log_loss", ModelParams("binary", trees=5, leaves=4)),
     ("multiclass", "brier", ModelParams("multiclass", trees=5, leaves=4)),
     ("regression", "mae", ModelParams("l2", trees=5, leaves=4, boosting="rf", bagging_fraction=0.5))],
)  # fmt: skip
def test_every_kind_of_trees_can_be_tuned(task, metric, base):
    cuts = {"binary": [6.0], "multiclass": [4.0, 8.0], "regression": []}[task]
    label = pl.sum_horizontal((pl.col("label") > c).cast(pl.Float64) for c in cuts) if cuts else pl.col("label")
    folds = tuple(replace(f, rows=f.rows.with_columns(label=label)) for f in FOLDS)
    space = SearchSpace.read({"leaves": {"low": 3, "high": 9}, "window": [2, 4]}, base=base, window=4)
    classes = 3 if task == "multiclass" else 2
    plan = replace(PLAN, folds=folds, space=space, metric=metric, task=task, classes=classes, pruning=None)
    found = tuned(plan=plan, trials=4)
    assert found.params.objective == base.objective
    assert len(found.ranked) == 4


def test_pruning_gives_up_what_is_worse_and_off_gives_up_nothing(uninterrupted):
    pruned = [t for t in uninterrupted.trials if t.state == "pruned"]
    reasons = ("above those of the best earlier trials", "of an earlier trial")
    assert all(t.value is None and any(reason in t.reason for reason in reasons) for t in pruned)
    assert all(any(reason in t.reason for t in pruned) for reason in reasons)
    full = tuned(plan=replace(PLAN, pruning=None))
    assert {t.state for t in full.trials} == {"complete"}


def test_a_trial_that_can_not_be_trained_is_bad_and_no_more_than_that():
    values = {"min_rows_per_leaf": [5, 100_000], "leaves": {"low": 2, "high": 9}}
    plan = replace(PLAN, space=SearchSpace.read(values, base=BASE, window=4), pruning=None)
    found = tuned(plan=plan)
    failed = [t for t in found.trials if t.state == "failed"]
    assert failed
    assert "not one split" in failed[0].reason
    assert found.best.params["min_rows_per_leaf"] == 5
    hopeless = replace(BASE, min_rows_per_leaf=100_000)
    space = SearchSpace.read({"leaves": [3]}, base=hopeless, window=4)
    with pytest.raises(TrainingError, match="trial 0: fold 0: not one split"):
        tuned(plan=replace(plan, space=space), trials=2)


def test_who_takes_a_running_study_over_stops_the_other(monkeypatch):
    study = fresh()

    def take_over(*_):
        tuned(study, trials=1, on_trial=lambda *_: None)

    original, calls = trial_scoring.TrialScorer.score, []

    def score(self, values, *earlier):
        calls.append(values)
        if len(calls) == 1:
            take_over()
        return original(self, values, *earlier)

    monkeypatch.setattr(trial_scoring.TrialScorer, "score", score)
    with pytest.raises(TrainingError, match="another process"):
        tuned(study, trials=1)
    assert len(records(study)) == 1


def test_the_name_is_of_exactly_this_training():
    weighted = SearchSpace.read(SPACE, base=BASE, recency=Recency(None, 2.0), window=4)
    name = study_name("p", PLAN, MANIFEST, [])
    assert name == study_name("p", replace(PLAN), MANIFEST, [])
    others = [
        ("q", PLAN, MANIFEST, []),
        ("p", replace(PLAN, seed=9), MANIFEST, []),
        ("p", replace(PLAN, folds=FOLDS[:1]), MANIFEST, []),
        ("p", replace(PLAN, metric="rmse"), MANIFEST, []),
        ("p", replace(PLAN, features=FEATURES[::-1]), MANIFEST, []),
        ("p", replace(PLAN, pruning=None), MANIFEST, []),
        ("p", replace(PLAN, space=SearchSpace.read(SPACE, base=BASE, window=5)), MANIFEST, []),
        ("p", replace(PLAN, space=weighted), MANIFEST, []),
        ("p", PLAN, replace(MANIFEST, partitions={**MANIFEST.partitions, DAYS[0].strftime("%Y-%m-%d"): "other"}), []),
        ("p", PLAN, replace(MANIFEST, split=time_split(WINDOWS, validation=0.3, holdout=0.33)), []),
        ("p", PLAN, MANIFEST, [PLAN.space.untuned]),
    ]  # fmt: skip
    names = [study_name(*other) for other in others]
    assert len({name, *names}) == 1 + len(others)


if __name__ == "__main__":
    dies_in, calls = int(sys.argv[2]), count()

    def die(*args, **kwargs):
        if len(records(STUDY)) == dies_in:
            os.kill(os.getpid(), signal.SIGKILL)
        return grow(*args, **kwargs)

    STUDY = optuna.create_study(study_name="study", storage=sys.argv[1])
    trial_scoring.grow = die
    tuned(STUDY)
