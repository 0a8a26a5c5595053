"""How large the loss on a row probably is, learnt from rows that the model has not: the error estimate of a regression.

A small model of trees predicts the deciding loss of a row, such as its absolute error, from the row's features and the
model's prediction, as in NannyML's direct loss estimation
(https://nannyml.readthedocs.io/en/stable/how_it_works/performance_estimation.html). It sees a change of the features,
not of what the label makes of them. What estimators have in common is in `estimator`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.errors import TrainingError
from ml_assets.core.estimator import Estimator, Expected, without_each_block
from ml_assets.core.features import LABEL
from ml_assets.core.measures import Floats
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.models.trees import fit_trees
from ml_assets.core.models.trees_model import TreesModel
from ml_assets.core.parameters import ModelParams

SCORE = FeatureSpec("@score", "number", None)
"""The prediction, as an input; no feature can have this name."""
TREES, LEAVES = 40, 6
LEAST_ROWS_PER_LEAF = 20
LEAF_SHARE = 100
"""At least one of so many rows is in each leaf."""


@dataclass(frozen=True, eq=False)
class LossModel(Estimator):
    """Small models of the loss, one fitted without each block of rows; their mean is the answer.

    Args:
        metric, rows: see `Estimator`.
        models: trees, or one number where nothing tells losses apart.
        spread: standard deviation of a loss about what is expected of it, as a share of that: large where losses are.
    """

    kind: ClassVar[str] = "loss_model"

    metric: str
    rows: int
    models: tuple[TreesModel | float, ...]
    spread: float

    def expected(self, frame: pl.DataFrame, scores: Floats, specs: Sequence[FeatureSpec], *, threads: int) -> Expected:
        """See `Estimator.expected`."""
        inputs, known = frame.with_columns(pl.Series(SCORE.name, scores)), (*specs, SCORE)
        by_block = np.stack([_answers(m, inputs, known, threads) for m in self.models])
        return Expected(by_block, (self.spread * by_block.mean(axis=0)) ** 2)

    def facts(self) -> dict[str, Any]:
        """Which files there are, and the numbers."""
        models = [m if isinstance(m, float) else _file(k) for k, m in enumerate(self.models)]
        return {
            "kind": self.kind, "metric": self.metric, "rows": self.rows, "models": models, "spread": self.spread
        }  # fmt: skip

    def files(self) -> dict[str, bytes]:
        """The trees, as LightGBM's own text."""
        return {_file(k): m.text.encode() for k, m in enumerate(self.models) if not isinstance(m, float)}

    @classmethod
    def read(cls, facts: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        """Read what `facts` and `files` gave."""
        models = (
            TreesModel.made(files[m].decode(), (), linear=False) if isinstance(m, str) else float(m)
            for m in facts["models"]
        )
        return cls(facts["metric"], facts["rows"], tuple(models), facts["spread"])

    @classmethod
    def fit(
        cls, frame: pl.DataFrame, scores: Floats, loss: Floats, specs: Sequence[FeatureSpec], *, metric: str,
        seed: int, threads: int,
    ) -> Self:  # fmt: skip
        """Learn the losses of some rows.

        Args:
            frame: exactly the columns of `specs`, of rows that the model has not learnt from, in the order of time.
            scores: the model's predictions of these rows.
            loss: the deciding loss of each row.
            specs: the model's features; their vocabularies are used as they are.
            metric: whose loss.
            seed: of everything random.
            threads: how many may be used; the outcome does not depend on it.
        """
        rows = frame.with_columns(pl.Series(SCORE.name, scores), pl.Series(LABEL, loss))
        known = (*specs, SCORE)
        models, apart, answered = [], 0.0, 0.0
        for kept in without_each_block(rows.height):
            model = _fitted(rows.filter(pl.Series(kept)), known, seed, threads)
            left_out = rows.filter(pl.Series(~kept))
            answers = _answers(model, left_out.drop(LABEL), known, threads)
            apart += float(((left_out[LABEL].to_numpy() - answers) ** 2).sum())
            answered += float((answers**2).sum())
            models.append(model)
        spread = float(np.sqrt(apart / answered)) if answered > 0 else 0.0
        return cls(metric, rows.height, tuple(models), spread)


def _fitted(rows: pl.DataFrame, specs: tuple[FeatureSpec, ...], seed: int, threads: int) -> TreesModel | float:
    params = ModelParams(
        objective="l2", trees=TREES, leaves=LEAVES, feature_fraction=1.0, category_l2=50.0, early_stopping_rounds=0,
        min_rows_per_leaf=max(LEAST_ROWS_PER_LEAF, rows.height // LEAF_SHARE),
    )  # fmt: skip
    spec = ModelSpec("loss", "lightgbm", "regression", params)
    try:
        fit = fit_trees(spec, rows, None, features=(), seed=seed, threads=threads, specs=specs)
    except TrainingError:
        # Nothing tells the losses apart: then all rows are alike.
        return float(rows[LABEL].mean())  # type: ignore[arg-type]
    if not isinstance(fit.model, TreesModel):
        raise TypeError(f"trees became {type(fit.model).__name__}")
    return fit.model


def _answers(model: TreesModel | float, inputs: pl.DataFrame, specs: tuple[FeatureSpec, ...], threads: int) -> Floats:
    if isinstance(model, float):
        return np.full(inputs.height, model)
    return np.maximum(model.scores(inputs, specs, threads=threads), 0.0)


def _file(block: int) -> str:
    return f"loss_{block}.txt"
