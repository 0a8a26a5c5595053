"""Replays recorded history under a retraining policy: which model answered which partition, and how well.

Policies are in `backtest_policies`, what their histories are worth in `backtest_report`. What trains, scores and
judges is given, so that a replay can be tested with toy streams and run on real ones (`backtest_world`).
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, Generic, Literal, TypeVar

from ml_assets.core.errors import EvidenceError, TrainingError
from ml_assets.core.retraining.backtest_policies import Present, RetrainingPolicy
from ml_assets.core.retraining.observed import Observed, Partition, Realised, Report, Tenure, Verdict
from ml_assets.core.retraining.trainings import Outcome, Plan, Training

Model = TypeVar("Model", bound=Hashable)
Decided = Literal["promoted", "rejected", "undecided"]


@dataclass(frozen=True)
class Judgement:
    """What a drift report says of a partition."""

    verdict: Verdict
    abrupt: bool = False


@dataclass(frozen=True)
class Measured:
    """The realised error of a partition on the labels known by an instant.

    Args:
        value: in any unit; None where too few labels are known to judge.
        bound: what it may be at most, likewise.
        broken: whether it is beyond the bound.
        rows: rows with a known label.
        refresh_at: the first instant of event time as of which measuring again is worth it; None where it never is.
    """

    value: float | None
    bound: float
    broken: bool
    rows: int
    refresh_at: datetime | None = None


@dataclass(frozen=True)
class Ruling:
    """What is decided on a candidate, and why."""

    outcome: Decided
    words: str = ""


@dataclass(frozen=True)
class World(Generic[Model]):
    """What a replay asks of the world outside. Instants are ends of partitions, naive, in event time.

    Args:
        train: as-of partition and plan -> model; it sees no row later, and no label immature by that partition's end.
            A TrainingError is a training that failed.
        score: model and partition -> mean loss of its rows with a label, lower is better, and their number.
        judge: model and partition -> drift report against what the model was trained on.
        measure: model, partition and instant -> its realised error by then; None: errors are not looked at.
        decide: live model, candidate and as-of partition -> whether the candidate is released; None: all are.
        cost: model -> what its training cost; None: 1 each.
        labelled: partition and instant -> rows whose label is known by then; None: all labels are known at once.
    """

    train: Callable[[str, Plan], Model]
    score: Callable[[Model, str], tuple[float, int]]
    judge: Callable[[Model, str], Judgement]
    measure: Callable[[Model, str, datetime], Measured] | None = None
    decide: Callable[[Model, Model, str], Ruling] | None = None
    cost: Callable[[Model], float] | None = None
    labelled: Callable[[str, datetime], int] | None = None

    def remembering(self) -> "World[Model]":
        """The same, asking for each model, score and report once however many policies want it."""
        trained = cache(self.train)
        return replace(
            self,
            train=lambda as_of, plan: trained(as_of, replace(plan, why="", since=None)),
            score=cache(self.score),
            judge=cache(self.judge),
            measure=None if self.measure is None else cache(self.measure),
            decide=None if self.decide is None else cache(self.decide),
            labelled=None if self.labelled is None else cache(self.labelled),
        )


@dataclass(frozen=True)
class Step:
    """One partition of a replay.

    Args:
        partition: its key.
        as_of: as-of partition of the model that answered it.
        loss: mean loss.
        rows: number of rows with a label.
        verdict: of the drift report.
    """

    partition: str
    as_of: str
    loss: float
    rows: int
    verdict: Verdict


@dataclass(frozen=True)
class Trained:
    """One training of a replay.

    Args:
        plan: what was trained.
        outcome: what came of it.
        reasons: why it was asked for.
        cost: in the unit of the world; of one that failed 0.
        words: why it was released or not.
    """

    plan: Plan
    outcome: Outcome
    reasons: tuple[str, ...]
    cost: float
    words: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {**vars(self), "plan": self.plan.to_json(), "reasons": list(self.reasons)}


@dataclass(frozen=True)
class History:
    """What happened under one policy, oldest first; the initial training, which all have, is not among them."""

    policy: str
    steps: tuple[Step, ...]
    trainings: tuple[Trained, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "policy": self.policy,
            "steps": [vars(s) for s in self.steps],
            "trainings": [t.to_json() for t in self.trainings],
        }


def replay(policy: RetrainingPolicy, partitions: Sequence[Partition], world: World[Model], initial: Plan) -> History:
    """Replay history under a policy, partition by partition.

    A partition is answered by the model that was live before it landed; then the policy is asked. It is shown what
    has landed, the reports on it, and realised errors on labels known by then; errors are measured again as in
    production, when enough more labels are known.

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
    live = _Live(world, world.train(initial.as_of, initial), initial.as_of, history[begin])
    trainings: list[Training] = []
    trained: list[Trained] = []
    for position in range(begin + 1, len(history)):
        partition = history[position]
        live.answer(partition)
        landed = [_as_of_now(p, partition, world) for p in history[: position + 1]]
        present = Present(partition.at, live.observed(landed), tuple(trainings))
        decision = policy.decide(present)
        if decision.action != "retrain" or decision.plan is None:
            continue
        plan = decision.plan
        if plan.as_of not in keys[: position + 1]:
            raise EvidenceError(
                f"policy {policy.name}", found=f"a training as of {plan.as_of} at the end of {partition.key}",
                expected="an as-of partition that has landed", cure="correct the policy",
            )  # fmt: skip
        bundle = f"m{len(trainings) + 1}"
        done = live.challenge(plan, decision.reasons, bundle, partition)
        made = None if done.outcome == "failed" else bundle
        trainings.append(Training(plan.as_of, done.outcome, decision.evidence, plan, made))
        trained.append(done)
    return History(policy.name, tuple(live.steps), tuple(trained))


