"""Bundles: one address for one content, scores that last, frames that are refused."""

import json
from dataclasses import replace
from datetime import datetime

import numpy as np
import polars as pl
import pytest

from ml_assets.core.bundle import Bundle
from ml_assets.core.encoding import encode
from ml_assets.core.errors import BundleError, ScoringError
from ml_assets.core.features import Feature
from ml_assets.core.manifest import Manifest
from ml_assets.core.parameters import ModelParams
from ml_assets.core.split import PartCounts, Split, TimeRange
from ml_assets.core.training import train_lightgbm

FEATURES = [
    Feature("zone", pl.col("zone"), kind="category"),
    Feature("miles", pl.col("miles"), kind="number", unit="miles"),
    Feature("hour", pl.col("hour"), kind="number"),
]
NAMES = [f.name for f in FEATURES]
PARAMS = ModelParams(trees=20, leaves=7, min_rows_per_leaf=10)
DAYS = [datetime(2019, 1, d) for d in (1, 11, 21, 31)]
MANIFEST = Manifest(
    as_of="2019-01",
    partitions={"2019-01": "ab" * 32},
    split=Split(*(TimeRange(*DAYS[i : i + 2]) for i in range(3)), as_of=DAYS[-1]),
    counts=PartCounts({"train": 600, "validation": 200, "holdout": 200}, {"train": 0, "validation": 0, "holdout": 0}),
)


def rides(rows: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    zone, miles, hour = rng.integers(0, 5, rows), rng.gamma(2, 2, rows), rng.integers(0, 24, rows)
    minutes = 3 + 4 * miles + zone + hour / 6
    return pl.DataFrame({"zone": [f"z{z}" for z in zone], "miles": miles, "hour": hour.astype(float), "label": minutes})


TRAIN, ROWS = rides(600, 1), rides(200, 2)


@pytest.fixture(scope="module")
def trained():
    return train_lightgbm(TRAIN, ROWS, features=FEATURES, params=PARAMS, seed=3, threads=1)


@pytest.fixture(scope="module")
def bundle(trained):
    return make(trained)


def make(trained, **other) -> Bundle:
    facts = {"pipeline": "duration", "label": {"name": "minutes", "unit": "minutes", "task": "regression"}}
    return Bundle.of(trained, **{**facts, "params": PARAMS, "seed": 3, "manifest": MANIFEST, "train": TRAIN, **other})


def test_it_scores_what_was_trained(bundle, capfd):
    scores = bundle.predict(bundle.feature_frame(ROWS))
    assert scores.dtype == np.float64
    assert scores.shape == (200,)
    naive = np.abs(ROWS["label"].to_numpy() - bundle.naive).mean()
    assert np.abs(scores - ROWS["label"].to_numpy()).mean() < naive / 2
    assert bundle.naive == TRAIN["label"].median()
    np.testing.assert_array_equal(scores, bundle.predict(bundle.feature_frame(ROWS), threads=2))
    assert capfd.readouterr() == ("", "")


def test_its_facts(bundle, trained):
    manifest = json.loads(bundle.manifest)
    assert manifest["params"] == PARAMS.to_json()
    assert manifest["training"]["partitions"] == {"2019-01": "ab" * 32}
    assert [(f["name"], f["dtype"], f["unit"]) for f in manifest["features"]] == [
        ("zone", "String", None),
        ("miles", "Float64", "miles"),
        ("hour", "Float64", None),
    ]
    assert manifest["features"][0]["vocabulary"] == [f"z{z}" for z in range(5)]
    assert manifest["validation"] == {"l1": min(trained.validation_curve)}
    assert len(manifest["golden"]["rows"]) == len(manifest["golden"]["scores"]) == 8
    assert (bundle.as_of, bundle.rows_trained) == ("2019-01", 600)


def test_its_address_is_its_content(bundle, trained):
    assert make(trained).sha256 == bundle.sha256
    others = [
        make(trained, pipeline="other"),
        make(trained, seed=4),
        make(trained, manifest=replace(MANIFEST, partitions={"2019-01": "cd" * 32})),
        Bundle(bundle.facts, bundle.model_text + "\n"),
    ]
    assert len({bundle.sha256, *(o.sha256 for o in others)}) == 5


def test_a_category_it_does_not_know_counts_as_missing(bundle):
    frame = bundle.feature_frame(ROWS)
    unknown = bundle.predict(frame.with_columns(zone=pl.lit("new")))
    np.testing.assert_array_equal(unknown, bundle.predict(frame.with_columns(zone=pl.lit(None, pl.String))))
    assert not np.array_equal(unknown, bundle.predict(frame))


def test_no_rows_give_no_scores(bundle):
    assert bundle.predict(bundle.feature_frame(ROWS.clear())).shape == (0,)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (ROWS.select("zone", "hour", "miles"), "column 2 is hour, not miles"),
        (ROWS.select("zone", "miles"), "column hour is missing"),
        (ROWS.select("zone", "miles", "hour", "label"), "column label is not a feature"),
        (ROWS.select("zone", "miles", pl.col("hour").cast(pl.Int64)), "column hour is Int64, not Float64"),
        (ROWS.select("zone", pl.lit(float("inf")).alias("miles"), "hour"), "column miles is infinite in 200 rows"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused(bundle, wrong, words):
    with pytest.raises(ScoringError, match=words):
        bundle.predict(wrong)


def test_a_features_table_without_a_feature_is_refused(bundle):
    with pytest.raises(ScoringError, match="column miles is missing"):
        bundle.predict(bundle.feature_frame(ROWS.drop("miles")))


def test_swapped_values_would_have_changed_the_scores(bundle):
    # What the refusal above protects from: LightGBM itself takes any matrix of the right width.
    swapped = ROWS.select("zone", pl.col("hour").alias("miles"), pl.col("miles").alias("hour"))
    assert np.abs(bundle.predict(swapped) - bundle.predict(bundle.feature_frame(ROWS))).mean() > 1
    assert encode(swapped, bundle.specs).shape == (200, 3)


def test_golden_rows_notice_another_model(bundle):
    bundle.require_golden()
    lines = bundle.model_text.splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if line.startswith("leaf_value="))
    first, *rest = lines[at].removeprefix("leaf_value=").split(" ")
    lines[at] = "leaf_value=" + " ".join([str(float(first) + 1), *(str(float(v) + 1) for v in rest)]) + "\n"
    sizes = next(i for i, line in enumerate(lines) if line.startswith("tree_sizes="))
    del lines[sizes]  # LightGBM then finds the trees by reading; the sizes no longer fit
    with pytest.raises(BundleError, match="golden rows"):
        Bundle(bundle.facts, "".join(lines)).require_golden()
