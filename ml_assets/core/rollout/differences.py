"""How a candidate's predictions and losses differ from the champion's: too much, or surely by less than is feared.

Rows that both have scored are compared row by row. Where a plan is not paired, few rows are such (those of a shadow
step, and those scored afterwards, see `afterwards`), or none; so what either answered is compared, too, period by
period, and each of the two comparisons has half of alpha. How the tests work is in `core.sequential`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

import numpy as np

from ml_assets.core.rollout.finding import Finding
from ml_assets.core.rollout.observed import Leg, Pairs, Sums, stratified
from ml_assets.core.routing import WHOLE
from ml_assets.core.sequential import LEAST_ROWS, Number, mean_radius, rows_until

What = Literal["predictions", "losses"]


@dataclass(frozen=True)
class Difference:
    """Candidate − factor · champion, in one way of comparing.

    Args:
        found: sums of the differences.
        champion: sums of the champion's own values.
        alpha: what this way has of it.
        radius: how far the mean may be from the true one.
    """

    found: Sums
    champion: Sums
    alpha: float
    radius: Number


def compared(
    legs: Sequence[Leg], what: What, alpha: float, *, paired: bool, one_sided: bool, factor: float = 1.0
) -> list[Difference]:
    """The ways in which two models can be compared: by pairs and, where a plan is not paired, by arms.

    Args:
        legs: the periods, oldest first.
        what: is compared.
        alpha: of all ways together.
        paired: whether both models score every request.
        one_sided: whether only a higher mean of the candidate is looked for, or only a lower one.
        factor: of the champion's values.
    """
    ways = _ways(legs, what, paired=paired, factor=factor)
    share = alpha / len(ways)
    return [
        Difference(found, own, share, mean_radius(found.rows, found.variance, share, one_sided=one_sided))
        for found, own in ways
    ]


def _ways(legs: Sequence[Leg], what: What, *, paired: bool, factor: float = 1.0) -> list[tuple[Sums, Sums]]:
    """Sums of candidate − factor · champion, and of the champion's own values, in each way."""
    pairs = sum((getattr(leg, what) for leg in legs), Pairs())
    by_pairs = (pairs.difference(factor), pairs.champion)
    if paired:
        return [by_pairs]
    own = sum((getattr(leg.champion, what) for leg in legs), Sums())
    return [by_pairs, (stratified(legs, what, factor), own)]


def shift(legs: Sequence[Leg], limit: float, alpha: float, *, paired: bool) -> Finding:
    """Whether the mean prediction is surely farther from the champion's than allowed, up or down."""
    ways = compared(legs, "predictions", alpha, paired=paired, one_sided=False)
    scales = [np.sqrt(w.champion.variance) for w in ways]
    broken = _any([np.abs(w.found.mean) - w.radius > limit * s for w, s in zip(ways, scales, strict=True)])
    with np.errstate(divide="ignore", invalid="ignore"):
        each = [np.where(s > 0, w.found.mean / s, 0.0) for w, s in zip(ways, scales, strict=True)]
    estimate, rows = _of_closest(ways, each), _of_closest(ways, [w.found.rows for w in ways])
    words = ""
    if np.ndim(broken) == 0:
        words = (
            f"predictions: {float(estimate):+.2f} of the champion's standard deviation on average, of "
            f"{int(rows):,} requests; limit {limit:g}"
        )
    return Finding("prediction_shift", broken, limit, rows, estimate, words)


def loss(legs: Sequence[Leg], limit: float, alpha: float, *, paired: bool) -> Finding:
    """Whether the candidate's loss is surely higher than the champion's by more than a share of it."""
    ways = compared(legs, "losses", alpha, paired=paired, one_sided=True, factor=1 + limit)
    broken = _any([w.found.mean - w.radius > 0 for w in ways])
    estimate, rows = excess(legs, "losses", ways, paired=paired), _of_closest(ways, [w.found.rows for w in ways])
    words = ""
    if np.ndim(broken) == 0:
        few = f"; below {LEAST_ROWS} nothing is concluded" if rows < LEAST_ROWS else ""
        words = f"loss: {float(estimate):+.2%} against the champion on {int(rows):,} rows; limit {limit:+.2%}{few}"
    return Finding("loss", broken, limit, rows, estimate, words)


