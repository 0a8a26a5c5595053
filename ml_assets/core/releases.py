"""What the ledger's events mean: the live champion, and the champion that had the right to score a partition.

Pure folds over events; where events are kept is in `ml_assets.resources.ledger`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ml_assets.core.errors import LedgerError

GENESIS = "0" * 64


@dataclass(frozen=True)
class Event:
    """One entry of a pipeline's ledger.

    Args:
        pipeline: whose ledger.
        sequence: 1, 2, 3, … without gaps.
        kind: `released`.
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


@dataclass(frozen=True)
class Champion:
    """A released bundle: which, trained as of which partition, from when in event time it may score."""

    bundle: str
    as_of: str
    scores_from: datetime
    sequence: int

    def to_json(self) -> dict[str, Any]:
        """As JSON, times in ISO 8601."""
        return {
            "bundle": self.bundle,
            "as_of": self.as_of,
            "scores_from": self.scores_from.isoformat(),
            "sequence": self.sequence,
        }


def event_hash(pipeline: str, sequence: int, kind: str, facts: Mapping[str, Any], previous: str) -> str:
    """SHA-256 of an event's canonical text."""
    text = json.dumps([pipeline, sequence, kind, facts, previous], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def release_facts(report: Mapping[str, Any], metric: str, reason: str, reasons: Sequence[str]) -> dict[str, Any]:
    """What the ledger keeps of a decision on a candidate.

    Args:
        report: the candidate's evaluation.
        metric: name of the metric that decided.
        reason: why the candidate was trained.
        reasons: why it was released or rejected.
    """
    return {
        "bundle": report["bundle"],
        "as_of": report["as_of"],
        "scores_from": report["scores_from"],
        "reason": reason,
        "reasons": list(reasons),
        "rows_trained": report["rows_trained"],
        "holdout_metric": report["metrics"]["candidate"][metric],
        "holdout_metric_naive": report["metrics"]["naive"][metric],
    }


def already_decided(events: Sequence[Event], kind: str, bundle: str) -> bool:
    """Whether the last decision on this bundle was the same, so that recording it again would say nothing new."""
    last = next((e for e in reversed(events) if e.facts["bundle"] == bundle), None)
    return last is not None and last.kind == kind


def check_chain(events: Sequence[Event]) -> None:
    """Raise a LedgerError if an event was changed, removed or added by someone else than the ledger."""
    previous = GENESIS
    for position, e in enumerate(events, start=1):
        right = event_hash(e.pipeline, e.sequence, e.kind, e.facts, e.previous)
        if e.sequence != position or e.previous != previous or e.hash != right:
            raise LedgerError(
                f"ledger of {e.pipeline}, event {e.sequence}",
                found="an entry that does not fit the one before, or was changed",
                expected=f"number {position}, following hash {previous[:12]}…",
                cure="restore the ledger's database from a backup; do not release anything until then",
            )
        previous = e.hash


def champions(events: Sequence[Event]) -> list[Champion]:
    """Every release, in order."""
    return [
        Champion(
            bundle=e.facts["bundle"],
            as_of=e.facts["as_of"],
            scores_from=datetime.fromisoformat(e.facts["scores_from"]),
            sequence=e.sequence,
        )
        for e in events
        if e.kind == "released"
    ]


def live(events: Sequence[Event]) -> Champion | None:
    """The champion now; None before the first release."""
    released = champions(events)
    return released[-1] if released else None


def champion_for(events: Sequence[Event], start: datetime) -> Champion | None:
    """The champion that scores a partition starting at `start`: the newest release that learnt from nothing later.

    So scoring an old partition again, after newer releases, neither looks ahead nor changes its scores.
    """
    eligible = [c for c in champions(events) if c.scores_from <= start]
    return eligible[-1] if eligible else None
