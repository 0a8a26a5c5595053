"""Backtests on small recorded months with real models: no look-ahead, nothing trained twice, the gate respected."""

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from ml_assets.core.bundle import Bundle
from ml_assets.core.drift.policy import DriftPolicy
from ml_assets.core.drift.profile import FILE
from ml_assets.core.drift.reference import with_reference
from ml_assets.core.errors import EvidenceError, TrainingError
from ml_assets.core.features import Feature
from ml_assets.core.learning import Recipe, learn
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.policy import Policy
from ml_assets.core.promises import Bound
from ml_assets.core.recency import Recency
from ml_assets.core.retraining.backtest import replay
from ml_assets.core.retraining.backtest_gate import Gate
from ml_assets.core.retraining.backtest_models import Trainer, training_set_of
from ml_assets.core.retraining.backtest_pictures import error_of_policies
from ml_assets.core.retraining.backtest_policies import Every, Never
from ml_assets.core.retraining.backtest_run import run
from ml_assets.core.retraining.backtest_scores import Scores
from ml_assets.core.retraining.backtest_world import first_model, recorded_world
from ml_assets.core.retraining.recorded_history import Recorded
from ml_assets.core.retraining.trainings import Plan
from ml_assets.core.time_split import time_split
from ml_assets.core.windows import Window
from ml_assets.resources.model_shelf import ModelShelf
from ml_assets.resources.models import Models
from ml_assets.resources.storage import Store

STARTS = [datetime(2019, m, 1) for m in range(1, 11)]
WINDOWS = [Window(f"{a:%Y-%m}", a, b) for a, b in pairwise(STARTS)]
KEYS = [w.key for w in WINDOWS]
ROWS, WINDOW = 800, 3
FEATURES = [
    Feature("zone", pl.col("zone"), kind="category"),
    Feature("miles", pl.col("miles"), kind="number", unit="miles"),
]
PARAMS = {"trees": 40, "learning_rate": 0.2, "leaves": 7, "min_rows_per_leaf": 5}
RECIPE = Recipe(
    ModelSpec.read(name="m", kind="lightgbm", task="regression", params=PARAMS),
    Recency(), FEATURES, timedelta(days=30), seed=0, threads=1,
)  # fmt: skip
CALM = {}
SHIFTED = {"2019-08": 4.0, "2019-09": 4.0}


def month(window: Window, added: float = 0.0, farther: float = 0.0) -> pl.DataFrame:
    """Minutes are three times the miles, and `added` more; the labels of the last day are known a day later."""
    rng = np.random.default_rng(int(window.key[-2:]))
    zone, miles = rng.integers(0, 3, ROWS), rng.gamma(2, 2, ROWS) + farther
    at = [window.start + i * (window.end - window.start) / ROWS for i in range(ROWS)]
    return pl.DataFrame(
        {
            "row_number": range(ROWS), "event_at": at, "label": zone + 3 * miles + added + rng.normal(size=ROWS),
            "label_known_at": [a + timedelta(days=1) for a in at], "zone": [f"z{z}" for z in zone], "miles": miles,
        },
        schema_overrides={"row_number": pl.UInt32},
    )  # fmt: skip


def recorded(frames: dict[str, pl.DataFrame] | None = None, added: dict[str, float] = CALM) -> Recorded:
    tables = {w.key: month(w, added.get(w.key, 0.0)) for w in WINDOWS} | (frames or {})
    digests = {k: hashlib.sha256(f.write_ndjson().encode()).hexdigest() for k, f in tables.items()}
    return Recorded(WINDOWS, {k: f.lazy() for k, f in tables.items()}, digests)


def fit(manifest, frames) -> Bundle:
    learnt = learn(RECIPE, manifest, frames)
    bundle = Bundle.of(
        learnt.fit, pipeline="p", label={"name": "minutes", "unit": "minutes", "task": "regression"},
        spec=RECIPE.spec, seed=0, manifest=manifest, train=learnt.rows, learning=learnt.facts,
    )  # fmt: skip
    holdout = manifest.rows(frames, "holdout")
    return with_reference(bundle, learnt.rows, holdout, frames, declared=FEATURES, metric="mae", alpha=None, threads=1)


