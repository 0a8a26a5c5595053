"""The design matrix: learnt from training rows alone, the same for a row wherever it stands."""

import json

import numpy as np
import polars as pl
import pytest

from ml_assets.core.encoding import learn_specs
from ml_assets.core.errors import ConfigError, TrainingError
from ml_assets.core.features import Feature
from ml_assets.core.models.design_matrix import DesignMatrix, learn_design, shares
from ml_assets.core.models.design_params import DesignParams
from ml_assets.core.split import UNIT
from ml_assets.core.target_encoding import TargetEncoding, fit

FEATURES = [
    Feature("miles", pl.col("miles"), kind="number"),
    Feature("zone", pl.col("zone"), kind="category"),
]
ROUTE = TargetEncoding("by_zone", of=("zone",), smoothing=1.0)


def rows(zone, miles=None, label=None) -> pl.DataFrame:
    count = len(zone)
    columns = {"zone": zone, "miles": miles or list(range(count)), "label": label or [float(i) for i in range(count)]}
    overrides = {"zone": pl.String, "miles": pl.Float64, "label": pl.Float64}
    return pl.DataFrame(columns, schema_overrides=overrides).with_columns(
        pl.Series(UNIT, range(count), dtype=pl.UInt64)
    )


def learnt(train, encodings=(), *, task="regression", classes=2, seed=0, **params):
    design = DesignParams(**params)
    specs = learn_specs(train, FEATURES, max_categories=design.max_categories)
    made = learn_design(train, specs, encodings, params=design, task=task, classes=classes, seed=seed)
    return *made, specs


def column(design, matrix, name):
    return matrix[:, design.columns.index(name)].tolist()


def test_numbers_are_standardised_and_missing_ones_the_median():
    design, matrix, specs = learnt(rows(["a"] * 5, [1.0, None, 2.0, 9.0, float("nan")]))
    assert design.columns == ("miles", "miles missing")
    filled = np.array([1.0, 2.0, 2.0, 9.0, 2.0])
    assert matrix[:, 0] == pytest.approx((filled - filled.mean()) / filled.std())
    assert column(design, matrix, "miles missing") == [0, 1, 0, 0, 1]
    later = design.matrix(rows(["a", "a"], [None, 1e6]), specs)
    assert later[0, 0] == matrix[1, 0]
    assert later[1, 0] == pytest.approx((1e6 - filled.mean()) / filled.std())


def test_categories_are_columns_of_the_most_frequent_ones():
    train = rows(["a", "b", "b", "c", None, "a", "d"])
    design, matrix, specs = learnt(train, one_hot_categories=3)
    assert design.columns == ("miles", "zone a", "zone b", "zone c", "zone missing")
    assert design.sources == ("miles", "zone", "zone", "zone", "zone")
    assert column(design, matrix, "zone b") == [0, 1, 1, 0, 0, 0, 0]
    assert matrix[6, 1:].tolist() == [0, 0, 0, 0]
    unknown = design.matrix(rows(["new", "d", None]), specs)
    assert unknown[:, 1:].tolist() == [[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 1]]


def test_a_category_beyond_the_most_that_are_told_apart_counts_as_missing():
    train = rows(["a", "a", "b", "b", "c", "d"])
    design, matrix, _ = learnt(train, max_categories=2)
    assert design.columns == ("miles", "zone a", "zone b", "zone missing")
    assert column(design, matrix, "zone missing") == [0, 0, 0, 0, 1, 1]


def test_many_categories_are_a_mean_label_that_never_is_the_rows_own():
    zones = [f"z{i % 40}" for i in range(200)]
    train = rows(zones, label=[float(i % 40) for i in range(200)])
    design, matrix, specs = learnt(train, encode_above=39, one_hot_categories=2)
    assert design.columns == ("miles", "zone z0", "zone z1", "zone mean")
    assert learnt(train, encode_above=40, one_hot_categories=2)[0].columns == design.columns[:3]
    _, out_of_fold = fit(TargetEncoding("zone mean", of=("zone",)), train, seed=0)
    given = out_of_fold.to_numpy()
    assert matrix[:, 3] == pytest.approx((given - given.mean()) / given.std())
    at = design.matrix(train, specs)[:, 3]
    assert not np.array_equal(at, matrix[:, 3])
    assert len(set(at.tolist())) == 40
    changed = train.with_columns(label=pl.when(pl.int_range(pl.len()) == 5).then(1e6).otherwise("label"))
    same_zone = [i for i in range(200) if i % 40 == 5]
    mean, scale = design.means[0].mean, design.means[0].scale
    other_design, other, _ = learnt(changed, encode_above=39, one_hot_categories=2)
    own = other[5, 3] * other_design.means[0].scale + other_design.means[0].mean
    others = [other[i, 3] * other_design.means[0].scale + other_design.means[0].mean for i in same_zone[1:]]
    # Only by way of the mean of all is it moved, as little as any row of the fold.
    assert own - (matrix[5, 3] * scale + mean) < 1e6 / 200
    assert max(others) > 10 * 1e6 / 200


def test_declared_encodings_follow_and_several_classes_have_one_each():
    train = rows(["a", "b", "c"] * 30, label=[0.0, 1.0, 2.0] * 30)
    design, _, _ = learnt(train, [ROUTE])
    assert design.columns[-1] == "by_zone"
    assert design.sources[-1] == "by_zone"
    design, _, specs = learnt(train, [ROUTE], task="multiclass", classes=3)
    assert design.columns[-3:] == ("by_zone class 0", "by_zone class 1", "by_zone class 2")
    assert design.sources[-3:] == ("by_zone",) * 3
    of_a = design.matrix(rows(["a"]), specs)[0, -3:]
    assert of_a[0] > 1 > 0 > of_a[1]
    assert of_a[1] == pytest.approx(of_a[2], abs=0.2)


def test_what_does_not_vary_has_no_column():
    design, matrix, _ = learnt(rows(["a", "a"], [3.0, 3.0]))
    assert design.columns == ()
    assert matrix.shape == (2, 0)
    design, matrix, _ = learnt(rows([None, None], [None, None]))
    assert design.columns == ()


def test_it_comes_back_from_json_and_takes_each_row_alone(minutes):
    specs = learn_specs(minutes.train, minutes.features[:4], max_categories=1000)
    design, _ = learn_design(
        minutes.train, specs, minutes.features[4:], params=DesignParams(), task="regression", classes=2, seed=0
    )
    again = DesignMatrix.from_json(json.loads(json.dumps(design.to_json(), allow_nan=False)))
    whole = design.matrix(minutes.frame(), specs)
    assert np.array_equal(again.matrix(minutes.frame(), specs), whole)
    alone = np.vstack([design.matrix(minutes.frame()[i], specs) for i in range(40)])
    assert np.array_equal(alone, whole[:40])
    later = minutes.validation.with_columns(pl.col("label") * 7)
    assert np.array_equal(design.matrix(later, specs), whole)


def test_no_folds_without_units_and_no_parameters_out_of_bounds():
    with pytest.raises(TrainingError, match="without the column @unit"):
        learnt(rows(["a", "b"]).drop(UNIT), [ROUTE])
    with pytest.raises(ConfigError, match="max_categories: 0, not a whole number in 1 to 100000"):
        DesignParams(max_categories=0)


def test_shares_of_nothing_are_alike():
    assert shares({"a": 0.0, "b": 0.0}) == {"a": 0.5, "b": 0.5}
    assert shares({"a": 3.0, "b": 1.0}) == {"a": 0.75, "b": 0.25}
