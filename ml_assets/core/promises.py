"""What a decision promised of a champion's error, and whether the error that was realised keeps to it.

The promise is the candidate's metric on its holdout, as it was when it was decided on; how errors are realised is in
`performance`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from ml_assets.core.releases import Event, decision_on

if TYPE_CHECKING:
    from ml_assets.core.bootstrap import Interval

Outcome = Literal["kept", "broken", "open", "unknown"]


@dataclass(frozen=True)
class Bound:
    """When realised error counts as worse than promised.

    Args:
        margin: share of the promised metric by which it may be worse: months differ.
        min_labels: known labels below which nothing is judged.
        min_coverage: share of rows with a known label, of as many as had one when the champion was judged, below
            which nothing is judged: late labels are seldom like the others.
    """

    margin: float = 0.1
    min_labels: int = 200
    min_coverage: float = 0.9


USUAL = Bound()


@dataclass(frozen=True)
class Promise:
    """A champion's metric on its holdout, in the metric's unit.

    Args:
        metric: which.
        estimate: its value.
        low, high: its 95 % interval; None where the decision did not keep it.
    """

    metric: str
    estimate: float
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def of(cls, evaluation: Mapping[str, Any], metric: str) -> Self:
        """What the evaluation of a candidate promises."""
        found = evaluation.get("intervals", {}).get("candidate", {}).get(metric, {})
        return cls(metric, evaluation["metrics"]["candidate"][metric], found.get("low"), found.get("high"))


def promise_on(events: Sequence[Event], bundle: str, metric: str) -> Promise | None:
    """What the last decision on a bundle promised; None where there is none, or of another metric.

    Decisions of before promises were kept tell their metric without its interval.
    """
    decided = decision_on(events, bundle)
    if decided is None:
        return None
    told = decided.facts.get("promised") or {"metric": metric, "estimate": decided.facts["holdout_metric"]}
    return Promise(metric, told["estimate"], told.get("low"), told.get("high")) if told["metric"] == metric else None


@dataclass(frozen=True)
class Kept:
    """Whether a promise is kept.

    Args:
        outcome: `kept` where the error is surely not worse than promised by more than the margin, `broken` where it
            surely is, `open` where labels can't tell, `unknown` where nothing was judged.
        words: why, in words and numbers.
        excess: realised minus promised metric and margin, with its interval; None where nothing was judged.
    """

    outcome: Outcome
    words: str
    excess: "Interval | None" = None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "excess": None if self.excess is None else self.excess.to_json()}


def kept(
    realised: "Interval | None",
    promise: Promise | None,
    bound: Bound,
    *,
    rows: int,
    rows_mature: int,
    labelled_share: float = 1.0,
) -> Kept:
    """Judge realised error by what was promised.

    Both are samples of rows of their own: the interval of their difference is made from both of theirs (Zou and
    Donner 2008, Construction of confidence limits about effect measures).

    Args:
        realised: the metric on known labels.
        promise: of the champion that scored; None where no decision stands for it.
        bound: how much worse is too much.
        rows: scored.
        rows_mature: with a known label.
        labelled_share: of rows that get a label at all, as it was when the champion was judged.
    """
    coverage = rows_mature / (rows * labelled_share) if rows else 0.0
    if realised is None or rows_mature < bound.min_labels:
        return Kept("unknown", f"{rows_mature:,} labels are known of {rows:,} rows; needed: {bound.min_labels:,}")
    if coverage < bound.min_coverage:
        of = "the rows" if labelled_share == 1 else f"the {labelled_share:.0%} of rows that should have one"
        return Kept("unknown", f"labels of {coverage:.1%} of {of} are known; needed: {bound.min_coverage:.0%}")
    return _judged(realised, promise, bound, "realised")


def outlook(expected: "Interval | None", promise: Promise | None, bound: Bound) -> Kept:
    """Judge the error that is expected of all rows, estimated where labels are missing, by what was promised."""
    if expected is None:
        return Kept("unknown", "nothing is estimated: the champion has no estimator of its error")
    return _judged(expected, promise, bound, "expected")


def _judged(found: "Interval", promise: Promise | None, bound: Bound, what: str) -> Kept:
    from ml_assets.core.bootstrap import Interval

    if promise is None:
        return Kept("unknown", "no decision stands for this champion: nothing was promised")
    allowed = 1 + bound.margin
    most = allowed * promise.estimate
    below = allowed * (promise.estimate - (promise.estimate if promise.low is None else promise.low))
    above = allowed * ((promise.estimate if promise.high is None else promise.high) - promise.estimate)
    apart = found.estimate - most
    excess = Interval(
        apart,
        apart - math.hypot(found.estimate - found.low, above),
        apart + math.hypot(found.high - found.estimate, below),
    )
    outcome: Outcome = "broken" if excess.low > 0 else "kept" if excess.high <= 0 else "open"
    said = {
        "broken": "surely worse than promised by more than the margin",
        "kept": "surely not worse than promised by more than the margin",
        "open": "these rows can't tell whether it is worse than promised by more than the margin",
    }[outcome]
    return Kept(
        outcome,
        f"{what} {promise.metric} {found.estimate:.4g} ({found.low:.4g} to {found.high:.4g}), promised "
        f"{promise.estimate:.4g}, with a margin of {bound.margin:.0%} {most:.4g}: {said}",
        excess,
    )
