"""What a rollout needs of a piece of the prediction log: counts of every request, and the rows that are compared.

Counts are small and add up. To compare two models row by row, and to find labels, rows must be kept; so from some
number of requests on a lot decides which. What a piece is, is in `core.log_pieces`; what follows, in `reading`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, log2
from typing import Any

import numpy as np
import polars as pl

from ml_assets.core.log_segments import microseconds
from ml_assets.core.rollout.observed import Counts as Latencies
from ml_assets.core.rollout.observed import Seen, Sums, no_counts
from ml_assets.core.rollout.reading import Period, counted, of_arms, periods_of, within
from ml_assets.core.rollout.recorded import Rollout

_LOT = 20
"""Seed of the lots, another one than that of requests that are scored afterwards: these are drawn from those."""


@dataclass(frozen=True)
class Span:
    """What was counted between two moments, microseconds since 1970, the second not included.

    Args:
        start, end: the part of a period in which the piece has rows.
        champion, candidate: what was seen of either, without losses.
    """

    start: int
    end: int
    champion: Seen
    candidate: Seen


@dataclass(frozen=True)
class Counts:
    """What was counted of a piece.

    Args:
        first, last: `at` of the rows of its arms, microseconds since 1970; None: it has none.
        spans: a part for each period of which it may have rows, oldest first.
    """

    first: int | None
    last: int | None
    spans: tuple[Span, ...]

    @property
    def answered(self) -> int:
        """Requests that either model was chosen for."""
        return int(sum(s.champion.answered + s.candidate.answered for s in self.spans))

    def fit(self, periods: Sequence[Period]) -> bool:
        """Whether the periods are still those by which it was counted: they change when a rollout moves on."""
        return [(s.start, s.end) for s in self.spans] == [cut for _, cut in _cuts(periods, self.first, self.last)]

    def to_json(self) -> dict[str, Any]:
        """As JSON; floats come back to the bit."""
        spans = [
            {"start": s.start, "end": s.end, "champion": _told(s.champion), "candidate": _told(s.candidate)}
            for s in self.spans
        ]
        return {"first": self.first, "last": self.last, "spans": spans}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Counts":
        """Read what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        spans = [Span(s["start"], s["end"], _read(s["champion"]), _read(s["candidate"])) for s in told["spans"]]
        return cls(told["first"], told["last"], tuple(spans))


def counts_of(rollout: Rollout, rows: pl.DataFrame) -> Counts:
    """Count a piece; a request whose rows are written into two pieces counts as two latencies.

    Args:
        rollout: whose champion and candidate.
        rows: of its arms since it began, see `reading.of_arms`.
    """
    if rows.is_empty():
        return Counts(None, None, ())
    first, last = rows.select(pl.col("at").min().to_physical(), pl.col("at").max().to_physical().alias("last")).row(0)
    periods = periods_of(rollout)
    spans = [Span(*cut, *counted(rollout, within(rows, periods[i]))) for i, cut in _cuts(periods, first, last)]
    return Counts(first, last, tuple(spans))


def added_up(rollout: Rollout, pieces: Sequence[Counts]) -> list[tuple[Seen, Seen]]:
    """What was counted of champion and candidate in each period of a rollout, in the order of the pieces."""
    periods = periods_of(rollout)
    told = [(Seen(), Seen()) for _ in periods]
    for piece in pieces:
        for (i, _), span in zip(_cuts(periods, piece.first, piece.last), piece.spans, strict=True):
            told[i] = told[i][0] + span.champion, told[i][1] + span.candidate
    return told


def _cuts(periods: Sequence[Period], first: int | None, last: int | None) -> list[tuple[int, tuple[int, int]]]:
    """Place of each period that overlaps `[first, last]`, and the overlap."""
    if first is None or last is None:
        return []
    ends = [(microseconds(p.start), last + 1 if p.end is None else microseconds(p.end)) for p in periods]
    cuts = [(i, (max(start, first), min(end, last + 1))) for i, (start, end) in enumerate(ends)]
    return [(i, (start, end)) for i, (start, end) in cuts if start < end]


def arms_since(rollout: Rollout, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of champion and candidate since the rollout began that nobody asked for by version or for a test."""
    begun = datetime.fromisoformat(rollout.events[0].facts["at"]).astimezone(UTC).replace(tzinfo=None)
    return of_arms(rollout, rows.filter(pl.col("at") >= begun))


def halvings(position: int, compared: int) -> int:
    """How often the share of requests that are compared is halved at a place in the rollout.

    Up to `compared` all are, then half of as many again, a quarter of twice as many, and so on: who is in stays in.

    >>> [halvings(place, 100) for place in (0, 99, 100, 199, 200, 1000)]
    [0, 0, 1, 1, 2, 4]
    """
    return ceil(log2(max((position + 1) / compared, 1.0)))


def drawn(rows: pl.DataFrame, halved: int) -> pl.DataFrame:
    """The rows of the requests on which the lot falls, one in `2 ** halved`; all rows of a request, or none."""
    return rows if not halved else rows.filter(pl.col("request_id").hash(_LOT) % 2**halved == 0)


def _told(seen: Seen) -> dict[str, Any]:
    return {
        "answered": seen.answered,
        "tried": seen.tried,
        "failed": seen.failed,
        "latencies": _bins(seen.latencies),
        "beside": _bins(seen.beside),
        "predictions": [seen.predictions.rows, seen.predictions.total, seen.predictions.squares],
    }


def _read(told: Mapping[str, Any]) -> Seen:
    return Seen(
        told["answered"], told["tried"], told["failed"], _of_bins(told["latencies"]), Sums(*told["predictions"]),
        beside=_of_bins(told["beside"]),
    )  # fmt: skip


def _bins(counts: Latencies) -> list[list[int]]:
    """Places and numbers of what is not zero."""
    places = np.flatnonzero(counts)
    return [places.tolist(), counts[places].tolist()]


def _of_bins(told: Sequence[Sequence[int]]) -> Latencies:
    counts = no_counts()
    places, numbers = told
    counts[places] = numbers
    return counts