@dataclass(frozen=True)
class RuledOut:
    """Whether a loss that is feared is ruled out.

    Args:
        holds: whether the candidate's loss is surely below it.
        limit: the loss that is feared, above the champion's, as a share of it.
        estimate: the candidate's loss above the champion's, as a share, as far as seen.
        rows: labels it rests on.
        missing: about how many more labels would rule it out, if all goes on like this; None: nobody can tell, since
            there are hardly any, or the loss is as high as is feared. Only where it does not hold.
        words: all of it; empty where many looks are judged at once.
    """

    holds: Any
    limit: float
    estimate: Number
    rows: Number
    missing: int | None = None
    words: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "holds": bool(self.holds), "limit": self.limit, "estimate": float(self.estimate), "rows": int(self.rows),
            "missing": self.missing, "words": self.words,
        }  # fmt: skip


def ruled_out(legs: Sequence[Leg], limit: float, alpha: float, *, paired: bool) -> RuledOut:
    """Whether it is sure that the candidate's loss is not higher than the champion's by a share of it.

    A candidate whose loss is that high is ever said to be better with probability `alpha` at most.

    Args:
        legs: the periods, oldest first.
        limit: the share.
        alpha: that probability, over all looks.
        paired: whether both models score every request.
    """
    ways = compared(legs, "losses", alpha, paired=paired, one_sided=True, factor=1 + limit)
    holds = _any([w.found.mean + w.radius < 0 for w in ways])
    estimate, rows = excess(legs, "losses", ways, paired=paired), _of_closest(ways, [w.found.rows for w in ways])
    if np.ndim(holds):
        return RuledOut(holds, limit, estimate, rows)
    feared = f"a loss of {limit:+.2%} against the champion"
    seen = f"{float(estimate):+.2%} on {int(rows):,} rows"
    if holds:
        return RuledOut(True, limit, estimate, rows, None, f"{feared} is ruled out: {seen}")
    told = [_missing(w, worth) for w, worth in zip(ways, (1.0, _worth_of_a_label(legs)), strict=False)]
    missing = min((m for m in told if m is not None), default=None)
    more = "how many labels are needed can't be told yet"
    if missing is not None:
        more = f"about {float(f'{missing:.2g}'):,.0f} more labels are needed"
    return RuledOut(False, limit, estimate, rows, missing, f"{feared} is not ruled out: {seen}; {more}")


def excess(legs: Sequence[Leg], what: What, ways: Sequence[Difference], *, paired: bool) -> Number:
    """The candidate's mean loss above the champion's, as a share of it, in the way that tells most closely."""
    with np.errstate(divide="ignore", invalid="ignore"):
        each = [np.where(own.mean > 0, found.mean / own.mean, 0.0) for found, own in _ways(legs, what, paired=paired)]
    return _of_closest(ways, each)


def _missing(way: Difference, worth: float) -> int | None:
    if way.found.rows < LEAST_ROWS or way.found.mean >= 0 or not worth:
        return None
    needed = rows_until(-float(way.found.mean), float(way.found.variance), way.alpha, one_sided=True)
    return max(ceil((needed - float(way.found.rows)) / worth), 1)


def _worth_of_a_label(legs: Sequence[Leg]) -> float:
    """How much a label tells of the difference of the arms at the shares of now, beside one at half and half."""
    share = legs[-1].weight / WHOLE if legs else 0.0
    return 4 * share * (1 - share)


def _any(each: Sequence[Any]) -> Any:
    return each[0] if len(each) == 1 else np.logical_or(*each)


def _of_closest(ways: Sequence[Difference], each: Sequence[Number]) -> Number:
    """Of two ways the figure of the one whose bounds are closer, for each look."""
    if len(each) == 1:
        return each[0]
    return np.where(ways[1].radius < ways[0].radius, each[1], each[0])
