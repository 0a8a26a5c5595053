"""Whether to retrain: evidence in, decision with reasons out. Neither a storm nor mute.

Evidence comes from `staleness` and `causes`; what a training does is in `plan`. Whether its candidate is
released is decided in `promotion`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from ml_assets.core.decision_record import sha256_of
from ml_assets.core.errors import ConfigError
from ml_assets.core.retraining.evidence import Evidence, Finding
from ml_assets.core.retraining.observed import Partition
from ml_assets.core.retraining.plan import Learning, make_plan, rows
from ml_assets.core.retraining.trainings import Plan, Training

Action = Literal["ignore", "refresh", "retrain", "block"]
WEAK = ("scheduled", "overdue")
"""Reasons that show no harm: they leave the budget's reserve alone."""


@dataclass(frozen=True)
class RetrainingRules:
    """How often a pipeline may be retrained.

    Args:
        learning: what it learns from.
        cooldown: partitions that must have landed since the last training's as-of partition, whatever came of it; 0
            counts as 1 for reasons that show no harm, since nothing new could be learnt.
        runs: automatic retrainings that the budget allows.
        per: partitions within which they count.
        reserve: of them, those kept for drift and realised error.
        cause: partitions for which a rejected training counts as one for the same cause.

    Raises:
        ConfigError: a value is out of bounds; lists all.
    """

    learning: Learning
    cooldown: int = 1
    runs: int = 4
    per: int = 12
    reserve: int = 2
    cause: int = 3

    def __post_init__(self) -> None:
        least = {"cooldown": 0, "runs": 0, "per": 1, "reserve": 0, "cause": 1}
        wrong = [f"{n}: {getattr(self, n)}" for n, low in least.items() if getattr(self, n) < low]
        wrong += [f"reserve: {self.reserve} of {self.runs} runs"] if self.reserve > self.runs else []
        if wrong:
            raise ConfigError(
                "rules of retraining", found=wrong, expected=f"at least {least}, a reserve within the budget",
                cure="correct the section `retraining`",
            )  # fmt: skip


@dataclass(frozen=True)
class Decision:
    """What to do about some evidence.

    Args:
        action: `retrain`; `block`: it would be, but for broken data; `refresh`: only drift assets are to be run;
            `ignore`: nothing. `evidence.refreshes` are to be run whatever the action.
        reasons: in words and numbers, those for the action first.
        evidence: what it rests on.
        key: of a `retrain`, the run key: SHA-256 of the evidence. None otherwise.
        plan: of a `retrain`, what to train. None otherwise.
        numbers: what the reasons are made of.
    """

    action: Action
    reasons: tuple[str, ...]
    evidence: Evidence
    key: str | None = None
    plan: Plan | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of its content, time not being in it: a decision that is still the same is written down once."""
        return sha256_of(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "action": self.action,
            "reasons": list(self.reasons),
            "evidence": self.evidence.to_json(),
            "key": self.key,
            "plan": None if self.plan is None else self.plan.to_json(),
            "numbers": dict(self.numbers),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises:
            EvidenceError: its evidence was changed, or is something else.
        """
        plan = None if record["plan"] is None else Plan.from_json(record["plan"])
        evidence = Evidence.from_json(record["evidence"])
        return cls(record["action"], tuple(record["reasons"]), evidence, record["key"], plan, record["numbers"])


