"""What the ledger's events mean: the live champion, and the champion that had the right to score a partition.

Pure folds over events; where events are kept is in `ml_assets.resources.ledger`, who may be released in
`release_rights`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ml_assets.core.errors import LedgerError

GENESIS = "0" * 64
DECIDED, RELEASED, ROLLED_BACK, ATTRIBUTED = "decided", "released", "rolled_back", "attributed"
ASKED, JUDGED, BEGUN, ENDED = "asked", "judged", "training_begun", "training_ended"
"""A person asked for a training; what was decided about one by itself; one that was decided on began; it ended without
a decision on a candidate."""
ROLLOUT_BEGUN, ROLLOUT_MOVED, ROLLOUT_ENDED = "rollout_begun", "rollout_moved", "rollout_ended"
"""A decided candidate began to take traffic; how much, or whether it goes on, changed; it is over. What they say is in
`rollout.recorded`."""
ROLLOUTS = (ROLLOUT_BEGUN, ROLLOUT_MOVED, ROLLOUT_ENDED)
ACCEPTED = "accepted"
"""A person accepted that a partition never lands."""
CURE = "restore the ledger's database from a backup; do not release anything until then"


@dataclass(frozen=True)
class Event:
    """One entry of a pipeline's ledger.

    Args:
        pipeline: whose ledger.
        sequence: 1, 2, 3, … without gaps.
        kind: `decided`, `released`, `rolled_back`, `attributed`, `asked`, `judged`, `training_begun`,
            `training_ended`, `accepted`, `rollout_begun`, `rollout_moved` or `rollout_ended`.
        facts: what happened, JSON-able.
        previous: hash of the event before, `GENESIS` for the first.
        hash: SHA-256 over everything above.
    """

    pipeline: str
    sequence: int
    kind: str
    facts: Mapping[str, Any]
    previous: str
    hash: str

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {**vars(self), "facts": dict(self.facts)}


@dataclass(frozen=True)
class Champion:
    """A bundle that was made live, by a release or by going back to it.

    Args:
        bundle: its SHA-256.
        as_of: key of the partition at whose end it was trained.
        as_of_end: the end of that partition: it has learnt from nothing later.
        scores_from: from when in event time it scores; later than `as_of_end` where something had been scored before.
        sequence: of the event.
    """

    bundle: str
    as_of: str
    as_of_end: datetime
    scores_from: datetime
    sequence: int

    def to_json(self) -> dict[str, Any]:
        """As JSON, times in ISO 8601."""
        return {
            "bundle": self.bundle,
            "as_of": self.as_of,
            "as_of_end": self.as_of_end.isoformat(),
            "scores_from": self.scores_from.isoformat(),
            "sequence": self.sequence,
        }


def event_hash(pipeline: str, sequence: int, kind: str, facts: Mapping[str, Any], previous: str) -> str:
    """SHA-256 of an event's canonical text."""
    text = json.dumps([pipeline, sequence, kind, facts, previous], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def chain_faults(events: Sequence[Event]) -> list[str]:
    """Where events were changed, removed or added by someone else than the ledger, in words; empty if nowhere.

    What the chain alone can't show: that the newest events are missing, or that all was written anew from some event
    on. For that, compare with `head` as it was told earlier and kept elsewhere.
    """
    faults, previous = [], GENESIS
    for position, e in enumerate(events, start=1):
        if e.sequence != position:
            faults.append(f"event {e.sequence} stands in place {position}: events were removed or renumbered")
        elif e.previous != previous:
            faults.append(f"event {e.sequence} does not follow the one before it")
        if e.hash != event_hash(e.pipeline, e.sequence, e.kind, e.facts, e.previous):
            faults.append(f"event {e.sequence} was changed: its content does not have its hash")
        previous = e.hash
    return faults


def check_chain(events: Sequence[Event]) -> None:
    """Raise a LedgerError that lists every event that was changed, removed or added by someone else."""
    if faults := chain_faults(events):
        raise LedgerError(
            f"ledger of {events[0].pipeline}", found=faults, expected="events 1, 2, 3, … each following the one before",
            cure=CURE,
        )  # fmt: skip


def is_overtaken(kind: str, events: Sequence[Event], after: int) -> bool:
    """Whether an event that was made in the light of the first `after` events must not be appended to these.

    What is decided rests on what was decided, released and gone back to; what is released, gone back to and rolled out
    rests on these and on rollouts. Neither rests on what was judged about retraining meanwhile. All other events rest
    on everything but rollouts.

    Args:
        kind: of the event.
        events: all that there are.
        after: how many of them its author has seen.
    """
    if len(events) < after:
        return True
    ours = (DECIDED, RELEASED, ROLLED_BACK)
    if kind in (RELEASED, ROLLED_BACK, *ROLLOUTS):
        return any(e.kind in (*ours, *ROLLOUTS) for e in events[after:])
    return any(e.kind in ours if kind == DECIDED else e.kind not in ROLLOUTS for e in events[after:])


def head(events: Sequence[Event]) -> str:
    """How far the ledger goes, as `12:<hash of event 12>`; whoever keeps it can tell later that nothing is missing."""
    return f"{len(events)}:{events[-1].hash if events else GENESIS}"


def champions(events: Sequence[Event]) -> list[Champion]:
    """Every bundle that was made live, in order."""
    return [
        Champion(
            bundle=e.facts["bundle"],
            as_of=e.facts["as_of"],
            as_of_end=datetime.fromisoformat(e.facts.get("as_of_end") or e.facts["scores_from"]),
            scores_from=datetime.fromisoformat(e.facts["scores_from"]),
            sequence=e.sequence,
        )
        for e in events
        if e.kind in (RELEASED, ROLLED_BACK)
    ]


def live(events: Sequence[Event]) -> Champion | None:
    """The champion now; None before the first release."""
    made_live = champions(events)
    return made_live[-1] if made_live else None


def champion_for(events: Sequence[Event], start: datetime) -> Champion | None:
    """The champion that scores a partition starting at `start`: the last one that was made live for it.

    So scoring an old partition again, after newer releases, neither looks ahead nor changes its scores; and going
    back to an older bundle changes no partition that had been scored before.
    """
    eligible = [c for c in champions(events) if c.scores_from <= start]
    return eligible[-1] if eligible else None


def champion_at_training(events: Sequence[Event], as_of: str, start: datetime) -> Champion | None:
    """The champion whose best parameters a training as of a partition starting at `start` tries first.

    What was released after the first decision on a candidate of the partition has no say in it: the same data give
    the same model again, however many champions there were since.
    """
    at = (i for i, e in enumerate(events) if e.kind == DECIDED and e.facts["as_of"] == as_of)
    return champion_for(events[: next(at, len(events))], start)


def decisions(events: Sequence[Event]) -> list[Event]:
    """Every decision on a candidate, in order."""
    return [e for e in events if e.kind == DECIDED]


def decision_on(events: Sequence[Event], bundle: str) -> Event | None:
    """The last decision on a bundle."""
    return next((e for e in reversed(decisions(events)) if e.facts["bundle"] == bundle), None)


def decision_as_of(events: Sequence[Event], as_of: str) -> Event | None:
    """The last decision on a candidate of an as-of partition."""
    return next((e for e in reversed(decisions(events)) if e.facts["as_of"] == as_of), None)


def carried_out(events: Sequence[Event], decision: Event) -> bool:
    """Whether a release stands in the ledger that followed this very decision."""
    return release_of(events, decision) is not None


def settled(events: Sequence[Event], as_of: str) -> bool:
    """Whether a partition's candidate is decided on, and released or in a rollout if that was decided.

    A kill may fall in between. A rollout that has ended, however it did, has settled it.
    """
    decision = decision_as_of(events, as_of)
    if decision is None:
        return False
    if decision.facts["verdict"] != "promote" or carried_out(events, decision):
        return True
    return rollout_begun(events, decision) is not None


def withdrawn(events: Sequence[Event], bundle: str) -> Event | None:
    """The event by which someone went back from this bundle, unless it was made live again since."""
    for e in reversed(events):
        if e.kind == ROLLED_BACK and e.facts["from_bundle"] == bundle:
            return e
        if e.kind in (RELEASED, ROLLED_BACK) and e.facts["bundle"] == bundle:
            return None
    return None


def before_live(events: Sequence[Event]) -> Champion | None:
    """What going back once leads to: the champion that the live one replaced.

    Bundles that were gone back from are passed over: going back twice leads two releases back, not forth again.
    """
    line: list[Champion] = []
    for c in champions(events):
        if events[c.sequence - 1].kind == ROLLED_BACK:
            at = next((i for i in reversed(range(len(line))) if line[i].bundle == c.bundle), len(line))
            line = line[:at]
        line.append(c)
    return line[-2] if len(line) > 1 else None


def release_of(events: Sequence[Event], decision: Event) -> Event | None:
    """The release that carried out this very decision; the last of them, None where there is none."""
    record = decision.facts["record"]
    return next((e for e in reversed(events) if e.kind == RELEASED and e.facts.get("record") == record), None)


def rollout_begun(events: Sequence[Event], decision: Event) -> Event | None:
    """The beginning of the last rollout that rests on this very decision; None where there is none."""
    record = decision.facts["record"]
    return next((e for e in reversed(events) if e.kind == ROLLOUT_BEGUN and e.facts["record"] == record), None)


def rollout_end(events: Sequence[Event], rollout: str) -> Event | None:
    """The end of a rollout, by its id; None while it is open."""
    return next((e for e in reversed(events) if e.kind == ROLLOUT_ENDED and e.facts["rollout"] == rollout), None)


def attribution_of(events: Sequence[Event], release: int) -> Event | None:
    """What a release turned out to be worth, by its sequence; None while that is not settled."""
    return next((e for e in events if e.kind == ATTRIBUTED and e.facts["release"] == release), None)


def told(event: Event) -> str:
    """What happened, in words: `decided undecided: mae 3.1 against …`, `released by …: …`, `attributed: …`."""
    facts = event.facts
    if event.kind == ATTRIBUTED:
        return f"attributed: {facts['words']}"
    if event.kind == DECIDED:
        return f"decided {facts['verdict']}: {facts['reasons'][0]}"
    if event.kind == ASKED:
        return f"{facts['by']} asked for a training: {facts['why']}"
    if event.kind == ACCEPTED:
        return f"{facts['by']} accepted that {facts['partition']} never lands: {facts['why']}"
    if event.kind == JUDGED:
        plan = facts["plan"]
        what = f"{plan['how']} as of {plan['as_of']} on {plan['window']} partitions" if plan else facts["action"]
        return f"{facts['by']} decided to {what}: {'; '.join(facts['reasons'])}"
    if event.kind == BEGUN:
        return f"training as of {facts['as_of']} began in run {facts['run']}"
    if event.kind == ENDED:
        return f"training as of {facts['as_of']} ended without a decision ({facts['outcome']}): {facts['why']}"
    if event.kind in ROLLOUTS:
        return f"rollout {facts['rollout']}, {facts['action']} by {facts['by']}: {'; '.join(facts['reasons'])}"
    how = "rolled back to" if event.kind == ROLLED_BACK else "released by force" if facts["forced"] else "released"
    return f"{how} by {facts['by']}: {facts['reason']}"
