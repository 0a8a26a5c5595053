"""What retraining policies would have been worth: error, trainings, cost, regret, and which one to take.

Their histories come from `backtest`. A loss is the mean deciding loss, squared errors where rmse decides.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from ml_assets.core.bootstrap import COVERAGE, Interval, Resamples, interval
from ml_assets.core.errors import ContractError
from ml_assets.core.measures import Floats, OfMeans, ratio
from ml_assets.core.retraining.backtest import History


@dataclass(frozen=True)
class PolicyOutcome:
    """What one policy would have been worth.

    Args:
        policy: its name.
        error: mean loss over all rows.
        trainings: how many.
        promoted: of them, those whose candidate was released.
        cost: of the trainings, in the unit of the replay.
        regret: error minus that of the best policy of each single partition, known only in hindsight; at least 0.
        behind: error minus that of the policy with the lowest, with interval; None for that one, and where the
            partitions are too few to tell.
        losses: mean loss of each partition, oldest first.
    """

    policy: str
    error: float
    trainings: int
    promoted: int
    cost: float
    regret: float
    behind: Interval | None
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Backtest:
    """A comparison of policies on the same partitions.

    Args:
        partitions: their keys, oldest first.
        rows: of each.
        hindsight: lowest loss of each.
        outcomes: of the policies, in the order given.
        recommended: name of the policy to take.
        gain: error of the configured policy minus that of the recommended one, with interval; None where they are
            the same or the partitions are too few to tell.
        words: the recommendation with its reasons.
    """

    partitions: tuple[str, ...]
    rows: tuple[int, ...]
    hindsight: tuple[float, ...]
    outcomes: tuple[PolicyOutcome, ...]
    recommended: str
    gain: Interval | None
    words: str

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def compare(histories: Sequence[History], configured: str, *, seed: int) -> Backtest:
    """Compare policies, and recommend one.

    Recommended is the cheapest whose error is less than one standard error above the lowest (Breiman et al. 1984,
    Classification and Regression Trees, 3.4.3): a policy that trains more often has to show that it is worth it.
    Differences are paired by partition, weighted by rows, and resampled over partitions; neighbours are taken to be
    independent, so that on a history with few changes the intervals are too narrow rather than too wide.

    Args:
        histories: one per policy, all over the same partitions.
        configured: name of the pipeline's own.
        seed: of the resampling.

    Raises:
        ContractError: they are not over the same partitions and rows, there are no rows, or none is the configured.
    """
    rows, losses = _aligned(histories, configured)
    errors = losses @ rows / rows.sum()
    hindsight = losses.min(axis=0)
    best = int(errors.argmin())

    def apart(a: int, b: int) -> Interval | None:
        return None if a == b else _apart(losses[a] - losses[b], rows, seed)

    behind = [apart(i, best) for i in range(len(histories))]
    outcomes = tuple(
        PolicyOutcome(
            policy=h.policy,
            error=float(errors[i]),
            trainings=len(h.trainings),
            promoted=sum(t.outcome == "promoted" for t in h.trainings),
            cost=sum(t.cost for t in h.trainings),
            regret=float((losses[i] - hindsight) @ rows / rows.sum()),
            behind=behind[i],
            losses=tuple(losses[i].tolist()),
        )
        for i, h in enumerate(histories)
    )
    as_good = [i for i in range(len(outcomes)) if i == best or _within_one_standard_error(behind[i])]
    taken = min(as_good, key=lambda i: (outcomes[i].cost, outcomes[i].error))
    own = next(i for i, o in enumerate(outcomes) if o.policy == configured)
    gain = apart(own, taken)
    return Backtest(
        partitions=tuple(s.partition for s in histories[0].steps),
        rows=tuple(int(n) for n in rows),
        hindsight=tuple(hindsight.tolist()),
        outcomes=outcomes,
        recommended=outcomes[taken].policy,
        gain=gain,
        words=_words(outcomes[taken], outcomes[best], outcomes[own], gain),
    )


def _aligned(histories: Sequence[History], configured: str) -> tuple[Floats, Floats]:
    """Rows `[partitions]` and losses `[policies, partitions]`."""
    names = [h.policy for h in histories]
    over = {tuple((s.partition, s.rows) for s in h.steps) for h in histories}
    wrong = [f"{n}: {names.count(n)} times" for n in dict.fromkeys(names) if names.count(n) > 1]
    wrong += [f"no policy {configured}"] if configured not in names else []
    wrong += [f"{len(over)} different lists of partitions and rows"] if len(over) > 1 else []
    wrong += ["no rows"] if not any(s.rows for h in histories for s in h.steps) else []
    if wrong:
        raise ContractError(
            "comparison of policies",
            found=wrong,
            expected="histories of different policies, the configured one among them, over the same rows",
            cure="replay every policy over the same partitions",
        )
    rows = np.array([s.rows for s in histories[0].steps], dtype=np.float64)
    return rows, np.array([[s.loss for s in h.steps] for h in histories], dtype=np.float64)


def _apart(differences: Floats, rows: Floats, seed: int) -> Interval | None:
    measure = OfMeans((differences * rows, rows), ratio)
    return interval(measure.value(), Resamples(len(rows), seed).values(measure), measure)


def _within_one_standard_error(behind: Interval | None) -> bool:
    if behind is None:
        return False
    one = (behind.high - behind.low) / (2 * NormalDist().inv_cdf((1 + COVERAGE) / 2))
    return behind.estimate <= one


def _words(taken: PolicyOutcome, best: PolicyOutcome, own: PolicyOutcome, gain: Interval | None) -> str:
    told = [f"{taken.policy}: error {taken.error:.4g} with {taken.trainings} trainings"]
    if taken is not best:
        told.append(f"the lowest is {best.error:.4g} of {best.policy} with {best.trainings}, not surely better")
    if taken is own:
        told.append("it is the configured one")
    elif gain is None:
        told.append(f"too few partitions to tell by how much it differs from {own.policy} ({own.error:.4g})")
    else:
        sure = "surely" if gain.low > 0 or gain.high < 0 else "not surely"
        told.append(
            f"{own.policy} has {own.error:.4g} with {own.trainings}: a difference of {gain.estimate:+.3g} "
            f"({gain.low:+.3g} to {gain.high:+.3g}), {sure} one"
        )
    return "; ".join(told)
