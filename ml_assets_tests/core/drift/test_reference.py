"""What a bundle is compared by: which rows are counted, what features weigh, and when predictions are not watched."""

from datetime import datetime, timedelta
from typing import ClassVar

import numpy as np
import polars as pl
import pytest

from ml_assets.core.drift.reference import (
    LABELLED,
    NO_VALUE,
    PREDICTED,
    Reference,
    labelled,
    predicted,
    predicted_names,
    with_reference,
)
from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.target_encoding import TargetEncoding

DAYS, ROWS = ("d1", "d2", "d3"), 400
START = datetime(2024, 1, 1)


class Model:
    """What answers with its number."""

    task, classes = "regression", 1
    specs = (
        FeatureSpec("x", "number", None),
        FeatureSpec("zone", "category", None),
        FeatureSpec("void", "number", None),
    )
    facts: ClassVar = {"importances": {"x": 0.5, "zone": 0.1, "by_zone": 0.4, "void": 0.0}}

    def feature_frame(self, rows):
        return rows.select(s.name for s in self.specs)

    def predict(self, frame, *, threads):
        return frame["x"].to_numpy()

    def compared_with(self, profile, reference, joint):
        return (profile, reference) if joint is None else joint


def day(number: int, *, noise: float = 1.0) -> pl.DataFrame:
    rng = np.random.default_rng([number, int(10 * noise)])
    x = rng.normal(0, 1, ROWS)
    at = [START + timedelta(days=number, minutes=3 * i) for i in range(ROWS)]
    label = x + noise * rng.normal(0, 1, ROWS)
    zone, void = ["a", "b"] * (ROWS // 2), pl.Series([None] * ROWS, dtype=pl.Float64)
    number = pl.Series(range(ROWS), dtype=pl.UInt32)
    return pl.DataFrame({"row_number": number, "event_at": at, "x": x, "zone": zone, "void": void, "label": label})


HISTORY = {key: day(i).lazy() for i, key in enumerate(DAYS)}
TOLD = {"declared": [TargetEncoding("by_zone", of=("zone",))], "metric": "mae", "alpha": None, "threads": 1}


def learnt(share: int = 2) -> pl.DataFrame:
    """Every so many rows of the first two days: the others have no label."""
    parts = [HISTORY[key].collect().with_columns(pl.lit(key).alias("@partition")) for key in DAYS[:2]]
    return pl.concat(parts).gather_every(share)


@pytest.fixture(scope="module")
def made():
    return with_reference(Model(), learnt(), day(9), HISTORY, **TOLD)


def test_all_rows_of_the_time_are_counted_and_only_labels_of_what_was_learnt(made):
    profile, _ = made
    assert profile.partitions == DAYS[:2]
    assert profile.column("x").rows.tolist() == [ROWS, ROWS - 1], "up to the last row that was learnt from"
    assert profile.column(PREDICTED).rows.tolist() == [ROWS, ROWS - 1]
    assert profile.column(LABELLED).rows.tolist() == [ROWS // 2, ROWS // 2]


def test_importance_of_an_encoding_is_that_of_its_features_and_an_empty_one_is_left_out(made):
    _, reference = made
    assert reference.weights == pytest.approx({"x": 0.5, "zone": 0.5})
    assert reference.left_out == {"void": NO_VALUE}
    assert Reference.from_json(reference.to_json()) == reference


def test_rows_are_kept_for_a_classifier_where_one_is_asked_for(made):
    joint = with_reference(Model(), learnt(), day(9), HISTORY, **TOLD, sampled=True)
    assert [c.name for c in joint.sample.columns] == ["x", "zone"]
    assert joint.sample.rows.height == made[0].column("x").rows.sum(), "the same rows are counted"


@pytest.mark.parametrize(
    ("holdout", "said"), [(day(9, noise=3.0), "knows these rows by heart"), (day(9).head(50), "holdout of 50 rows")]
)
def test_predictions_that_say_nothing_of_others_are_not_watched(holdout, said):
    profile, reference = with_reference(Model(), learnt(), holdout, HISTORY, **TOLD)
    assert said in reference.left_out[PREDICTED]
    assert PREDICTED not in {b.name for b in profile.bins}


def test_a_class_is_a_category_and_each_probability_a_column():
    frame = pl.DataFrame({"p": [[0.2, 0.5, 0.3]], "label": [1.0]}, schema_overrides={"p": pl.Array(pl.Float64, 3)})
    told = frame.select(*predicted("p", 3), labelled("multiclass"))
    assert told.rows() == [(0.2, 0.5, 0.3, "1")]
    assert told.columns == [*predicted_names(3), LABELLED]
    assert predicted_names(1) == [PREDICTED]
