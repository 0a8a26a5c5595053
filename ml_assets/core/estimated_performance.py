"""What the error of some rows probably is before their labels are known, and whether that proved right.

Which losses are expected of single rows is in `loss_model` and `confidence`; here they become a metric with an
interval. An estimate sees a change of the features. A change of what the label makes of the same features (concept
drift) it can't see: there estimated and realised error part, which is what `agreement` reports.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from ml_assets.core.bootstrap import COVERAGE, Interval
from ml_assets.core.classification_metrics import Costs
from ml_assets.core.confidence import Confidence, expected_metrics
from ml_assets.core.estimator import Expected
from ml_assets.core.measures import Floats
from ml_assets.core.metrics import metric_of_loss

if TYPE_CHECKING:
    from ml_assets.core.bundle import Bundle

MOST_ROWS = 20_000
"""Rows looked at for an estimate, evenly spread, where there are more: what is left out adds next to nothing."""


@dataclass(frozen=True)
class MeanLoss:
    """A mean loss that is not known for sure.

    Args:
        rows: that it is of.
        mean: the estimate.
        variance: of what the mean loss of these rows will turn out to be, about the estimate.
        freedom: degrees of freedom of that variance.
    """

    rows: int
    mean: float
    variance: float
    freedom: float = np.inf

    def metric(self, metric: str) -> Interval:
        """The metric with the 95 % interval in which it will be: Student's t, since the variance is estimated too."""
        from scipy.special import stdtrit

        half = float(stdtrit(self.freedom, (1 + COVERAGE) / 2)) * float(np.sqrt(self.variance))
        ends = (self.mean, max(self.mean - half, 0.0), self.mean + half)
        return Interval(*(metric_of_loss(metric, end) for end in ends))

    @classmethod
    def of_known(cls, loss: Floats) -> "MeanLoss":
        """That of rows whose losses are known, as a sample of rows like them; `[rows]`, at least one."""
        return cls(loss.size, float(loss.mean()), float(loss.var()) / loss.size)


def mean_loss(expected: Expected, rows: int) -> MeanLoss:
    """The mean loss of some rows out of what is expected of them, or of an evenly spread part of them.

    Its variance has three sources: losses scatter about what is expected of them; only a part of the rows was looked
    at; and the estimator was fitted on few rows, or on rows elsewhere (the jackknife over its blocks).

    Args:
        expected: of the rows looked at.
        rows: that the mean is of.
    """
    by_block = expected.by_block.mean(axis=1)
    blocks, mean = len(by_block), float(by_block.mean())
    fitted = (blocks - 1) / blocks * float(((by_block - mean) ** 2).sum())
    seen = expected.variance.size
    sampled = float(expected.by_block.mean(axis=0).var()) / seen * (1 - seen / rows)
    scattered = float(expected.variance.mean()) / rows + sampled
    total = fitted + scattered
    # Welch and Satterthwaite: of the sources, only the jackknife is known from few values.
    freedom = (blocks - 1) * (total / fitted) ** 2 if fitted > 0 else np.inf
    return MeanLoss(rows, mean, total, freedom)


def together(parts: Sequence[MeanLoss]) -> MeanLoss:
    """The mean loss of all rows of some parts that have none in common; at least one part with rows."""
    rows = sum(p.rows for p in parts)
    shares = [p.rows / rows for p in parts]
    return MeanLoss(
        rows=rows,
        mean=float(sum(share * p.mean for share, p in zip(shares, parts, strict=True))),
        variance=float(sum(share**2 * p.variance for share, p in zip(shares, parts, strict=True))),
        freedom=min(p.freedom for p in parts),
    )


@dataclass(frozen=True)
class Estimate:
    """The error that is expected of some rows.

    Args:
        loss: their mean deciding loss.
        metrics: of a classification, the metrics that are to be expected, without interval.
    """

    loss: MeanLoss
    metrics: dict[str, float]


def estimate(
    bundle: "Bundle", features: pl.DataFrame, scores: Floats, *, rows: int, costs: Costs | None, threads: int
) -> Estimate | None:
    """What the error of a bundle on some rows probably is; None where it has no estimator, or there are no rows.

    Args:
        bundle: the champion that scored them.
        features: rows of a features table, or an evenly spread part of them; their labels are not looked at.
        scores: its predictions of these.
        rows: how many the error is of.
        costs: of wrong answers of a binary classifier.
        threads: how many may be used.
    """
    estimator = bundle.estimator
    if estimator is None or not features.height:
        return None
    expected = estimator.expected(bundle.feature_frame(features), scores, bundle.specs, threads=threads)
    metrics: dict[str, float] = {}
    if isinstance(estimator, Confidence):
        metrics = expected_metrics(scores, estimator.calibrated(scores), costs=costs or Costs())
    return Estimate(mean_loss(expected, rows), metrics)


@dataclass(frozen=True)
class Agreement:
    """Whether the error of rows turned out as it was estimated.

    Args:
        outcome: `agrees` where the realised metric is in the interval of the estimate; `worse` or `better` where it is
            not: the label makes something else of the same features, or the estimator does not hold; `unknown` where
            there is no estimate or no label.
        words: both, in numbers.
        estimated: of the same rows, without looking at their labels.
        realised: the metric.
    """

    outcome: Literal["agrees", "worse", "better", "unknown"]
    words: str
    estimated: Interval | None = None
    realised: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "estimated": None if self.estimated is None else self.estimated.to_json()}


def agreement(metric: str, estimated: MeanLoss | None, realised: Floats) -> Agreement:
    """Compare the losses of some rows with what was estimated of them.

    Args:
        metric: the deciding one.
        estimated: None where nothing was.
        realised: the losses, `[rows]`.
    """
    if estimated is None or not realised.size:
        missing = "no label is known yet" if estimated is not None else "nothing was estimated"
        return Agreement("unknown", f"estimate not checked: {missing}")
    found, expected = metric_of_loss(metric, float(realised.mean())), estimated.metric(metric)
    between = f"({expected.low:.4g} to {expected.high:.4g})"
    said = f"{metric} estimated {expected.estimate:.4g} {between}, realised {found:.4g}"
    if expected.low <= found <= expected.high:
        return Agreement("agrees", said, expected, found)
    outcome: Literal["worse", "better"] = "worse" if found > expected.high else "better"
    words = f"{said}: {outcome} than features explain; the label makes something else of them than it did"
    return Agreement(outcome, words, expected, found)