class Small:
    """All that a small world is made of; `fitted` lists the as-of partition and window of each real training."""

    def __init__(self, root: Path, history: Recorded, **policy: float) -> None:
        self.recorded, self.fitted = history, []
        self.models = Models(root=str(root / "models"))
        self.store = Store(root=str(root / "store"))
        self.shelf = ModelShelf(self.store, self.models, dg.AssetKey(["p", "backtest"]))
        self.gate = Gate(self.models.load, history.frames, Policy("mae", min_labels=50, **policy))
        self.told: list[str] = []

    def fit(self, manifest, frames) -> Bundle:
        self.fitted.append((manifest.as_of, len(frames)))
        return fit(manifest, frames)

    def trainer(self, **told: object) -> Trainer:
        def split(windows):
            return time_split(windows, validation=0.25, holdout=0.25)

        return Trainer(self.recorded, self.fit, split, 100, {"seed": 0, **told}, self.shelf, self.told.append)

    @property
    def scores(self) -> Scores:
        promise = cache(self.gate.promise)
        return Scores(self.models.load, self.recorded, promise, "mae", DriftPolicy(), Bound(0.1, min_labels=100))

    def first(self):
        return first_model(self.recorded, lambda as_of: self.trainer(), self.gate, WINDOW)

    def world(self):
        return recorded_world(self.recorded, self.first(), self.models.load, self.gate, self.scores)


PLAN = Plan("2019-05", "refit", WINDOW)


def model_text(bundle: Bundle) -> bytes:
    return bundle.files["model.txt"]


# No look-ahead


def test_what_is_later_than_the_as_of_partition_changes_nothing_of_a_model(tmp_path):
    before = Small(tmp_path / "a", recorded()).trainer().train("2019-05", PLAN)
    assert list(training_set_of(before).partitions) == ["2019-03", "2019-04", "2019-05"]
    later = {w.key: month(w, added=1000.0, farther=9.0) for w in WINDOWS if w.key > "2019-05"}
    after = Small(tmp_path / "b", recorded(later)).trainer().train("2019-05", PLAN)
    assert after.sha256 == before.sha256


def test_labels_that_are_not_known_by_its_end_change_nothing_of_a_model(tmp_path):
    before = Small(tmp_path / "a", recorded()).trainer().train("2019-05", PLAN)
    immature = pl.col("label_known_at") > datetime(2019, 6, 1)
    frame = month(WINDOWS[4]).with_columns(label=pl.when(immature).then(1e6).otherwise("label"))
    small = Small(tmp_path / "b", recorded({"2019-05": frame}))
    after = small.trainer().train("2019-05", PLAN)
    assert after.sha256 != before.sha256, "it says that it was trained on other content"
    assert {n: after.files[n] for n in ("model.txt", FILE)} == dict(before.files)
    assert small.gate.promise(after.sha256).estimate < 2, "nor of what is promised"
    earlier = pl.col("label_known_at") < datetime(2019, 5, 5)
    other = month(WINDOWS[4]).with_columns(label=pl.when(earlier).then(1e3).otherwise("label"))
    changed = Small(tmp_path / "c", recorded({"2019-05": other})).trainer().train("2019-05", PLAN)
    assert model_text(changed) != model_text(before), "the test sees what is learnt from"


def test_a_plan_learns_from_its_window_only(tmp_path):
    short = Small(tmp_path, recorded()).trainer().train("2019-05", replace(PLAN, window=2))
    assert list(training_set_of(short).partitions) == ["2019-04", "2019-05"]


def test_known_labels_are_counted_as_of_an_instant():
    history = recorded()
    day = ROWS // 31
    assert history.labelled("2019-05", datetime(2019, 5, 1)) == 0
    assert history.labelled("2019-05", datetime(2019, 6, 1)) == pytest.approx(ROWS - day, abs=1)
    assert history.labelled("2019-05", datetime(2019, 7, 1)) == ROWS
    assert [(p.rows, p.labelled) for p in history.partitions] == [(ROWS, ROWS)] * 9


# Models are kept


def test_a_second_training_is_found_and_another_one_is_not(tmp_path):
    small = Small(tmp_path, recorded())
    first = small.trainer().train("2019-05", PLAN)
    again = Small(tmp_path, recorded())
    assert again.trainer().train("2019-05", replace(PLAN, how="tune", why="other")).sha256 == first.sha256
    assert again.fitted == []
    assert again.told == [f"as of 2019-05 on 3 partitions: {first.sha256[:12]} is there already"]
    again.trainer(seed=1).train("2019-05", PLAN)
    again.trainer().train("2019-05", replace(PLAN, window=2))
    replace(again.trainer(), min_rows=101).train("2019-05", PLAN)
    replace(again.trainer(), split_over=lambda w: time_split(w, validation=0.3, holdout=0.3)).train("2019-05", PLAN)
    Small(tmp_path, recorded({"2019-04": month(WINDOWS[3], 0.5)})).trainer().train("2019-05", PLAN)
    assert again.fitted == [("2019-05", 3), ("2019-05", 2), ("2019-05", 3), ("2019-05", 3)]


def _index(small: Small) -> Path:
    [path] = Path(small.store.root).glob("p/backtest/models/*.json")
    return path


def _cut_bundle(small: Small, sha256: str) -> None:
    file = Path(small.models.root) / sha256 / "model.txt"
    file.write_bytes(file.read_bytes()[:-20])


