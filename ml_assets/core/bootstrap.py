"""How sure a metric is: the same resamples of the rows for every contender, and intervals from them.

What is resampled is in `measures`. Intervals by slice, which need no resampling, are in `slices`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import ContractError
from ml_assets.core.measures import Floats, Measure, OfMeans, OfOrder, Rows

COVERAGE = 0.95
DRAWS = 1000
GROUPS = 4000
"""Groups of rows drawn in place of rows beyond so many: they add 1.1 % of noise to an interval's width."""
ORDERED_DRAWS = 200
ORDERED_ROWS = 20_000
DEFINED = 0.95
"""Share of the draws in which a metric must be defined to have an interval."""

_CHUNK = 250


@dataclass(frozen=True)
class Interval:
    """An estimate with a 95 % interval, in the unit of the metric."""

    estimate: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """As JSON."""
        return {"estimate": self.estimate, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Resamples:
    """Draws of some rows, always the same for the same number of rows and seed.

    Each draw weighs the rows by independent Poisson(1) counts, which is the bootstrap for many rows (Chamandy et al.
    2012, Estimating uncertainty for massive data streams). Beyond `GROUPS` rows, random groups of rows of equal size
    (give or take one) are drawn in place of rows, so that cost and memory stay bounded.

    A metric that needs the rows in their order is drawn `ORDERED_DRAWS` times, on `ORDERED_ROWS` random rows at most;
    since its error shrinks with the root of the rows, that of all rows is told from it (Politis and Romano 1994).

    Args:
        rows: how many, at least one.
        seed: of the draws.
        draws: how many.
    """

    rows: int
    seed: int
    draws: int = DRAWS

    @property
    def groups(self) -> int:
        """Groups that are drawn; rows, where there are few."""
        return min(self.rows, GROUPS)

    def means(self, columns: Sequence[Floats]) -> Floats:
        """Means of some columns, each `[rows]`, in each draw: `[draws, columns]`."""
        sums = np.stack([self._by_group(column) for column in columns])
        sizes = np.bincount(self._member, minlength=self.groups).astype(np.float64)
        weights = _poisson(self.seed, self.draws, self.groups)
        found = np.empty((self.draws, len(columns)))
        for start in range(0, self.draws, _CHUNK):
            some = weights[start : start + _CHUNK].astype(np.float64)
            # Not by BLAS, whose sums may differ by the number of threads.
            drawn = np.maximum(np.einsum("dg,g->d", some, sizes), 1.0)
            for k, of_groups in enumerate(sums):
                found[start : start + _CHUNK, k] = np.einsum("dg,g->d", some, of_groups) / drawn
        return found

    def mean(self, column: Floats) -> Interval:
        """The mean of a column, `[rows]`, with its percentile interval."""
        return _percentiles(float(column.mean()), self.means([column])[:, 0])

    def values(self, measure: Measure) -> Floats:
        """A metric in each draw; NaN where it is not defined. Those of an `OfOrder` are fewer."""
        if isinstance(measure, OfMeans):
            return np.asarray(measure.combine(self.means(measure.columns)), dtype=np.float64)
        by_weight = measure.on(self._some)
        weights = _poisson(self.seed, ORDERED_DRAWS, len(self._some))
        drawn = np.array([by_weight(w.astype(np.float64)) if w.any() else np.nan for w in weights])
        shrunk = np.sqrt(len(self._some) / self.rows)
        values: Floats = measure.value() + shrunk * (drawn - by_weight(np.ones(len(self._some))))
        return values

    def _by_group(self, column: Floats) -> Floats:
        if column.shape != (self.rows,):
            raise ContractError(
                "comparison on the same rows",
                found=f"{column.size} values for {self.rows} rows",
                expected="one value for each row",
                cure="score every contender on the same holdout",
            )
        return np.bincount(self._member, weights=column, minlength=self.groups).astype(np.float64)

    @cached_property
    def _member(self) -> Rows:
        """The group of each row."""
        member: Rows = np.random.default_rng(self.seed).permutation(self.rows) % self.groups
        return member

    @cached_property
    def _some(self) -> Rows:
        """Random rows, in their order."""
        chosen = np.random.default_rng(self.seed).permutation(self.rows)[:ORDERED_ROWS]
        return np.sort(chosen)


@lru_cache(maxsize=4)
def _poisson(seed: int, draws: int, groups: int) -> npt.NDArray[np.uint8]:
    """Weights, `[draws, groups]`; kept, since every contender and metric asks for the same."""
    return np.random.default_rng([seed, groups]).poisson(1.0, size=(draws, groups)).astype(np.uint8)


def interval(estimate: float, drawn: Floats, measure: Measure | None = None) -> Interval | None:
    """The 95 % interval of a metric from its draws.

    Percentiles of the draws; where resampling shifts the metric, or the draws are few, the estimate give or take
    1.96 of the draws' standard deviation, inside the metric's bounds.

    Args:
        estimate: the metric of all rows.
        drawn: the metric in each draw.
        measure: the metric; None for a difference of skewed ones.

    Returns:
        None where the metric is not defined in more than a few of the draws.
    """
    defined = drawn[np.isfinite(drawn)]
    if defined.size < DEFINED * drawn.size:
        return None
    if measure is not None and not measure.skewed:
        return _percentiles(estimate, defined)
    half = NormalDist().inv_cdf((1 + COVERAGE) / 2) * float(defined.std())
    least, most = (-np.inf, np.inf) if measure is None else measure.bounds
    return Interval(estimate, max(estimate - half, least), min(estimate + half, most))


def _percentiles(estimate: float, drawn: Floats) -> Interval:
    tail = 100 * (1 - COVERAGE) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    # Of equal values, a mean of draws may miss the estimate by rounding.
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate))


