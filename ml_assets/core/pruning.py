"""When a trial is given up: its validation curve is worse than the median of those that ran to their end.

Golovin et al. 2017, Google Vizier, section 4 (median stopping), with the best value so far in place of the mean.
What a trial is, and when it is asked, is in `trial_scoring`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from statistics import median
from typing import Any, Self

EVERY = 10
"""Trees between two looks at a curve, and between its values that are kept."""


@dataclass(frozen=True)
class Curves:
    """Validation curves of a trial that was completed.

    Args:
        learning_rate: of its trees; 1 where there is none, as in a random forest.
        by_fold: best validation loss so far after each `EVERY` trees, fold by fold.
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
class MedianRule:
    """Gives up a trial whose best loss so far is above the median of what others had when they had learnt as much.

    That is after as many trees times their learning rate: by trees alone, all small learning rates would be given
    up, which are slow at first and best in the end.

    Args:
        warm_up_trees: of each fold, during which no trial is given up.
        warm_up_trials: completed trials with a curve of the same loss without which none is given up.
    """

    warm_up_trees: int = 100
    warm_up_trials: int = 5

    def gives_up(
        self, fold: int, tree: int, best_so_far: float, *, learning_rate: float, finished: Sequence[Curves]
    ) -> bool:
        """Whether to give up.

        Args:
            fold: number of the fold.
            tree: trees so far, from 1.
            best_so_far: best validation loss of this fold up to here.
            learning_rate: of the trial.
            finished: curves of the completed trials, of the same loss.
        """
        if tree < self.warm_up_trees or tree % EVERY or len(finished) < self.warm_up_trials:
            return False
        return best_so_far > median(curves.at(fold, tree * learning_rate) for curves in finished)


def kept(curve: Sequence[float]) -> tuple[float, ...]:
    """The best loss so far of a validation curve, one value for each `EVERY` trees and for what is left of them.

    >>> kept([3.0, 2.0, 4.0] + 10 * [2.5])
    (2.0, 2.0)
    """
    best = list(accumulate(curve, min))
    return tuple(best[EVERY - 1 :: EVERY] + ([best[-1]] if len(best) % EVERY else []))
