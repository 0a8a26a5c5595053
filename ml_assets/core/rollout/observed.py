"""What was seen of a rollout: counts and sums of each period in which the weights did not change.

They are filled from the prediction log; what follows from them is in `guardrails` and `machine`. Numbers may be
arrays of one shape, for many looks at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_assets.core.sequential import LEAST_ROWS, Number

Counts = npt.NDArray[np.int64]
GROWTH, FASTEST_US, BINS = 1.02, 10.0, 815
"""Latencies are counted in bins that grow by 2 %, from 10 µs to 100 s."""


def latency_bins(latencies_us: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The bin of each latency in microseconds."""
    with np.errstate(divide="ignore"):
        place = np.floor(np.log(np.asarray(latencies_us, dtype=float) / FASTEST_US) / np.log(GROWTH))
    return np.asarray(np.clip(place, 0, BINS - 1), dtype=np.int64)


def latency_counts(latencies_us: npt.NDArray[Any]) -> Counts:
    """How many latencies in microseconds fall into each bin; `[BINS]`."""
    return np.bincount(latency_bins(latencies_us), minlength=BINS).astype(np.int64)


def latency_quantile(counts: Counts, quantile: float) -> float | None:
    """The upper edge in microseconds of the bin in which a quantile is; None of nothing."""
    total = int(counts.sum())
    if not total:
        return None
    return float(FASTEST_US * GROWTH ** (int(np.searchsorted(counts.cumsum(), quantile * total)) + 1))


def no_counts() -> Counts:
    """Nothing counted."""
    return np.zeros(BINS, dtype=np.int64)


@dataclass(frozen=True)
class Sums:
    """Sums over the rows of one model: number, values, squares."""

    rows: Number = 0
    total: Number = 0.0
    squares: Number = 0.0

    @classmethod
    def of(cls, values: npt.NDArray[Any]) -> "Sums":
        """Of some values, `[rows]`."""
        return cls(len(values), float(values.sum()), float((values**2).sum()))

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.rows + other.rows, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> Number:
        """Mean; 0 of nothing."""
        return np.asarray(np.asarray(self.total) / np.maximum(self.rows, 1))

    @property
    def variance(self) -> Number:
        """Variance; 0 of nothing."""
        return np.asarray(np.maximum(np.asarray(self.squares) / np.maximum(self.rows, 1) - self.mean**2, 0.0))


@dataclass(frozen=True)
class Pairs:
    """Sums over the rows that both models have a value of."""

    champion: Sums = Sums()
    candidate: Sums = Sums()
    products: Number = 0.0

    @classmethod
    def of(cls, champion: npt.NDArray[Any], candidate: npt.NDArray[Any]) -> "Pairs":
        """Of the values of the same rows, `[rows]` each."""
        return cls(Sums.of(champion), Sums.of(candidate), float((champion * candidate).sum()))

    def __add__(self, other: "Pairs") -> "Pairs":
        both = self.champion + other.champion, self.candidate + other.candidate
        return Pairs(*both, self.products + other.products)

    @property
    def rows(self) -> Number:
        """How many rows."""
        return self.champion.rows

    def difference(self, factor: float = 1.0) -> Sums:
        """Sums of candidate − factor · champion, row by row."""
        c, h = self.candidate, self.champion
        return Sums(
            self.rows, c.total - factor * h.total, c.squares - 2 * factor * self.products + factor**2 * h.squares
        )


@dataclass(frozen=True)
class Estimates:
    """Losses that are expected of rows that both models have scored, each by its own estimator.

    Args:
        pairs: the losses.
        champion, candidate: their totals by an estimator that is fitted without each block, `[blocks]` or
            `[blocks, looks]`, see `core.estimator`: how much they differ is how little the estimator can be trusted.
    """

    pairs: Pairs = Pairs()
    champion: Number = 0.0
    candidate: Number = 0.0

    @classmethod
    def of(cls, champion: npt.NDArray[Any], candidate: npt.NDArray[Any]) -> "Estimates":
        """Of the losses of the same rows, `[blocks, rows]` each."""
        return cls(Pairs.of(champion.mean(axis=0), candidate.mean(axis=0)), champion.sum(axis=1), candidate.sum(axis=1))

    def __add__(self, other: "Estimates") -> "Estimates":
        return Estimates(self.pairs + other.pairs, self.champion + other.champion, self.candidate + other.candidate)


@dataclass(frozen=True)
class Seen:
    """What was seen of one model in a period.

    Args:
        answered: requests that it answered or failed to answer: those that it was chosen for.
        tried: requests that it scored or failed to, those beside included.
        failed: of those tried.
        latencies: of those answered, see `latency_counts`.
        beside: CPU times of those scored where shadows are, where both models were timed.
        predictions, losses: of those answered; realised losses, of rows whose label is known.
    """

    answered: Number = 0
    tried: Number = 0
    failed: Number = 0
    latencies: Counts = field(default_factory=no_counts)
    predictions: Sums = Sums()
    losses: Sums = Sums()
    beside: Counts = field(default_factory=no_counts)

    def __add__(self, other: "Seen") -> "Seen":
        return Seen(
            self.answered + other.answered,
            self.tried + other.tried,
            self.failed + other.failed,
            self.latencies + other.latencies,
            self.predictions + other.predictions,
            self.losses + other.losses,
            self.beside + other.beside,
        )


@dataclass(frozen=True)
class Leg:
    """A period in which the weights did not change.

    Args:
        step: place in the rules' steps.
        weight: the candidate's, in basis points.
        champion, candidate: what was seen of either.
        predictions, losses, estimated: of rows that both have scored: predictions, realised losses, losses that are
            expected without labels.
    """

    step: int
    weight: int
    champion: Seen = field(default_factory=Seen)
    candidate: Seen = field(default_factory=Seen)
    predictions: Pairs = Pairs()
    losses: Pairs = Pairs()
    estimated: Estimates = Estimates()


def stratified(legs: Sequence[Leg], of: str, factor: float = 1.0) -> Sums:
    """Sums of candidate − factor · champion where each row has a value of one of them only, period by period.

    What changes between periods, shares included, is no difference between the models. A period weighs as much as it
    tells: as many rows as would tell the same if both had answered half of them. A period in which one has answered
    little says little, however many rows it has; if it weighed by its rows, its noise would drown all others. A row
    counts as an observation of the difference whose variance is that of both means together. A period counts once both
    have `LEAST_ROWS`.

    Args:
        legs: the periods.
        of: `predictions` or `losses` of `Seen`.
        factor: of the champion's values.
    """
    told = Sums()
    for leg in legs:
        h, c = getattr(leg.champion, of), getattr(leg.candidate, of)
        worth = 4.0 * h.rows * c.rows / np.maximum(h.rows + c.rows, 1)
        rows = np.where(np.minimum(h.rows, c.rows) >= LEAST_ROWS, worth, 0.0)
        mean = c.mean - factor * h.mean
        spread = c.variance / np.maximum(c.rows, 1) + factor**2 * h.variance / np.maximum(h.rows, 1)
        told += Sums(rows, rows * mean, rows * (rows * spread + mean**2))
    return told
