"""Which features a model's answers come from: SHAP values of trees, permutation importance of all other models.

How much of the loss each feature took away while the model was trained is its `importances`; a picture of what is
computed here is in `evaluation_pictures`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import polars as pl

from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.measures import Floats
from ml_assets.core.metrics import losses
from ml_assets.core.models.fitted import FittedModel

SAMPLE = 1000


@runtime_checkable
class Contributing(Protocol):
    """A fitted model that can divide each score among its inputs."""

    def contributions(
        self, frame: pl.DataFrame, specs: tuple[FeatureSpec, ...], *, threads: int
    ) -> tuple[tuple[str, ...], Floats]:
        """Names of the inputs, and their shares of each score: `[rows, inputs]`, or `[rows, classes, inputs]`."""


@dataclass(frozen=True)
class Explanation:
    """How much each input moves the scores of some rows.

    Args:
        kind: `shap`: mean absolute SHAP value, in the unit of the raw score (of a classification log odds);
            `permutation`: how much the mean deciding loss grows when the input's values are shuffled among rows.
        shares: input -> that figure, the greatest first.
        rows: how many it was computed on.
        contributions: SHAP values `[rows, inputs]`, inputs in the order of `shares`; None where there are none by
            row, or one per class.
        values: the inputs' values as numbers 0 to 1 by rank, likewise; NaN where missing, or where the input is a
            category or encoding.
    """

    kind: Literal["shap", "permutation"]
    shares: Mapping[str, float]
    rows: int
    contributions: Floats | None = None
    values: Floats | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON, without what it is of each row."""
        return {"kind": self.kind, "shares": dict(self.shares), "rows": self.rows}


def explain(
    model: FittedModel,
    specs: tuple[FeatureSpec, ...],
    frame: pl.DataFrame,
    label: Floats,
    *,
    metric: str,
    alpha: float | None = None,
    seed: int = 0,
    threads: int = 1,
    sample: int = SAMPLE,
) -> Explanation:
    """Explain a model on a random sample of rows.

    Args:
        model: what scores.
        specs: its features.
        frame: rows with at least the columns of `specs`, at least one.
        label: `[rows]`; asked where the model has no SHAP values.
        metric, alpha: the deciding loss.
        seed: of the sample and of the shuffles.
        threads: how many may be used; nothing depends on it.
        sample: rows at most.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(frame.height)[:sample])
    rows = frame[chosen].select(s.name for s in specs)
    if isinstance(model, Contributing):
        return _of_shap(*model.contributions(rows, specs, threads=threads), rows, specs)
    shares = permutation_importance(
        model, specs, rows, label[chosen], metric=metric, alpha=alpha, seed=seed, threads=threads
    )
    return Explanation("permutation", shares, rows.height)


def permutation_importance(
    model: FittedModel,
    specs: tuple[FeatureSpec, ...],
    rows: pl.DataFrame,
    label: Floats,
    *,
    metric: str,
    alpha: float | None,
    seed: int,
    threads: int,
) -> dict[str, float]:
    """Feature -> growth of the mean loss when its values are shuffled among the rows (Breiman 2001), greatest first."""

    def mean_loss(given: pl.DataFrame) -> float:
        return float(losses(metric, label, model.scores(given, specs, threads=threads), alpha=alpha).mean())

    rng = np.random.default_rng(seed)
    before = mean_loss(rows)
    grown = {
        s.name: mean_loss(rows.with_columns(rows[s.name].gather(rng.permutation(rows.height)))) - before for s in specs
    }
    return _greatest_first(grown)


def _of_shap(names: tuple[str, ...], found: Floats, rows: pl.DataFrame, specs: tuple[FeatureSpec, ...]) -> Explanation:
    size = np.abs(found).mean(axis=0)
    shares = _greatest_first(dict(zip(names, (size.mean(axis=0) if found.ndim == 3 else size).tolist(), strict=True)))
    if found.ndim == 3:
        return Explanation("shap", shares, rows.height)
    order = [names.index(name) for name in shares]
    numbers = {s.name for s in specs if s.kind == "number"}
    ranks = [_rank(rows[name]) if name in numbers else np.full(rows.height, np.nan) for name in shares]
    return Explanation("shap", shares, rows.height, found[:, order], np.column_stack(ranks))


def _rank(values: pl.Series) -> Floats:
    """Place of each value among all, 0 to 1; NaN where it is missing."""
    rank = values.rank("average").cast(pl.Float64) - 1
    most = max(values.len() - values.null_count() - 1, 1)
    return (rank / most).fill_null(float("nan")).to_numpy()


def _greatest_first(shares: Mapping[str, float]) -> dict[str, float]:
    return {name: float(shares[name]) for name in sorted(shares, key=lambda name: (-shares[name], name))}
