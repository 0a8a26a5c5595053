"""Trainings as a pipeline's ledger tells of them: what was asked for, what began, and what came of it.

What a training is, is in `trainings`; what events mean for releases, in `core.releases`.
"""

from collections.abc import Container, Sequence
from typing import Any

from ml_assets.core.releases import (
    ACCEPTED,
    BEGUN,
    DECIDED,
    ENDED,
    JUDGED,
    Event,
    release_of,
    rollout_begun,
    rollout_end,
)
from ml_assets.core.retraining.decision import Decision
from ml_assets.core.retraining.trainings import Outcome, Plan, Training

OUTCOME: dict[str, Outcome] = {"promote": "promoted", "reject": "rejected", "undecided": "undecided"}
"""Verdict of a decision on a candidate -> what came of its training."""


def judged(events: Sequence[Event]) -> list[tuple[Event, Decision]]:
    """Every decision about retraining that was made by itself, in order."""
    return [(e, _decision(e)) for e in events if e.kind == JUDGED]


def requests(events: Sequence[Event]) -> list[tuple[Event, Decision]]:
    """Those of them that asked for a training."""
    return [(e, d) for e, d in judged(events) if d.action == "retrain"]


def trainings(events: Sequence[Event], over: Container[str] = ()) -> tuple[Training, ...]:
    """All trainings, in the order in which they were asked for, or decided on where a person started them.

    Args:
        events: the ledger.
        over: ids of runs that have ended, whatever came of them.
    """
    asked = {d.key: d for _, d in requests(events)}
    told: list[Training] = []
    for event in events:
        if event.kind == JUDGED and event.facts["action"] == "retrain":
            decision = asked[event.facts["key"]]
            outcome, bundle = _what_came_of(decision.key, events, over)
            if decision.plan is not None:
                known = decision.numbers.get("seen", {})
                told.append(Training(decision.plan.as_of, outcome, decision.evidence, decision.plan, bundle, known))
        elif event.kind == DECIDED and event.facts.get("cause") not in asked:
            told.append(Training(event.facts["as_of"], _decided(event, events), bundle=event.facts["bundle"]))
    return tuple(told)


def plan_of(events: Sequence[Event], as_of: str, cause: str | None) -> Plan | None:
    """What a training as of a partition is to do.

    A training for a cause does what was decided on it. One that a person starts does the same as the last that was
    asked for as of that partition, so that a model can be trained again to the bit; None where none was.

    Args:
        events: the ledger.
        as_of: key of the as-of partition.
        cause: key of the evidence that asked for it; None where a person starts it.
    """
    plans = [(d.key, d.plan) for _, d in requests(events) if d.plan is not None and d.plan.as_of == as_of]
    return next((plan for key, plan in reversed(plans) if cause is None or key == cause), None)


def accepted(events: Sequence[Event]) -> dict[str, str]:
    """Partition that a person accepted never to land -> why."""
    return {str(e.facts["partition"]): str(e.facts["why"]) for e in events if e.kind == ACCEPTED}


def begun(events: Sequence[Event], key: str) -> Event | None:
    """The last beginning of the training that some evidence asked for."""
    return next((e for e in reversed(events) if e.kind == BEGUN and e.facts["key"] == key), None)


def is_over(events: Sequence[Event], key: str, run: str) -> bool:
    """Whether the ledger tells of an end of this run of a training."""
    return any(e.kind == ENDED and (e.facts["key"], e.facts["run"]) == (key, run) for e in events)


def _what_came_of(key: str | None, events: Sequence[Event], over: Container[str]) -> tuple[Outcome, str | None]:
    last = next((e for e in reversed(events) if _about(e) == key and e.kind in (BEGUN, DECIDED, ENDED)), None)
    if last is None:
        return "requested", None
    if last.kind == DECIDED:
        return _decided(last, events), last.facts["bundle"]
    if last.kind == ENDED:
        return last.facts["outcome"], None
    return ("failed" if last.facts["run"] in over else "running"), None


def _decided(decision: Event, events: Sequence[Event]) -> Outcome:
    begun = rollout_begun(events, decision)
    if begun is None or release_of(events, decision) is not None:
        return OUTCOME[decision.facts["verdict"]]
    return "rejected" if rollout_end(events, begun.facts["rollout"]) is not None else "rolling_out"


def _about(event: Event) -> Any:
    return event.facts.get("cause") if event.kind == DECIDED else event.facts.get("key")


def _decision(event: Event) -> Decision:
    return Decision.from_json(event.facts)
