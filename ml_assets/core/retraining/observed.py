"""What is known of a pipeline when its monitor is judged: plain records of what landed, was reported and released.

A resource fills them from Dagster's event log and the ledger; what follows from them is in `staleness` and
`decision`. Event times are naive, in the table's own clock; times at which something happened here are aware.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Literal

from ml_assets.core.errors import EvidenceError
from ml_assets.core.releases import RELEASED, ROLLED_BACK, Event
from ml_assets.core.windows import Window

Verdict = Literal["stable", "drifted", "not_enough_rows"]


@dataclass(frozen=True)
class Partition:
    """A partition that is there, or ought to be.

    Args:
        window: its window of event time.
        at: when its present content landed, aware; of one that has not landed, when it ought to have.
        landed: whether it is there.
        versions: noun of an asset that reports are made from (`features`, `predictions`) -> its data version now.
        rows: validated rows.
        labelled: of them, those whose label is known by now and may be learnt from.
        defects: checks of the data that failed as errors (`contract`, `rows`, `keys`, `volume`).
        ready: whether there are features of it, from which models learn.
        validated: whether there are validated rows of it, from which features are made.
        accepted: whether a person accepted that it never lands; means nothing once it has.
    """

    window: Window
    at: datetime
    landed: bool = True
    versions: Mapping[str, str] = field(default_factory=dict)
    rows: int = 0
    labelled: int = 0
    defects: tuple[str, ...] = ()
    ready: bool = True
    validated: bool = True
    accepted: bool = False

    @property
    def given_up(self) -> bool:
        """Whether nobody waits for it."""
        return self.accepted and not self.landed

    @property
    def unfit(self) -> tuple[str, ...]:
        """Why it keeps a model from learning; empty where nothing speaks against it, or there is nothing to learn."""
        if not self.landed:
            return () if self.accepted else ("has not landed",)
        return self.defects if self.ready else (*self.defects, "no features")

    @property
    def key(self) -> str:
        """The partition's key."""
        return self.window.key


@dataclass(frozen=True)
class Report:
    """A drift report.

    Args:
        partition: key of what it judged.
        at: when it was made, aware.
        versions: noun -> data version that it was made from.
        champion: bundle against whose reference profile it judged.
        verdict: what it says.
        abrupt: whether it says that the drift began with this partition rather than grew.
        id: where to find it (run id, path).
        by_former_bounds: whether other bounds have been set since.
    """

    partition: str
    at: datetime
    versions: Mapping[str, str]
    champion: str
    verdict: Verdict
    abrupt: bool = False
    id: str = ""
    by_former_bounds: bool = False


@dataclass(frozen=True)
class Realised:
    """The realised error of a partition on mature labels.

    Args:
        partition: key of what was measured.
        at: when, aware.
        versions: noun -> data version that it was measured on.
        champion: bundle that answered.
        value: the deciding metric, in its unit.
        bound: what it may be at most, likewise.
        broken: whether it is surely beyond the bound, sampling error allowed for.
        rows: rows with a mature label.
        abrupt: whether the error rose with this partition rather than over several.
        id: where to find it.
        by_former_bounds: whether other bounds have been set since.
    """

    partition: str
    at: datetime
    versions: Mapping[str, str]
    champion: str
    value: float
    bound: float
    broken: bool
    rows: int
    abrupt: bool = False
    id: str = ""
    by_former_bounds: bool = False


@dataclass(frozen=True)
class Tenure:
    """A bundle that was made live.

    Args:
        bundle: its SHA-256.
        scores_from: from when in event time it answers.
        at: when it was made live, aware.
    """

    bundle: str
    scores_from: datetime
    at: datetime


@dataclass(frozen=True)
class Observed:
    """Everything that the staleness of a pipeline's monitor follows from.

    Args:
        partitions: all that landed, or ought to have; in any order, each once.
        reports: all drift reports, or the newest of each partition.
        realised: likewise.
        tenures: in the order in which they were made live; the last is live.
        failed_runs: partition -> id of the last run that should have judged it and failed.

    Raises:
        EvidenceError: a partition stands twice, or a time of the wall clock has no zone or one of event time has
            one; lists all.
    """

    partitions: Sequence[Partition]
    reports: Sequence[Report] = ()
    realised: Sequence[Realised] = ()
    tenures: Sequence[Tenure] = ()
    failed_runs: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        times = Counter(p.key for p in self.partitions)
        wrong = [f"partition {key}: {n} times" for key, n in times.items() if n > 1]
        happened = [(f"partition {p.key}", p.at) for p in self.partitions]
        happened += [(f"report of {r.partition}", r.at) for r in self.reports]
        happened += [(f"realised error of {r.partition}", r.at) for r in self.realised]
        happened += [(f"release of {t.bundle[:12]}", t.at) for t in self.tenures]
        wrong += [f"{what}: {at} has no zone" for what, at in happened if at.tzinfo is None]
        wrong += [f"partition {p.key}: starts {p.window.start}" for p in self.partitions if p.window.start.tzinfo]
        wrong += [
            f"release of {t.bundle[:12]}: scores from {t.scores_from}" for t in self.tenures if t.scores_from.tzinfo
        ]
        if wrong:
            raise EvidenceError(
                "what is known of the monitor",
                found=wrong,
                expected="each partition once, its event time without a zone, and when things happened with one",
                cure="fill the records from one read of the event log and the ledger, in UTC",
            )

    @cached_property
    def in_order(self) -> tuple[Partition, ...]:
        """The partitions, oldest first."""
        return tuple(sorted(self.partitions, key=lambda p: p.window.start))

    @cached_property
    def newest_reports(self) -> dict[str, Report]:
        """Partition -> its newest report."""
        return {r.partition: r for r in sorted(self.reports, key=lambda r: (r.at, r.id))}

    @cached_property
    def newest_realised(self) -> dict[str, Realised]:
        """Partition -> its newest realised error."""
        return {r.partition: r for r in sorted(self.realised, key=lambda r: (r.at, r.id))}

    @property
    def live(self) -> Tenure | None:
        """The champion now; None before the first release."""
        return self.tenures[-1] if self.tenures else None

    def tenure_of(self, partition: Partition) -> Tenure | None:
        """The champion that answers a partition, as `releases.champion_for` has it; None if none does."""
        return next((t for t in reversed(self.tenures) if t.scores_from <= partition.window.start), None)


def tenures(events: Sequence[Event]) -> tuple[Tenure, ...]:
    """Every bundle that was made live, in order, from a pipeline's ledger."""
    read = datetime.fromisoformat
    return tuple(
        Tenure(e.facts["bundle"], read(e.facts["scores_from"]), read(e.facts["at"]))
        for e in events
        if e.kind in (RELEASED, ROLLED_BACK)
    )
