"""When a trial is given up: on a fold, as its validation curve is worse than others'; after a fold, as its score is.

Of its curve: Golovin et al. 2017, Google Vizier, section 4 (median stopping), with the best value so far in place of
the mean, and a tenth in place of a half: the later trials of a search are nearly all better than the median
of its first ones. Of its folds: the racing of SMAC (Hutter et al. 2011, Sequential model-based optimization for general
algorithm configuration, procedure 2), with the folds for its instances, the newest first. What a trial is, and when
it is asked, is in `trial_scoring`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any, Self

import numpy as np

EVERY = 10
"""Trees between two looks at a curve, and between its values that are kept."""


@dataclass(frozen=True)
class Curves:
    """Validation curves of a trial.

    Args:
        learning_rate: of its trees; 1 where there is none, as in a random forest.
        by_fold: best validation loss so far after each `EVERY` trees, fold by fold, of the folds it got through.
    """

    learning_rate: float
    by_fold: tuple[tuple[float, ...], ...]

    def at(self, fold: int, learnt: float) -> float:
        """Its best loss on a fold when it had learnt as much; its last one if early stopping came before that.

        Args:
            fold: number of the fold.
            learnt: trees times learning rate.
        """
        looks = int(learnt / self.learning_rate + 1e-9) // EVERY
        return self.by_fold[fold][min(max(looks, 1), len(self.by_fold[fold])) - 1]

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(record["learning_rate"], tuple(tuple(curve) for curve in record["by_fold"]))


@dataclass(frozen=True)
class Pruning:
    """Which trials are not worth more time.

    Of curves that is asked after as many trees times their learning rate: by trees alone, all small learning rates
    would be given up, which are slow at first and best in the end.

    Args:
        best_share: of the trials that got through a fold, so many must have had a better curve, 0 to 1.
        warm_up_trees: of each fold, during which no trial is given up.
        warm_up_trials: with a curve of the same loss on the same fold, without which none is given up.
    """

    best_share: float = 0.1
    warm_up_trees: int = 20
    warm_up_trials: int = 3

    def outpaced(
        self, fold: int, tree: int, best_so_far: float, *, learning_rate: float, finished: Sequence[Curves]
    ) -> bool:
        """Whether a trial's curve is above those of the best share, when they had learnt as much.

        Args:
            fold: number of the fold.
            tree: trees so far, from 1.
            best_so_far: best validation loss of this fold up to here.
            learning_rate: of the trial.
            finished: curves of earlier trials, of the same loss.
        """
        through = [curves for curves in finished if len(curves.by_fold) > fold]
        if tree < self.warm_up_trees or tree % EVERY or len(through) < self.warm_up_trials:
            return False
        then = [curves.at(fold, tree * learning_rate) for curves in through]
        return best_so_far > float(np.quantile(then, self.best_share))

    def surpassed(self, loss: float, others: Sequence[float]) -> bool:
        """Whether another trial is better on the folds that both got through, so that no further one is asked.

        Args:
            loss: mean over the rows of the folds so far.
            others: the same of each earlier trial that got through these folds.
        """
        return any(other < loss for other in others)


def kept(curve: Sequence[float]) -> tuple[float, ...]:
    """The best loss so far of a validation curve, one value for each `EVERY` trees and for what is left of them.

    >>> kept([3.0, 2.0, 4.0] + 10 * [2.5])
    (2.0, 2.0)
    """
    best = list(accumulate(curve, min))
    return tuple(best[EVERY - 1 :: EVERY] + ([best[-1]] if len(best) % EVERY else []))
