"""Splits by time: validation is newer than training and holdout newer than both, and a label counts only from
when it was known. What every split has is in `split`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Self

import polars as pl

from ml_assets.core.errors import TrainingError
from ml_assets.core.features import EVENT_AT
from ml_assets.core.split import PARTS, Part, Split, SplitKind
from ml_assets.core.windows import Window


@dataclass(frozen=True)
class TimeRange:
    """A half-open range of event time."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise TrainingError(
                "split by time",
                found=f"a range from {self.start} to {self.end}",
                expected="a start before the end",
                cure="learn from more partitions, or make validation, holdout and embargo shorter",
            )

    def holds(self, time: pl.Expr) -> pl.Expr:
        """Whether a time is inside, as an expression."""
        return (time >= self.start) & (time < self.end)


@dataclass(frozen=True)
class TimeSplit(Split):
    """Time bounds of a training set.

    Args:
        train: rows that are learnt from.
        validation: rows that say when to stop.
        holdout: rows that judge; nothing was chosen by them.
        as_of: the instant at which the model is trained: it sees nothing later.
    """

    train: TimeRange
    validation: TimeRange
    holdout: TimeRange
    as_of: datetime
    kind: SplitKind = field(default="time", init=False)

    def __post_init__(self) -> None:
        bounds = [
            self.train.end,
            self.validation.start,
            self.validation.end,
            self.holdout.start,
            self.holdout.end,
        ]
        bounds.append(self.as_of)
        if bounds != sorted(bounds):
            raise TrainingError(
                "split by time",
                found=[f"{part}: {(r := self.range(part)).start} to {r.end}" for part in PARTS]
                + [f"as of {self.as_of}"],
                expected="train before validation before holdout before as_of, without overlap",
                cure="use `time_split`, which orders them",
            )

    def range(self, part: Part) -> TimeRange:
        """The event times of a part."""
        return {"train": self.train, "validation": self.validation, "holdout": self.holdout}[part]

    def may_judge(self, other: Split) -> bool:
        """Whether the other model learnt from nothing at or after the holdout's start."""
        return other.learns_until <= self.holdout.start

    @property
    def learns_until(self) -> datetime:
        """The end of validation, by which training is stopped."""
        return self.validation.end

    def part(self) -> pl.Expr:
        """The part of a row, String; null for rows outside the ranges, the gaps between them included."""
        part = pl.lit(None, pl.String)
        for name in PARTS:
            part = pl.when(self.range(name).holds(pl.col(EVENT_AT))).then(pl.lit(name)).otherwise(part)
        return part

    def gap(self, earlier: Part, later: Part) -> timedelta:
        """Time between the end of a part and the start of a later one: their embargo, and what lies between."""
        return self.range(later).start - self.range(earlier).end

    def known_by(self, part: Part) -> datetime:
        """When a label of the part must have been known to count.

        A training label before training's end, so that embargoes hold for labels as well; a validation label
        before the holdout starts; a holdout label at `as_of`.
        """
        return {"train": self.train.end, "validation": self.holdout.start, "holdout": self.as_of}[part]

    def to_json(self) -> dict[str, Any]:
        """As JSON, times in ISO 8601."""
        ranges: dict[str, Any] = {p: [self.range(p).start.isoformat(), self.range(p).end.isoformat()] for p in PARTS}
        return {"kind": self.kind, **ranges, "as_of": self.as_of.isoformat()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        read = datetime.fromisoformat
        ranges = {p: TimeRange(read(record[p][0]), read(record[p][1])) for p in PARTS}
        return cls(**ranges, as_of=read(record["as_of"]))


def time_split(windows: Sequence[Window], *, validation: float, holdout: float, embargo: float = 0.0) -> TimeSplit:
    """Divide a learning window: the newest rows judge, those before stop the training, the rest is learnt from.

    Args:
        windows: partitions to learn from, oldest first; the last is the as-of partition.
        validation: length of the validation range, in lengths of the last window (0.33: a third of it).
        holdout: length of the holdout range, likewise.
        embargo: gap before validation and before holdout, likewise.

    Raises:
        TrainingError: there are no windows, they overlap or are out of order, a length is not positive or
            longer than all windows, or nothing is left to train on.
    """
    lengths = {"validation": validation, "holdout": holdout, "embargo": embargo}
    wrong = [
        f"{name}: {x}" for name, x in lengths.items() if not 0 <= x < float("inf") or (x == 0 and name != "embargo")
    ]
    if windows:
        whole = (max(w.end for w in windows) - min(w.start for w in windows)) / (windows[-1].end - windows[-1].start)
        wrong += [f"{name}: {x}, in a window of {whole:g}" for name, x in lengths.items() if whole < x < float("inf")]
    wrong += [
        f"window {later.key} starts {later.start}, before {earlier.key} ends ({earlier.end})"
        for earlier, later in pairwise(windows)
        if later.start < earlier.end
    ]
    if wrong or not windows:
        raise TrainingError(
            "split by time",
            found=wrong or "no windows",
            expected="windows in order without overlap, validation and holdout longer than 0, an embargo of at least "
            "0, none longer than the whole window",
            cure="correct model.validation, evaluation.holdout or evaluation.embargo",
        )
    as_of, length = windows[-1].end, windows[-1].end - windows[-1].start
    gap = _times(length, embargo)
    judged = TimeRange(as_of - _times(length, holdout), as_of)
    stopping = TimeRange(judged.start - gap - _times(length, validation), judged.start - gap)
    return TimeSplit(TimeRange(windows[0].start, stopping.start - gap), stopping, judged, as_of)


def _times(length: timedelta, factor: float) -> timedelta:
    return timedelta(seconds=round(length.total_seconds() * factor))
