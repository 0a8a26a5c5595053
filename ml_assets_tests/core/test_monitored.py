"""The record of a partition: realised where labels are known, estimated elsewhere, beside what was promised."""

import json
from datetime import datetime, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from ml_assets.core.confidence import Confidence
from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.loss_model import LossModel
from ml_assets.core.metrics import metrics_of
from ml_assets.core.monitored import Monitor
from ml_assets.core.promises import Promise
from ml_assets.core.scoring import no_scores, schema

START, END = datetime(2018, 1, 1), datetime(2018, 2, 1)
ROWS = 4000
OLD, NEW = "ab" * 32, "cd" * 32
SPECS = (FeatureSpec("miles", "number", None),)
DAY = timedelta(days=1)


def drawn(seed: int, shift: float = 0.0, concept: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    miles = rng.gamma(2.0, 1.5, ROWS) + shift
    return miles, 5 * miles + concept * (0.5 + 0.5 * miles) * rng.normal(size=ROWS)


def bundle(*, estimated: bool = True) -> SimpleNamespace:
    """What a champion is to the monitor: it predicts five minutes a mile."""
    miles, minutes = drawn(0)
    frame, scores = pl.DataFrame({"miles": miles}), 5 * miles
    model = LossModel.fit(frame, scores, np.abs(minutes - scores), SPECS, metric="mae", seed=0, threads=1)
    return SimpleNamespace(
        specs=SPECS,
        labelled_share=1.0,
        estimator=model if estimated else None,
        feature_frame=lambda features: features.select("miles"),
    )


BUNDLE, WITHOUT = bundle(), bundle(estimated=False)
_, MINUTES = drawn(0)
MAE = float(np.abs(MINUTES - 5 * drawn(0)[0]).mean())
PROMISED = Promise("mae", MAE, MAE - 0.05, MAE + 0.05)


def features(shift: float = 0.0, concept: float = 1.0, delays: tuple[timedelta, ...] = (timedelta(0),)) -> pl.DataFrame:
    """Rows of January whose labels take each of the delays in turn."""
    miles, minutes = drawn(1, shift, concept)
    at = [START + i * (END - START) / ROWS for i in range(ROWS)]
    known = [a + delays[i % len(delays)] for i, a in enumerate(at)]
    return pl.DataFrame(
        {"row_number": range(ROWS), "event_at": at, "label": minutes, "label_known_at": known, "miles": miles},
        schema_overrides={"row_number": pl.UInt32},
    )


def predictions(rows: pl.DataFrame, version: object = OLD) -> pl.DataFrame:
    score = 5 * rows["miles"]
    return pl.DataFrame(
        {
            "row_number": rows["row_number"], "event_at": rows["event_at"], "prediction": score,
            "prediction_never_retrained": score + 1, "prediction_naive": pl.repeat(15.0, ROWS, eager=True),
            "prediction_replaced": None, "replaced_version": None,
            "model_version": version if isinstance(version, list) else [version] * ROWS,
        },
        schema=schema("regression"),
    )  # fmt: skip


def record(rows: pl.DataFrame, *, known_by: datetime = END, version: object = OLD, champion=BUNDLE, **given) -> dict:
    told = {"task": "regression", "metric": "mae", "slices": (), "bundle": lambda _: champion,
            "promise": lambda _: PROMISED, **given}  # fmt: skip
    # The labels that are not known are hidden: whoever looks at one finds nonsense.
    known = pl.col("label_known_at") <= known_by
    hidden = rows.with_columns(label=pl.when(known | pl.col("label").is_null()).then("label").otherwise(1e9))
    found = Monitor(**told).record(hidden.lazy(), predictions(rows, version).lazy(), known_by=known_by)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


def test_all_labels_on_time():
    rows = features()
    found = record(rows)
    expected = metrics_of("regression", rows["label"].to_numpy(), 5 * rows["miles"].to_numpy())
    assert found["metrics"]["champion"] == expected
    assert (found["coverage"], found["refresh_at"], found["estimated"]) == (1, None, None)
    assert found["interval"]["estimate"] == found["expected"]["estimate"] == expected["mae"]
    assert (found["promise"]["outcome"], found["outlook"]["outcome"]) == ("kept", "kept")
    assert found["agreement"]["outcome"] == "agrees"
    assert found["differences"]["naive"]["high"] < 0 < PROMISED.estimate
    assert found["by_bundle"][OLD]["promised"] == PROMISED.to_json()


def test_late_labels_are_estimated_until_they_are_known():
    rows = features(delays=(1 * DAY, 40 * DAY))
    early = record(rows)
    assert early["rows_mature"] == pytest.approx(ROWS * 15 / 31, rel=0.04)
    assert early["promise"]["outcome"] == "unknown", "late labels are seldom like the others"
    assert early["refresh_at"] is not None
    assert early["expected"]["low"] < early["expected"]["estimate"] < early["expected"]["high"]

    between = record(rows, known_by=END + 5 * DAY)
    assert between["rows_mature"] == pytest.approx(ROWS / 2, rel=0.02)

    late = record(rows, known_by=END + 41 * DAY)
    assert (late["coverage"], late["refresh_at"], late["estimated"]) == (1, None, None)
    assert late["metrics"] == record(features())["metrics"], "in the end it is what it would be without delay"
    assert early["expected"]["low"] < late["interval"]["estimate"] < early["expected"]["high"]
    assert early["estimated"]["low"] < late["interval"]["estimate"] < early["estimated"]["high"]
    assert late["label_delay_hours"]["0.99"] == 40 * 24


def test_a_label_outage_is_estimated_only_and_never_fine():
    rows = features().with_columns(label=pl.lit(None, pl.Float64), label_known_at=pl.lit(None, pl.Datetime("us")))
    found = record(rows)
    assert (found["rows"], found["rows_mature"], found["coverage"], found["metrics"]) == (ROWS, 0, 0, {})
    assert found["promise"]["outcome"] == found["agreement"]["outcome"] == "unknown"
    assert "0 labels are known" in found["promise"]["words"]
    assert found["estimated"] == found["expected"]
    assert found["expected"]["estimate"] == pytest.approx(MAE, rel=0.1)
    assert found["refresh_at"] is None, "no stored label is on its way: nothing is gained by asking again and again"


def test_a_covariate_shift_is_foreseen_without_labels():
    rows = features(shift=2.0, delays=(40 * DAY,))
    early, late = record(rows), record(rows, known_by=END + 40 * DAY)
    assert early["rows_mature"] == 0
    assert early["outlook"]["outcome"] == "broken"
    assert late["agreement"]["outcome"] == "agrees"
    assert late["promise"]["outcome"] == "broken"


def test_concept_drift_is_reported_once_labels_are_known():
    rows = features(concept=1.5, delays=(40 * DAY,))
    early, late = record(rows), record(rows, known_by=END + 40 * DAY)
    assert early["outlook"]["outcome"] == "kept", "features alone can't tell"
    assert late["agreement"]["outcome"] == "worse"
    assert late["agreement"]["realised"] > late["agreement"]["estimated"]["high"]
    assert late["promise"]["outcome"] == late["outlook"]["outcome"] == "broken"


def test_a_partition_that_two_champions_scored():
    rows = features(concept=1.5)
    half = [OLD if i < ROWS * 0.4 else NEW for i in range(ROWS)]
    promises = {OLD: PROMISED, NEW: Promise("mae", 2 * MAE, 1.9 * MAE, 2.1 * MAE)}
    found = record(rows, version=half, promise=promises.get)
    assert list(found["by_bundle"]) == [NEW, OLD]
    assert found["bundle"] == NEW
    assert {b: of["rows"] for b, of in found["by_bundle"].items()} == {NEW: ROWS * 0.6, OLD: ROWS * 0.4}
    assert {b: of["promise"]["outcome"] for b, of in found["by_bundle"].items()} == {NEW: "kept", OLD: "broken"}
    assert found["promise"] == found["by_bundle"][NEW]["promise"]
    mean = sum(of["rows"] * of["metrics"]["mae"] for of in found["by_bundle"].values()) / ROWS
    assert found["metrics"]["champion"]["mae"] == pytest.approx(mean)
    assert found["expected"]["estimate"] == pytest.approx(mean)


def test_a_bundle_from_before_estimators_is_measured_as_before():
    rows = features(delays=(1 * DAY, 40 * DAY))
    found = record(rows, champion=WITHOUT)
    assert found["metrics"] == record(rows)["metrics"]
    assert found["estimated"] is found["expected"] is None
    assert found["outlook"]["outcome"] == found["agreement"]["outcome"] == "unknown"


def test_nothing_was_scored():
    monitor = Monitor("regression", "mae", (), bundle=lambda _: BUNDLE, promise=lambda _: PROMISED)
    found = monitor.record(features().lazy(), no_scores("regression").lazy(), known_by=END)
    assert (found["rows"], found["metrics"], found["bundle"], found["by_bundle"]) == (0, {}, None, {})
    assert found["promise"]["outcome"] == "unknown"
    assert "nothing was scored" in found["promise"]["words"]


def test_classes():
    rng = np.random.default_rng(3)
    rows = features().with_columns(label=pl.Series((rng.random(ROWS) < 0.3).astype(float)))
    score = np.clip(rng.normal(0.3, 0.05, ROWS), 0.01, 0.99)
    scores = predictions(rows).with_columns(pl.lit(score).alias("prediction")).with_columns(
        prediction_never_retrained="prediction", prediction_naive=pl.lit(0.3)
    )  # fmt: skip
    fitted = Confidence.fit(score, rows["label"].to_numpy(), metric="log_loss")
    champion = SimpleNamespace(
        specs=SPECS, labelled_share=0.25, estimator=fitted, feature_frame=lambda features: features.select("miles")
    )
    promise = Promise("log_loss", 0.7, 0.65, 0.75)
    monitor = Monitor("binary", "log_loss", (), bundle=lambda _: champion, promise=lambda _: promise)
    known = rows.with_columns(label=pl.when(pl.col("row_number") < 1000).then("label"))
    found = monitor.record(known.lazy(), scores.lazy(), known_by=END)
    assert found["agreement"]["outcome"] == "agrees"
    assert set(found["by_bundle"][OLD]["estimated_metrics"]) >= {"log_loss", "brier", "accuracy", "auc"}
    assert found["estimated"]["estimate"] == pytest.approx(found["interval"]["estimate"], rel=0.1)
    assert found["coverage"] == 0.25
    assert found["promise"]["outcome"] == "kept", "as many rows have a label as when it was judged"
    assert set(found["label_delay_hours"].values()) == {0}
    few = rows.with_columns(label=pl.when(pl.col("row_number") < 800).then("label"))
    found = monitor.record(few.lazy(), scores.lazy(), known_by=END)
    assert "80.0% of the 25% of rows that should have one are known" in found["promise"]["words"]
