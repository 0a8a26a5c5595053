"""How often a rollout goes back, and whom it harmed until then, where the truth is known.

`python -m benchmarks.rollout_simulation`: every cell is 2,000 rollouts, judged by the real guardrails after every
request, and moved from step to step as the real machine does. Losses are those of `gate_simulation`, which fit real
models; labels come 500 requests late; one request in 1,000 of the champion fails; latencies are log-normal (1 ms,
p99 at 3.2 times the median).
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from benchmarks.gate_simulation import ALIKE, MEAN_MINUTES, SPREAD
from ml_assets.core.rollout import guardrails
from ml_assets.core.rollout.guardrails import LEAST_ANSWERED, P99, Finding, bins_of
from ml_assets.core.rollout.observed import Leg, Pairs, Seen, Sums, latency_bins, latency_counts
from ml_assets.core.rollout.rules import STEPS, Guardrails, Rules
from ml_assets.core.routing import WHOLE
from ml_assets.core.sequential import Blame

Floats = npt.NDArray[np.float64]
Looks = npt.NDArray[np.int64] | int
LATE, FAILING, MEDIAN_US, LATENCY_SPREAD, SCORE_SPREAD = 500, 0.001, 1_000.0, 0.5, 5.0
NARROW, WIDE = 1.9, 3.2
"""Normal scores between which the running 99th percentile of 500 latencies or more is looked for."""


@dataclass(frozen=True)
class Truth:
    """What a candidate truly is: factor of its loss and latency, and how often it fails."""

    loss: float = 1.0
    latency: float = 1.0
    failing: float = FAILING


TRUTHS = {
    "equal": Truth(),
    "at the limits: loss +1 %, p99 × 1.5": Truth(loss=1.01, latency=1.5),
    "loss +5 %": Truth(loss=1.05),
    "errors 2 %": Truth(failing=0.02),
    "p99 × 2": Truth(latency=2.0),
    "all three": Truth(1.05, 2.0, 0.02),
}
CANARY = Rules(guardrails=Guardrails(estimated_loss=None))
STRICT = replace(CANARY, guardrails=Guardrails(0.0, 1.0, 0.0, 0.0, None))
PLANS = {
    "shadow, 5, 25, 50, 100 %": CANARY,
    "5, 25, 50, 100 %": replace(CANARY, steps=STEPS["canary"][1:]),
    "5, 25, 50, 100 %, not paired": replace(CANARY, steps=STEPS["canary"][1:], paired=False),
    "shadow, 5, 25, 50, 100 %, all limits 0": STRICT,
}
"""Without the estimated loss, whose estimator would have to be simulated, too. With limits of 0, an equal candidate is
exactly at each of them: where false alarms are most likely."""


@dataclass(frozen=True)
class Outcome:
    """How one rollout ended.

    Args:
        guardrail: that was broken first; None: the candidate was released.
        requests: until then, in all.
        harmed: of them, those that the candidate answered.
    """

    guardrail: str | None
    requests: int
    harmed: int


@dataclass(frozen=True)
class Stretch:
    """The requests of one step, in order: `[requests]` each."""

    own: npt.NDArray[np.bool_]
    failed: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]
    latency: Floats
    score: tuple[Floats, Floats]
    loss: tuple[Floats, Floats]

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
        )

    def until(self, requests: int) -> "Stretch":
        """The first requests."""
        cut = slice(requests)
        return Stretch(
            self.own[cut], (self.failed[0][cut], self.failed[1][cut]), self.latency[cut],
            (self.score[0][cut], self.score[1][cut]), (self.loss[0][cut], self.loss[1][cut]),
        )  # fmt: skip


def simulate(truth: Truth, rules: Rules, rng: np.random.Generator) -> Outcome:
    """One rollout, looked at after every request."""
    before: list[Stretch] = []
    for weight in rules.steps:
        needed = rules.min_requests if weight == 0 else int(1.3 * rules.min_requests * WHOLE / weight) + 50
        now = Stretch.draw(rng, needed, weight, truth)
        if weight:
            now = now.until(int(np.searchsorted(now.own.cumsum(), rules.min_requests)) + 1)
        # What is judged of the beginning does not depend on what follows: most bad candidates end there.
        for looks in (now.own.size // 8, now.own.size):
            broken = judged(before, now.until(looks), rules)
            at = {f.guardrail: int(np.argmax(f.broken)) for f in broken if np.any(f.broken)}
            if at:
                first = min(at, key=lambda name: at[name])
                seen = [*before, now.until(at[first] + 1)]
                return Outcome(first, sum(s.own.size for s in seen), sum(int(s.own.sum()) for s in seen))
        before.append(now)
    return Outcome(None, sum(s.own.size for s in before), sum(int(s.own.sum()) for s in before))


def judged(before: Sequence[Stretch], now: Stretch, rules: Rules) -> list[Finding]:
    """What the real guardrails say after every request of a stretch: arrays `[requests]` in each finding."""
    told, own, ends = rules.guardrails, rules.guardrails.own_alpha, len(now.own)
    start = sum(s.own.size for s in before)
    legs, first = [], 0
    for i, stretch in enumerate([*before, now]):
        size = stretch.own.size
        current = i == len(before)
        seen = np.arange(1, size + 1) if current else size
        arrived = start + np.arange(1, ends + 1) - LATE - first
        known = size if arrived[0] >= size else np.clip(arrived, 0, size)
        legs.append(leg_of(stretch, i, rules, seen, known))
        first += size
    slow = [slow_over_time(s, told.p99_ratio or 1.0, whole=i < len(before)) for i, s in enumerate([*before, now])]
    return [
        guardrails.errors(legs, told.errors or 0.0, own),
        guardrails.latency(slow, told.p99_ratio or 1.0, own, None),
        guardrails.shift(legs, told.prediction_shift or 0.0, own, paired=rules.paired),
        guardrails.loss("loss", legs, told.loss or 0.0, own, paired=rules.paired),
    ]


def leg_of(stretch: Stretch, number: int, rules: Rules, seen: Looks, known: Looks) -> Leg:
    """Counts and sums of a stretch after `seen` requests and `known` labels of it, `[looks]` each."""
    weight = rules.steps[number]
    beside = rules.paired or weight == 0
    theirs, own = ~stretch.own, stretch.own

    def sums(values: Floats, which: npt.NDArray[np.bool_], at: Looks) -> Sums:
        taken = np.where(which, values, 0.0)
        return Sums(upto(which, at), upto(taken, at), upto(taken**2, at))

    def pairs(values: tuple[Floats, Floats], at: Looks) -> Pairs:
        every = np.ones(len(own), dtype=bool)
        return Pairs(sums(values[0], every, at), sums(values[1], every, at), upto(values[0] * values[1], at))

    def of(which: npt.NDArray[np.bool_], i: int, tried: npt.NDArray[np.bool_]) -> Seen:
        counts = upto(which, seen), upto(tried, seen), upto(stretch.failed[i] & tried, seen)
        if rules.paired:
            return Seen(*counts)
        return Seen(
            *counts,
            predictions=sums(stretch.score[i], which, seen), losses=sums(stretch.loss[i], which, known),
        )  # fmt: skip

    every = np.ones(len(own), dtype=bool)
    return Leg(
        number,
        weight,
        of(theirs, 0, every if beside else theirs),
        of(own, 1, every if beside else own),
        pairs(stretch.score, seen) if beside else Pairs(),
        pairs(stretch.loss, known) if beside else Pairs(),
    )


def upto(values: npt.NDArray[np.generic], at: Looks) -> Floats | float:
    """Sum of the first `at` values, for each look."""
    if isinstance(at, int):
        return float(values[:at].sum())
    return np.concatenate([[0.0], np.cumsum(values, dtype=float)])[at]


def slow_over_time(stretch: Stretch, ratio: float, *, whole: bool) -> Blame:
    """As `guardrails.slowness` after every request of a stretch, or after the last one."""
    if whole:
        counts = [latency_counts(stretch.latency[which]) for which in (~stretch.own, stretch.own)]
        return guardrails.slowness(Leg(0, 0, Seen(latencies=counts[0]), Seen(latencies=counts[1])), ratio)
    bins, own, n = latency_bins(stretch.latency), stretch.own, stretch.own.size
    answered = np.cumsum(~own)
    if not own.any() or answered[-1] < LEAST_ANSWERED:
        return Blame(np.zeros(n), np.zeros(n), 0.5)
    low, high = (int(latency_bins(np.array([MEDIAN_US * np.exp(LATENCY_SPREAD * z)]))[0]) for z in (NARROW, WIDE))
    # Row by row: how many of the champion's latencies are in bins up to each of the narrow range, and of the
    # candidate's beyond the same bin shifted by the ratio.
    rows, columns = np.arange(n), high - low + 1
    champion, candidate = (np.zeros((columns + 1, n), dtype=np.int32) for _ in range(2))
    champion[np.clip(bins[~own] - low, 0, columns), rows[~own]] = 1
    candidate[np.clip(bins[own] - bins_of(ratio) - low, 0, columns), rows[own]] = 1
    for counts in (champion, candidate):
        np.cumsum(counts, axis=1, out=counts)
    below = np.cumsum(champion, axis=0, out=champion)
    line = np.minimum((below < P99 * answered).sum(axis=0), columns - 1)
    beyond = np.cumsum(candidate[::-1], axis=0, dtype=np.int32)[::-1]
    hits, theirs = beyond[line + 1, rows], answered - below[line, rows]
    enough, tried = answered >= LEAST_ANSWERED, np.cumsum(own)
    share = tried / np.maximum(tried + answered, 1)
    return Blame(np.where(enough, hits, 0), np.where(enough, hits + theirs, 0), np.where(enough, share, 0.5))


@dataclass(frozen=True)
class Cell:
    """Many rollouts of one truth under one plan."""

    plan: str
    truth: str
    outcomes: tuple[Outcome, ...]

    @property
    def rolled_back(self) -> float:
        """Share that was rolled back, 0 to 1."""
        return sum(o.guardrail is not None for o in self.outcomes) / len(self.outcomes)

    def of_rolled_back(self, what: str, quantile: float) -> float:
        """A quantile of `requests` or `harmed` of those rolled back; NaN where none was."""
        told = [getattr(o, what) for o in self.outcomes if o.guardrail is not None]
        return float(np.quantile(told, quantile)) if told else float("nan")


def cell(plan: str, truth: str, runs: int, seed: int = 0) -> Cell:
    """Simulate a cell."""
    rng = np.random.default_rng([seed, list(PLANS).index(plan), list(TRUTHS).index(truth)])
    return Cell(plan, truth, tuple(simulate(TRUTHS[truth], PLANS[plan], rng) for _ in range(runs)))


def every_cell(runs: int) -> Iterator[Cell]:
    """All plans and truths."""
    for plan, rules in PLANS.items():
        for truth in TRUTHS if rules is not STRICT else ("equal",):
            yield cell(plan, truth, runs)


HEAD = (
    "| plan | the candidate is truly | rolled back | requests until then, median | of them answered by it, median "
    "(95 %) |\n|---|---|---|---|---|"
)


def in_line(told: Cell) -> str:
    """A line of the table of the documentation."""
    few = told.rolled_back < 0.2
    requests = "" if few else f"{told.of_rolled_back('requests', 0.5):,.0f}"
    harmed = "" if few else f"{told.of_rolled_back('harmed', 0.5):,.0f} ({told.of_rolled_back('harmed', 0.95):,.0f})"
    return f"| {told.plan} | {told.truth} | {told.rolled_back:.1%} | {requests} | {harmed} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000, help="Rollouts of each cell.")
    print(HEAD, flush=True)
    for made in every_cell(parser.parse_args().runs):
        print(in_line(made), flush=True)
