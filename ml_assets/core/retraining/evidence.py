"""Evidence: findings about a pipeline, each with what it rests on, and the key that names them by content.

Where findings come from: `staleness` judges the monitor, `causes` words what the clock, a person or an empty
registry ask for. What follows from evidence is in `decision`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from ml_assets.core.decision_record import sha256_of
from ml_assets.core.errors import EvidenceError

Reason = Literal["unjudged", "superseded", "unprepared", "reference_outdated", "overdue", "scheduled", "asked", "first"]
Source = Literal["monitor", "drift", "performance", "clock", "person", "registry"]

DEFAULT_ACTION: dict[Reason, Literal["refresh", "retrain"]] = {
    "unjudged": "refresh",
    "superseded": "refresh",
    "unprepared": "refresh",
    "reference_outdated": "retrain",
    "overdue": "retrain",
    "scheduled": "retrain",
    "asked": "retrain",
    "first": "retrain",
}
"""Reason -> what it asks for: to make what the partition lacks, up to its drift report, or to train."""


@dataclass(frozen=True)
class Finding:
    """One thing that asks for a run.

    Args:
        reason: why.
        source: who says so.
        subject: the partition, the instant of the schedule, or the id of a person's request.
        words: the same in words and numbers, free of the present time.
        champion: the bundle it is about, or that was live; None before the first release.
        versions: noun -> data version that it rests on.
        numbers: what the words are made of, JSON-able.
        ids: where its grounds are found: reports, runs.
        abrupt: whether it says that things changed at once.
    """

    reason: Reason
    source: Source
    subject: str
    words: str
    champion: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, Any] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)
    abrupt: bool = False

    @property
    def action(self) -> Literal["refresh", "retrain"]:
        """What it asks for."""
        return DEFAULT_ACTION[self.reason]

    @property
    def identity(self) -> str:
        """SHA-256 of its content: the same finding on the same data and champion, whoever reports it and when.

        A tick or a request is the same whichever champion is live: what it led to would else ask for it again.
        """
        about = None if self.reason in ("scheduled", "asked") else self.champion
        told = [self.reason, self.source, self.subject, about, dict(self.versions)]
        return sha256_of({"finding": told})

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises:
            EvidenceError: it is something else.
        """
        try:
            found = cls(**record)
        except TypeError as e:
            raise _not_ours("finding", str(e)) from e
        if found.reason not in DEFAULT_ACTION:
            raise _not_ours("finding", f"reason {found.reason!r}")
        return found


@dataclass(frozen=True)
class Evidence:
    """All findings of one moment, each once, in an order that does not depend on that in which they came.

    Args:
        findings: what was found.
    """

    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, *groups: Iterable[Finding]) -> Self:
        """Put findings together."""
        by_identity = {f.identity: f for group in groups for f in group}
        return cls(tuple(sorted(by_identity.values(), key=lambda f: (f.subject, f.reason, f.source, f.identity))))

    @property
    def asks(self) -> tuple[Finding, ...]:
        """Findings that ask for a training."""
        return tuple(f for f in self.findings if f.action == "retrain")

    @property
    def refreshes(self) -> dict[str, str]:
        """Partition whose drift asset is to be run -> run key: the same content and champion, one run."""
        of: dict[str, list[str]] = {}
        for f in self.findings:
            if f.action == "refresh":
                of.setdefault(f.subject, []).append(f.identity)
        return {subject: sha256_of({"refresh": sorted(found)}) for subject, found in of.items()}

    @property
    def key(self) -> str | None:
        """SHA-256 of what asks for a training, by content and not by time; None if nothing does.

        It is the run key of the training: the same evidence gives one run, ever.
        """
        return sha256_of({"asks": sorted(f.identity for f in self.asks)}) if self.asks else None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"findings": [f.to_json() for f in self.findings], "key": self.key}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises:
            EvidenceError: it is something else, or was changed.
        """
        found = cls.of([Finding.from_json(f) for f in record["findings"]])
        if found.key != record["key"]:
            raise _not_ours("evidence", f"key {record['key']} of findings whose key is {found.key}")
        return found


def _not_ours(thing: str, found: str) -> EvidenceError:
    return EvidenceError(
        f"{thing} from a record",
        found=found,
        expected=f"what {thing.capitalize()}.to_json wrote",
        cure="read it from the ledger again; if it is as it stands there, verify the ledger (`ml-assets verify`)",
    )
