"""FLAML over LightGBM, for as many seconds as ml_assets took.

Runs in an environment of its own, see `requirements.in`.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from flaml import AutoML

from benchmarks.contenders.arrays import Arrays, Floats, mae, read, tell


def automl(arrays: Arrays, out: Path) -> None:
    """As its documentation says, with the validation rows given; it trains the winner on both in the end."""
    found = AutoML()
    found.fit(
        _frame(arrays, arrays.train_x),
        arrays.train_y,
        X_val=_frame(arrays, arrays.validation_x),
        y_val=arrays.validation_y,
        task="regression",
        metric="mae",
        estimator_list=["lgbm"],
        time_budget=arrays.seconds,
        n_jobs=1,
        seed=0,
        verbose=0,
        # Its own objective is the squared error.
        custom_hp={"lgbm": {"objective": {"domain": "regression_l1"}}},
    )
    tell(
        out,
        mae=mae(arrays, found.predict(_frame(arrays, arrays.later_x)), out),
        trials=len(found.config_history),
        best={k: v for k, v in found.best_config.items() if not isinstance(v, dict)},
    )


def _frame(arrays: Arrays, values: Floats) -> pd.DataFrame:
    frame = pd.DataFrame(values, columns=arrays.names)
    for name in (arrays.names[i] for i in arrays.categories):
        # All codes there are, so that a category is the same one in every part.
        most = np.nanmax(arrays.train_x[:, arrays.names.index(name)])
        codes = list(np.arange(most + 1))
        frame[name] = pd.Categorical(frame[name], categories=codes)
    return frame


STEPS = {"automl": automl}
BEFORE = {"automl": read}
