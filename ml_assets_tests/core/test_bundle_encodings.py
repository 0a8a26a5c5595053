"""Target encodings are part of a bundle: learnt from training rows only, hashed, and no input."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ml_assets.core.bundle import FORMAT, Bundle
from ml_assets.core.errors import BundleError, ScoringError
from ml_assets.core.split import UNIT
from ml_assets.core.target_encoding import TargetEncoding
from ml_assets_tests.core.test_bundle import FEATURES, FRAME, NAMES, PARAMS, TRAIN, VALIDATION, made

ENCODED = [*FEATURES, TargetEncoding("mean_by_zone", of=("zone",)),
           TargetEncoding("mean_by_zone_raw", of=("zone",), smoothing=0.0, folds=3)]  # fmt: skip
UNITS = TRAIN.with_columns(pl.int_range(pl.len(), dtype=pl.UInt64).alias(UNIT))


def encoded(train: pl.DataFrame = UNITS, validation: pl.DataFrame = VALIDATION, threads: int = 1) -> Bundle:
    params = replace(PARAMS, early_stopping_rounds=0, max_categories=2)
    return made(train=train, validation=validation, params=params, features=ENCODED, threads=threads, label={})


@pytest.fixture(scope="module")
def with_encodings() -> Bundle:
    return encoded()


def test_target_encodings_are_in_the_bundle_and_no_input(with_encodings):
    assert [s.name for s in with_encodings.specs] == NAMES
    assert with_encodings.feature_frame(VALIDATION).columns == NAMES
    told = json.loads(with_encodings.manifest)
    assert [e["name"] for e in told["model"]["target_encodings"]] == ["mean_by_zone", "mean_by_zone_raw"]
    assert told["model"]["target_encodings"][0]["keys"] == [sorted(TRAIN["zone"].unique())]
    assert list(with_encodings.facts["importances"]) == [*NAMES, "mean_by_zone", "mean_by_zone_raw"]
    assert with_encodings.facts["importances"]["mean_by_zone"] > 0
    assert told["format"] == FORMAT


def test_a_bundle_with_target_encodings_scores_the_same_when_read_back(with_encodings):
    record = json.loads(with_encodings.manifest)
    del record["files"]
    again = Bundle(record, with_encodings.files)
    assert again.sha256 == with_encodings.sha256
    again.require_golden()
    np.testing.assert_array_equal(again.predict(FRAME), with_encodings.predict(FRAME, threads=2))
    one_by_one = np.concatenate([with_encodings.predict(FRAME[i : i + 1]) for i in range(20)])
    np.testing.assert_array_equal(one_by_one, with_encodings.predict(FRAME)[:20])
    unknown, missing = (FRAME.with_columns(zone=pl.lit(z, pl.String)) for z in ("never seen", None))
    np.testing.assert_array_equal(again.predict(unknown), again.predict(missing))
    with pytest.raises(ScoringError, match="column zone is missing"):
        again.predict(FRAME.drop("zone"))
    with pytest.raises(ScoringError, match="mean_by_zone is not a feature"):
        again.predict(FRAME.with_columns(mean_by_zone=1.0))


def test_another_table_scores_otherwise(with_encodings):
    facts = json.loads(json.dumps(with_encodings.facts))
    [table, _] = facts["model"]["target_encodings"]
    table["values"] = [v + 9 for v in table["values"]]
    other = replace(with_encodings, facts=facts)
    assert other.sha256 != with_encodings.sha256
    with pytest.raises(BundleError, match="golden rows"):
        other.require_golden()


def test_only_training_rows_are_learnt_from(with_encodings):
    assert encoded(threads=2).sha256 == with_encodings.sha256
    rng = np.random.default_rng(0)
    other = encoded(validation=VALIDATION.with_columns(label=rng.permutation(VALIDATION["label"])))
    # Its loss on the validation rows is another fact; all that predicts is the same.
    assert other.files == with_encodings.files
    assert {**other.facts, "validation": 0} == {**with_encodings.facts, "validation": 0}
    assert other.facts["validation"] != with_encodings.facts["validation"]
    trained_otherwise = encoded(train=UNITS.with_columns(label=pl.col("label").reverse()))
    assert trained_otherwise.facts["model"] != with_encodings.facts["model"]