def _lose_bundle(small: Small, sha256: str) -> None:
    (Path(small.models.root) / sha256 / "manifest.json").unlink()


def _cut_index(small: Small, sha256: str) -> None:
    _index(small).write_text(_index(small).read_text()[:30])


def _lose_index(small: Small, sha256: str) -> None:
    _index(small).unlink()


def _point_elsewhere(small: Small, sha256: str) -> None:
    index = _index(small)
    other = replace(small.trainer(), tell=lambda _: None).train("2019-07", replace(PLAN, as_of="2019-07"))
    index.write_text(index.read_text().replace(sha256, other.sha256))
    small.fitted.clear()


@pytest.mark.parametrize("damage", [_cut_bundle, _lose_bundle, _cut_index, _lose_index, _point_elsewhere])
def test_what_is_kept_and_damaged_is_trained_again(tmp_path, damage):
    small = Small(tmp_path, recorded())
    first = small.trainer().train("2019-05", PLAN)
    small.fitted.clear()
    damage(small, first.sha256)
    again = small.trainer().train("2019-05", PLAN)
    assert small.fitted == [("2019-05", 3)]
    assert again.sha256 == first.sha256
    small.trainer().train("2019-05", PLAN)
    assert len(small.fitted) == 1, "it is intact again"


def test_a_run_that_was_killed_goes_on_where_it_was(tmp_path):
    class KilledAfter(Small):
        def fit(self, manifest, frames):
            if len(self.fitted) == 3:
                raise KeyboardInterrupt
            return super().fit(manifest, frames)

    policy = Every(1, WINDOW, "2019-03")
    killed = KilledAfter(tmp_path, recorded())
    with pytest.raises(KeyboardInterrupt):
        replay(policy, killed.recorded.partitions, killed.world(), killed.first().plan)
    assert [as_of for as_of, _ in killed.fitted] == KEYS[2:5]
    again = Small(tmp_path, recorded())
    replay(policy, again.recorded.partitions, again.world(), again.first().plan)
    assert [as_of for as_of, _ in again.fitted] == KEYS[5:]


# The gate


def test_a_candidate_that_the_gate_refuses_never_answers(tmp_path):
    small = Small(tmp_path, recorded())
    history = replay(Every(1, WINDOW, "2019-03"), small.recorded.partitions, small.world(), small.first().plan)
    assert len([t for t in history.trainings if t.outcome != "promoted"]) >= 4, "nothing changes: hardly any is better"
    live = "2019-03"
    for step, training in zip(history.steps, history.trainings, strict=True):
        assert step.as_of == live
        live = training.plan.as_of if training.outcome == "promoted" else live
    assert all("of the champion" in t.words for t in history.trainings)
    assert all(t.cost > 1000 for t in history.trainings), "rows that were learnt from"
    lenient = Small(tmp_path, recorded(), non_inferiority=1.0)
    history = replay(Every(1, WINDOW, "2019-03"), lenient.recorded.partitions, lenient.world(), lenient.first().plan)
    assert {t.outcome for t in history.trainings} == {"promoted"}
    assert [s.as_of for s in history.steps] == KEYS[2:-1]
    assert lenient.fitted == [], "another gate, the same models"


def test_a_champion_that_learnt_from_the_holdout_is_not_replaced(tmp_path):
    small = Small(tmp_path, recorded(), non_inferiority=1.0)
    older, newer = (small.trainer().train(k, replace(PLAN, as_of=k)).sha256 for k in ("2019-05", "2019-06"))
    assert small.gate.decide(older, newer).outcome == "promoted"
    refused = small.gate.decide(newer, older)
    assert refused.outcome == "rejected"
    assert "learnt from rows of this holdout" in refused.words


def test_the_first_model_is_the_first_that_may_be_released(tmp_path):
    small = Small(tmp_path, recorded())
    assert small.first().plan.as_of == "2019-03"
    noise = {w.key: month(w).with_columns(pl.col("label").shuffle(seed=1)) for w in WINDOWS[:4]}
    later = Small(tmp_path, recorded(noise))
    assert later.first().plan.as_of > "2019-03"
    with pytest.raises(EvidenceError, match="a first model that may be released") as caught:
        Small(tmp_path, recorded(), margin=5.0).first()
    assert len(caught.value.found) == 6


def test_too_little_history_is_an_error_that_counts_it(tmp_path):
    short = Small(tmp_path, replace(recorded(), windows=WINDOWS[:3]))
    with pytest.raises(EvidenceError, match=r"3 partitions of features are stored(.|\n)*3 to learn from"):
        short.first()
    with pytest.raises(EvidenceError, match="0 partitions of features"):
        Small(tmp_path, Recorded([], {}, {})).first()


