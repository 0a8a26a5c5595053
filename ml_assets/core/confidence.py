"""How right probabilities probably are, by themselves: the error estimate of a classification.

Confidence-based performance estimation: were the probabilities calibrated, they would say how often each answer is
right, and so what every metric is to be expected (NannyML's CBPE,
https://nannyml.readthedocs.io/en/stable/how_it_works/performance_estimation.html; after Chow 1970). They are
calibrated on rows that the model has not learnt from by a logistic curve on their logit (Platt 1999), class by class.
It sees a change of the features, not of what the label makes of them. What estimators have in common is in `estimator`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from ml_assets.core.classification_metrics import Costs, auc_by_weight, average_precision_by_weight
from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.estimator import Estimator, Expected, without_each_block
from ml_assets.core.measures import Floats
from ml_assets.core.metrics import losses

Curve = tuple[float, float]
"""Intercept and slope on the logit."""

_CLIP = 1e-6
_STEPS = 50
_DIGITS = 10
"""Of a curve's numbers: what machines may differ in is beyond them."""


@dataclass(frozen=True, eq=False)
class Confidence(Estimator):
    """Curves that calibrate, fitted without each block of rows.

    Args:
        metric, rows: see `Estimator`.
        curves: per block a curve of each class; of a binary problem one.
    """

    kind: ClassVar[str] = "confidence"

    metric: str
    rows: int
    curves: tuple[tuple[Curve, ...], ...]

    def expected(self, frame: pl.DataFrame, scores: Floats, specs: Sequence[FeatureSpec], *, threads: int) -> Expected:  # noqa: ARG002
        """See `Estimator.expected`; the scores are all it needs."""
        outcomes = outcome_losses(self.metric, scores)
        by_block = np.stack([(chances(calibrated(scores, c)) * outcomes).sum(axis=1) for c in self.curves])
        likely = chances(self.calibrated(scores))
        mean = (likely * outcomes).sum(axis=1)
        return Expected(by_block, np.maximum((likely * outcomes**2).sum(axis=1) - mean**2, 0.0))

    def calibrated(self, scores: Floats) -> Floats:
        """The calibrated probabilities, in the shape of the scores: the mean over the blocks."""
        mean: Floats = np.mean([calibrated(scores, c) for c in self.curves], axis=0)
        return mean

    def facts(self) -> dict[str, Any]:
        """The curves."""
        curves = [[list(curve) for curve in block] for block in self.curves]
        return {"kind": self.kind, "metric": self.metric, "rows": self.rows, "curves": curves}

    @classmethod
    def read(cls, facts: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:  # noqa: ARG003
        """Read what `facts` gave."""
        curves = tuple(tuple((float(a), float(b)) for a, b in block) for block in facts["curves"])
        return cls(facts["metric"], facts["rows"], curves)

    @classmethod
    def fit(cls, scores: Floats, label: Floats, *, metric: str) -> Self:
        """Calibrate on some rows.

        Args:
            scores: the model's probabilities of rows that it has not learnt from, in the order of time.
            label: of these rows.
            metric: whose loss is estimated.
        """
        columns = scores if scores.ndim == 2 else scores[:, None]
        classes = range(columns.shape[1]) if scores.ndim == 2 else [1]
        curves = tuple(
            tuple(
                curve_of(columns[kept, k], (label[kept] == of).astype(np.float64)) for k, of in enumerate(classes)
            )
            for kept in without_each_block(len(label))
        )  # fmt: skip
        return cls(metric, len(label), curves)


def curve_of(probability: Floats, is_one: Floats) -> Curve:
    """Intercept and slope of the logistic curve on the logit that fits best, drawn by a row's weight to no change.

    Args:
        probability: `[rows]`.
        is_one: `[rows]`, 0.0 or 1.0.
    """
    x = _logit(probability)
    intercept, slope = 0.0, 1.0
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-(intercept + slope * x)))
        apart, weight = chance - is_one, chance * (1 - chance)
        g0, g1 = float(apart.sum()) + intercept, float((apart * x).sum()) + slope - 1
        h00, h01, h11 = float(weight.sum()) + 1, float((weight * x).sum()), float((weight * x * x).sum()) + 1
        determinant = h00 * h11 - h01 * h01
        step0, step1 = (h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant
        intercept, slope = intercept - step0, slope - step1
        if abs(step0) + abs(step1) < 10.0**-_DIGITS:
            break
    return round(intercept, _DIGITS), round(slope, _DIGITS)


def calibrated(scores: Floats, curves: Sequence[Curve]) -> Floats:
    """Probabilities by their curves; those of several classes are made to sum to 1."""
    if scores.ndim == 1:
        [(intercept, slope)] = curves
        one: Floats = 1 / (1 + np.exp(-(intercept + slope * _logit(scores))))
        return one
    columns = np.column_stack([calibrated(scores[:, k], [curve]) for k, curve in enumerate(curves)])
    shares: Floats = columns / columns.sum(axis=1, keepdims=True)
    return shares


def chances(probability: Floats) -> Floats:
    """A column per class, `[rows, classes]`."""
    return probability if probability.ndim == 2 else np.column_stack([1 - probability, probability])


def outcome_losses(metric: str, scores: Floats) -> Floats:
    """The loss of each row for each class that its label may turn out to be, `[rows, classes]`."""
    classes = scores.shape[1] if scores.ndim == 2 else 2
    return np.column_stack([losses(metric, np.full(len(scores), float(k)), scores) for k in range(classes)])


def expected_metrics(scores: Floats, calibrated: Floats, *, costs: Costs) -> dict[str, float]:
    """The metrics that are to be expected of a classification, were its labels drawn by calibrated probabilities.

    Args:
        scores: the model's probabilities, `[rows]` or `[rows, classes]`.
        calibrated: likewise, calibrated.
        costs: of wrong answers of a binary classifier, which set the threshold of `precision` and `recall`.

    Returns:
        As `metrics.metrics_of`: `log_loss`, `brier`, `accuracy`; of a binary problem `auc` and `average_precision`
        too, and `precision` and `recall` where they are defined.
    """
    likely = chances(calibrated)
    found = {m: float((likely * outcome_losses(m, scores)).sum(axis=1).mean()) for m in ("log_loss", "brier")}
    if scores.ndim == 2:
        return {**found, "accuracy": float(likely[np.arange(len(scores)), scores.argmax(axis=1)].mean())}
    found["accuracy"] = float(np.where(scores > 0.5, calibrated, 1 - calibrated).mean())
    every = np.ones(len(scores))
    found["auc"] = auc_by_weight(calibrated, scores)(every)
    found["average_precision"] = average_precision_by_weight(calibrated, scores)(every)
    yes = scores > costs.threshold
    found["recall"] = float(calibrated[yes].sum() / calibrated.sum())
    if yes.any():
        found["precision"] = float(calibrated[yes].mean())
    return found


def _logit(probability: Floats) -> Floats:
    clipped = np.clip(probability, _CLIP, 1 - _CLIP)
    logit: Floats = np.log(clipped) - np.log(1 - clipped)
    return logit
