"""What an estimator of error is: it says of rows without a label how large a champion's loss on them probably is.

There is one for numbers (`loss_model`) and one for probabilities (`confidence`); which one a bundle has, and how it is
fitted, is in `estimators`. What becomes of its answers is in `estimated_performance`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.measures import Floats

BLOCKS = 5
"""Parts in time of the rows an estimator is fitted on. Each is left out once: how much the answers then differ is how
little they can be trusted (delete-a-group jackknife; Kott 2001), also where new rows lie where few were fitted."""


@dataclass(frozen=True, eq=False)
class Expected:
    """The losses that are expected of some rows.

    Args:
        by_block: float64 `[blocks, rows]`: the loss of each row, fitted without each of the blocks.
        variance: float64 `[rows]`: of the loss of each row about what is expected of it.
    """

    by_block: Floats
    variance: Floats


class Estimator(ABC):
    """What estimates the loss of rows without a label.

    Args:
        metric: whose loss.
        rows: it was fitted on.
    """

    kind: ClassVar[str]
    """Stands in the facts as `kind`."""

    metric: str
    rows: int

    @abstractmethod
    def expected(self, frame: pl.DataFrame, scores: Floats, specs: Sequence[FeatureSpec], *, threads: int) -> Expected:
        """The losses that are expected of some rows.

        Args:
            frame: exactly the columns of `specs`, at least one row.
            scores: the bundle's predictions of these rows.
            specs: the bundle's features.
            threads: how many may be used.
        """

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Everything about it that is not in its files, with its `kind`; JSON-able, free of times and places."""

    def files(self) -> Mapping[str, bytes]:
        """Name -> content of the files it needs."""
        return {}


def without_each_block(rows: int) -> list[npt.NDArray[np.bool_]]:
    """Which of some rows, in the order of time, are kept where each of the blocks is left out, `[rows]` each.

    >>> [int(kept.sum()) for kept in without_each_block(12)]
    [9, 10, 9, 10, 10]
    """
    block = np.arange(rows) * BLOCKS // rows
    return [block != k for k in range(BLOCKS)]
