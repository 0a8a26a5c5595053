"""Answers of a backtest's models to recorded partitions: their loss, their drift, and whether a promise is broken.

Each is what the pipeline's own monitoring makes of it: see `performance`, `promises` and `drift.watched`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache

import polars as pl

from ml_assets.core.bundle import Bundle
from ml_assets.core.classification_metrics import Costs
from ml_assets.core.drift.onset import Judged, began_with_newest
from ml_assets.core.drift.policy import DriftPolicy
from ml_assets.core.drift.watched import DriftWatch
from ml_assets.core.features import EVENT_AT, LABEL, LABEL_KNOWN_AT, ROW_NUMBER
from ml_assets.core.maturity import is_mature, maturity_of
from ml_assets.core.metrics import losses
from ml_assets.core.performance import CHAMPION, error_of
from ml_assets.core.promises import Bound, Promise, kept
from ml_assets.core.retraining.backtest import Judgement, Measured
from ml_assets.core.retraining.recorded_history import Recorded
from ml_assets.core.scoring import CONTENDERS, VERSION, schema

PREDICTION = CONTENDERS[CHAMPION]


@dataclass(frozen=True)
class Scores:
    """What models answer to recorded partitions.

    Args:
        bundle: SHA-256 -> the bundle.
        recorded: the partitions.
        promise: SHA-256 -> what was promised of that bundle.
        metric: the one that decides.
        drift: when a partition counts as drifted.
        bound: when realised error is worse than promised.
        alpha: the quantile that is predicted.
        costs: of wrong answers.
        seed, threads: of the bootstrap, and for scoring.
    """

    bundle: Callable[[str], Bundle]
    recorded: Recorded
    promise: Callable[[str], Promise]
    metric: str
    drift: DriftPolicy
    bound: Bound
    alpha: float | None = None
    costs: Costs | None = None
    seed: int = 0
    threads: int = 1

    def loss(self, model: str, partition: str) -> tuple[float, int]:
        """The mean deciding loss of a partition's rows, and their number: those with a label by the end of history.

        Without any such row both are 0.
        """
        rows = self._rows(model, partition).filter(is_mature(self.recorded.end))
        if rows.is_empty():
            return 0.0, 0
        label = rows[LABEL].cast(pl.Float64).to_numpy()
        return float(losses(self.metric, label, rows[PREDICTION].to_numpy(), alpha=self.alpha).mean()), rows.height

    def judge(self, model: str, partition: str) -> Judgement:
        """The drift report of a partition, and whether the drift came at once with it.

        That is told from the reports on all partitions since the model's as-of one, as it is in production.
        """
        reports = [self._judged(model, key) for key in self.recorded.after(self.bundle(model).as_of, partition)]
        return Judgement(self._judged(model, partition).verdict, abrupt=began_with_newest(reports))

    def measure(self, model: str, partition: str, known_by: datetime) -> Measured:
        """The realised error of a partition as of an instant, against what was promised of the model."""
        rows, promise = self._rows(model, partition), self.promise(model)
        bundle = self.bundle(model)
        own = error_of(
            rows, known_by, self.seed, task=bundle.task, metric=self.metric, alpha=self.alpha, costs=self.costs
        )
        found = kept(
            own.interval, promise, self.bound, rows=own.rows, rows_mature=own.rows_mature,
            labelled_share=bundle.labelled_share,
        )  # fmt: skip
        judged = own.interval is not None and found.outcome != "unknown"
        return Measured(
            value=own.interval.estimate if own.interval is not None and judged else None,
            bound=(1 + self.bound.margin) * promise.estimate,
            broken=found.outcome == "broken",
            rows=own.rows_mature,
            refresh_at=maturity_of(rows, known_by=known_by).refresh_at,
        )

    @cached_property
    def _rows(self) -> Callable[[str, str], pl.DataFrame]:
        # Loss, drift and error of a partition are asked for one after the other, so that the last few are enough.
        return lru_cache(maxsize=2)(self._score)

    def _score(self, model: str, partition: str) -> pl.DataFrame:
        """Row number, times, label, prediction and version of each row, in their order."""
        bundle, rows = self.bundle(model), self.recorded.frames[partition].collect(engine="streaming")
        scores = bundle.predict(bundle.feature_frame(rows), threads=self.threads)
        dtype = schema(bundle.task, bundle.classes)[PREDICTION]
        return rows.select(
            ROW_NUMBER, EVENT_AT, LABEL, LABEL_KNOWN_AT, pl.Series(PREDICTION, scores, dtype=dtype),
            pl.lit(model).alias(VERSION),
        )  # fmt: skip

    @cached_property
    def _judged(self) -> Callable[[str, str], Judged]:
        return lru_cache(maxsize=None)(self._judge)

    def _judge(self, model: str, partition: str) -> Judged:
        watch = DriftWatch(self.bundle, self.drift)
        frame, end = self.recorded.frames[partition], self.recorded.window(partition).end
        return Judged.from_json(watch.judge(frame, self._rows(model, partition).lazy(), partition, end).record)
