"""Rows of named values score as `Bundle.predict` scores them, to the bit, whatever the model; others are refused."""

import json
import threading

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.core.bundle import Bundle
from ml_assets.core.errors import BundleError, InputRefused
from ml_assets.core.features import Feature
from ml_assets.core.models.combination_weights import fit_weights
from ml_assets.core.models.ensemble import EnsembleModel
from ml_assets.core.models.leaf_tables import LeafTables
from ml_assets.core.models.lightgbm_library import RowScorer, Trees
from ml_assets.core.models.part import Part
from ml_assets.core.models.row_values import OneRow
from ml_assets.core.models.single_row import (
    MATRIX_FROM_ROWS,
    EnsembleScorer,
    FrameScorer,
    SegmentedScorer,
    TreesScorer,
    scorer_of,
)
from ml_assets.core.target_encoding import TargetEncoding

NAMES = ("zone", "vendor", "miles", "hour")
TREES = {"trees": 25, "leaves": 15, "min_rows_per_leaf": 10}


def bundle_of(fit, task: str) -> Bundle:
    facts = {
        "features": [s.to_json() for s in fit.specs], "model": fit.model.facts(), "task": task, "naive": 1.0,
        "pipeline": "rides",
    }  # fmt: skip
    return Bundle(json.loads(json.dumps(facts)), fit.model.files())


def columns_of(frame: pl.DataFrame) -> dict[str, list]:
    return {name: frame[name].to_list() for name in frame.columns}


def odd(rides) -> pl.DataFrame:
    """The validation rows, with unknown and empty categories, nulls, NaN and extreme numbers among them."""
    more = pl.DataFrame(
        {
            "zone": ["nowhere", None, "", "z1", "z3"],
            "vendor": [None, "v9", "v1", "v1", "v0"],
            "miles": [None, float("nan"), 0.0, -0.0, 1e30],
            "hour": [5e-324, -1e30, None, 23.0, 1e-40],
        },
        schema={"zone": pl.String, "vendor": pl.String, "miles": pl.Float64, "hour": pl.Float64},
    )
    return pl.concat([rides.frame(), more])


def same(found: list, expected: list) -> bool:
    """To the bit; where a model says NaN of extreme numbers, both do."""
    return np.array_equal(np.array(found), np.array(expected), equal_nan=True)


def check(bundle: Bundle, frame: pl.DataFrame, *, rows: int | None = None) -> None:
    scorer, expected = scorer_of(bundle), bundle.predict(frame).tolist()
    columns = columns_of(frame)
    assert same(scorer.scores(columns, frame.height), expected)
    few = range(frame.height) if rows is None else [*range(rows), *range(frame.height - 5, frame.height)]
    alone = [scorer.scores({n: [v[at]] for n, v in columns.items()}, 1)[0] for at in few]
    assert same(alone, [expected[at] for at in few])
    names = scorer.names
    in_order = [scorer.scores(OneRow(names, [columns[n][at] for n in names]), 1)[0] for at in few]
    assert same(in_order, alone)
    turned = names[::-1]
    assert same([scorer.scores(OneRow(turned, [columns[n][at] for n in turned]), 1)[0] for at in few], alone)
    assert len(set(map(str, alone))) > 4


@pytest.mark.parametrize("params", [{}, {"linear_tree": True}, {"boosting": "rf", "bagging_fraction": 0.5}], ids=str)
def test_trees_of_every_task(rides, params):
    objective = "l2" if rides.task == "regression" else None
    bundle = bundle_of(rides.fit(rides.spec("lightgbm", objective=objective, **TREES, **params)), rides.task)
    assert isinstance(scorer_of(bundle), TreesScorer)
    check(bundle, odd(rides))


@pytest.mark.parametrize("objective", ["l2", "huber", "quantile", "poisson"])
def test_objectives_that_transform_their_sums(minutes, objective):
    more = {"alpha": 0.8} if objective == "quantile" else {}
    spec = minutes.spec("lightgbm", objective=objective, **TREES, **more)
    check(bundle_of(minutes.fit(spec), minutes.task), odd(minutes), rows=40)


def test_target_encodings_follow_the_features(minutes):
    features = (*minutes.features, TargetEncoding("mean_by_zone", of=("zone",)))
    bundle = bundle_of(minutes.fit(minutes.spec("lightgbm", **TREES), features=features), "regression")
    assert len(bundle.model.encodings) == 2
    check(bundle, odd(minutes))


