"""How right predicted probabilities are: metrics of classification, and the loss of each row.

How probabilities fall into bins is in `calibration`; which metric decides, and what predictions must be like, is in
`metrics`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml_assets.core.calibration import BINS, bins_of
from ml_assets.core.measures import ByWeight, Floats, Measure, OfMeans, OfOrder, Rows, mean_of, ratio

EPSILON = float(np.finfo(np.float64).eps)
"""Probabilities are held this far from 0 and 1 in the log loss, as scikit-learn does: no row costs more than 36.05."""


@dataclass(frozen=True)
class Costs:
    """What wrong answers of a binary classifier cost, in any one unit; right ones cost nothing.

    >>> Costs(false_positive=1, false_negative=3).threshold
    0.25
    """

    false_positive: float = 1.0
    false_negative: float = 1.0

    @property
    def threshold(self) -> float:
        """Probability above which a yes is expected to cost less than a no (Elkan 2001)."""
        return self.false_positive / (self.false_positive + self.false_negative)


def binary_measures(label: Floats, probability: Floats, *, costs: Costs) -> dict[str, Measure]:
    """The metrics of a binary classification that are defined on these rows.

    Args:
        label: `[rows]`, 0.0 or 1.0, at least one.
        probability: `[rows]`, of class 1.
        costs: of wrong answers, which set the threshold of `precision`, `recall` and `cost`.

    Returns:
        `log_loss` (nats), `brier`, `calibration_error` (expected, over bins of equal counts), `bias` (mean
        probability minus share of class 1) and `accuracy` (at 0.5); `auc` and `average_precision`, where there are
        labels of both classes; at the threshold, `cost` per row, `recall`, where there is a label of class 1, and
        `precision`, where a probability is above it.
    """
    positive = label == 1
    answered = probability > costs.threshold
    wrong_yes, wrong_no = answered & ~positive, ~answered & positive
    measures: dict[str, Measure] = {
        "log_loss": mean_of(binary_log_losses(label, probability)),
        "brier": mean_of((probability - label) ** 2),
        "calibration_error": calibration_measure(label, probability),
        "bias": mean_of(probability - label),
        "accuracy": mean_of(_shares((probability > 0.5) == positive)),
        "cost": mean_of(costs.false_positive * wrong_yes + costs.false_negative * wrong_no),
    }
    if positive.any() and not positive.all():
        measures["auc"] = OfOrder(label, probability, auc_by_weight, (0.0, 1.0))
        measures["average_precision"] = OfOrder(label, probability, average_precision_by_weight, (0.0, 1.0))
    if positive.any():
        measures["recall"] = OfMeans((_shares(answered & positive), label), ratio)
    if answered.any():
        measures["precision"] = OfMeans((_shares(answered & positive), _shares(answered)), ratio)
    return measures


def multiclass_measures(label: Floats, probabilities: Floats) -> dict[str, Measure]:
    """The metrics of a multiclass classification that are defined on these rows.

    Args:
        label: `[rows]`, positions of classes, at least one.
        probabilities: `[rows, classes]`.

    Returns:
        `log_loss` (nats), `brier` (summed over the classes, 0 to 2), `accuracy`; `calibration_error` and `bias` of
        the likeliest class (its probability minus whether it is right: above 0 where the model is too sure of
        itself; Guo et al. 2017); `auc` and `average_precision`, each class against the rest, the mean over classes
        that some but not all rows have, where there are any.
    """
    sure, right = likeliest(label, probabilities)
    measures: dict[str, Measure] = {
        "log_loss": mean_of(multiclass_log_losses(label, probabilities)),
        "brier": mean_of(multiclass_brier_losses(label, probabilities)),
        "calibration_error": calibration_measure(right, sure),
        "bias": mean_of(sure - right),
        "accuracy": mean_of(right),
    }
    if label.min() < label.max():
        measures["auc"] = OfOrder(label, probabilities, _mean_auc, (0.0, 1.0))
        measures["average_precision"] = OfOrder(label, probabilities, _mean_average_precision, (0.0, 1.0))
    return measures


def likeliest(label: Floats, probabilities: Floats) -> tuple[Floats, Floats]:
    """Probability of the likeliest class (the first of equals) and whether it is right, 0.0 or 1.0; each `[rows]`."""
    answer = probabilities.argmax(axis=1)
    sure: Floats = probabilities[np.arange(len(label)), answer]
    return sure, _shares(answer == label)


def binary_log_losses(label: Floats, probability: Floats) -> Floats:
    """Minus the logarithm of the true class's probability, `[rows]`, in nats."""
    return _surprise(np.where(label == 1, probability, 1 - probability))


