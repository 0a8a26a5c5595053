"""Models by segment: each row is answered by its own, and the model for all answers where there is none."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ml_assets.core.errors import ConfigError
from ml_assets.core.models.segmented import SegmentedModel, route

TREES = {"kind": "lightgbm", "trees": 25, "leaves": 7, "min_rows_per_leaf": 10}


@pytest.mark.parametrize("params", [{}, TREES], ids=["linear", "lightgbm"])
def test_it_learns_every_task(rides, params):
    fit = rides.fit(rides.spec(per=("vendor",), **params))
    rides.check(fit)
    assert [s["values"] for s in fit.model.facts()["segments"]] == [["v0"], ["v1"], ["v2"]]
    assert fit.validation_loss == rides.loss(rides.scores(fit))


def test_estimators_of_scikit_learn_by_segment(minutes):
    estimator = "sklearn.tree.DecisionTreeRegressor"
    fit = minutes.fit(minutes.spec("sklearn", estimator=estimator, min_samples_leaf=5, per=("vendor",)))
    minutes.check(fit)
    assert sorted(fit.model.files()) == ["fallback.model.onnx"] + [f"segment{i}.model.onnx" for i in range(3)]


def test_each_segment_is_answered_by_what_its_own_rows_taught(minutes):
    spec = minutes.spec(objective="l2", per=("vendor",))
    fit, one = minutes.fit(spec), minutes.fit(replace(spec, per=()))
    assert minutes.loss(minutes.scores(fit)) < 0.9 * minutes.loss(minutes.scores(one))
    for vendor in ("v0", "v1"):
        train, judged = (f.filter(pl.col("vendor") == vendor) for f in (minutes.train, minutes.validation))
        alone = minutes.fit(replace(spec, per=()), train=train, validation=judged)
        found = minutes.scores(fit)[(minutes.validation["vendor"] == vendor).to_numpy()]
        assert np.array_equal(found, minutes.scores(alone, judged))


def test_rows_of_no_segment_go_to_the_model_for_all(minutes):
    spec = minutes.spec(objective="l2", per=("vendor",))
    train = minutes.train.with_columns(vendor=pl.when(pl.int_range(pl.len()) < 30).then(None).otherwise("vendor"))
    fit, one = minutes.fit(spec, train=train), minutes.fit(replace(spec, per=()), train=train)
    assert fit.model.facts()["rows_without"] == 30
    for value in (None, "v9"):
        odd = minutes.validation.with_columns(vendor=pl.lit(value, pl.String))
        assert np.array_equal(minutes.scores(fit, odd), minutes.scores(one, odd))
        mixed = minutes.validation.with_columns(
            vendor=pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit(value, pl.String)).otherwise("vendor")
        )
        assert np.array_equal(minutes.scores(fit, mixed)[::2], minutes.scores(one, mixed)[::2])
        assert np.array_equal(minutes.scores(fit, mixed)[1::2], minutes.scores(fit)[1::2])


def test_a_segment_of_too_few_rows_falls_back_and_says_why(minutes):
    train = minutes.train.filter((pl.col("vendor") != "v2") | (pl.int_range(pl.len()) < 100))
    validation = minutes.validation.filter((pl.col("vendor") != "v1") | (pl.int_range(pl.len()) < 9))
    fit = minutes.fit(minutes.spec(per=("vendor",), min_rows=200), train=train, validation=validation)
    few, none = train.filter(pl.col("vendor") == "v2").height, validation.filter(pl.col("vendor") == "v1").height
    facts = fit.model.facts()
    assert [s["values"] for s in facts["segments"]] == [["v0"]]
    assert [(s["values"], s["reason"]) for s in facts["fell_back"]] == [
        (["v1"], f"{none} validation rows, fewer than 20"),
        (["v2"], f"{few} training rows, fewer than 200"),
    ]
    rows = {s["values"][0]: s["rows"] for s in facts["fell_back"] + facts["segments"]}
    assert rows == {vendor: train.filter(pl.col("vendor") == vendor).height for vendor in ("v0", "v1", "v2")}


def test_a_segment_with_nothing_to_learn_falls_back(minutes):
    train = minutes.train.with_columns(label=pl.when(pl.col("vendor") == "v0").then(5.0).otherwise("label"))
    fit = minutes.fit(minutes.spec(per=("vendor",)), train=train)
    assert fit.model.facts()["fell_back"] == [
        {"values": ["v0"], "rows": train.filter(pl.col("vendor") == "v0").height, "reason": "one label only, 5"}
    ]
    weights = np.linspace(0.1, 1, 1200)
    weighted = minutes.fit(minutes.spec(per=("vendor",)), train=train, weights=weights)
    assert not np.array_equal(minutes.scores(weighted), minutes.scores(fit))


def test_combinations_of_two_features(minutes):
    wide = minutes.train.with_columns(zone=pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("z1")).otherwise(None))
    fit = minutes.fit(minutes.spec(per=("zone", "vendor"), min_rows=100), train=wide)
    assert [s["values"] for s in fit.model.facts()["segments"]] == []
    fit = minutes.fit(
        minutes.spec(per=("zone", "vendor"), min_rows=100), train=wide,
        validation=minutes.validation.with_columns(zone=pl.lit("z1")),
    )  # fmt: skip
    assert [s["values"] for s in fit.model.facts()["segments"]] == [["z1", f"v{i}"] for i in range(3)]
    assert fit.model.facts()["rows_without"] == 600


def test_routes():
    frame = pl.DataFrame({"a": ["x", None, "y", "x"], "b": ["1", "1", "1", "2"], "c": [1, 2, 3, 4]})
    assert route(frame, ("a", "b"), [("x", "1"), ("x", "2")]).tolist() == [0, 2, 2, 1]
    assert route(frame, ("a",), []).tolist() == [0, 0, 0, 0]


def test_only_category_features_make_segments(minutes):
    with pytest.raises(ConfigError, match=r"miles is no category feature\n.*nothing is no category feature"):
        minutes.fit(minutes.spec(per=("miles", "nothing")))
    assert isinstance(minutes.fit(minutes.spec(per=("zone",))).model, SegmentedModel)
