"""The record of a partition's performance: realised where labels are known, estimated where not, and what was promised.

What each of these is, is in `performance`, `estimated_performance` and `promises`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from ml_assets.core.classification_metrics import Costs
from ml_assets.core.estimated_performance import (
    MOST_ROWS,
    Agreement,
    Estimate,
    MeanLoss,
    agreement,
    estimate,
    together,
)
from ml_assets.core.features import EVENT_AT, LABEL, ROW_NUMBER
from ml_assets.core.maturity import is_mature
from ml_assets.core.metrics import losses
from ml_assets.core.performance import CHAMPION, OfBundle, measure_rows, scored_rows
from ml_assets.core.promises import USUAL, Bound, Kept, Promise, kept, outlook
from ml_assets.core.scoring import CONTENDERS, VERSION
from ml_assets.core.tasks import Task

if TYPE_CHECKING:
    from ml_assets.core.bundle import Bundle

NOT_SCORED = "nothing was scored: no champion was eligible"


@dataclass(frozen=True)
class Watched:
    """One champion on the rows that it scored.

    Args:
        promise: what was promised of it; None where nothing was.
        kept: whether its realised error keeps to that.
        estimated: the error that is expected of its rows without a label; None where there are none, or no estimator.
        expected: its error on all of its rows, realised and estimated; None where a part of it can't be told.
        outlook: whether that keeps to the promise.
        agreement: whether known labels bore out what is estimated of their rows.
    """

    promise: Promise | None
    kept: Kept
    estimated: Estimate | None
    expected: MeanLoss | None
    outlook: Kept
    agreement: Agreement

    def to_json(self, metric: str) -> dict[str, Any]:
        """As JSON, in the unit of the metric."""
        return {
            "promised": None if self.promise is None else self.promise.to_json(),
            "promise": self.kept.to_json(),
            "outlook": self.outlook.to_json(),
            "agreement": self.agreement.to_json(),
            "estimated_metrics": {} if self.estimated is None else self.estimated.metrics,
            **_shown({"estimated": _loss(self.estimated), "expected": self.expected}, metric),
        }


@dataclass(frozen=True)
class Monitor:
    """How the champions of a pipeline are watched.

    Args:
        task, metric, slices, alpha, costs: of the pipeline.
        bundle: the champion of a hash.
        promise: what was promised of a champion; None where nothing was.
        bound: when realised error is worse than promised.
        seed: of the bootstrap.
        threads: how many may be used.
    """

    task: Task
    metric: str
    slices: Sequence[str]
    bundle: "Callable[[str], Bundle]"
    promise: Callable[[str], Promise | None]
    alpha: float | None = None
    costs: Costs | None = None
    bound: Bound = USUAL
    seed: int = 0
    threads: int = 1

    def record(self, features: pl.LazyFrame, predictions: pl.LazyFrame, *, known_by: datetime) -> dict[str, Any]:
        """The record of a partition as of an instant, JSON-able.

        Beside what `Performance` tells: `estimated`, the deciding metric of the rows without a label, and `expected`,
        that of all rows; and what `Watched` tells of the champion that scored most rows. That of each champion is in
        `by_bundle`.

        Args:
            features: the partition's features table.
            predictions: the partition's predictions table.
            known_by: the instant; a label known later does not count.

        Raises:
            ContractError: predictions are not of these features, or not what the task's are.
            BundleError: a champion that scored is missing or damaged.
        """
        rows = scored_rows(features, predictions, self.slices)
        measured = measure_rows(
            rows, known_by=known_by, task=self.task, metric=self.metric, slices=self.slices, alpha=self.alpha,
            costs=self.costs, seed=self.seed,
        )  # fmt: skip
        record = {**measured.to_json(), "known_by": known_by.isoformat()}
        if measured.bundle is None:
            return {**record, **_nothing_watched()}
        watched = {
            sha256: self._watch(sha256, rows.filter(pl.col(VERSION) == sha256), features, own, known_by)
            for sha256, own in measured.by_bundle.items()
        }
        for sha256, of in watched.items():
            record["by_bundle"][sha256] |= of.to_json(self.metric)
        missing = measured.rows - measured.rows_mature
        pooled = {
            "estimated": _pooled([w.estimated.loss for w in watched.values() if w.estimated], missing),
            "expected": _pooled([w.expected for w in watched.values() if w.expected], measured.rows),
        }
        return {**record["by_bundle"][measured.bundle], **record, **_shown(pooled, self.metric)}

    def _watch(
        self, sha256: str, rows: pl.DataFrame, features: pl.LazyFrame, own: OfBundle, known_by: datetime
    ) -> Watched:
        bundle, promise = self.bundle(sha256), self.promise(sha256)
        mature, missing = rows.filter(is_mature(known_by)), rows.filter(~is_mature(known_by))
        borne_out, estimated = (self._estimate(bundle, part, features) for part in (mature, missing))
        loss = losses(self.metric, mature[LABEL].to_numpy(), mature[CONTENDERS[CHAMPION]].to_numpy(), alpha=self.alpha)
        parts = [MeanLoss.of_known(loss)] if loss.size else []
        expected = _pooled([*parts, *([estimated.loss] if estimated else [])], own.rows)
        return Watched(
            promise=promise,
            kept=kept(
                own.interval,
                promise,
                self.bound,
                rows=own.rows,
                rows_mature=own.rows_mature,
                labelled_share=bundle.labelled_share,
            ),
            estimated=estimated,
            expected=expected,
            outlook=outlook(None if expected is None else expected.metric(self.metric), promise, self.bound),
            agreement=agreement(self.metric, _loss(borne_out), loss),
        )

    def _estimate(self, bundle: "Bundle", rows: pl.DataFrame, features: pl.LazyFrame) -> Estimate | None:
        """What the error on some rows probably is, without a look at their labels."""
        if rows.is_empty():
            return None
        some = rows.gather_every(-(-rows.height // MOST_ROWS))
        row = [ROW_NUMBER, EVENT_AT]
        inputs = features.select(*row, *(s.name for s in bundle.specs))
        frame = some.select(row).lazy().join(inputs, on=row, how="left", maintain_order="left").collect()
        scores = some[CONTENDERS[CHAMPION]].to_numpy()
        return estimate(bundle, frame, scores, rows=rows.height, costs=self.costs, threads=self.threads)


def _loss(estimated: Estimate | None) -> MeanLoss | None:
    return None if estimated is None else estimated.loss


def _pooled(parts: Sequence[MeanLoss], rows: int) -> MeanLoss | None:
    """The mean loss of all rows; None where something is missing of them, or there are none."""
    return together(parts) if parts and sum(p.rows for p in parts) == rows else None


def _shown(losses: dict[str, MeanLoss | None], metric: str) -> dict[str, Any]:
    """Mean losses as the metric with its interval."""
    found = {name: None if loss is None else loss.metric(metric) for name, loss in losses.items()}
    return {name: None if i is None else i.to_json() for name, i in found.items()}


def _nothing_watched() -> dict[str, Any]:
    none = Watched(
        promise=None,
        kept=Kept("unknown", NOT_SCORED),
        estimated=None,
        expected=None,
        outlook=Kept("unknown", NOT_SCORED),
        agreement=Agreement("unknown", NOT_SCORED),
    )
    return {"interval": None, **none.to_json("")}