def multiclass_log_losses(label: Floats, probabilities: Floats) -> Floats:
    """Minus the logarithm of the true class's probability, `[rows]`, in nats."""
    return _surprise(probabilities[np.arange(len(label)), label.astype(np.intp)])


def multiclass_brier_losses(label: Floats, probabilities: Floats) -> Floats:
    """Squared distance of the probabilities from the truth (Brier 1950), `[rows]`, 0 to 2."""
    true = np.arange(probabilities.shape[1]) == label[:, None]
    loss: Floats = ((probabilities - true) ** 2).sum(axis=1)
    return loss


def calibration_measure(label: Floats, probability: Floats) -> OfMeans:
    """The expected calibration error: mean distance of probability and share of class 1 over bins, by their rows.

    The bins are those of all rows, whichever are drawn again.
    """
    bins = bins_of(probability, BINS)
    above = probability - label
    columns = tuple(np.where(bins == b, above, 0.0) for b in range(int(bins.max()) + 1))
    return OfMeans(columns, _total_distance, skewed=True, bounds=(0.0, 1.0))


def _surprise(probability: Floats) -> Floats:
    loss: Floats = -np.log(np.clip(probability, EPSILON, 1 - EPSILON))
    return loss


def _total_distance(means: Floats) -> Floats:
    total: Floats = np.abs(means).sum(axis=-1)
    return total


def _shares(yes: npt.NDArray[np.bool_]) -> Floats:
    return yes.astype(np.float64)


def auc_by_weight(label: Floats, probability: Floats) -> ByWeight:
    """Chance that a row of class 1 is scored above one of class 0; equal scores count half."""
    order, starts = _descending(probability)
    is_one = label[order]

    def area(weights: Floats) -> float:
        ones, zeros = _by_score(weights[order], is_one, starts)
        below = zeros.sum() - np.cumsum(zeros)
        pairs = ones.sum() * zeros.sum()
        return float((ones * (below + zeros / 2)).sum() / pairs) if pairs > 0 else np.nan

    return area


def average_precision_by_weight(label: Floats, probability: Floats) -> ByWeight:
    """Precision at each score that a row of class 1 has, averaged over those rows."""
    order, starts = _descending(probability)
    is_one = label[order]

    def average(weights: Floats) -> float:
        ones, zeros = _by_score(weights[order], is_one, starts)
        found = np.cumsum(ones)
        asked = found + np.cumsum(zeros)
        precision = np.divide(found, asked, out=np.zeros_like(found), where=asked > 0)
        return float((ones * precision).sum() / found[-1]) if found[-1] > 0 else np.nan

    return average


def _mean_auc(label: Floats, probabilities: Floats) -> ByWeight:
    return _one_against_rest(label, probabilities, auc_by_weight)


def _mean_average_precision(label: Floats, probabilities: Floats) -> ByWeight:
    return _one_against_rest(label, probabilities, average_precision_by_weight)


def _one_against_rest(label: Floats, probabilities: Floats, prepare: Callable[[Floats, Floats], ByWeight]) -> ByWeight:
    classes = [k for k in range(probabilities.shape[1]) if 0 < (label == k).sum() < len(label)]
    each = [prepare(_shares(label == k), probabilities[:, k]) for k in classes]

    def mean(weights: Floats) -> float:
        return float(np.mean([of_class(weights) for of_class in each])) if each else np.nan

    return mean


def _descending(score: Floats) -> tuple[Rows, Rows]:
    """Rows by descending score, and where in them each new score starts."""
    order = np.argsort(-score, kind="stable")
    descending = score[order]
    return order, np.flatnonzero(np.r_[True, descending[1:] != descending[:-1]])


def _by_score(weights: Floats, is_one: Floats, starts: Rows) -> tuple[Floats, Floats]:
    """Weight of class 1 and of class 0 at each score."""
    ones: Floats = np.add.reduceat(weights * is_one, starts)
    zeros: Floats = np.add.reduceat(weights * (1 - is_one), starts)
    return ones, zeros
