"""Vocabularies, the matrix, and frames that don't fit."""

import json

import numpy as np
import polars as pl
import pytest

from ml_assets.core.encoding import FeatureSpec, encode, learn_specs
from ml_assets.core.errors import ScoringError
from ml_assets.core.features import Feature
from ml_assets.core.history import HistoryFeature
from ml_assets.core.target_encoding import FittedEncoding

FEATURES = [
    Feature("zone", pl.col("zone"), kind="category"),
    Feature("miles", pl.col("miles"), kind="number", unit="miles"),
]
SPECS = (FeatureSpec("zone", "category", None, ("7", "9")), FeatureSpec("miles", "number", "miles"))


def frame(zone=("9", "7", None, "new"), miles=(1.0, None, float("nan"), 4.0)) -> pl.DataFrame:
    return pl.DataFrame({"zone": zone, "miles": miles}, schema={"zone": pl.String, "miles": pl.Float64})


def test_codes_numbers_and_what_is_missing():
    nan = float("nan")
    np.testing.assert_array_equal(encode(frame(), SPECS), [[1, 1], [0, nan], [nan, nan], [nan, 4]])


def test_no_rows_and_no_vocabulary():
    assert encode(frame((), ()), SPECS).shape == (0, 2)
    bare = (FeatureSpec("zone", "category", None), SPECS[1])
    assert np.isnan(encode(frame(), bare)[:, 0]).all()


def test_a_vocabulary_holds_the_most_frequent_in_order():
    train = frame(("b", "a", "c", "c", "b", None), (1.0,) * 6)
    zone, miles = learn_specs(train, FEATURES, max_categories=2)
    assert zone == FeatureSpec("zone", "category", None, ("b", "c"))
    assert miles == SPECS[1]
    tied, _ = learn_specs(frame(("z", "y", "x"), (1.0,) * 3), FEATURES, max_categories=2)
    assert tied.vocabulary == ("x", "y")


def test_json():
    assert tuple(FeatureSpec.from_json(s.to_json()) for s in SPECS) == SPECS
    assert SPECS[0].to_json()["dtype"] == "String"


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (frame().select("miles", "zone"), ["column 1 is miles, not zone", "column 2 is zone, not miles"]),
        (frame().select("zone"), ["column miles is missing"]),
        (frame().with_columns(more=1), ["column more is not a feature of the model"]),
        (
            frame().select(pl.lit(1.5).alias("zone"), pl.lit(2).cast(pl.Float32).alias("mils")),
            ["column miles is missing", "column mils is not a feature of the model",
             "column zone is Float64, not String"],
        ),
        (frame(miles=(1.0, float("inf"), -float("inf"), 0)), ["column miles is infinite in 2 rows"]),
    ],
)  # fmt: skip
def test_refused(wrong, found):
    with pytest.raises(ScoringError) as caught:
        encode(wrong, SPECS)
    assert caught.value.found == found
    if wrong.columns != ["zone", "miles"]:
        return
    with pytest.raises(ScoringError):
        learn_specs(wrong, FEATURES, max_categories=9)


def test_learning_lists_every_mistake_of_the_training_rows():
    wrong = pl.DataFrame({"zone": [1, 2], "hour": [1.0, 2.0]})
    with pytest.raises(ScoringError) as caught:
        learn_specs(wrong, FEATURES, max_categories=9)
    assert caught.value.found == ["column miles is missing", "column zone is Int64, not String"]


def test_a_code_does_not_depend_on_the_rows_scored_with_it():
    together = encode(frame(), SPECS)
    apart = np.vstack([encode(frame()[i : i + 1], SPECS) for i in range(4)])
    np.testing.assert_array_equal(together, apart)


def test_categories_beyond_the_most_frequent_count_as_missing():
    zone, _ = learn_specs(frame(("9", "9", "7", None), (1.0,) * 4), FEATURES, max_categories=1)
    codes = encode(frame(("9", "7", None, "new"), (1.0,) * 4), (zone, SPECS[1]))[:, 0]
    np.testing.assert_array_equal(codes, [0, np.nan, np.nan, np.nan])


def test_codes_are_in_the_order_of_names_and_missing_is_no_category():
    zone, _ = learn_specs(frame(("b", "c", "c", "a", "c", "b"), (1.0,) * 6), FEATURES, max_categories=9)
    assert zone.vocabulary == ("a", "b", "c")
    missing, _ = learn_specs(frame((None, None, None, "b", "a"), (1.0,) * 5), FEATURES, max_categories=2)
    assert missing.vocabulary == ("a", "b")


def test_target_encodings_follow_the_features():
    table = pl.DataFrame({"zone": ["7", "new"], "@value": [2.5, 3.5]})
    means = FittedEncoding("mean", ("zone",), 1.5, table, {"smoothing": 20.0, "folds": 5})
    nan = float("nan")
    # "new" is no category of the vocabulary, which holds the most frequent only, and still has a mean.
    np.testing.assert_array_equal(
        encode(frame(), SPECS, [means]), [[1, 1, 1.5], [0, nan, 2.5], [nan, nan, 1.5], [nan, 4, 3.5]]
    )
    assert encode(frame((), ()), SPECS, [means]).shape == (0, 3)
    with pytest.raises(ScoringError, match="zone is missing"):
        encode(frame().drop("zone"), SPECS, [means])


def test_a_history_feature_keeps_its_declaration_with_the_model():
    declared = HistoryFeature("trips", by=("zone",), window="1h", how="count", known_at="start_at")
    [spec] = learn_specs(pl.DataFrame({"trips": [1.0, None]}), [declared], max_categories=10)
    told = json.loads(json.dumps(spec.to_json()))
    assert told["history"] == declared.to_json()
    assert FeatureSpec.from_json(told) == spec
    assert "history" not in SPECS[0].to_json()
