"""Requests of a simulated rollout, drawn at random, and what is seen of them after each: as counts and sums.

What a rollout makes of it is in `rollout_simulation`; how a real log becomes the same sums, in `core.rollout.reading`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.gate_simulation import ALIKE, MEAN_MINUTES, SPREAD
from ml_assets.core.rollout import guardrails
from ml_assets.core.rollout.afterwards import in_sample
from ml_assets.core.rollout.guardrails import LEAST_ANSWERED, P99, bins_of
from ml_assets.core.rollout.observed import Counts, Estimates, Leg, Pairs, Seen, Sums, latency_bins, latency_counts
from ml_assets.core.rollout.reading import MOST_ESTIMATED
from ml_assets.core.rollout.rules import TESTS, Rules
from ml_assets.core.routing import WHOLE
from ml_assets.core.sequential import Blame
from ml_assets.serving.shadows.process import MOST_TIMED

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Looks = npt.NDArray[np.int64] | int
NOTHING = Blame(0, 0, 0.5)
LATE, FAILING, MEDIAN_US, LATENCY_SPREAD, SCORE_SPREAD = 500, 0.001, 1_000.0, 0.5, 5.0
NARROW, WIDE = 1.9, 3.2
"""Normal scores between which the running 99th percentile of 500 latencies or more is looked for."""


@dataclass(frozen=True)
class Truth:
    """What a candidate truly is: factor of its loss and latency, and how often it fails.

    Args:
        loss, latency, failing: these.
        expects: draws what estimators expect of so many requests, see `Stretch`; None: there are none.
    """

    loss: float = 1.0
    latency: float = 1.0
    failing: float = FAILING
    expects: Callable[[np.random.Generator, int], tuple[Floats, Floats]] | None = None


@dataclass(frozen=True)
class Stretch:
    """The requests of one step, in order: `[requests]` each; what is expected of them, `[blocks, requests]`.

    `beside` are CPU times of both models where shadows are scored, of requests that the candidate can't answer.
    """

    own: Bools
    failed: tuple[Bools, Bools]
    latency: Floats
    score: tuple[Floats, Floats]
    loss: tuple[Floats, Floats]
    expected: tuple[Floats, Floats] | None = None
    beside: tuple[Floats, Floats] | None = None

    @classmethod
    def draw(cls, rng: np.random.Generator, requests: int, weight: int, truth: Truth) -> "Stretch":
        """Draw requests; each is answered by the candidate with its weight as probability."""
        common, one, other, latency, score, apart = rng.standard_normal((6, requests))
        own = rng.random(requests) < weight / WHOLE
        shared, rest = np.sqrt(ALIKE) * common, np.sqrt(1 - ALIKE)
        mean = MEAN_MINUTES / np.exp(SPREAD**2 / 2)
        fails = rng.random((2, requests))
        return cls(
            own,
            (fails[0] < FAILING, fails[1] < truth.failing),
            MEDIAN_US * np.exp(LATENCY_SPREAD * latency) * np.where(own, truth.latency, 1.0),
            (SCORE_SPREAD * score, SCORE_SPREAD * score + 0.2 * SCORE_SPREAD * apart),
            (
                mean * np.exp(SPREAD * (shared + rest * one)),
                mean * truth.loss * np.exp(SPREAD * (shared + rest * other)),
            ),
            None if truth.expects is None else truth.expects(rng, requests),
            None if weight else _beside(rng, requests, truth),
        )

    def __add__(self, other: "Stretch") -> "Stretch":
        def joined(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return np.concatenate([a, b], axis=-1)

        def both(name: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
            one, more = getattr(self, name), getattr(other, name)
            return joined(one[0], more[0]), joined(one[1], more[1])

        own, latency = joined(self.own, other.own), joined(self.latency, other.latency)
        expected = None if self.expected is None else both("expected")
        beside = None if self.beside is None else both("beside")
        return Stretch(own, both("failed"), latency, both("score"), both("loss"), expected, beside)

    def until(self, requests: int) -> "Stretch":
        """The first requests."""
        cut = slice(requests)
        return Stretch(
            self.own[cut], (self.failed[0][cut], self.failed[1][cut]), self.latency[cut],
            (self.score[0][cut], self.score[1][cut]), (self.loss[0][cut], self.loss[1][cut]),
            None if self.expected is None else (self.expected[0][:, cut], self.expected[1][:, cut]),
            None if self.beside is None else (self.beside[0][cut], self.beside[1][cut]),
        )  # fmt: skip


def _beside(rng: np.random.Generator, requests: int, truth: Truth) -> tuple[Floats, Floats]:
    one, other = MEDIAN_US * np.exp(LATENCY_SPREAD * rng.standard_normal((2, requests)))
    return one, truth.latency * other


def leg_of(stretch: Stretch, number: int, rules: Rules, seen: Looks, known: Looks, *, afterwards: bool = True) -> Leg:
    """Counts and sums of a stretch after `seen` requests and `known` labels of it, `[looks]` each.

    Args:
        stretch: the requests of a step.
        number: of the step.
        rules: of the rollout.
        seen, known: how many, from the beginning of the stretch.
        afterwards: whether what one model answered can be scored by the other one afterwards, where nothing is paired.
    """
    weight = rules.steps[number]
    theirs, own, every = ~stretch.own, stretch.own, np.ones(len(stretch.own), dtype=bool)
    beside = rules.paired or weight == 0
    places = np.arange(len(own))
    paired = every if beside else in_sample(places, places.astype(np.uint64)) & afterwards

    def sums(values: Floats, which: Bools, at: Looks) -> Sums:
        taken = values * which
        return Sums(upto(which, at), upto(taken, at), upto(taken * taken, at))

    def pairs(values: tuple[Floats, Floats], at: Looks) -> Pairs:
        if not paired.any():
            return Pairs()
        products = np.where(paired, values[0] * values[1], 0.0)
        return Pairs(sums(values[0], paired, at), sums(values[1], paired, at), upto(products, at))

    def of(which: Bools, i: int, tried: Bools) -> Seen:
        counts = upto(which, seen), upto(tried, seen), upto(stretch.failed[i] & tried, seen)
        if rules.paired:
            return Seen(*counts)
        return Seen(
            *counts,
            predictions=sums(stretch.score[i], which, seen), losses=sums(stretch.loss[i], which, known),
        )  # fmt: skip

    return Leg(
        number,
        weight,
        of(theirs, 0, every if beside else theirs),
        of(own, 1, every if beside else own),
        pairs(stretch.score, seen),
        pairs(stretch.loss, known),
        Estimates() if stretch.expected is None else estimates_of(*stretch.expected, seen),
    )


def estimates_of(champion: Floats, candidate: Floats, at: Looks) -> Estimates:
    """What is expected of the first requests, for each look: of so many of them as `reading` takes, evenly spread.

    Args:
        champion, candidate: the losses, `[blocks, requests]`; both have scored every request.
        at: how many requests.
    """

    def summed(values: Floats) -> Floats:
        if isinstance(at, int):
            return values[..., : at : strides[0]].sum(axis=-1, keepdims=True)
        told = np.empty((*values.shape[:-1], seen.size))
        for each in strides:
            now = every == each
            told[..., now] = np.cumsum(values[..., ::each], axis=-1)[..., rows[now] - 1]
        return told

    seen = np.atleast_1d(at)
    every = np.maximum(1, seen // MOST_ESTIMATED)
    rows, strides = -(-seen // every), np.unique(every)
    means = [values.mean(axis=0) for values in (champion, candidate)]
    both = [Sums(rows, summed(mean), summed(mean * mean)) for mean in means]
    return Estimates(Pairs(*both, summed(means[0] * means[1])), summed(champion), summed(candidate))


def upto(values: npt.NDArray[np.generic], at: Looks) -> Floats | float:
    """Sum of the first `at` values, for each look."""
    if isinstance(at, int):
        return float(values[:at].sum())
    if not at.any():
        return np.zeros(len(at))
    every = np.zeros(len(values) + 1)
    np.cumsum(values, out=every[1:])
    return every[at]


def slow_by_period(before: Sequence[Stretch], now: Stretch, rules: Rules, ratio: float) -> list[Blame]:
    """As the real guardrail after every request of the last of some stretches: see `guardrails.judge`."""
    every = [*before, now]
    timed = [timed_beside(s, ratio, whole=i < len(before)) for i, s in enumerate(every) if s.beside is not None]
    return [*timed, *slow_answers(before, now, rules, ratio)]


def timed_beside(stretch: Stretch, ratio: float, *, whole: bool) -> Blame:
    """As `guardrails.slowness` of the CPU times of both models, after every request, or after the last one."""
    requests = min(stretch.own.size, MOST_TIMED)
    champion, candidate = (times[:requests] for times in stretch.beside or ())
    if whole:
        leg = Leg(0, 0, Seen(latencies=latency_counts(champion)), Seen(latencies=latency_counts(candidate)))
        told = guardrails.slowness([leg], ratio)
        return told[0] if told else NOTHING
    # Each request is timed twice: once as the champion's, once as the candidate's.
    each = np.stack([champion, candidate], axis=1).ravel()
    [of_both] = slow_by_part(np.tile([False, True], requests), each, ratio, [0])
    last = np.minimum(np.arange(stretch.own.size), requests - 1) * 2 + 1
    return Blame(
        *(np.broadcast_to(values, each.shape)[last] for values in (of_both.hits, of_both.all_hits, of_both.share))
    )


def slow_answers(before: Sequence[Stretch], now: Stretch, rules: Rules, ratio: float) -> list[Blame]:
    """As `guardrails.slowness` after every request of the last of some stretches: see `guardrails.comparable`."""
    every = [*before, now]
    if rules.strategy in TESTS:
        # All of them are periods of one step.
        starts = np.cumsum([0, *(s.own.size for s in before)]).tolist()
        own, latency = (np.concatenate([getattr(s, name) for s in every]) for name in ("own", "latency"))
        return slow_by_part(own, latency, ratio, starts)
    if any(s.own.any() and not s.own.all() for s in every):
        return [slow_over_time(s, ratio, whole=i < len(before)) for i, s in enumerate(every)]
    counts: Counts = np.sum([latency_counts(s.latency[~s.own]) for s in every], axis=0)
    return [slow_after(counts, now.latency, ratio)] if now.own.all() else [NOTHING]


def slow_after(champion: Counts, candidate_us: Floats, ratio: float) -> Blame:
    """As `guardrails.slowness` after each of the candidate's latencies, where the champion's came before.

    Args:
        champion: see `latency_counts`.
        candidate_us: the candidate's latencies in microseconds, in order.
        ratio: of the 99th percentiles, the limit.
    """
    upto_bin = champion.cumsum()
    line = int(np.searchsorted(upto_bin, P99 * upto_bin[-1]))
    hits = np.cumsum(latency_bins(candidate_us) > line + bins_of(ratio))
    tried, answered = np.arange(1, len(candidate_us) + 1), int(upto_bin[-1])
    return Blame(hits, hits + int(answered - upto_bin[line]), tried / (tried + answered))


def slow_over_time(stretch: Stretch, ratio: float, *, whole: bool) -> Blame:
    """As `guardrails.slowness` after every request of a step, or after the last one."""
    if whole:
        counts = [latency_counts(stretch.latency[which]) for which in (~stretch.own, stretch.own)]
        told = guardrails.slowness([Leg(0, 0, Seen(latencies=counts[0]), Seen(latencies=counts[1]))], ratio)
        return told[0] if told else NOTHING
    return slow_by_part(stretch.own, stretch.latency, ratio, [0])[0]


def slow_by_part(own: Bools, latency: Floats, ratio: float, starts: Sequence[int]) -> list[Blame]:
    """As `guardrails.slowness` of each period of a step, after every request of the last one: arrays `[requests]`.

    Args:
        own, latency: of the requests of the whole step.
        ratio: of the 99th percentiles, the limit.
        starts: places at which its periods begin, the first at 0.
    """
    bins, first, n = latency_bins(latency), starts[-1], own.size
    answered = np.cumsum(~own)
    if not own.any() or answered[-1] < LEAST_ANSWERED:
        return [Blame(np.zeros(n - first), np.zeros(n - first), 0.5) for _ in starts]
    low, high = (int(latency_bins(np.array([MEDIAN_US * np.exp(LATENCY_SPREAD * z)]))[0]) for z in (NARROW, WIDE))
    # How many of the champion's latencies are beyond each bin of the narrow range, and of the candidate's beyond the
    # same bin shifted by the ratio: they change with few requests, the `changes`.
    columns = high - low + 1
    place = np.clip(np.where(own, bins - bins_of(ratio), bins) - low, 0, columns)
    changes = np.flatnonzero(place)
    every = np.concatenate([[0], np.cumsum(place > 0)])
    at = every[first + 1 :]
    champion, candidate = (np.zeros((columns + 1, changes.size + 1), dtype=np.int32) for _ in range(2))
    for counts, which in ((champion, ~own[changes]), (candidate, own[changes])):
        counts[place[changes][which], 1 + np.flatnonzero(which)] = 1
        np.cumsum(counts, axis=1, out=counts)
    beyond, own_beyond = (np.cumsum(counts[::-1], axis=0)[::-1] - counts for counts in (champion, candidate))
    # The line is the first bin with a hundredth of the champion's latencies beyond it at most: one search for all.
    apart = float(2 * n)
    keys = (apart * np.arange(changes.size + 1) + beyond[::-1]).T.ravel()
    seen, own_seen = answered[first:], np.concatenate([[0], np.cumsum(own)])
    found = np.searchsorted(keys, apart * at + (seen - P99 * seen), side="right") - (columns + 1) * at
    line = np.minimum(columns + 1 - found, columns - 1)
    told, enough = [], seen >= LEAST_ANSWERED
    for start, end in zip(starts, [*starts[1:], np.arange(first, n) + 1], strict=True):
        hits, theirs = (b[line, every[end]] - b[line, every[start]] for b in (own_beyond, beyond))
        # Either is slow in a period that counts, in which both have answered: see `guardrails.comparable`.
        tried, both = own_seen[end] - own_seen[start], end - np.asarray(start)
        counts = enough & (tried > 0) & (tried < both)
        share = tried / np.maximum(both, 1)
        told.append(Blame(np.where(counts, hits, 0), np.where(counts, hits + theirs, 0), np.where(counts, share, 0.5)))
    return told