def decide(
    evidence: Evidence,
    partitions: Sequence[Partition],
    trainings: Sequence[Training],
    rules: RetrainingRules,
    seen: Mapping[str, int] | None = None,
) -> Decision:
    """Decide on some evidence.

    Findings that a training was already asked for by are answered, whatever came of it: one finding more against the
    champion, say a further drifted partition, makes evidence new. So are findings of what was known when it was asked
    for, and what only other bounds have made a finding since. What can't be acted on now stays unanswered, and is
    decided on again as soon as partitions land, data are repaired, labels mature or a run ends.

    Args:
        evidence: what was found.
        partitions: those known, in any order.
        trainings: all trainings of the pipeline, oldest first.
        rules: how often it may be retrained.
        seen: of a training that is asked for now, what it is to answer, see `staleness.seen`.
    """
    requested = next((t for t in trainings if t.outcome == "requested" and t.plan and t.evidence), None)
    if requested is not None and requested.evidence is not None:
        told = f"asked for as of {requested.as_of} and not begun: the same request again"
        return Decision("retrain", (told,), requested.evidence, requested.evidence.key, requested.plan)
    quiet: Action = "refresh" if evidence.refreshes else "ignore"
    stale = tuple(f.words for f in evidence.findings if f.action == "refresh")
    asks = evidence.asks
    if not asks:
        return Decision(quiet, stale or ("nothing is stale, and nothing asks for a training",), evidence)
    why = tuple(dict.fromkeys(f.words for f in asks))
    asked_for = {f.identity: t for t in trainings if t.evidence is not None for f in t.evidence.asks}
    answers = [asked_for.get(f.identity) or _in_the_know(f, trainings) for f in asks]
    fresh = [f for f, answer in zip(asks, answers, strict=True) if answer is None]
    if not fresh:
        last = next(t for t in reversed(trainings) if t in answers)
        cure = "re-execute its run" if last.outcome == "failed" else "new evidence will start another"
        told = f"answered by the training as of {last.as_of} ({last.outcome}): {cure}"
        return Decision(quiet, (*stale, told, *why), evidence)
    if (running := next((t for t in trainings if t.outcome in ("running", "requested")), None)) is not None:
        told = f"a training as of {running.as_of} is under way"
        return Decision(quiet, (*stale, told, *why), evidence)
    rolling = next((t for t in trainings if t.outcome == "rolling_out"), None)
    if rolling is not None and not any(f.reason == "asked" for f in fresh):
        told = f"the candidate as of {rolling.as_of} is being rolled out: what it does to this evidence is waited for"
        return Decision(quiet, (*stale, told, *why), evidence)
    every = sorted(partitions, key=lambda p: p.window.start)
    newest = max((i for i, p in enumerate(every) if p.landed), default=None)
    if newest is None:
        return Decision(quiet, (*stale, "no partition has landed", *why), evidence)
    history = every[: newest + 1]
    plan = make_plan(asks, history, trainings, rules.cause, rules.learning)
    broken = {p.key: list(p.unfit) for p in history[-plan.window :] if p.unfit}
    against, numbers = _against(fresh, history, trainings, plan, rules)
    if broken:
        listed = "; ".join(f"{key}: {', '.join(names)}" for key, names in broken.items())
        told = f"broken data among the {plan.window} partitions to learn from ({listed}): repair and ingest them again"
        return Decision("block", (told, *against, *why, *stale), evidence, numbers={**numbers, "broken": broken})
    if against:
        return Decision(quiet, (*stale, *against, *why), evidence, numbers=numbers)
    known = {"seen": dict(seen)} if seen else {}
    return Decision("retrain", (*why, plan.why, *stale), evidence, evidence.key, plan, numbers | known)


def _in_the_know(finding: Finding, trainings: Sequence[Training]) -> Training | None:
    """The last training that was asked for in full knowledge of what a finding rests on."""
    identity, rows = finding.identity, finding.numbers.get("rows", 0)
    return next((t for t in reversed(trainings) if t.seen.get(identity) == rows), None)


def _against(
    fresh: Sequence[Finding],
    history: Sequence[Partition],
    trainings: Sequence[Training],
    plan: Plan,
    rules: RetrainingRules,
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """What speaks against training now, in words, and the numbers of it."""
    place, now = {p.key: i for i, p in enumerate(history)}, len(history) - 1
    told: list[str] = []
    numbers: dict[str, Any] = {}
    reasons = {f.reason for f in fresh}
    weak = reasons <= set(WEAK)
    if "asked" not in reasons:
        last = max((place.get(t.as_of, -1) for t in trainings), default=None)
        if last is not None:
            since = sum(p.landed for p in history[last + 1 :])
            cooldown = max(rules.cooldown, 1) if weak else rules.cooldown
            numbers |= {"landed_since_training": since, "cooldown": cooldown}
            if since < cooldown:
                told.append(f"cooldown: {since} partitions since the last training, {cooldown} are waited for")
        if "first" not in reasons:
            used = [t.as_of for t in trainings if t.automatic and now - place.get(t.as_of, now - rules.per) < rules.per]
            allowed = rules.runs - rules.reserve if weak else rules.runs
            numbers |= {"used": len(used), "allowed": allowed, "runs": rules.runs, "per": rules.per}
            if len(used) >= allowed:
                kept = f", {rules.reserve} of {rules.runs} kept for drift and realised error" if weak else ""
                told.append(
                    f"budget used up: {len(used)} of {allowed} retrainings in the last {rules.per} partitions"
                    f"{f' ({used[0]} … {used[-1]})' if used else ''}{kept}"
                )
    as_of = history[-1]
    labelled = as_of.labelled / as_of.rows if as_of.rows else 0.0
    numbers |= {"labelled": round(labelled, 4), "rows": rows(history, plan.window, rules.learning)}
    if labelled < rules.learning.min_labelled:
        told.append(
            f"labels of {as_of.key} are waited for: {as_of.labelled:,} of {as_of.rows:,} are known, "
            f"{rules.learning.min_labelled:.0%} are needed"
        )
    if numbers["rows"] < rules.learning.min_rows:
        told.append(f"too little to learn from: {numbers['rows']:,} rows, {rules.learning.min_rows:,} are needed")
    return tuple(told), numbers
