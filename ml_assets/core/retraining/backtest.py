"""Replays recorded history under a retraining policy: which model answered which partition, and how well.

Policies are in `backtest_policies`, what their histories are worth in `backtest_report`. What trains, scores and
judges is given, so that a replay can be tested with toy streams and run on real ones.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Generic, TypeVar

from ml_assets.core.errors import EvidenceError
from ml_assets.core.retraining.backtest_policies import Present, RetrainingPolicy
from ml_assets.core.retraining.observed import Observed, Partition, Realised, Report, Tenure, Verdict
from ml_assets.core.retraining.trainings import Outcome, Plan, Training

Model = TypeVar("Model", bound=Hashable)


@dataclass(frozen=True)
class Judgement:
    """What a drift report says of a partition."""

    verdict: Verdict
    abrupt: bool = False


@dataclass(frozen=True)
class World(Generic[Model]):
    """What a replay asks of the world outside.

    Args:
        train: as-of partition and plan -> model; it sees no row later, and no label immature by that partition's end.
        score: model and partition -> mean loss of its rows, lower is better, and their number.
        judge: model and partition -> drift report against what the model was trained on.
        bound: model -> mean loss beyond which its realised error breaks its bound; None: it has none.
        promotes: live model, candidate and as-of partition -> whether the candidate is released; None: all are.
        cost: plan -> what its training costs, say in seconds; None: 1 each.
        label_delay: time from a partition's end until its labels are known.
    """

    train: Callable[[str, Plan], Model]
    score: Callable[[Model, str], tuple[float, int]]
    judge: Callable[[Model, str], Judgement]
    bound: Callable[[Model], float | None] = field(default=lambda _: None)
    promotes: Callable[[Model, Model, str], bool] | None = None
    cost: Callable[[Plan], float] | None = None
    label_delay: timedelta = timedelta(0)

    def remembering(self) -> "World[Model]":
        """The same, asking for each model, score and report once however many policies want it."""
        trained = cache(self.train)
        return replace(
            self,
            train=lambda as_of, plan: trained(as_of, replace(plan, why="", since=None)),
            score=cache(self.score),
            judge=cache(self.judge),
            bound=cache(self.bound),
            promotes=None if self.promotes is None else cache(self.promotes),
        )


@dataclass(frozen=True)
class Step:
    """One partition of a replay.

    Args:
        partition: its key.
        as_of: as-of partition of the model that answered it.
        loss: mean loss.
        rows: number of rows.
        verdict: of the drift report.
    """

    partition: str
    as_of: str
    loss: float
    rows: int
    verdict: Verdict


@dataclass(frozen=True)
class Trained:
    """One training of a replay: what, what came of it, why, and what it cost."""

    plan: Plan
    outcome: Outcome
    reasons: tuple[str, ...]
    cost: float


@dataclass(frozen=True)
class History:
    """What happened under one policy, oldest first; the initial training, which all have, is not among them."""

    policy: str
    steps: tuple[Step, ...]
    trainings: tuple[Trained, ...]


def replay(policy: RetrainingPolicy, partitions: Sequence[Partition], world: World[Model], initial: Plan) -> History:
    """Replay history under a policy, partition by partition.

    A partition is answered by the model that was live before it landed; then the policy is asked. It is shown what
    has landed, the reports on it, and realised errors of partitions whose labels are known by then.

    Args:
        policy: decides.
        partitions: recorded ones, in any order; when they landed is not looked at: each lands at its end.
        world: trains, scores and judges.
        initial: the first model's training; partitions after its as-of one are replayed.

    Raises:
        EvidenceError: there is no partition to replay, or the policy asks for a model of a time to come.
    """
    history = sorted((replace(p, at=_end(p), versions={}) for p in partitions), key=lambda p: p.window.start)
    keys = [p.key for p in history]
    if initial.as_of not in keys[:-1]:
        raise EvidenceError(
            "backtest", found=f"no partition after {initial.as_of}", expected="an as-of partition and one after it",
            cure="replay more partitions, or begin with an older model",
        )  # fmt: skip
    begin = keys.index(initial.as_of)
    model, as_of = world.train(initial.as_of, initial), initial.as_of
    tenures = [Tenure("m0", history[begin].window.end, history[begin].at)]
    steps: list[Step] = []
    reports: list[Report] = []
    realised: list[Realised] = []
    trainings: list[Training] = []
    trained: list[Trained] = []
    for position in range(begin + 1, len(history)):
        partition, live = history[position], tenures[-1].bundle
        loss, rows = world.score(model, partition.key)
        judged, bound = world.judge(model, partition.key), world.bound(model)
        steps.append(Step(partition.key, as_of, loss, rows, judged.verdict))
        reports.append(Report(partition.key, partition.at, {}, live, judged.verdict, judged.abrupt))
        if bound is not None:
            known_at = partition.at + world.label_delay
            realised.append(Realised(partition.key, known_at, {}, live, loss, bound, loss > bound, rows))
        landed = [_as_of_now(p, partition.at, world.label_delay) for p in history[: position + 1]]
        known = [r for r in realised if r.at <= partition.at]
        present = Present(partition.at, Observed(landed, tuple(reports), known, tuple(tenures)), tuple(trainings))
        decision = policy.decide(present)
        if decision.action != "retrain" or decision.plan is None:
            continue
        plan = decision.plan
        if plan.as_of not in keys[: position + 1]:
            raise EvidenceError(
                f"policy {policy.name}", found=f"a training as of {plan.as_of} at the end of {partition.key}",
                expected="an as-of partition that has landed", cure="correct the policy",
            )  # fmt: skip
        candidate = world.train(plan.as_of, plan)
        released = world.promotes is None or world.promotes(model, candidate, plan.as_of)
        outcome: Outcome = "promoted" if released else "rejected"
        bundle = f"m{len(trainings) + 1}"
        trainings.append(Training(plan.as_of, outcome, decision.evidence, plan, bundle))
        trained.append(Trained(plan, outcome, decision.reasons, 1.0 if world.cost is None else world.cost(plan)))
        if outcome == "promoted":
            model, as_of = candidate, plan.as_of
            tenures.append(Tenure(bundle, partition.window.end, partition.at))
    return History(policy.name, tuple(steps), tuple(trained))


def _end(partition: Partition) -> datetime:
    return partition.window.end.replace(tzinfo=UTC)


def _as_of_now(partition: Partition, now: datetime, label_delay: timedelta) -> Partition:
    known = partition.at + label_delay <= now
    return replace(partition, labelled=partition.labelled if known else 0)
