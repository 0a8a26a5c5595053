"""The realised error: only labels known by the instant, only predictions of these features."""

import json
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from ml_assets.core.errors import ContractError
from ml_assets.core.metrics import metrics_of
from ml_assets.core.performance import Performance, measure
from ml_assets.core.scoring import CONTENDERS, contenders, no_scores, schema

END = datetime(2018, 2, 1)
ROWS = 120
AT = [END - timedelta(hours=ROWS - i) for i in range(ROWS)]
LABEL = np.random.default_rng(0).gamma(2, 5, ROWS)
FEATURES = pl.DataFrame(
    {
        "row_number": range(ROWS),
        "event_at": AT,
        "label": LABEL,
        # A day to be known: the last 24 rows but one are too young at the month's end.
        "label_known_at": [a + timedelta(hours=24) for a in AT],
        "miles": LABEL,
        "slice_zone": [None if i % 4 == 0 else "a" for i in range(ROWS)],
    },
    schema_overrides={"row_number": pl.UInt32},
)
PREDICTIONS = pl.DataFrame(
    {
        "row_number": range(ROWS),
        "event_at": AT,
        "prediction": LABEL + 1,
        "prediction_never_retrained": LABEL - 2,
        "prediction_naive": np.full(ROWS, 9.0),
        "prediction_replaced": None,
        "model_version": "ab" * 32,
        "replaced_version": None,
    },
    schema=schema("regression"),
)
MATURE = ROWS - 23


def measured(features=FEATURES, predictions=PREDICTIONS, known_by=END, slices=("zone",), **changed) -> Performance:
    given = {"known_by": known_by, "task": "regression", "metric": "mae", "slices": slices, **changed}
    return measure(features.lazy(), predictions.lazy(), **given)


def test_only_labels_known_by_the_instant_count():
    found = measured()
    assert (found.rows, found.rows_mature, found.bundle) == (ROWS, MATURE, "ab" * 32)
    for who, column in CONTENDERS.items():
        expected = metrics_of("regression", LABEL[:MATURE], PREDICTIONS[column].to_numpy()[:MATURE])
        assert found.metrics[who] == pytest.approx(expected), who
    assert found.metrics["champion"]["bias"] == pytest.approx(1)
    assert found.metrics["never_retrained"]["bias"] == pytest.approx(-2)


def test_a_replaced_champion_is_a_contender_where_it_scored_every_row_and_nowhere_else():
    usual = measured()
    assert set(usual.metrics) == set(usual.slices["zone"]["a"]) - {"rows"} == set(CONTENDERS)
    before = PREDICTIONS.drop("prediction_replaced", "replaced_version")
    assert measured(predictions=before) == usual, "a table from before there was such a column"
    some = PREDICTIONS.with_columns(prediction_replaced=pl.when(pl.col("row_number") > 3).then(pl.lit(1.0)))
    assert measured(predictions=some) == usual, "its error on some of the rows compares with nothing"
    found = measured(predictions=PREDICTIONS.with_columns(prediction_replaced=pl.Series(LABEL + 3)))
    assert found.metrics["replaced"]["mae"] == pytest.approx(3)
    assert found.slices["zone"]["a"]["replaced"] == pytest.approx(3)
    assert found.differences["replaced"].estimate == pytest.approx(1 - 3)
    assert {who: of for who, of in found.metrics.items() if who != "replaced"} == usual.metrics
    assert "replaced" not in contenders(PREDICTIONS)


def test_a_label_that_becomes_known_later_changes_nothing():
    young = pl.col("label_known_at") > END
    wild = FEATURES.with_columns(label=pl.when(young).then(1e9).otherwise("label"))
    assert measured(wild) == measured()
    assert measured(wild, known_by=END + timedelta(days=2)) != measured(known_by=END + timedelta(days=2))


@pytest.mark.parametrize(("hours", "mature"), [(0, MATURE), (-1, MATURE - 1), (23, ROWS), (999, ROWS), (-97, 0)])
def test_the_instant_itself_counts(hours, mature):
    assert measured(known_by=END + timedelta(hours=hours)).rows_mature == mature


