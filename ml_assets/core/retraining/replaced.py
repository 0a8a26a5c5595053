"""Which champion a release replaced, and over which partitions both score: a fold over the ledger's events.

How what that was worth is counted is in `account`; what the events mean, in `core.releases`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from ml_assets.core.releases import RELEASED, Champion, Event, champions
from ml_assets.core.windows import Window


@dataclass(frozen=True)
class Replacement:
    """A release that put one bundle in another's place.

    Args:
        replaced: the champion that was live before.
        replacing: the champion that it released.
        until: from when in event time another champion answers; None while none does.
    """

    replaced: Champion
    replacing: Champion
    until: datetime | None

    @property
    def since(self) -> datetime:
        """From when in event time both may score: the new one answers, and neither has learnt from anything later."""
        return max(self.replacing.scores_from, self.replaced.as_of_end)

    def covers(self, start: datetime) -> bool:
        """Whether both may score a partition that starts then."""
        return self.since <= start and (self.until is None or start < self.until)


@dataclass(frozen=True)
class Account:
    """The partitions over which what a release was worth is counted.

    Args:
        replacement: the release.
        partitions: the first ones that both may score, oldest first.
        wanted: how many there are to be.
    """

    replacement: Replacement
    partitions: tuple[Window, ...]
    wanted: int

    @classmethod
    def of(cls, replacement: Replacement, windows: Sequence[Window], wanted: int) -> "Account":
        """The account of a release.

        Args:
            replacement: the release.
            windows: the table's partitions from `replacement.since` on, oldest first; `wanted` of them are enough.
            wanted: partitions that a replaced champion keeps scoring.
        """
        both = [w for w in windows if replacement.covers(w.start)]
        return cls(replacement, tuple(both[:wanted]), wanted)

    @property
    def release(self) -> int:
        """Sequence of the release in the ledger."""
        return self.replacement.replacing.sequence

    @property
    def is_final(self) -> bool:
        """Whether no partition will be added: all are there, or another champion answers since."""
        return len(self.partitions) >= self.wanted or self.replacement.until is not None


def replacements(events: Sequence[Event]) -> list[Replacement]:
    """Every release that put one bundle in another's place and then answered, in the ledger's order.

    The first champion replaced none. A rollback is no retraining: what it put in place has no account, although a
    release after it replaces what it had gone back to, and it ends the account of what it went back from. No two
    cover the same partition, since one champion answers it.
    """
    line = champions(events)
    line = [c for i, c in enumerate(line) if not i or line[i - 1].bundle != c.bundle]
    found = []
    for i, (before, now) in enumerate(pairwise(line)):
        until = min((later.scores_from for later in line[i + 2 :]), default=None)
        one = Replacement(before, now, until)
        if events[now.sequence - 1].kind == RELEASED and (until is None or one.since < until):
            found.append(one)
    return found


def replacement_at(events: Sequence[Event], start: datetime) -> Replacement | None:
    """The release whose bundle and predecessor both may score a partition that starts then."""
    return next((r for r in replacements(events) if r.covers(start)), None)


def ended_before(events: Sequence[Event], start: datetime) -> Replacement | None:
    """The last release whose bundle had answered before a partition that starts then, and no longer does."""
    ended = [r for r in replacements(events) if r.until is not None and r.until <= start]
    return max(ended, key=lambda r: r.until or r.since, default=None)
