"""How several predictions of a row become one.

Blending is a mean with weights of at least 0 that sum to 1. Stacking (Wolpert 1992, Stacked generalization; with
weights of at least 0 after Breiman 1996, Stacked regressions) is a linear model with intercept: of a regression over
the predictions, of classes over their logits or, where there are more than two, over their logarithms with an
intercept per class, followed by softmax. How weights are chosen is in `combination_weights`, the models that are
combined are in `ensemble`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from ml_assets.core.encoding import Floats
from ml_assets.core.tasks import Task

Method = Literal["blending", "stacking"]
_CLIP = 1e-6
"""Probabilities are taken as no nearer to 0 and 1, so that a member that is wrongly sure can't outweigh all others."""


@dataclass(frozen=True)
class Combination:
    """How members are combined.

    Args:
        method: `blending` or `stacking`.
        task: the kind of problem.
        metric: the metric that decides, which the weights were chosen by.
        weights: member -> weight, at least 0.
        intercepts: added to the weighted sum: none in blending, one, or one per class of a multiclass problem.
        rows: rows the weights were chosen by.
        by_member: member -> metric on these rows.
        together: metric of the combination on these rows.
    """

    method: Method
    task: Task
    metric: str
    weights: Mapping[str, float]
    intercepts: tuple[float, ...]
    rows: int
    by_member: Mapping[str, float]
    together: float

    def of(self, predictions: Mapping[str, Floats]) -> Floats:
        """The combined prediction, `[rows]` or `[rows, classes]`; no row depends on another.

        Args:
            predictions: of each member whose weight is not 0.
        """
        # In one order, whatever the order of the names was before they were written: sums of floats depend on it.
        chosen = {name: self.weights[name] for name in sorted(self.weights) if self.weights[name] > 0}
        return combined(
            [predictions[name] for name in chosen], list(chosen.values()), self.intercepts, self.method, self.task
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "method": self.method,
            "task": self.task,
            "metric": self.metric,
            "weights": dict(self.weights),
            "intercepts": list(self.intercepts),
            "out_of_fold": {"rows": self.rows, "by_member": dict(self.by_member), "together": self.together},
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        told = record["out_of_fold"]
        return cls(
            record["method"],
            record["task"],
            record["metric"],
            record["weights"],
            tuple(record["intercepts"]),
            told["rows"],
            told["by_member"],
            told["together"],
        )


def combined(
    predictions: Sequence[Floats], weights: Sequence[float], intercepts: Sequence[float], method: Method, task: Task
) -> Floats:
    """Predictions as one, member by member and class by class, so that the sums do not depend on how many rows."""
    wide = task == "multiclass"
    columns = range(predictions[0].shape[1]) if wide else [0]
    inputs = [[p[:, k] if wide else p for k in columns] for p in predictions]
    if method == "stacking":
        inputs = [[stacked_input(c, task) for c in one] for one in inputs]
    sums = []
    for k in columns:
        total: Floats = np.full(len(predictions[0]), intercepts[k] if method == "stacking" else 0.0)
        for one, weight in zip(inputs, weights, strict=True):
            total += weight * one[k]
        sums.append(total)
    if task == "regression":
        return sums[0]
    if method == "stacking" and not wide:
        share: Floats = 1 / (1 + np.exp(-sums[0]))
        return share
    if method == "stacking":
        largest = np.maximum.reduce(sums)
        raised = [np.exp(s - largest) for s in sums]
        whole = sum(raised[1:], raised[0])
        sums = [r / whole for r in raised]
    shares = np.clip(np.column_stack(sums), 0.0, 1.0)
    return shares if wide else shares[:, 0]


def stacked_input(prediction: Floats, task: Task) -> Floats:
    """What the weights of stacking are for: the prediction itself, its logit, or its logarithm."""
    if task == "regression":
        return prediction
    clipped = np.ascontiguousarray(np.clip(prediction, _CLIP, 1 - _CLIP))
    stacked: Floats = np.log(clipped) - np.log(1 - clipped) if task == "binary" else np.log(clipped)
    return stacked
