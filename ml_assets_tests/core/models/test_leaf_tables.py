"""Tables of leaves score as LightGBM does, to the bit, on and beside every threshold; others are left to it."""

from math import exp

import lightgbm as lgb
import numpy as np
import pytest

from ml_assets.core.models.leaf_tables import _LEAST, LEAST_TOGETHER, MOST_TOGETHER, LeafTables, _logistic, are_tabled
from ml_assets.core.models.lightgbm_library import Trees
from ml_assets.core.models.trees_text import read_trees

ROWS, CATEGORIES = 1500, 40


def rows() -> tuple[np.ndarray, np.ndarray]:
    """Numbers without and with gaps, whole numbers, and a category; a label that needs them all."""
    rng = np.random.default_rng(0)
    x = np.column_stack(
        [rng.normal(size=ROWS), rng.gamma(2, 2, ROWS), rng.integers(0, 9, ROWS), rng.integers(0, CATEGORIES, ROWS)]
    ).astype(float)
    x[rng.random(ROWS) < 0.1, 1] = np.nan
    y = np.sin(3 * x[:, 0]) + np.nan_to_num(x[:, 1], nan=7.0) / 3 + (x[:, 2] > 4) + (x[:, 3] % 5) / 2
    return x, y + rng.normal(0, 0.1, ROWS)


def grown(trees: int = 30, **params) -> str:
    x, y = rows()
    if params.get("objective") == "binary":
        y = (y > np.median(y)).astype(float)
    if params.get("objective") in ("poisson", "multiclass"):
        y = np.clip(np.round(np.abs(y)), 0, 2)
    settings = {"verbosity": -1, "num_threads": 1, "num_leaves": 31, "min_data_in_leaf": 5, "seed": 0, **params}
    return lgb.train(settings, lgb.Dataset(x, y, categorical_feature=[3]), trees).model_to_string()


def odd(text: str) -> np.ndarray:
    """Rows on, just below and just above thresholds, missing ones, and categories that nobody knows."""
    rng = np.random.default_rng(1)
    x = rng.permuted(rows()[0], axis=0)[:400]
    for feature in range(3):
        told = sorted({n.threshold for t in read_trees(text).trees for n in t.nodes if n.feature == feature})
        if told:
            picked = rng.choice(told, 300)
            x[:300, feature] = np.concatenate(
                [picked[:100], np.nextafter(picked[100:200], -np.inf), np.nextafter(picked[200:], np.inf)]
            )
    x[300:320] = np.nan
    x[320:340, 0], x[340:350, 1], x[350:360, 2] = np.nan, -0.0, 1e300
    x[360:370, 3], x[370:380, 3], x[380:390, 3] = np.nan, CATEGORIES + 60, -1.0
    return x


@pytest.mark.parametrize(
    "params",
    [
        {"objective": "l2"},
        {"objective": "l1"},
        {"objective": "huber"},
        {"objective": "quantile", "alpha": 0.8},
        {"objective": "binary"},
        {"objective": "binary", "sigmoid": 2.0},
        {"objective": "l2", "num_leaves": 64},
        {"objective": "l2", "num_leaves": 2},
        {"objective": "l2", "use_missing": False},
        {"objective": "l2", "max_cat_to_onehot": 100},
        {"objective": "l2", "min_data_in_leaf": 2000},
    ],
    ids=str,
)
def test_scores_are_those_of_lightgbm_to_the_bit(params):
    text = grown(**params)
    told = read_trees(text)
    assert are_tabled(told)
    matrix = odd(text)
    tables = LeafTables(told)
    found = np.array([tables.score(row)[0] for row in matrix.tolist()])
    expected = Trees(text).scores(matrix, threads=1)

    assert found.tobytes() == expected.tobytes()
    assert len(set(found)) > 20 or params.get("num_leaves") == 2 or params.get("min_data_in_leaf") == 2000


@pytest.mark.parametrize(
    "params",
    [
        {"objective": "l1"},
        {"objective": "binary"},
        {"objective": "l2", "use_missing": False},
        {"objective": "l2", "max_cat_to_onehot": 100},
        {"objective": "l2", "min_data_in_leaf": 2000},
    ],
    ids=str,
)
def test_rows_that_are_scored_together_score_as_each_alone(params):
    text = grown(**params)
    tables = LeafTables(read_trees(text))
    asked = [*odd(text).tolist(), [np.inf, -np.inf, 0.0, -0.5], [0.0, 1.0, np.inf, 1e300], [0.0, 0.0, 0.0, 4.5]]
    assert tables.score_each([]) == []
    # Rows that lack nothing take another way than those that do.
    for rows in (asked, [row for row in asked if not np.isnan(row).any()]):
        alone = [tables.score(row)[0] for row in rows]
        for together in (LEAST_TOGETHER - 1, LEAST_TOGETHER, MOST_TOGETHER, MOST_TOGETHER + 1, 3 * MOST_TOGETHER):
            found = [s for at in range(0, len(rows), together) for s in tables.score_each(rows[at : at + together])]
            assert found == alone


@pytest.mark.parametrize(
    "params",
    [
        {"objective": "l2", "num_leaves": 80, "min_data_in_leaf": 2},
        {"objective": "l2", "zero_as_missing": True},
        {"objective": "l2", "linear_tree": True},
        {"objective": "l2", "reg_sqrt": True},
        {"objective": "rf", "boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1},
        {"objective": "poisson"},
        {"objective": "multiclass", "num_class": 3},
    ],
    ids=str,
)
def test_other_trees_are_left_to_lightgbm(params):
    objective = "l2" if params["objective"] == "rf" else params["objective"]
    assert not are_tabled(read_trees(grown(trees=3, **{**params, "objective": objective})))


def test_tables_that_would_be_too_large_are_not_made(monkeypatch):
    told = read_trees(grown())
    assert are_tabled(told)
    size = LeafTables(told)._tables.nbytes
    monkeypatch.setattr("ml_assets.core.models.leaf_tables.MOST_BYTES", size - 1)
    assert not are_tabled(told)


@pytest.mark.parametrize("value", [-1e9, -800.0, _LEAST, -30.0, -0.0, 0.0, 30.0, 800.0])
def test_the_logistic_function_is_that_of_c_where_pythons_raises(value):
    assert _logistic(value) == pytest.approx(1 / (1 + exp(-value)) if value > -700 else 0.0, abs=1e-300)


def test_a_text_that_is_none_is_refused():
    with pytest.raises((KeyError, ValueError)):
        read_trees("tree\nversion=v4\n")
