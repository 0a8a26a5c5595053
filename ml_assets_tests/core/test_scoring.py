"""Scores: one for each row, in its order, beside those of the yardsticks."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from ml_assets.core.bundle import Bundle
from ml_assets.core.errors import ScoringError
from ml_assets.core.features import Feature
from ml_assets.core.models.kinds import fit_model
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.parameters import ModelParams
from ml_assets.core.scoring import CONTENDERS, REPLACED_PREDICTION, contenders, contenders_on, no_scores, schema, score

PARAMS = ModelParams(trees=10, leaves=7, min_rows_per_leaf=10)


def table(rows: int = 300, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    zone, miles = rng.integers(0, 5, rows), rng.gamma(2, 2, rows)
    at = [datetime(2018, 1, 1) + timedelta(minutes=i) for i in range(rows)]
    return pl.DataFrame(
        {
            "row_number": range(rows),
            "event_at": at,
            "label": 3 + 4 * miles + zone,
            "label_known_at": at,
            "zone": [f"z{z}" for z in zone],
            "miles": miles,
            "slice_zone": "x",
        },
        schema_overrides={"row_number": pl.UInt32},
    )


def bundle(*features: str, seed: int = 0, task: str = "regression", classes: int = 2) -> Bundle:
    train, naive = table(seed=seed), float(seed)
    if task != "regression":
        steps = [10, 15, 20][: classes - 1]
        train = train.with_columns(label=sum(pl.col("label") > step for step in steps).cast(pl.Float64))
        naive = [1 / classes] * classes if task == "multiclass" else 0.25
    kinds = {"zone": "category", "miles": "number"}
    declared = [Feature(name, pl.col(name), kind=kinds[name]) for name in features]
    params = replace(PARAMS, objective="l1" if task == "regression" else task)
    fit = fit_model(ModelSpec("model", "lightgbm", task, params, classes), train, None, features=declared, seed=0,
                    threads=1)  # fmt: skip
    facts = {"features": [s.to_json() for s in fit.specs], "naive": naive, "seed": seed, "task": task,
             "model": fit.model.facts()}  # fmt: skip
    return Bundle(facts, fit.model.files())


@pytest.fixture(scope="module")
def champion() -> Bundle:
    return bundle("zone", "miles", seed=1)


@pytest.fixture(scope="module")
def first() -> Bundle:
    return bundle("miles", seed=2)


def test_a_score_for_each_row_in_its_order(champion, first):
    features = table(50, 3).reverse()
    scores = score(features, champion, first, threads=1)
    assert scores.schema == schema("regression")
    assert scores.select("row_number", "event_at").equals(features.select("row_number", "event_at"))
    np.testing.assert_array_equal(scores["prediction"], champion.predict(features.select("zone", "miles")))
    np.testing.assert_array_equal(scores["prediction_never_retrained"], first.predict(features.select("miles")))
    assert scores["prediction_naive"].unique().to_list() == [1.0]
    assert scores["model_version"].unique().to_list() == [champion.sha256]
    assert scores["prediction"].n_unique() > 10
    assert [*CONTENDERS.values(), REPLACED_PREDICTION] == [c for c in scores.columns if c.startswith("prediction")]
    assert scores.select(pl.col("prediction_replaced", "replaced_version").null_count()).row(0) == (50, 50)
    assert contenders(scores) == CONTENDERS


def test_a_replaced_champion_scores_too(champion, first):
    features, before = table(50, 3), bundle("miles", seed=5)
    alone = score(features, champion, first, threads=1)
    scores = score(features, champion, first, threads=1, replaced=before)
    np.testing.assert_array_equal(scores["prediction_replaced"], before.predict(features.select("miles")))
    assert scores["replaced_version"].unique().to_list() == [before.sha256]
    others = [c for c in scores.columns if "replaced" not in c]
    assert scores.select(others).equals(alone.select(others))
    assert scores.schema == alone.schema == no_scores("regression").schema
    assert contenders(scores) == {**CONTENDERS, "replaced": "prediction_replaced"}
    again = score(features, champion, first, threads=1, replaced=first)
    assert again["prediction_replaced"].equals(again["prediction_never_retrained"])
    with pytest.raises(ScoringError, match="column miles is missing"):
        score(features.drop("miles"), bundle("zone"), bundle("zone"), threads=1, replaced=before)
    with pytest.raises(ScoringError, match="regression beside multiclass of 3 classes"):
        score(features, champion, first, threads=1, replaced=bundle("miles", task="multiclass", classes=3))


def test_the_columns_of_the_table_may_be_in_any_order(champion, first):
    features = table(50, 3)
    other = features.select(reversed(features.columns))
    assert score(other, champion, first, threads=2).equals(score(features, champion, first, threads=1))


def test_no_rows(champion, first):
    assert score(table().clear(), champion, first, threads=1).equals(no_scores("regression"))
    assert no_scores("regression").schema == schema("regression")
    assert no_scores("regression").is_empty()


def test_features_of_another_model_are_refused(champion, first):
    with pytest.raises(ScoringError, match="column zone is missing"):
        score(table().drop("zone"), champion, first, threads=1)
    with pytest.raises(ScoringError, match="column miles is missing"):
        score(table().drop("miles"), bundle("zone"), first, threads=1)
    with pytest.raises(ScoringError, match="column miles is Int64"):
        score(table().with_columns(pl.col("miles").cast(pl.Int64)), champion, first, threads=1)


def test_a_table_in_another_clock_is_refused(champion, first):
    with pytest.raises(pl.exceptions.SchemaError, match="event_at"):
        score(table().with_columns(pl.col("event_at").cast(pl.Date)), champion, first, threads=1)


def test_contenders_with_and_without_a_champion(champion, first):
    holdout = table(60, 4)
    alone = contenders_on(holdout, candidate=first, champion=None, threads=1)
    assert list(alone) == ["candidate", "naive"]
    assert alone["naive"].tolist() == [2.0] * 60
    both = contenders_on(holdout, candidate=first, champion=champion, threads=1)
    assert list(both) == ["candidate", "champion", "naive"]
    np.testing.assert_array_equal(both["champion"], champion.predict(holdout.select("zone", "miles")))
    np.testing.assert_array_equal(both["candidate"], alone["candidate"])
    assert not np.array_equal(both["candidate"], both["champion"])


@pytest.mark.parametrize(("task", "classes"), [("binary", 2), ("multiclass", 3)])
def test_probabilities(task, classes, tmp_path):
    features = table(50, 3)
    champion, first = (bundle("zone", "miles", seed=s, task=task, classes=classes) for s in (1, 2))
    scores = score(features, champion, first, threads=1)
    assert scores.schema == schema(task, champion.classes)
    assert scores.schema == no_scores(task, champion.classes).schema
    np.testing.assert_array_equal(scores["prediction"].to_numpy(), champion.predict(features.select("zone", "miles")))
    np.testing.assert_array_equal(scores["prediction_naive"].to_numpy(), champion.naive_scores(50))
    assert scores["prediction"].n_unique() > 10
    beside = score(features, champion, first, threads=1, replaced=first)
    np.testing.assert_array_equal(beside["prediction_replaced"], beside["prediction_never_retrained"])
    for name, written in (("alone", scores), ("beside", beside)):
        written.lazy().sink_parquet(tmp_path / f"{name}.parquet")
        assert pl.read_parquet(tmp_path / f"{name}.parquet").equals(written)
    assert score(features.clear(), champion, first, threads=1).equals(no_scores(task, champion.classes))
    both = contenders_on(features, candidate=champion, champion=first, threads=1)
    assert {v.shape for v in both.values()} == {(50, 3) if task == "multiclass" else (50,)}


def test_champions_of_different_tasks_are_refused(champion):
    with pytest.raises(ScoringError, match="regression beside multiclass of 3 classes"):
        score(table(5), champion, bundle("zone", "miles", task="multiclass", classes=3), threads=1)
    three, four = (bundle("miles", task="multiclass", classes=n) for n in (3, 4))
    with pytest.raises(ScoringError, match="3 classes beside multiclass of 4"):
        score(table(5), three, four, threads=1)