def test_features_without_encodings(minutes):
    features = (Feature("miles", pl.col("miles"), kind="number"),)
    bundle = bundle_of(minutes.fit(minutes.spec("lightgbm", **TREES), features=features), "regression")
    check(bundle, odd(minutes).select("miles"))


@pytest.mark.parametrize("kind", ["linear", "sklearn", "segmented", "ensemble"])
def test_models_that_are_no_trees(rides, kind):
    def fitted(kind, **params):
        return rides.fit(rides.spec(kind, **params))

    if kind == "sklearn":
        which = "Regressor" if rides.task == "regression" else "Classifier"
        estimator = f"sklearn.ensemble.ExtraTrees{which}"
        fit = fitted(kind, estimator=estimator, n_estimators=8)
    elif kind == "segmented":
        fit = fitted("lightgbm", per=("vendor",), **TREES)
    else:
        fit = fitted("linear")
    bundle = bundle_of(fit, rides.task)
    if kind == "ensemble":
        fits = {"lines": fit, "trees": fitted("lightgbm", **TREES)}
        told = {name: rides.scores(f) for name, f in fits.items()}
        metric = {"regression": "mae", "binary": "log_loss", "multiclass": "log_loss"}[rides.task]
        label = rides.validation["label"].to_numpy()
        combination = fit_weights(told, label, method="blending", task=rides.task, metric=metric)
        model = EnsembleModel(combination, {name: Part.of(f) for name, f in fits.items()})
        facts = {**bundle.facts, "model": json.loads(json.dumps(model.facts()))}
        bundle = Bundle(facts, model.files())
    kinds = {"segmented": SegmentedScorer, "ensemble": EnsembleScorer}
    assert type(scorer_of(bundle)) is kinds.get(kind, FrameScorer)
    check(bundle, odd(rides)[-60:] if kind == "sklearn" else odd(rides), rows=20)


@pytest.fixture(scope="module")
def trees(minutes) -> Bundle:
    return bundle_of(minutes.fit(minutes.spec("lightgbm", **TREES)), "regression")


NUMBERS = st.none() | st.floats(allow_infinity=False) | st.integers(-(2**70), 2**70) | st.booleans()
TEXT = st.none() | st.text(max_size=4) | st.sampled_from([f"z{i}" for i in range(60)] + ["v0", "v1", "v2"])


@given(st.lists(st.tuples(TEXT, TEXT, NUMBERS, NUMBERS), min_size=1, max_size=MATRIX_FROM_ROWS + 2))
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_odd_values(trees, rows):
    columns = {name: [row[i] for row in rows] for i, name in enumerate(NAMES)}
    numbers = {n: [None if v is None else float(v) for v in columns[n]] for n in ("miles", "hour")}
    schema = {"zone": pl.String, "vendor": pl.String, "miles": pl.Float64, "hour": pl.Float64}
    try:
        frame = pl.DataFrame({**columns, **numbers}, schema=schema)
    except pl.exceptions.PolarsError:  # text with lone surrogates, which Arrow can't hold
        frame = None
    found = scorer_of(trees).scores(columns, len(rows))
    if frame is not None:
        assert found == trees.predict(frame).tolist()
    assert found == [scorer_of(trees).scores({n: [v[i]] for n, v in columns.items()}, 1)[0] for i in range(len(rows))]


WRONG = {
    "zone": [5, True, 1.5, ["z1"], {"a": 1}, b"z1"],
    "miles": ["3.5", float("inf"), float("-inf"), 10**400, [1.0], {"a": 1}, ""],
}


@pytest.mark.parametrize(
    ("column", "value"), [(c, v) for c, values in WRONG.items() for v in values], ids=lambda v: repr(v)[:12]
)
@pytest.mark.parametrize("rows", [1, MATRIX_FROM_ROWS])
def test_a_wrong_value_is_refused_by_name_and_row(trees, minutes, column, value, rows):
    columns = columns_of(minutes.frame()[:rows])
    columns[column][-1] = value
    with pytest.raises(
        InputRefused, match=rf"column {column}, row {rows - 1}: .*, not (text|a finite number) or null"
    ) as e:
        scorer_of(trees).scores(columns, rows)
    assert e.value.status == 400


