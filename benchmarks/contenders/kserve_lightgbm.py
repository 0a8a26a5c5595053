"""KServe's Python server with a model of LightGBM, as its own LightGBM runtime (`lgbserver`, no package) has it.

Its access log is off. Runs in an environment of its own, see `requirements-serving.in`.
"""

import os
from pathlib import Path
from typing import Any

import kserve
import lightgbm as lgb
from kserve.utils.utils import get_predict_input, get_predict_response

from benchmarks.serving_files import MODEL, MODEL_DIR, TEXT


class Served(kserve.Model):  # type: ignore[misc]
    """A booster behind KServe's protocols."""

    def load(self) -> bool:
        """Read the text."""
        self.booster = lgb.Booster(params={"nthread": 1}, model_file=Path(os.environ[MODEL_DIR]) / TEXT)
        self.ready = True
        return self.ready

    def predict(self, payload: Any, headers: dict[str, str] | None = None) -> Any:  # noqa: ARG002 - it is called so
        """Predictions in the protocol of the request."""
        rows = get_predict_input(payload, columns=self.booster.feature_name())
        return get_predict_response(payload, self.booster.predict(rows), self.name)


if __name__ == "__main__":
    served = Served(MODEL)
    served.load()
    # Port and the like are options that it reads by itself.
    kserve.ModelServer(workers=1).start([served])
