"""Trees as a model: read back they score the same, and SHAP values add up to the scores."""

import json

import numpy as np
import polars as pl
import pytest

from ml_assets.core.features import Feature
from ml_assets.core.models.fit import Fit
from ml_assets.core.models.kinds import fit_model, read_model
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.models.trees_model import FILE, TreesModel
from ml_assets.core.parameters import ModelParams
from ml_assets.core.split import UNIT
from ml_assets.core.target_encoding import TargetEncoding

FEATURES = [
    Feature("zone", pl.col("zone"), kind="category"),
    Feature("miles", pl.col("miles"), kind="number", unit="miles"),
    TargetEncoding("mean_by_zone", of=("zone",)),
]


def rides(rows: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    zone, miles = rng.integers(0, 12, rows), rng.gamma(2, 2, rows)
    label = np.digitize(miles + zone % 5, [4, 8]).astype(float)
    return pl.DataFrame({"zone": [f"z{z}" for z in zone], "miles": miles, "label": label}).with_columns(
        pl.int_range(rows, dtype=pl.UInt64).alias(UNIT)
    )


TRAIN, FRAME = rides(800, 1), rides(60, 2).select("zone", "miles")
MODES = {
    "l2": {"objective": "l2"},
    "binary": {"objective": "binary"},
    "multiclass": {"objective": "multiclass"},
    "forest": {"objective": "l2", "boosting": "rf", "bagging_fraction": 0.5},
    "linear": {"objective": "l2", "linear_tree": True},
}


def fitted(mode: str) -> Fit:
    params = ModelParams(trees=6, leaves=7, min_rows_per_leaf=10, **MODES[mode])
    spec = ModelSpec("model", "lightgbm", params.task, params, classes=3)
    train = TRAIN.with_columns(label=(pl.col("label") > 0).cast(pl.Float64)) if mode == "binary" else TRAIN
    return fit_model(spec, train, None, features=FEATURES, seed=0, threads=1)


@pytest.mark.parametrize("mode", MODES)
def test_read_back_it_scores_the_same_to_the_bit(mode):
    fit = fitted(mode)
    facts = json.loads(json.dumps(fit.model.facts()))
    files = fit.model.files()
    assert list(files) == [facts["file"]] == [FILE]
    again = read_model(facts, files)
    assert (again.facts(), again.files(), type(again)) == (fit.model.facts(), files, type(fit.model))
    scores = again.scores(FRAME, fit.specs, threads=2)
    np.testing.assert_array_equal(scores, fit.model.scores(FRAME, fit.specs, threads=1))
    assert np.unique(scores).size > 5
    one_by_one = [again.scores(FRAME[i : i + 1], fit.specs, threads=1)[0] for i in range(20)]
    np.testing.assert_array_equal(scores[:20], one_by_one)


@pytest.mark.parametrize("mode", ["l2", "binary", "multiclass", "forest"])
def test_contributions_add_up_to_the_raw_score(mode):
    import lightgbm as lgb

    fit = fitted(mode)
    names, shares = fit.model.contributions(FRAME, fit.specs, threads=1)
    assert names == ("zone", "miles", "mean_by_zone")
    assert shares.shape == ((60, 3, 3) if mode == "multiclass" else (60, 3))
    booster = lgb.Booster(model_str=fit.model.text)
    codes = fit.model._matrix(FRAME, fit.specs)
    raw = booster.predict(codes, raw_score=True)
    rest = raw - shares.sum(axis=-1)
    np.testing.assert_allclose(rest, np.broadcast_to(rest[0], rest.shape), atol=1e-9)
    assert np.abs(shares).max() > 0.05


def test_linear_leaves_have_no_contributions():
    assert not hasattr(fitted("linear").model, "contributions")
    assert isinstance(fitted("linear").model, TreesModel)
