"""Whether a candidate does what it must not: each guardrail a test that stays valid however often one looks.

What a guardrail may be is in `rules`, how the tests work in `core.sequential`; predictions and losses are compared in
`differences`, losses that are estimated in `estimated`. A candidate within all limits is rolled back with probability
`alpha` at most, over its whole rollout.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from math import ceil, exp, log
from typing import NamedTuple

import numpy as np

from ml_assets.core.rollout.differences import loss, shift
from ml_assets.core.rollout.estimated import estimated_loss
from ml_assets.core.rollout.finding import Finding
from ml_assets.core.rollout.observed import BINS, GROWTH, Leg, Seen, latency_quantile
from ml_assets.core.rollout.rules import Guardrails
from ml_assets.core.sequential import Blame, Number, blame

LEAST_ANSWERED = 500
"""Requests of the champion in a step below which its 99th percentile is too rough to compare with."""
P99 = 0.99


def judge(legs: Sequence[Leg], rules: Guardrails, *, paired: bool) -> list[Finding]:
    """What every guardrail that is set says of all that was seen since the rollout began.

    Args:
        legs: the periods, oldest first.
        rules: the limits.
        paired: whether both models score every request.
    """
    told: list[Finding] = []
    if rules.errors is not None:
        told.append(errors(legs, rules.errors, rules.own_alpha))
    if rules.p99_ratio is not None:
        periods = [p for told_by in (timed(legs), comparable(legs)) for p in slowness(told_by, rules.p99_ratio)]
        told.append(latency(periods, rules.p99_ratio, rules.own_alpha, p99s(legs)))
    if rules.prediction_shift is not None:
        told.append(shift(legs, rules.prediction_shift, rules.own_alpha, paired=paired))
    if rules.loss is not None:
        told.append(loss(legs, rules.loss, rules.own_alpha, paired=paired))
    if rules.estimated_loss is not None:
        told.append(estimated_loss(legs, rules.estimated_loss, rules.own_alpha))
    return told


def errors(legs: Sequence[Leg], limit: float, alpha: float) -> Finding:
    """Whether the candidate surely fails more often than the champion, and by more than is not minded."""
    evidence = blame([_of(leg.candidate.failed, leg.candidate.tried, leg.champion.failed, leg.champion.tried)
                      for leg in legs])  # fmt: skip
    tried, failed = sum_of(legs, "tried"), sum_of(legs, "failed")
    rates = [np.asarray(f) / np.maximum(n, 1) for f, n in zip(failed, tried, strict=True)]
    excess = rates[1] - rates[0]
    broken = (evidence > log(1 / alpha)) & (excess > limit)
    words = ""
    if np.ndim(broken) == 0:
        words = (
            f"errors: {int(failed[1]):,} of {int(tried[1]):,} requests ({rates[1]:.2%}), champion {int(failed[0]):,} "
            f"of {int(tried[0]):,} ({rates[0]:.2%}); {_chance(evidence)}; {limit:.2%} above it is not minded"
        )
    return Finding("errors", broken, limit, tried[1], excess, words, {"log_evidence": _number(evidence)})


def slowness(legs: Sequence[Leg], ratio: float) -> list[Blame]:
    """Slow requests of each period: beyond the champion's 99th percentile, of the candidate beyond `ratio` times that.

    If the candidate's latencies are at most `ratio` times the champion's, a slow request is its own with its share
    as probability at most, wherever the line is drawn. It is drawn from the champion's requests of the whole step, in
    bins of 2 %, and so hardly moves: the one step of a bandit has many periods, too short for lines of their own.

    Args:
        legs: periods in which both have answered, oldest first.
        ratio: of the 99th percentiles, the limit.
    """
    told: list[Blame] = []
    for _, step in groupby(legs, key=lambda leg: leg.step):
        periods = list(step)
        champion = np.sum([leg.champion.latencies for leg in periods], axis=0).cumsum()
        if champion[-1] >= LEAST_ANSWERED:
            line = int(np.searchsorted(champion, P99 * champion[-1]))
            told += [_slower(leg, line, ratio) for leg in periods]
    return told


def _slower(leg: Leg, line: int, ratio: float) -> Blame:
    """Requests of a period that are slower than a bin."""
    theirs, own = leg.champion.latencies, leg.candidate.latencies
    beyond = int(own[min(line + bins_of(ratio), BINS - 1) + 1 :].sum())
    return _of(beyond, int(own.sum()), int(theirs[line + 1 :].sum()), int(theirs.sum()))


def bins_of(ratio: float) -> int:
    """How many bins are at least `ratio`."""
    return ceil(log(ratio) / log(GROWTH))


def latency(periods: Sequence[Blame], limit: float, alpha: float, found: "P99s | None") -> Finding:
    """Whether the candidate is surely slow more often than `limit` times the champion's latencies would be.

    Args:
        periods: see `slowness`.
        limit: of the ratio of the 99th percentiles.
        alpha: probability of a false alarm.
        found: the 99th percentiles, for the words.
    """
    evidence = blame(periods)
    broken = evidence > log(1 / alpha)
    estimate = found.candidate_us / found.champion_us if found else 1.0
    words = "" if np.ndim(broken) else "latency: not enough requests that either answered, or was timed beside"
    hits, every = sum(p.hits for p in periods), sum(p.all_hits for p in periods)
    if np.ndim(broken) == 0 and found:
        words = (
            f"latency: p99 {found.candidate_us / 1e3:.3g} ms{found.of}, champion {found.champion_us / 1e3:.3g} ms "
            f"({estimate:.2f} times; limit {limit:g}); {int(hits)} of {int(every)} slow requests; {_chance(evidence)}"
        )
    return Finding("p99_ratio", broken, limit, every, estimate, words, {"log_evidence": _number(evidence)})


def comparable(legs: Sequence[Leg]) -> list[Leg]:
    """The periods in which both answered; where there is none, as of blue and green, all of them as one."""
    both = [leg for leg in legs if _have(leg, "latencies")]
    if both or not legs:
        return both
    h, c = (Seen(latencies=np.sum([getattr(leg, name).latencies for leg in legs], axis=0)) for name in _MODELS)
    return [Leg(legs[-1].step, legs[-1].weight, h, c)]


def timed(legs: Sequence[Leg]) -> list[Leg]:
    """The periods in which not both answered, and both were timed beside, with these CPU times as their latencies."""
    return [
        replace(leg, champion=Seen(latencies=leg.champion.beside), candidate=Seen(latencies=leg.candidate.beside))
        for leg in legs
        if _have(leg, "beside") and not _have(leg, "latencies")
    ]


_MODELS = ("champion", "candidate")


def _have(leg: Leg, what: str) -> bool:
    return all(bool(getattr(getattr(leg, name), what).any()) for name in _MODELS)


class P99s(NamedTuple):
    """The 99th percentiles of both models in microseconds, and of what if not of answers."""

    champion_us: float
    candidate_us: float
    of: str = ""


def p99s(legs: Sequence[Leg]) -> P99s | None:
    """The 99th percentiles of what both have answered, or else of what was timed beside."""
    for told, of in ((comparable(legs), ""), (timed(legs), " of CPU beside")):
        champion, candidate = (_p99(told, name) for name in _MODELS)
        if champion is not None and candidate is not None:
            return P99s(champion, candidate, of)
    return None


def _p99(legs: Sequence[Leg], name: str) -> float | None:
    return latency_quantile(np.sum([getattr(leg, name).latencies for leg in legs], axis=0), P99) if legs else None


def sum_of(legs: Sequence[Leg], count: str) -> tuple[Number, Number]:
    """A count of `Seen` over all periods: of the champion, of the candidate."""
    return sum(getattr(leg.champion, count) for leg in legs), sum(getattr(leg.candidate, count) for leg in legs)


def _of(hits: Number, tries: Number, other_hits: Number, other_tries: Number) -> Blame:
    every = np.asarray(tries) + np.asarray(other_tries)
    share = np.where(every > 0, np.asarray(tries) / np.maximum(every, 1), 0.5)
    return Blame(hits, np.asarray(hits) + np.asarray(other_hits), share)


def _chance(evidence: Number) -> str:
    e = float(evidence)
    return f"by chance at most once in {min(exp(min(e, 30.0)), 1e9):,.0f}" if e > 1 else "may well be chance"


def _number(evidence: Number) -> float:
    return round(float(evidence), 4) if np.ndim(evidence) == 0 else float("nan")