def test_no_label_is_known():
    found = measured(known_by=AT[0])
    assert (found.rows, found.rows_mature, found.metrics, found.slices) == (ROWS, 0, {}, {"zone": {}})
    assert found.bundle == "ab" * 32


def test_rows_without_a_label_are_not_mature():
    some = FEATURES.with_columns(label=pl.when(pl.col("row_number") >= 10).then("label"))
    assert measured(some).rows_mature == MATURE - 10


def test_slices_sum_to_the_mature_rows():
    zone = measured().slices["zone"]
    assert set(zone) == {"missing", "a"}
    assert sum(s["rows"] for s in zone.values()) == MATURE
    assert all(s["champion"] == pytest.approx(1) and s["never_retrained"] == pytest.approx(2) for s in zone.values())
    assert measured(slices=()).slices == {}


def test_the_order_of_the_rows_does_not_matter():
    assert measured(FEATURES.reverse()) == measured()


def test_nothing_was_scored():
    found = measured(predictions=no_scores("regression"))
    assert found == Performance(0, 0, {}, {}, None)
    assert json.loads(json.dumps(found.to_json())) == found.to_json()


def test_json():
    assert json.loads(json.dumps(measured().to_json(), allow_nan=False)) == measured().to_json()


@pytest.mark.parametrize(
    ("predictions", "found"),
    [
        (PREDICTIONS.head(100), "100 scores for 120 rows of features, 100 of which match"),
        (PREDICTIONS.with_columns(pl.col("row_number") + 7), "120 scores for 120 rows of features, 0 of which match"),
        (
            PREDICTIONS.with_columns(pl.col("event_at") + timedelta(days=31)),
            "120 scores for 120 rows of features, 0 of which match",
        ),
    ],
)
def test_predictions_of_other_features_are_refused(predictions, found):
    with pytest.raises(ContractError) as caught:
        measured(predictions=predictions)
    assert caught.value.found == [found]
    assert "predictions" in caught.value.cure


def test_a_row_scored_twice_is_refused():
    twice = pl.concat([PREDICTIONS.head(119), PREDICTIONS.head(1)])
    with pytest.raises(ContractError, match="120 scores for 120 rows of features, 119 of which match"):
        measured(predictions=twice)


def classified(wide: bool):
    chance = np.random.default_rng(1).random(ROWS)
    flags = FEATURES.with_columns(label=pl.Series((chance > 0.5).astype(float)))
    scores = {column: np.clip(chance + i / 10, 0, 1) for i, column in enumerate(CONTENDERS.values())}
    if wide:
        scores = {column: np.column_stack([1 - p, p]) for column, p in scores.items()}
    dtype = schema("multiclass" if wide else "binary", 2)["prediction"]
    return flags, PREDICTIONS.with_columns(pl.Series(column, values, dtype) for column, values in scores.items())


@pytest.mark.parametrize(("task", "wide"), [("binary", False), ("multiclass", True)])
def test_classifiers_are_measured_too(task, wide):
    flags, scores = classified(wide)
    found = measured(flags, scores, task=task, metric="log_loss")
    label, probability = flags["label"].to_numpy()[:MATURE], np.array(scores["prediction"].to_list())[:MATURE]
    assert found.metrics["champion"] == pytest.approx(metrics_of(task, label, probability))
    assert found.metrics["champion"]["log_loss"] < found.metrics["never_retrained"]["log_loss"]
    mean = sum(s["rows"] * s["champion"] for s in found.slices["zone"].values()) / MATURE
    assert mean == pytest.approx(found.metrics["champion"]["log_loss"])
    assert json.loads(json.dumps(found.to_json(), allow_nan=False)) == found.to_json()


def test_a_quantile_is_measured_by_its_own_loss():
    found = measured(metric="pinball", alpha=0.9)
    assert found.metrics["champion"]["pinball"] == pytest.approx(0.1)
    assert found.metrics["never_retrained"]["pinball"] == pytest.approx(0.9 * 2)
    assert found.slices["zone"]["a"]["never_retrained"] == pytest.approx(1.8)


def test_scores_that_are_none_of_the_task_are_refused():
    flags, scores = classified(wide=False)
    with pytest.raises(ContractError, match="outside 0 to 1"):
        measured(flags, scores.with_columns(prediction=pl.lit(1.5)), task="binary", metric="brier")
