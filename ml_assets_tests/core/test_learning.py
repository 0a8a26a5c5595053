"""Which rows a model learns from, how much they count, and that what judges never says anything before."""

from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from ml_assets.core.errors import TrainingError
from ml_assets.core.features import Feature
from ml_assets.core.folds import make_folds, rows_before_holdout
from ml_assets.core.learning import Recipe, learn, mean_losses, out_of_fold
from ml_assets.core.manifest import make_manifest
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.recency import Recency
from ml_assets.core.time_split import time_split
from ml_assets.core.windows import Window

DAYS = [datetime(2019, 1, d) for d in range(1, 6)]
WINDOWS = [Window(f"{a:%Y-%m-%d}", a, b) for a, b in pairwise(DAYS)]
LENGTH = timedelta(days=1)
ROWS = 400
FEATURES = [
    Feature("zone", pl.col("zone"), kind="category"),
    Feature("miles", pl.col("miles"), kind="number", unit="miles"),
]


def partition(window: Window, seed: int) -> pl.LazyFrame:
    rng = np.random.default_rng(seed)
    zone, miles = rng.integers(0, 5, ROWS), rng.gamma(2, 2, ROWS)
    at = pl.lit(window.start) + LENGTH / ROWS * pl.int_range(ROWS)
    frame = pl.DataFrame({"zone": [f"z{z}" for z in zone], "miles": miles, "label": zone + 3 * miles})
    return frame.lazy().with_columns(
        row_number=pl.int_range(ROWS, dtype=pl.UInt32), event_at=at, label_known_at=at + pl.duration(minutes=1)
    )


HISTORY = {w.key: partition(w, seed) for seed, w in enumerate(WINDOWS)}
SPLIT = time_split(WINDOWS, validation=0.25, holdout=0.25)
MANIFEST = make_manifest(HISTORY, WINDOWS, {k: k for k in HISTORY}, split=SPLIT, min_rows=1)


def recipe(kind: str = "lightgbm", *, recency: Recency | None = None, tuned: bool = False, **params) -> Recipe:
    small = {"trees": 15, "leaves": 7, "min_rows_per_leaf": 5, **params} if kind == "lightgbm" else params
    spec = ModelSpec.read(name="m", kind=kind, task="regression", params=small)
    return Recipe(spec, recency or Recency(), FEATURES, LENGTH, seed=0, threads=1, tuned=tuned)


@pytest.mark.parametrize(
    ("asked", "until", "rows"),
    [
        (recipe(), SPLIT.train.end, 1400),
        (recipe(early_stopping_rounds=0), SPLIT.validation.end, 1500),
        (recipe(tuned=True), SPLIT.validation.end, 1500),
        (recipe("linear"), SPLIT.validation.end, 1500),
        (recipe(recency=Recency(window=1)), SPLIT.train.end, 400),
        (recipe(recency=Recency(window=2), tuned=True), SPLIT.validation.end, 800),
    ],
)
def test_it_learns_from_all_rows_that_need_not_stop_it_and_never_from_the_holdout(asked, until, rows):
    learnt = learn(asked, MANIFEST, HISTORY)
    # One label a day is known only after midnight, or after the part's end.
    assert rows - 3 <= learnt.rows.height <= rows
    assert learnt.rows["event_at"].max() < until <= SPLIT.holdout.start
    assert learnt.rows["label_known_at"].max() <= until
    assert learnt.facts["until"] == until.isoformat()
    assert learnt.facts["rows"] == learnt.rows.height
    assert learnt.facts["validation_rows_learnt"] is (until == SPLIT.validation.end)
    assert bool(learnt.fit.validation_curve) is (until == SPLIT.train.end)


def test_a_half_life_changes_the_model_and_the_window_what_it_knows():
    texts = {
        name: learn(recipe(recency=r), MANIFEST, HISTORY).fit.model.files()["model.txt"]
        for name, r in {"all": Recency(), "half": Recency(half_life=0.5), "short": Recency(window=1)}.items()
    }
    assert len(set(texts.values())) == 3


def test_rows_in_two_parts_are_not_learnt_from():
    class Careless(type(MANIFEST)):
        def scan(self, history, part):
            rows = super().scan(history, part)
            return pl.concat([rows, super().scan(history, "holdout").head(7)]) if part == "validation" else rows

    with pytest.raises(TrainingError, match="validation and holdout: 7 rows"):
        learn(recipe(tuned=True), Careless(**vars(MANIFEST)), HISTORY)


def folds(count: int = 2):
    return make_folds(rows_before_holdout(HISTORY, SPLIT), SPLIT, count)


def test_out_of_fold_predictions_are_by_models_that_never_saw_the_row():
    asked = {"trees": recipe(early_stopping_rounds=5), "lines": recipe("linear")}
    told = out_of_fold(asked, {"trees": 60, "lines": 1}, folds())
    assert told.columns == ["row_number", "@partition", "label", "trees", "lines"]
    judged = pl.concat([fold.validation for fold in folds()])
    assert told["row_number"].equals(judged["row_number"])
    losses = mean_losses(told, ["trees", "lines"], metric="mae", alpha=None)
    naive = float((judged["label"] - judged["label"].median()).abs().mean())
    assert max(losses.values()) < 0.5 * naive
    # Labels of the rows that are predicted have no say: without them the predictions are the same.
    blind = [type(f)(f.number, f.until, f.rows.with_columns(label=pl.when(f.judges).then(0.0).otherwise("label")),
                     f.learns, f.judges) for f in folds()]  # fmt: skip
    first = out_of_fold(asked, {"trees": 60, "lines": 1}, blind[:1])
    assert first["trees"].equals(told["trees"].head(first.height))
    assert first["lines"].equals(told["lines"].head(first.height))


def test_each_model_learns_from_its_own_window_in_every_fold():
    windows = {"long": recipe(), "short": recipe(recency=Recency(window=1))}
    told = out_of_fold(windows, dict.fromkeys(windows, 15), folds(1))
    assert not told["long"].equals(told["short"])