def paired_bootstrap(loss_a: Floats, loss_b: Floats, *, seed: int, draws: int = DRAWS) -> Interval:
    """The mean of `loss_a - loss_b` over the same rows, with its percentile bootstrap interval; see `Resamples`.

    Args:
        loss_a, loss_b: `[rows]`, the same rows in the same order.
        seed: of the draws.
        draws: number of resamples.

    Raises:
        ContractError: the rows are not the same number, or there are none.
    """
    if loss_a.shape != loss_b.shape or not loss_a.size:
        raise ContractError(
            "comparison of two models",
            found=f"{loss_a.size} and {loss_b.size} losses",
            expected="the losses of the same rows, at least one",
            cure="compare both models on the same holdout",
        )
    return Resamples(loss_a.size, seed, draws).mean(loss_a - loss_b)


Intervals = dict[str, dict[str, Interval]]
"""Contender -> metric -> interval."""


def compare(measures: Mapping[str, Mapping[str, Measure]], resamples: Resamples) -> tuple[Intervals, Intervals]:
    """Intervals of every contender's metrics, and of the first one's metrics minus those of each other.

    Args:
        measures: contender -> metric -> how it is computed, all on the same rows; the first is the candidate.
        resamples: draws of these rows.

    Returns:
        Both leave out what is not defined on these rows, or not in enough of the draws.
    """
    estimates = {who: {name: m.value() for name, m in of.items()} for who, of in measures.items()}
    drawn = {who: {name: resamples.values(m) for name, m in of.items()} for who, of in measures.items()}
    candidate, *others = measures
    alone: Intervals = {who: {} for who in measures}
    against: Intervals = {who: {} for who in others}
    for who, of in measures.items():
        for name, measure in of.items():
            if (found := interval(estimates[who][name], drawn[who][name], measure)) is not None:
                alone[who][name] = found
            if who in against and name in measures[candidate]:
                apart = estimates[candidate][name] - estimates[who][name]
                skewed = None if isinstance(measure, OfOrder) or measure.skewed else measure
                if (found := interval(apart, drawn[candidate][name] - drawn[who][name], skewed)) is not None:
                    against[who][name] = found
    return alone, against
