"""BentoML: a service as its documentation has it for such models, rows in and predictions out as NumPy arrays.

Its access log is off. Runs in an environment of its own, see `requirements-serving.in`.
"""

import os
import sys
from pathlib import Path

import bentoml
import lightgbm as lgb
import numpy as np

from benchmarks.serving_files import MODEL, MODEL_DIR, TEXT


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Served:
    """The model out of BentoML's store."""

    def __init__(self) -> None:
        self.booster = bentoml.lightgbm.load_model(f"{MODEL}:latest")

    @bentoml.api
    def predict(self, rows: np.ndarray) -> np.ndarray:  # type: ignore[type-arg] # it can't read one with its dtype
        """Predictions of rows `[rows, features]`."""
        return np.asarray(self.booster.predict(rows))


if __name__ == "__main__":
    booster = lgb.Booster(model_file=Path(os.environ[MODEL_DIR]) / TEXT)
    sys.stdout.write(str(bentoml.lightgbm.save_model(MODEL, booster)))
