"""The checks a candidate goes through before it may be released, each with its outcome in words and numbers.

How they add up to a verdict is in `promotion`, what they must reach in `policy`. Differences are the candidate's mean
loss minus another's on the same rows, with their 95 % interval: below 0 the candidate is better.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from ml_assets.core.policy import Policy
from ml_assets.core.releases import Champion

Outcome = Literal["passed", "failed", "open"]
NAIVE = ("naive", "naive_by_key", "last_value")
"""Contenders that learn nothing but a median, a rate or the last value; the best of them is to be beaten."""

NAMES = {
    "naive": "the naive baseline",
    "naive_by_key": "the naive baseline by key",
    "last_value": "the last value known",
    "champion": "the champion",
}
MOST_TIMES = 1000
SHOWN = 12


@dataclass(frozen=True)
class Check:
    """One check.

    Args:
        name: of the check.
        outcome: `open` where more labels would tell.
        words: what was found and what was asked for.
        numbers: the same for programs.
        labels_missing: of an open check: how many mature labels more would settle it, were the estimate the truth.
    """

    name: str
    outcome: Outcome
    words: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    labels_missing: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        told = {"name": self.name, "outcome": self.outcome, "words": self.words, "numbers": dict(self.numbers)}
        return told if self.labels_missing is None else {**told, "labels_missing": self.labels_missing}


def comparable(evaluation: Mapping[str, Any], champion: Champion | None) -> Check:
    """Whether the evaluation compares the candidate with the live champion, on rows it has not learnt from."""
    name, compared = "comparable", evaluation["champion"]
    if champion is None:
        if compared is None:
            return Check(name, "passed", "there is no champion yet: the naive baseline is the one to beat")
        was = f"the evaluation compares with {compared['bundle'][:SHOWN]}, but nothing is released"
        return Check(name, "failed", f"{was}; evaluate again")
    live = f"the live champion {champion.bundle[:SHOWN]}, trained as of {champion.as_of},"
    if champion.bundle == evaluation["bundle"]:
        return Check(name, "failed", f"{live} is this very bundle: there is nothing to decide")
    if evaluation["champion_learnt_holdout"]:
        words = f"{live} has learnt from rows of this holdout, so on them it looks better than it is"
        return Check(name, "failed", f"{words}; train as of a partition whose holdout begins later")
    if compared is None or compared["bundle"] != champion.bundle:
        other = compared["bundle"][:SHOWN] if compared else "no champion"
        return Check(name, "failed", f"{live} is not what the evaluation compares with ({other}); evaluate again")
    return Check(name, "passed", f"{live} has learnt from none of these rows")


def not_older(evaluation: Mapping[str, Any], champion: Champion | None) -> Check:
    """Whether the candidate was trained as of a partition that is not older than the champion's."""
    name = "not_older"
    if champion is None or datetime.fromisoformat(evaluation["scores_from"]) >= champion.as_of_end:
        return Check(name, "passed", f"trained as of {evaluation['as_of']}; no newer model is live")
    words = f"trained as of {evaluation['as_of']}; the live champion as of {champion.as_of}, which is later"
    return Check(name, "failed", f"{words}: train as of {champion.as_of} or a later partition")


def enough_labels(evaluation: Mapping[str, Any], policy: Policy) -> Check:
    """Whether enough labels are mature for anything to be judged."""
    rows, immature = evaluation["rows"], evaluation.get("rows_immature", 0)
    missing = max(0, policy.min_labels - rows)
    words = f"{rows:,} holdout rows with a mature label, {immature:,} without; at least {policy.min_labels:,} asked for"
    numbers = {"rows": rows, "rows_immature": immature, "min_labels": policy.min_labels}
    return Check("enough_labels", "open" if missing else "passed", words, numbers, missing or None)


def beats_naive(evaluation: Mapping[str, Any], policy: Policy) -> Check:
    """Whether the candidate surely beats the best naive baseline by the margin."""
    metrics = evaluation["metrics"]
    best = min((who for who in NAIVE if who in metrics), key=lambda who: metrics[who][policy.metric])
    found = Compared.of(evaluation, policy, best)
    bound = policy.of_loss(-policy.margin) * found.loss
    told = f"{found.words}; at most {-policy.margin:+.2%} asked for"
    numbers = {**found.numbers, "bound": bound}
    if not found.finite:
        return Check("beats_naive", "failed", found.no_number)
    if found.high < bound:
        return Check("beats_naive", "passed", told, numbers)
    if found.low >= bound:
        return Check("beats_naive", "failed", f"{told}: surely not reached", numbers)
    missing = found.labels_missing(evaluation["rows"], [bound])
    return Check("beats_naive", "open", f"{told}: not yet sure", numbers, missing)


