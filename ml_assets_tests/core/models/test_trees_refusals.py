"""What trees cannot be grown on is refused, with all that is wrong."""

import polars as pl
import pytest

from ml_assets.core.errors import ConfigError, ScoringError, TrainingError
from ml_assets.core.models.linear_params import LinearParams
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.models.trees import fit_trees
from ml_assets.core.target_encoding import TargetEncoding
from ml_assets_tests.core.models.test_trees import FEATURES, TRAIN, VALIDATION, labelled, trained


@pytest.mark.parametrize(
    ("train", "params", "words"),
    [
        (TRAIN.clear(), {}, "train rows: no rows"),
        (TRAIN.drop("label"), {}, "no column label"),
        (TRAIN.with_columns(label=pl.when(pl.col("hour") > 1).then("label")), {}, "labels are missing or infinite"),
        (TRAIN.with_columns(label=pl.col("label") / 0), {}, "1500 labels are missing or infinite"),
        (TRAIN.with_columns(label=-pl.col("label")), {"objective": "poisson"}, "negative labels"),
        (TRAIN, {"objective": "binary"}, "labels that are none of 0 to 1"),
        (labelled(TRAIN, "poisson"), {"objective": "multiclass"}, "labels that are none of 0 to 2"),
        (TRAIN.with_columns(label=pl.lit(1.0)), {"objective": "binary"}, "one label only"),
        (TRAIN, {"min_rows_per_leaf": 1000}, "not one split"),
    ],
)
def test_nothing_can_be_learnt(train, params, words):
    with pytest.raises(TrainingError, match=words):
        trained(train, validation=None, **params)


@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_frame_that_does_not_fit(part):
    frames = {"train": TRAIN, "validation": VALIDATION}
    frames[part] = frames[part].drop("zone").with_columns(pl.col("hour").cast(pl.Int64))
    with pytest.raises(ScoringError) as caught:
        trained(**frames)
    assert caught.value.found == ["column zone is missing", "column hour is Int64, not Float64"]


@pytest.mark.parametrize("label", [None, float("nan"), float("inf")])
def test_validation_labels_must_be_known_too(label):
    unknown = pl.when(pl.int_range(pl.len()) < 3).then(pl.lit(label, pl.Float64)).otherwise("label")
    with pytest.raises(TrainingError, match="validation rows: 3 labels are missing or infinite"):
        trained(validation=VALIDATION.with_columns(label=unknown))
    with pytest.raises(TrainingError, match="validation rows: no rows"):
        trained(validation=VALIDATION.clear())


def test_a_refusal_says_nothing_else(capfd):
    with pytest.raises(TrainingError):
        trained(min_rows_per_leaf=1000)
    assert capfd.readouterr() == ("", "")


def test_target_encodings_need_rows_that_can_be_divided():
    encoding = TargetEncoding("mean_by_zone", of=("zone",))
    with pytest.raises(TrainingError, match="target encoding mean_by_zone"):
        trained(features=[*FEATURES, encoding])


def test_parameters_of_another_kind_are_refused():
    spec = ModelSpec("model", "lightgbm", "regression", LinearParams())
    with pytest.raises(ConfigError, match="LinearParams"):
        fit_trees(spec, TRAIN, None, features=FEATURES, seed=0, threads=1)
