"""How right the scores of some rows were, on the labels known by an instant: in all, by slice, by champion.

How metrics are computed is in `metrics`, which labels are known in `maturity`; where scores come from is in
`scoring`. What the error of rows without a label probably is, is in `estimated_performance`, what was promised of it
in `promises`; all of it together is `monitored`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from ml_assets.core.bootstrap import Interval, Resamples, interval
from ml_assets.core.classification_metrics import Costs
from ml_assets.core.errors import ContractError
from ml_assets.core.features import EVENT_AT, LABEL, LABEL_KNOWN_AT, ROW_NUMBER, SLICE_PREFIX
from ml_assets.core.maturity import REFRESH_SHARE, Maturity, is_mature, maturity_of
from ml_assets.core.measures import Measure
from ml_assets.core.metrics import losses, measures_of
from ml_assets.core.scoring import CONTENDERS, VERSION, contenders
from ml_assets.core.slices import Sliced, by_slice
from ml_assets.core.tasks import Task

CHAMPION = "champion"


@dataclass(frozen=True)
class OfBundle:
    """The realised error of one champion on the rows that it scored.

    Args:
        rows: that it scored.
        rows_mature: of them, with a known label.
        metrics: metric -> value; empty without known labels.
        interval: of the deciding metric; None without known labels, or where too few draws define it.
    """

    rows: int
    rows_mature: int
    metrics: Mapping[str, float]
    interval: Interval | None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {**vars(self), "metrics": dict(self.metrics), "interval": _json(self.interval)}


@dataclass(frozen=True)
class Performance:
    """The realised error of one partition.

    Args:
        rows: rows scored.
        rows_mature: rows whose label was known by the instant; the metrics are over these.
        metrics: contender -> metric -> value; empty where nothing was scored, or no label is known. `replaced` is
            among them where the champion before scored every row.
        slices: slice column -> value -> contender -> value of `metric`, with `rows`.
        bundle: the champion that scored most of the rows; None where nothing was scored.
        differences: other contender -> the champion's deciding loss minus its, on the same rows: below 0 where the
            champion is better.
        by_bundle: champion -> its own rows' error; the one with most rows first.
        maturity: of the labels; None where nothing was scored.
    """

    rows: int
    rows_mature: int
    metrics: dict[str, dict[str, float]]
    slices: dict[str, dict[str, dict[str, float]]]
    bundle: str | None
    differences: Mapping[str, Interval] = field(default_factory=dict)
    by_bundle: Mapping[str, OfBundle] = field(default_factory=dict)
    maturity: Maturity | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "rows": self.rows,
            "rows_mature": self.rows_mature,
            "metrics": self.metrics,
            "slices": self.slices,
            "bundle": self.bundle,
            "differences": {who: found.to_json() for who, found in self.differences.items()},
            "by_bundle": {bundle: found.to_json() for bundle, found in self.by_bundle.items()},
            **({} if self.maturity is None else self.maturity.to_json()),
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
    seed: int = 0,
    refresh_share: float = REFRESH_SHARE,
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
        seed: of the bootstrap.
        refresh_share: see `maturity.maturity_of`.

    Raises:
        ContractError: predictions are not of these features, or not what the task's are.
    """
    return measure_rows(
        scored_rows(features, predictions, slices), known_by=known_by, task=task, metric=metric, slices=slices,
        alpha=alpha, costs=costs, seed=seed, refresh_share=refresh_share,
    )  # fmt: skip


def measure_rows(
    both: pl.DataFrame,
    *,
    known_by: datetime,
    task: Task,
    metric: str,
    slices: Sequence[str],
    alpha: float | None = None,
    costs: Costs | None = None,
    seed: int = 0,
    refresh_share: float = REFRESH_SHARE,
) -> Performance:
    """As `measure`, of what `scored_rows` gave."""
    if both.is_empty():
        return Performance(0, 0, {}, {}, None)
    told: dict[str, Any] = {"task": task, "metric": metric, "alpha": alpha, "costs": costs}
    mature = both.filter(is_mature(known_by))
    by_bundle = {
        bundle: error_of(both.filter(pl.col(VERSION) == bundle), known_by, seed, **told)
        for bundle in both[VERSION].value_counts().sort("count", VERSION, descending=[True, False])[VERSION]
    }
    metrics: dict[str, dict[str, float]] = {}
    by_value: dict[str, dict[str, dict[str, float]]] = {s: {} for s in slices}
    differences: dict[str, Interval] = {}
    if mature.height:
        columns = contenders(both)
        measures = {who: _measures(mature, column, **told) for who, column in columns.items()}
        metrics = {who: {name: m.value() for name, m in of.items()} for who, of in measures.items()}
        label = mature[LABEL].to_numpy()
        loss = {who: losses(metric, label, mature[c].to_numpy(), alpha=alpha) for who, c in columns.items()}
        by_value = {s: by_slice(Sliced.by(mature[SLICE_PREFIX + s]), loss, metric) for s in slices}
        resamples = Resamples(mature.height, seed)
        differences = {who: resamples.mean(loss[CHAMPION] - of) for who, of in loss.items() if who != CHAMPION}
    return Performance(
        rows=both.height,
        rows_mature=mature.height,
        metrics=metrics,
        slices=by_value,
        bundle=next(iter(by_bundle)),
        differences=differences,
        by_bundle=by_bundle,
        maturity=maturity_of(both, known_by=known_by, refresh_share=refresh_share),
    )


def scored_rows(features: pl.LazyFrame, predictions: pl.LazyFrame, slices: Sequence[str] = ()) -> pl.DataFrame:
    """The scores of a partition beside its labels, in the order of the scores; no rows where nothing was scored.

    Raises:
        ContractError: predictions are not of these features.
    """
    scored = predictions.collect(engine="streaming")
    if scored.is_empty():
        return scored
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
    return both


def _measures(mature: pl.DataFrame, column: str, **told: Any) -> dict[str, Measure]:
    label, prediction = mature[LABEL].to_numpy(), mature[column].to_numpy()
    return measures_of(told["task"], label, prediction, alpha=told["alpha"], costs=told["costs"])


def error_of(
    rows: pl.DataFrame,
    known_by: datetime,
    seed: int,
    *,
    task: Task,
    metric: str,
    alpha: float | None = None,
    costs: Costs | None = None,
) -> OfBundle:
    """The realised error of the champion that scored some rows.

    Args:
        rows: `prediction`, `label`, `label_known_at`.
        known_by, seed, task, metric, alpha, costs: see `measure`.
    """
    mature = rows.filter(is_mature(known_by))
    if mature.is_empty():
        return OfBundle(rows.height, 0, {}, None)
    measures = _measures(mature, CONTENDERS[CHAMPION], task=task, alpha=alpha, costs=costs)
    deciding = measures[metric]
    drawn = Resamples(mature.height, seed).values(deciding)
    return OfBundle(
        rows=rows.height,
        rows_mature=mature.height,
        metrics={name: m.value() for name, m in measures.items()},
        interval=interval(deciding.value(), drawn, deciding),
    )


def _json(found: Interval | None) -> dict[str, float] | None:
    return None if found is None else found.to_json()