class _Live(Generic[Model]):
    """The models that were live so far, and all that is known of their answers."""

    def __init__(self, world: World[Model], model: Model, as_of: str, begin: Partition) -> None:
        self.world, self.model, self.as_of = world, model, as_of
        self.tenures = [Tenure("m0", begin.window.end, begin.at)]
        self.steps: list[Step] = []
        self.reports: list[Report] = []
        self.realised: list[Realised] = []
        self.waiting: dict[str, tuple[Model, str, datetime]] = {}

    def answer(self, partition: Partition) -> None:
        """Answer a partition that has just landed; then judge it, and measure what can be measured."""
        world, name, now = self.world, self.tenures[-1].bundle, partition.window.end
        loss, rows = world.score(self.model, partition.key)
        judged = world.judge(self.model, partition.key)
        self.steps.append(Step(partition.key, self.as_of, loss, rows, judged.verdict))
        self.reports.append(Report(partition.key, partition.at, {}, name, judged.verdict, judged.abrupt))
        self.waiting[partition.key] = (self.model, name, now)
        for key, (model, bundle, due) in list(self.waiting.items()):
            if world.measure is None or due > now:
                continue
            found = world.measure(model, key, now)
            if found.value is not None:
                self.realised.append(
                    Realised(key, partition.at, {}, bundle, found.value, found.bound, found.broken, found.rows)
                )
            if found.refresh_at is None:
                del self.waiting[key]
            else:
                self.waiting[key] = (model, bundle, found.refresh_at)

    def observed(self, landed: Sequence[Partition]) -> Observed:
        """What is known now."""
        return Observed(landed, tuple(self.reports), tuple(self.realised), tuple(self.tenures))

    def challenge(self, plan: Plan, reasons: tuple[str, ...], bundle: str, partition: Partition) -> Trained:
        """Train a candidate, and release it if that is what is decided."""
        world = self.world
        try:
            candidate = world.train(plan.as_of, plan)
        except TrainingError as e:
            # As in production: the run fails, and the champion stays.
            return Trained(plan, "failed", reasons, 0.0, str(e))
        ruling = Ruling("promoted") if world.decide is None else world.decide(self.model, candidate, plan.as_of)
        if ruling.outcome == "promoted":
            self.model, self.as_of = candidate, plan.as_of
            self.tenures.append(Tenure(bundle, partition.window.end, partition.at))
        cost = 1.0 if world.cost is None else world.cost(candidate)
        return Trained(plan, ruling.outcome, reasons, cost, ruling.words)


def _end(partition: Partition) -> datetime:
    return partition.window.end.replace(tzinfo=UTC)


def _as_of_now(partition: Partition, newest: Partition, world: World[Model]) -> Partition:
    if world.labelled is None:
        return partition
    return replace(partition, labelled=world.labelled(partition.key, newest.window.end))
