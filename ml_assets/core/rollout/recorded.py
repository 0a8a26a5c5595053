"""Rollouts as a pipeline's ledger tells of them: which one is open, where it stands, and how others ended.

What the events of releases mean is in `core.releases`; who answers in consequence is in `routes`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml_assets.core.releases import ROLLOUT_BEGUN, ROLLOUT_ENDED, ROLLOUT_MOVED, ROLLOUTS, Event
from ml_assets.core.rollout.state import State, Transition

SHOWN = 12


@dataclass(frozen=True)
class Rollout:
    """A rollout as its events tell of it.

    Args:
        id: the candidate's first characters and its number in the ledger; the salt of its assignment.
        champion: SHA-256 of the bundle that answered when it began.
        candidate: SHA-256 of the bundle that is rolled out.
        as_of: the candidate's as-of partition.
        record: SHA-256 of the decision record it rests on; None where a person forced it.
        strategy: kind of rollout.
        rules: as JSON, as they were when it began; later changes of YAML don't touch it.
        state: where it stands.
        events: its own, oldest first.
    """

    id: str
    champion: str
    candidate: str
    as_of: str
    record: str | None
    strategy: str
    rules: Mapping[str, Any]
    state: State
    events: tuple[Event, ...]

    @property
    def reasons(self) -> list[str]:
        """Why it stands where it stands."""
        return list(self.events[-1].facts["reasons"])


def rollouts(events: Sequence[Event]) -> list[Rollout]:
    """All rollouts, in the order in which they began."""
    own: dict[str, list[Event]] = {}
    for e in events:
        if e.kind in ROLLOUTS:
            own.setdefault(e.facts["rollout"], []).append(e)
    return [_rollout(told) for told in own.values() if told[0].kind == ROLLOUT_BEGUN]


def _rollout(told: Sequence[Event]) -> Rollout:
    first = told[0].facts
    return Rollout(
        id=first["rollout"],
        champion=first["champion"],
        candidate=first["bundle"],
        as_of=first["as_of"],
        record=first["record"],
        strategy=first["strategy"],
        rules=first["rules"],
        state=State.from_json(told[-1].facts["to"]),
        events=tuple(told),
    )


def open_rollout(events: Sequence[Event]) -> Rollout | None:
    """The rollout that has not ended; None where there is none. The last one, where several are open."""
    return next((r for r in reversed(rollouts(events)) if not r.state.over), None)


def next_id(events: Sequence[Event], candidate: str) -> str:
    """The id of a rollout that would begin now."""
    return f"{candidate[:SHOWN]}-{1 + sum(e.kind == ROLLOUT_BEGUN for e in events)}"


def begun_facts(
    rollout: str, champion: str, candidate: str, record: Mapping[str, Any], rules: Mapping[str, Any],
    transition: Transition, by: str,
) -> dict[str, Any]:  # fmt: skip
    """The facts of `rollout_begun`.

    Args:
        rollout: its id.
        champion, candidate: SHA-256 of their bundles.
        record: `as_of` of the candidate, and `sha256` of the decision record, None where there is none.
        rules: as JSON; they hold until its end.
        transition: into its first state.
        by: who or what begins it.
    """
    about = {"rollout": rollout, "bundle": candidate, "as_of": record["as_of"]}
    fixed = {"champion": champion, "record": record["sha256"], "strategy": rules["strategy"], "rules": dict(rules)}
    return {**about, **fixed, **_told(None, transition, by)}


def moved_facts(rollout: Rollout, transition: Transition, by: str) -> dict[str, Any]:
    """The facts of `rollout_moved` or `rollout_ended`, see `kind_of`."""
    about = {"rollout": rollout.id, "bundle": rollout.candidate, "as_of": rollout.as_of}
    return {**about, **_told(rollout.state, transition, by)}


def kind_of(transition: Transition) -> str:
    """The kind of the event that tells of a transition of a rollout that has begun."""
    return ROLLOUT_ENDED if transition.state.over else ROLLOUT_MOVED


def _told(before: State | None, transition: Transition, by: str) -> dict[str, Any]:
    state = transition.state
    return {
        "action": transition.action,
        "from": before and before.to_json(),
        "to": state.to_json(),
        "weights": state.weights,
        "shadows": list(state.shadows),
        "reasons": list(transition.reasons),
        "evidence": dict(transition.evidence),
        "by": by,
    }
