"""A label that reaches us late counts late: in the training set, its folds and its model, and when measured."""

from datetime import datetime, timedelta

import polars as pl
import pytest

from ml_assets.core.errors import ConfigError, TrainingError
from ml_assets.core.features import Feature, build_features
from ml_assets.core.folds import make_folds, rows_before_holdout
from ml_assets.core.history import HistoryFeature
from ml_assets.core.learning import Recipe, learn
from ml_assets.core.manifest import Manifest, make_manifest
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.performance import measure
from ml_assets.core.recency import Recency
from ml_assets.core.scoring import schema
from ml_assets.core.soundness import faults_of
from ml_assets.core.split import PARTS
from ml_assets.core.time_split import time_split
from ml_assets.core.windows import Window

MONTH = Window("2018-01", datetime(2018, 1, 1), datetime(2018, 1, 31))
ROWS = 3000
MILES = Feature("miles", pl.col("miles"), kind="number")
DELAYS = [timedelta(0), timedelta(days=3)]
HOUR = timedelta(hours=1)
SPLIT = time_split([MONTH], validation=0.2, holdout=0.2)


def validated() -> pl.LazyFrame:
    at = [MONTH.start + i * (MONTH.end - MONTH.start) / ROWS for i in range(ROWS)]
    return pl.LazyFrame(
        {
            "row_number": range(ROWS), "start_at": at, "end_at": [a + HOUR for a in at],
            "minutes": [float(i % 17) for i in range(ROWS)], "miles": [float(i % 17) for i in range(ROWS)],
        }
    )  # fmt: skip


def features(delay: timedelta, *more: HistoryFeature) -> pl.DataFrame:
    return build_features(
        validated(), [MILES, *more], label="minutes", event_time="start_at", known_at="end_at", label_delay=delay
    ).collect()


def manifest(delay: timedelta, split=SPLIT) -> tuple[Manifest, dict[str, pl.LazyFrame]]:
    history = {MONTH.key: features(delay).lazy()}
    return make_manifest(history, [MONTH], {MONTH.key: "ab" * 32}, split=split, min_rows=1), history


def test_the_features_table_says_when_a_label_reaches_us():
    on_time, late = (features(delay) for delay in DELAYS)
    assert (late["label_known_at"] - on_time["label_known_at"]).unique().to_list() == [timedelta(days=3)]
    assert late.drop("label_known_at").equals(on_time.drop("label_known_at"))


@pytest.mark.parametrize("delay", DELAYS)
def test_no_part_and_no_fold_has_a_label_that_had_not_reached_us(delay):
    made, history = manifest(delay)
    parts = {part: made.rows(history, part) for part in PARTS}
    wait = HOUR + delay
    for part, rows in parts.items():
        known_by = SPLIT.known_by(part)
        assert rows["label_known_at"].max() <= known_by
        assert rows["event_at"].max() <= known_by - wait
        assert made.counts.immature[part] == pytest.approx(ROWS * wait / timedelta(days=30), abs=2), part
    assert not any(n for places in faults_of(parts, SPLIT).values() for n in places.values())
    for fold in make_folds(rows_before_holdout(history, SPLIT), SPLIT, 2):
        assert fold.train["event_at"].max() <= fold.until - wait


def test_a_model_learns_from_no_label_that_had_not_reached_us():
    made, history = manifest(DELAYS[1])
    spec = ModelSpec.read(name="m", kind="lightgbm", task="regression", params={"trees": 5})
    recipe = Recipe(spec, Recency(None, None), [MILES], MONTH.end - MONTH.start, seed=0, threads=1)
    learnt = learn(recipe, made, history)
    assert learnt.rows["event_at"].max() <= SPLIT.train.end - HOUR - DELAYS[1]
    assert learnt.rows["label_known_at"].max() <= SPLIT.train.end


@pytest.mark.parametrize("delay", DELAYS)
def test_performance_counts_labels_from_when_they_reached_us(delay):
    rows = features(delay)
    scores = pl.DataFrame(
        {
            "row_number": rows["row_number"], "event_at": rows["event_at"], "prediction": rows["miles"] + 1,
            "prediction_never_retrained": rows["miles"], "prediction_naive": rows["miles"],
            "prediction_replaced": None, "replaced_version": None,
            "model_version": ["a"] * ROWS,
        },
        schema=schema("regression"),
    )  # fmt: skip
    found = measure(rows.lazy(), scores.lazy(), known_by=MONTH.end, task="regression", metric="mae", slices=())
    assert ROWS - found.rows_mature == pytest.approx(ROWS * (HOUR + delay) / timedelta(days=30), abs=2)
    assert found.maturity.delay_hours["0.5"] == 1 + delay / HOUR


def test_a_delay_longer_than_the_holdout_is_refused_in_training():
    with pytest.raises(TrainingError, match=r"holdout: 0 rows .*600 more whose label was not known in time") as caught:
        manifest(timedelta(days=7))
    assert "label.delay" in caught.value.cure


def test_a_history_feature_of_a_delayed_label_is_refused():
    last = HistoryFeature(
        "last_minutes", by=(), value="minutes", window="2d", how="last", known_at="end_at", delay="2h"
    )
    trips = HistoryFeature("trips", by=(), window="2d", how="count", known_at="end_at", delay="2h")
    assert features(timedelta(0), last, trips)["last_minutes"].is_not_null().any()
    assert features(DELAYS[1], trips)["trips"].equals(features(DELAYS[0], trips)["trips"]), "it reads no label"
    with pytest.raises(ConfigError, match="last_minutes: reads minutes, the label, which reaches us 3 days"):
        features(DELAYS[1], last)
