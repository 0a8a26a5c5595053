"""What a split is: which rows of a learning window train a model, stop its training, and judge it.

By time is the default and lives in `time_split`; by group and at random, with a seed, in `share_split`. Which
rows they are in the end is in `assignment`, what must hold for them in `soundness`.
"""

from abc import ABC, abstractmethod
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

import polars as pl

from ml_assets.core.features import ROW_NUMBER
from ml_assets.core.stable_hash import mixed, salt

Part = Literal["train", "validation", "holdout"]
PARTS: tuple[Part, ...] = get_args(Part)
SplitKind = Literal["time", "group", "random"]

# No identifiers, so that they can't be taken for features.
PARTITION = "@partition"
"""Column beside `row_number`: the key of the partition a row is stored in; both together name a row for good."""
UNIT = "@unit"
"""Column, UInt64: a stable hash of what is never divided: the row, or the group where rows are split by group."""


class Split(ABC):
    """A rule that puts every row of a learning window into one part at most.

    Rows it is asked about have the columns of a features table, `PARTITION` and `UNIT`.
    """

    kind: SplitKind
    as_of: datetime
    """The instant at which the model is trained: it sees nothing later."""

    @abstractmethod
    def may_judge(self, other: "Split") -> bool:
        """Whether a model that was trained by another split has learnt from no row of this one's holdout."""

    @property
    @abstractmethod
    def learns_until(self) -> datetime:
        """The first instant of whose events nothing is learnt."""

    @abstractmethod
    def part(self) -> pl.Expr:
        """The part of a row, String; null for rows in no part."""

    @abstractmethod
    def known_by(self, part: Part) -> datetime:
        """When a label of the part must have been known to count."""

    @abstractmethod
    def gap(self, earlier: Part, later: Part) -> timedelta | None:
        """The shortest time between events of a part and of a later one; None where they lie side by side in time."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """As JSON, times in ISO 8601, with `kind` and `as_of`."""

    @property
    def group_column(self) -> str | None:
        """Column of the features table whose values are never divided; None where each row is by itself."""
        return None

    def unit(self, partition: str) -> pl.Expr:
        """The `UNIT` of the rows of a partition."""
        return mixed(pl.col(ROW_NUMBER), salt("row", partition))