def beats_champion(evaluation: Mapping[str, Any], policy: Policy) -> Check:
    """Whether the candidate is surely better than the champion, or surely not worse than non-inferiority allows."""
    name = "beats_champion"
    if "champion" not in evaluation["differences"]:
        return Check(name, "passed", "there is no champion to compare with")
    found = Compared.of(evaluation, policy, "champion")
    worst, matters = policy.of_loss(policy.non_inferiority) * found.loss, policy.of_loss(-policy.margin) * found.loss
    told = f"{found.words}; surely below {policy.non_inferiority:+.2%} asked for"
    numbers = {**found.numbers, "bound": worst, "smallest_that_matters": matters}
    if not found.finite:
        return Check(name, "failed", found.no_number)
    if found.high < worst:
        return Check(name, "passed", told, numbers)
    if found.low > worst:
        return Check(name, "failed", f"{told}: surely worse", numbers)
    if found.low >= matters:
        return Check(name, "failed", f"{told}: surely not better by the {policy.margin:.2%} that matters", numbers)
    missing = found.labels_missing(evaluation["rows"], [worst, matters])
    return Check(name, "open", f"{told}: not yet sure", numbers, missing)


def slices_hold(evaluation: Mapping[str, Any], policy: Policy) -> Check:
    """Whether no slice is ruined: surely worse than under the champion, and by more than the slices' margin."""
    found = {
        f"{column} = {value}": told
        for column, values in (evaluation.get("slice_differences") or {}).items()
        for value, told in values.items()
    }
    worst = policy.of_loss(policy.slice_margin)
    ruined = {at: t for at, t in found.items() if t["low"] > 0 and t["estimate"] > worst * t["loss"]}
    if not found:
        return Check("slices", "passed", "no slices to compare with a champion")
    if not ruined:
        words = f"none of {len(found)} slices is surely worse by {policy.slice_margin:.2%} or more"
        return Check("slices", "passed", words, {"slices": len(found)})
    listed = [f"{at}: {in_shares(t, t['loss'], policy)} on {t['rows']:,} rows" for at, t in ruined.items()]
    words = f"surely worse than the champion: {'; '.join(listed)}; at most {policy.slice_margin:+.2%} asked for"
    return Check("slices", "failed", words, {"slices": len(found), "ruined": {at: dict(t) for at, t in ruined.items()}})


def calibrated(evaluation: Mapping[str, Any], policy: Policy) -> Check:
    """Whether a classifier's probabilities are as frequent as they say, but for what chance explains."""
    name, found = "calibration", evaluation["calibration"]
    if found is None:
        if evaluation["task"] == "binary":
            return Check(name, "failed", "the evaluation of a classifier says nothing of calibration; evaluate again")
        return Check(name, "passed", f"nothing to calibrate: {evaluation['task']}")
    error, chance = found["error"], found["expected_by_chance"]
    words = (
        f"calibration error {error:.4f}; chance alone explains {chance:.4f}, {policy.calibration_margin:.4f} let pass"
    )
    numbers = {"error": error, "expected_by_chance": chance, "margin": policy.calibration_margin}
    right = error <= chance or error - chance <= policy.calibration_margin
    return Check(name, "passed" if right else "failed", words, numbers)


@dataclass(frozen=True)
class Compared:
    """The candidate's mean loss minus another contender's, on the same rows, with its interval.

    Args:
        estimate, low, high: the difference, below 0 where the candidate is better.
        loss: the other's mean loss.
        words: the same in shares of the metric, for people.
    """

    estimate: float
    low: float
    high: float
    loss: float
    words: str

    @classmethod
    def of(cls, evaluation: Mapping[str, Any], policy: Policy, other: str) -> "Compared":
        """The difference to one of the evaluation's contenders."""
        metric, values = policy.metric, evaluation["metrics"]
        loss, found = policy.loss(values[other][metric]), evaluation["differences"][other]
        words = (
            f"{metric} {values['candidate'][metric]:.4g} against {values[other][metric]:.4g} of {NAMES[other]}, "
            f"{in_shares(found, loss, policy)}"
        )
        return cls(found["estimate"], found["low"], found["high"], loss, words)

    @property
    def finite(self) -> bool:
        """Whether anything can be said."""
        return all(math.isfinite(x) for x in (self.estimate, self.low, self.high, self.loss))

    @property
    def no_number(self) -> str:
        """What is said where nothing can be."""
        return f"{self.words}: no finite number; look at the evaluation"

    @property
    def numbers(self) -> dict[str, float]:
        """As JSON."""
        return {"estimate": self.estimate, "low": self.low, "high": self.high, "loss": self.loss}

    def labels_missing(self, rows: int, bounds: list[float]) -> int:
        """Labels until the interval, narrowing with the root of the rows, leaves one of the bounds; at least 1."""
        half = (self.high - self.low) / 2
        away = max(abs(bound - self.estimate) for bound in bounds)
        times = (half / away) ** 2 - 1 if away else math.inf
        return max(1, math.ceil(rows * min(times, MOST_TIMES)))


def in_shares(found: Mapping[str, float], loss: float, policy: Policy) -> str:
    """A difference with its interval: `-2.10% (-3.00% to -1.20%)` of the other's metric."""

    def share(difference: float) -> str:
        return f"{policy.of_metric(difference / loss):+.2%}" if loss else f"{difference:+.4g}"

    return f"{share(found['estimate'])} ({share(found['low'])} to {share(found['high'])})"
