"""Recorded history: a pipeline's stored feature partitions, and how many of their labels are known by an instant.

What is learnt from them in a backtest is in `backtest_models`, how they are scored in `backtest_scores`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import polars as pl

from ml_assets.core.errors import EvidenceError
from ml_assets.core.features import LABEL, LABEL_KNOWN_AT
from ml_assets.core.maturity import is_mature
from ml_assets.core.retraining.observed import Partition
from ml_assets.core.windows import Window


@dataclass(frozen=True)
class Recorded:
    """Feature partitions as they are stored.

    Args:
        windows: of event time, oldest first, each beginning where the one before it ends.
        frames: partition -> its features table.
        digests: partition -> SHA-256 of its content.

    Raises:
        EvidenceError: partitions are missing between the first and the last; lists all.
    """

    windows: Sequence[Window]
    frames: Mapping[str, pl.LazyFrame]
    digests: Mapping[str, str]

    def __post_init__(self) -> None:
        missing = [w.key for w in self.windows if w.key not in self.frames]
        if missing:
            raise EvidenceError(
                "recorded history",
                found=[f"{key} is missing" for key in missing],
                expected=f"every partition from {self.windows[0].key} to {self.windows[-1].key}",
                cure="materialize the features of these partitions",
            )

    @property
    def end(self) -> datetime:
        """The end of the newest partition, naive: labels known by then are all that there are."""
        return self.windows[-1].end

    def window(self, key: str) -> Window:
        """The window of a partition."""
        return self.windows[self._place[key]]

    def learnable(self, as_of: str, count: int) -> list[Window]:
        """The newest `count` partitions as of one, itself the last; fewer where history begins later."""
        until = self._place[as_of] + 1
        return list(self.windows[max(0, until - count) : until])

    def after(self, as_of: str, through: str) -> list[str]:
        """Keys of the partitions after one, up to and including another."""
        return [w.key for w in self.windows[self._place[as_of] + 1 : self._place[through] + 1]]

    def labelled(self, key: str, known_by: datetime) -> int:
        """Rows of a partition whose label is known by an instant."""
        _, labelled, last = self._labels[key]
        if last is None or last <= known_by:
            return labelled
        return int(self.frames[key].select(is_mature(known_by).sum()).collect().item())

    @property
    def partitions(self) -> list[Partition]:
        """The partitions as a replay takes them."""
        told = [(w, *self._labels[w.key]) for w in self.windows]
        return [Partition(w, w.end.replace(tzinfo=UTC), rows=rows, labelled=known) for w, rows, known, _ in told]

    @cached_property
    def _place(self) -> dict[str, int]:
        return {w.key: i for i, w in enumerate(self.windows)}

    @cached_property
    def _labels(self) -> dict[str, tuple[int, int, datetime | None]]:
        """Partition -> rows, rows that have a label by the end of all time, and when the last of these is known."""
        known = pl.col(LABEL).is_not_null() & pl.col(LABEL_KNOWN_AT).is_not_null()
        asked = (pl.len(), known.sum().alias("known"), pl.col(LABEL_KNOWN_AT).filter(known).max())
        return {key: frame.select(*asked).collect().row(0) for key, frame in self.frames.items()}
