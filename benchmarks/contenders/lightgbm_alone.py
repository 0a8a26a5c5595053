"""LightGBM alone on the matrices that it gets from ml_assets, with the same parameters and number of trees."""

import json
from pathlib import Path
from typing import Any

import lightgbm as lgb

from benchmarks.contenders.arrays import Arrays, read, tell
from benchmarks.files import GROWN

SETTINGS: dict[str, Any] = {
    "objective": "l1",
    "learning_rate": 0.1,
    "num_leaves": 63,
    "min_data_in_leaf": 50,
    "feature_fraction": 0.7,
    "cat_l2": 10.0,
    "seed": 0,
    "num_threads": 1,
    "deterministic": True,
    "force_col_wise": True,
    "verbosity": -1,
}
"""The defaults of `ml_assets.core.parameters.ModelParams`."""


def train(given: tuple[Arrays, int], out: Path) -> None:
    """As many trees as ml_assets has grown, and nothing else."""
    arrays, grown = given
    booster = lgb.train({**SETTINGS, "metric": "None"}, _rows(arrays), grown)
    tell(out, trees=booster.current_iteration(), grown=booster.current_iteration())


def train_and_stop(given: tuple[Arrays, int], out: Path) -> None:
    """At most 300 trees, stopped by LightGBM's own metric on the validation rows."""
    arrays, _ = given
    rows = _rows(arrays)
    booster = lgb.train(
        {**SETTINGS, "metric": "l1"},
        rows,
        300,
        valid_sets=[rows.create_valid(arrays.validation_x, arrays.validation_y)],
        callbacks=[lgb.early_stopping(30, verbose=False)],
    )
    tell(out, trees=booster.best_iteration)


def _rows(arrays: Arrays) -> lgb.Dataset:
    return lgb.Dataset(arrays.train_x, arrays.train_y, feature_name=arrays.names, categorical_feature=arrays.categories)


def read_with_trees(folder: Path) -> tuple[Arrays, int]:
    """The arrays, and how many trees ml_assets has grown on them."""
    return read(folder), json.loads((folder / GROWN).read_text())


STEPS = {"train": train, "train and stop": train_and_stop}
BEFORE = {"train": read_with_trees, "train and stop": read_with_trees}
