"""How right the scores of a partition were, on the labels known by its end.

How metrics are computed is in `metrics`; where scores come from is in `scoring`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from ml_assets.core.classification_metrics import Costs
from ml_assets.core.errors import ContractError
from ml_assets.core.features import EVENT_AT, LABEL, LABEL_KNOWN_AT, ROW_NUMBER, SLICE_PREFIX
from ml_assets.core.metrics import losses, metrics_of
from ml_assets.core.scoring import CONTENDERS
from ml_assets.core.slices import Sliced, by_slice
from ml_assets.core.tasks import Task


@dataclass(frozen=True)
class Performance:
    """The realised error of one partition.

    Args:
        rows: rows scored.
        rows_mature: rows whose label was known by the partition's end; the metrics are over these.
        metrics: contender -> metric -> value; empty where nothing was scored.
        slices: slice column -> value -> contender -> value of `metric`, with `rows`.
        bundle: the champion that scored; None where nothing was scored.
    """

    rows: int
    rows_mature: int
    metrics: dict[str, dict[str, float]]
    slices: dict[str, dict[str, dict[str, float]]]
    bundle: str | None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "rows": self.rows,
            "rows_mature": self.rows_mature,
            "metrics": self.metrics,
            "slices": self.slices,
            "bundle": self.bundle,
        }


def measure(
    features: pl.LazyFrame,
    predictions: pl.LazyFrame,
    *,
    known_by: datetime,
    task: Task,
    metric: str,
    slices: Sequence[str],
    alpha: float | None = None,
    costs: Costs | None = None,
) -> Performance:
    """Compare scores with the labels known by an instant.

    Args:
        features: the partition's features table.
        predictions: the partition's predictions table; of a multiclass problem a prediction is an array.
        known_by: the instant; a label known later does not count.
        task: what kind of problem.
        metric: the deciding metric, which the slices are given in.
        slices: columns stored in the features table by which the error is broken down.
        alpha: the quantile that is predicted, 0 to 1.
        costs: of wrong answers of a binary classifier.

    Raises:
        ContractError: predictions are not of these features, or not what the task's are.
    """
    scored = predictions.collect(engine="streaming")
    if scored.is_empty():
        return Performance(0, 0, {}, {}, None)
    columns = [ROW_NUMBER, EVENT_AT, LABEL, LABEL_KNOWN_AT, *(SLICE_PREFIX + s for s in slices)]
    labelled = features.select(columns).collect(engine="streaming")
    row = [ROW_NUMBER, EVENT_AT]
    both = scored.join(labelled, on=row, how="inner", maintain_order="left")
    matching = both.n_unique(row)
    if not matching == both.height == scored.height == labelled.height:
        raise ContractError(
            "predictions of a partition",
            found=f"{scored.height} scores for {labelled.height} rows of features, {matching} of which match",
            expected="one score for each row",
            cure="materialize predictions again for this partition, then performance",
        )
    mature = both.filter(pl.col(LABEL).is_not_null() & (pl.col(LABEL_KNOWN_AT) <= known_by))
    metrics: dict[str, dict[str, float]] = {}
    by_value: dict[str, dict[str, dict[str, float]]] = {s: {} for s in slices}
    if mature.height:
        label = mature[LABEL].to_numpy()
        scores = {who: mature[column].to_numpy() for who, column in CONTENDERS.items()}
        metrics = {who: metrics_of(task, label, p, alpha=alpha, costs=costs) for who, p in scores.items()}
        loss = {who: losses(metric, label, p, alpha=alpha) for who, p in scores.items()}
        by_value = {s: by_slice(Sliced.by(mature[SLICE_PREFIX + s]), loss, metric) for s in slices}
    return Performance(
        rows=both.height,
        rows_mature=mature.height,
        metrics=metrics,
        slices=by_value,
        bundle=scored["model_version"][0],
    )