def test_a_gap_in_history_is_an_error_that_lists_it():
    whole = recorded()
    frames = {k: f for k, f in whole.frames.items() if k not in ("2019-04", "2019-06")}
    with pytest.raises(EvidenceError) as caught:
        replace(whole, frames=frames)
    assert caught.value.found == ["2019-04 is missing", "2019-06 is missing"]


def test_a_training_without_enough_rows_fails_and_that_is_told(tmp_path):
    small = Small(tmp_path, recorded())
    world = small.world()
    with pytest.raises(TrainingError, match="train: "):
        replace(small.trainer(), min_rows=10**6).train("2019-05", PLAN)
    bad = replace(world, train=lambda as_of, plan: replace(small.trainer(), min_rows=10**6).train(as_of, plan).sha256)
    bundle = small.first().bundle
    failing = replace(bad, train=lambda as_of, plan: bundle if as_of == "2019-03" else bad.train(as_of, plan))
    history = replay(Every(3, WINDOW, "2019-03"), small.recorded.partitions, failing, small.first().plan)
    assert {t.outcome for t in history.trainings} == {"failed"}


# What monitoring says


def test_a_partition_is_scored_on_what_is_known_at_the_end_of_history(tmp_path):
    small = Small(tmp_path, recorded())
    model = small.first().bundle
    loss, rows = small.scores.loss(model, "2019-05")
    bundle, frame = small.models.load(model), month(WINDOWS[4])
    error = (frame["label"] - pl.Series(bundle.predict(bundle.feature_frame(frame)))).abs()
    assert (loss, rows) == (pytest.approx(error.mean(), abs=1e-12), ROWS)
    assert small.scores.loss(model, "2019-09")[1] == pytest.approx(ROWS - ROWS // 30, abs=1)
    unlabelled = recorded({"2019-05": frame.with_columns(label=pl.lit(None, pl.Float64))})
    assert replace(small.scores, recorded=unlabelled).loss(model, "2019-05") == (0.0, 0)


def test_a_promise_is_broken_when_the_error_grows_and_judged_only_when_labels_are_known(tmp_path):
    small = Small(tmp_path, recorded(added=SHIFTED))
    model = small.first().bundle
    measured = {k: small.scores.measure(model, k, w.end) for k, w in zip(KEYS[3:], WINDOWS[3:], strict=True)}
    assert [k for k, m in measured.items() if m.broken] == ["2019-08", "2019-09"]
    assert measured["2019-08"].value > 3 > measured["2019-08"].bound
    promised = small.gate.promise(model)
    assert measured["2019-04"].bound == pytest.approx(1.1 * promised.estimate)
    assert promised.low < promised.estimate < promised.high
    middle = small.scores.measure(model, "2019-08", datetime(2019, 8, 20))
    assert (middle.value, middle.broken) == (None, False)
    assert middle.refresh_at > datetime(2019, 8, 20)
    assert 0 < middle.rows < ROWS


def test_drift_is_judged_against_the_model_that_answers_and_its_onset_is_told(tmp_path):
    farther = {w.key: month(w, farther=3.0) for w in WINDOWS[7:]}
    small = Small(tmp_path, recorded(farther))
    model = small.first().bundle
    judged = [small.scores.judge(model, k) for k in KEYS[3:]]
    assert [j.verdict for j in judged] == ["stable"] * 4 + ["drifted"] * 2
    assert [j.abrupt for j in judged] == [False] * 4 + [True, False]
    own = small.trainer().train("2019-08", Plan("2019-08", "refit", 1)).sha256
    assert small.scores.judge(own, "2019-09").verdict == "stable", "it was trained on farther trips"


# All of it


def test_policies_are_compared_and_drawn(tmp_path):
    small = Small(tmp_path, recorded(added=SHIFTED), non_inferiority=0.2)
    policies = (Every(1, 1, "2019-03"), Never("configured"))
    done = run(policies, small.recorded.partitions, small.world(), small.first().plan, seed=0, tell=small.told.append)
    often, never = done.table()
    assert often["error"] < never["error"], "after the shift a model of it is better"
    assert never["regret"] > often["regret"] >= 0
    assert (often["trainings"], never["trainings"], never["cost"]) == (6, 0, 0)
    assert next(line for line in small.told if "policy" in line) == "policy 1 of 2: every 1 on 1"
    told = done.to_json()
    assert told["initial"]["as_of"] == "2019-03"
    assert [h["policy"] for h in told["histories"]] == ["every 1 on 1", "configured"]
    picture = error_of_policies(done, loss="mae", unit="minutes")
    assert picture == error_of_policies(done, loss="mae", unit="minutes")
    assert picture.startswith(b"\x89PNG")
    again = run(policies, small.recorded.partitions, small.world(), small.first().plan, seed=0, tell=lambda _: None)
    assert again.to_json() == told
