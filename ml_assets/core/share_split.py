"""Splits by chance, repeatably: each group of rows, or each row by itself, falls into a part by a seeded hash.

The same row is in the same part as of any partition, on any machine: a row that once judged a model never trains
a later one. Parts lie side by side in time, so what they say of a model is how it does on other rows of the same
time, not on later ones: that is what `time_split` is for. What every split has is in `split`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

import polars as pl

from ml_assets.core.errors import TrainingError
from ml_assets.core.features import EVENT_AT, SLICE_PREFIX
from ml_assets.core.split import UNIT, Part, Split
from ml_assets.core.stable_hash import hashed_values, mixed, salt


@dataclass(frozen=True)
class ShareSplit(Split):
    """Shares of the groups or rows of a learning window.

    Args:
        kind: `group` keeps all rows of one value of `group` together; `random` takes each row by itself.
        validation: expected share of the groups, or rows, that say when to stop; 0 to 1.
        holdout: expected share that judges.
        seed: another one is another division.
        start: rows of earlier events are in no part.
        as_of: the instant at which the model is trained: rows of later events are in no part.
        group: kept column (see `features.build_features`) whose rows stay together; rows without a value are one
            group. None for `random`.

    Raises:
        TrainingError: the shares leave nothing to train on, or the group does not fit the kind.
    """

    kind: Literal["group", "random"]
    validation: float
    holdout: float
    seed: int
    start: datetime
    as_of: datetime
    group: str | None = None

    def __post_init__(self) -> None:
        shares = {"validation": self.validation, "holdout": self.holdout}
        wrong = [f"a share of {share} for {part}" for part, share in shares.items() if not 0 < share < 1]
        if not wrong and sum(shares.values()) >= 1:
            wrong.append(f"validation {self.validation} and holdout {self.holdout}, which leave nothing to train on")
        if self.start >= self.as_of:
            wrong.append(f"a window from {self.start} to {self.as_of}")
        if (self.group is None) != (self.kind == "random"):
            wrong.append(f"group {self.group}")
        if wrong:
            raise TrainingError(
                f"split of kind {self.kind}",
                found=wrong,
                expected="shares between 0 and 1 that leave rows to train on, a start before as_of, and a group "
                "column exactly where rows are split by group",
                cure="correct model.window, model.validation, evaluation.holdout or evaluation.group",
            )

    def may_judge(self, other: Split) -> bool:
        """Whether the other model was kept from these units by the same hash, or learnt from earlier events only."""
        if isinstance(other, ShareSplit) and other.holdout >= self.holdout:
            alike = (other.kind, other.seed, other.group) == (self.kind, self.seed, self.group)
        else:
            alike = False
        return alike or other.learns_until <= self.start

    @property
    def learns_until(self) -> datetime:
        """The as-of time: parts lie side by side."""
        return self.as_of

    @property
    def group_column(self) -> str | None:
        """Column of the features table whose values are never divided."""
        return None if self.group is None else SLICE_PREFIX + self.group

    def unit(self, partition: str) -> pl.Expr:
        """The `UNIT` of the rows of a partition: the group's hash, or the row's own."""
        return super().unit(partition) if self.group_column is None else hashed_values(pl.col(self.group_column))

    def part(self) -> pl.Expr:
        """The part of a row, String: by where its unit's hash lies between 0 and 2**64."""
        drawn = mixed(pl.col(UNIT), salt("part", self.seed))
        judging, stopping = (
            pl.lit(round(share * 2**64), pl.UInt64) for share in (self.holdout, self.holdout + self.validation)
        )
        part = pl.when(drawn < judging).then(pl.lit("holdout")).when(drawn < stopping).then(pl.lit("validation"))
        inside = (pl.col(EVENT_AT) >= self.start) & (pl.col(EVENT_AT) < self.as_of)
        return pl.when(inside).then(part.otherwise(pl.lit("train")))

    def known_by(self, part: Part) -> datetime:  # noqa: ARG002
        """When a label must have been known to count: at `as_of`, in all parts."""
        return self.as_of

    def gap(self, earlier: Part, later: Part) -> None:
        """None: parts lie side by side in time."""

    def to_json(self) -> dict[str, Any]:
        """As JSON, times in ISO 8601; what the shares leave is for training."""
        return {
            "kind": self.kind,
            "shares": {"validation": self.validation, "holdout": self.holdout},
            "seed": self.seed,
            "group": self.group,
            "start": self.start.isoformat(),
            "as_of": self.as_of.isoformat(),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(
            kind=record["kind"],
            validation=record["shares"]["validation"],
            holdout=record["shares"]["holdout"],
            seed=record["seed"],
            start=datetime.fromisoformat(record["start"]),
            as_of=datetime.fromisoformat(record["as_of"]),
            group=record["group"],
        )