def test_all_faults_are_told_at_once(trees, minutes):
    columns = columns_of(minutes.frame()[:3])
    del columns["hour"]
    columns["zone"] = ["z1", 7, "z2"]
    columns["miles"] = ["x" * 1000, 1.0]
    with pytest.raises(InputRefused) as e:
        scorer_of(trees).scores(columns, 3)
    assert e.value.found == [
        "column zone, row 1: 7, not text or null",
        "column miles has 2 values, not 3",
        "column hour is missing",
    ]
    columns = {"zone": [1] * 500, "vendor": ["v"] * 500, "miles": ["x" * 1000] * 500, "hour": [1.0] * 500}
    with pytest.raises(InputRefused, match="and 22 more such faults") as e:
        scorer_of(trees).scores(columns, 500)
    assert len(str(e.value)) < 5000


def test_one_row_is_columns_of_one_value(trees):
    row = OneRow(("zone", "miles"), ["z1", 2.0])
    assert dict(row) == {"zone": ("z1",), "miles": (2.0,)}
    assert (len(row), list(row), "hour" in row) == (2, ["zone", "miles"], False)
    with pytest.raises(InputRefused, match="column vendor is missing"):
        scorer_of(trees).scores(row, 1)


@pytest.mark.parametrize("column", WRONG)
def test_a_wrong_value_of_a_row_in_order_is_refused_by_its_name(trees, minutes, column):
    values = {**{n: v[0] for n, v in columns_of(minutes.frame()[:1]).items()}, column: WRONG[column][0]}
    names = scorer_of(trees).names
    with pytest.raises(InputRefused, match=f"column {column}, row 0"):
        scorer_of(trees).scores(OneRow(names, [values[n] for n in names]), 1)


@pytest.mark.parametrize("length", [0, 2])
def test_a_column_of_another_length_is_refused_also_where_one_row_is_asked_for(trees, minutes, length):
    columns = columns_of(minutes.frame()[:1])
    columns["hour"] = [1.0] * length
    with pytest.raises(InputRefused, match=rf"column hour has {length} values, not 1"):
        scorer_of(trees).scores(columns, 1)


def test_the_same_refusals_of_models_that_are_no_trees(minutes):
    bundle = bundle_of(minutes.fit(minutes.spec("linear")), "regression")
    columns = columns_of(minutes.frame()[:2])
    columns["miles"] = [1.0, float("inf")]
    with pytest.raises(InputRefused, match="column miles, row 1: inf, not a finite number"):
        scorer_of(bundle).scores(columns, 2)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("value", [5, ["v1"], {"a": 1}], ids=str)
def test_a_segment_of_no_text_is_refused_by_name_and_row(minutes, value, rows):
    bundle = bundle_of(minutes.fit(minutes.spec("lightgbm", per=("vendor",), **TREES)), "regression")
    columns = columns_of(minutes.frame()[:rows])
    columns["vendor"][-1] = value
    with pytest.raises(InputRefused, match=rf"column vendor, row {rows - 1}: .*, not text or null"):
        scorer_of(bundle).scores(columns, rows)


def test_no_rows_no_scores(trees):
    assert scorer_of(trees).scores({name: [] for name in NAMES}, 0) == []


def test_threads_do_not_see_each_others_rows(trees, minutes):
    scorer, frame = scorer_of(trees), minutes.frame()
    columns, expected = columns_of(frame), trees.predict(frame).tolist()
    wrong = []

    def ask(first: int) -> None:
        for at in range(first, frame.height, 4):
            one = {n: [v[at]] for n, v in columns.items()}
            if scorer.scores(one, 1) != [expected[at]]:
                wrong.append(at)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


def test_trees_give_back_their_memory_and_refuse_another_matrix(trees):
    text = trees.model.text
    for _ in range(3):
        Trees(text).row_scorer().score([0.0] * 5)
    with pytest.raises(BundleError, match=r"(?i)number of features"):
        Trees(text).scores(np.zeros((2, 3)), threads=1)
    with pytest.raises(ValueError, match="size"):
        Trees(text).row_scorer().score([0.0] * 3)


def test_only_a_model_that_is_the_whole_bundle_has_tables(minutes):
    whole = bundle_of(minutes.fit(minutes.spec("lightgbm", **TREES)), "regression")
    parts = bundle_of(minutes.fit(minutes.spec("lightgbm", per=("vendor",), **TREES)), "regression")

    assert isinstance(scorer_of(whole)._one, LeafTables)
    assert {type(s._one) for s in scorer_of(parts)._segments.values()} == {RowScorer}
