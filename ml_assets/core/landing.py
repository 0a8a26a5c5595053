"""Which partitions of a source are to be ingested now, which have to wait, and which were given up.

Pure: what the source offers, what was ingested and what was tried come as facts, as does the time. Who reads them is
in `ml_assets.landing`. No memory of earlier answers is needed: the runs and the materializations are the memory.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from ml_assets.core.errors import ConfigError

PAUSES = (timedelta(minutes=1), timedelta(minutes=5))
"""After the first, the second … attempt in vain, until the next; after one more than there are pauses, none."""

MOST_REQUESTS = 100
"""Of one answer: whoever carries them out has a time limit. The others follow with the next one."""


SHOWN = 10
"""Given-up partitions that are named; of the others, the number."""


class State(Enum):
    """How far an attempt got."""

    CREATED = "created, not handed over yet"
    IN_FLIGHT = "waiting or running"
    SUCCEEDED = "ended well"
    FAILED = "failed or cancelled"


@dataclass(frozen=True)
class Ingested:
    """What we hold of a partition.

    Args:
        fingerprint: of the source when it was read; None where that was not recorded.
        run_id: of the run that read it.
    """

    fingerprint: str | None
    run_id: str


@dataclass(frozen=True)
class Attempt:
    """A run that was to ingest a partition.

    Args:
        partition: its key.
        run_key: what it was requested for; empty where a person asked.
        run_id: of the run.
        state: how far it got.
        ended: when it ended; None before that.
    """

    partition: str
    run_key: str
    run_id: str
    state: State
    ended: datetime | None

    @property
    def cause(self) -> str:
        """Table, partition and fingerprint."""
        return self.run_key.rpartition("/")[0]

    @property
    def number(self) -> int:
        """Of the attempts for its cause, from 1; 0 where a person asked."""
        number = self.run_key.rpartition("/")[2]
        return int(number) if number.isdecimal() else 0


@dataclass(frozen=True)
class Request:
    """A partition to be ingested: `why` is `new`, or `changed` where we hold another content of it."""

    partition: str
    run_key: str
    why: str


@dataclass(frozen=True)
class Landing:
    """The answer: what to ingest, oldest first, and the numbers behind it.

    Args:
        over: partitions whose window is over.
        offered: those that the source has.
        requests: to be ingested now.
        later: to be ingested, beyond the most of one answer.
        in_flight: whose ingestion waits or runs.
        pausing: with an attempt in vain, until the next may start -> when that is.
        given_up: partition -> the last run in vain.
    """

    over: int
    offered: int
    requests: tuple[Request, ...]
    later: int
    in_flight: tuple[str, ...]
    pausing: Mapping[str, datetime]
    given_up: Mapping[str, str]

    @property
    def as_they_are(self) -> int:
        """Partitions that we hold as the source has them."""
        outstanding = len(self.requests) + self.later + len(self.in_flight) + len(self.pausing) + len(self.given_up)
        return self.offered - outstanding

    def in_words(self, table: str) -> str:
        """The numbers; of what was given up, the partition, the run and the cure."""
        if not self.offered:
            return f"the source of {table} has none of the {self.over} partitions whose window is over"
        said = [
            f"the source of {table} has {self.offered} of the {self.over} partitions whose window is over, "
            f"{self.as_they_are} of which are ingested as they are"
        ]
        if self.requests:
            new = sum(request.why == "new" for request in self.requests)
            said.append(
                f"{new} new and {len(self.requests) - new} changed are requested, {self.later} are left for later"
            )
        if self.in_flight:
            said.append(f"{len(self.in_flight)} in flight (first {self.in_flight[0]})")
        if self.pausing:
            first = min(self.pausing, key=lambda partition: self.pausing[partition])
            said.append(
                f"{len(self.pausing)} failed and wait to be tried again ({first} from {self.pausing[first]:%H:%M:%S})"
            )
        if self.given_up:
            runs = [f"{partition} (run {run})" for partition, run in self.given_up.items()]
            more = [f"and {len(runs) - SHOWN} more"] if len(runs) > SHOWN else []
            listed = ", ".join([*runs[:SHOWN], *more])
            said.append(
                f"given up after {len(PAUSES) + 1} attempts in vain: {listed}; read why in the run, and correct the "
                f"source (what changes there is taken up) or materialize that partition of {table}/raw"
            )
        return "; ".join(said)


def outstanding(offered: Mapping[str, str], ingested: Mapping[str, Ingested]) -> list[str]:
    """Partitions that we don't hold as the source has them, in the order of `offered`.

    Args:
        offered: partition -> fingerprint, as the source has it now.
        ingested: partition -> what we hold.
    """
    return [p for p, fingerprint in offered.items() if p not in ingested or ingested[p].fingerprint != fingerprint]


def decide(
    table: str,
    *,
    over: int,
    offered: Mapping[str, str],
    ingested: Mapping[str, Ingested],
    attempts: Iterable[Attempt],
    now: datetime,
    most: int = MOST_REQUESTS,
) -> Landing:
    """What to ingest now.

    A partition is wanted while the source has it with another fingerprint than we hold. Its cause is the table, the
    partition and that fingerprint; attempts for a cause are numbered, so that a run key is asked for once. An
    attempt is in vain if it failed, or if what it stored is what we hold and has another fingerprint all the same;
    what a later run replaced, or what was wiped, was not. Each attempt in vain is followed by a longer pause, until
    the cause is given up. A changed source is another cause and starts anew.

    Args:
        table: its name.
        over: number of partitions whose window is over.
        offered: partition -> fingerprint, as the source has it now, oldest first.
        ingested: partition -> what we hold, read after `attempts`: what an ended one stored must be among it.
        attempts: runs that were to ingest these partitions, in any order.
        now: the time, of the same kind as `Attempt.ended`.
        most: requests of one answer.
    """
    tried = defaultdict(list)
    for attempt in attempts:
        tried[attempt.partition].append(attempt)
    wanted: list[Request] = []
    in_flight, pausing, given_up = [], {}, {}
    for partition in outstanding(offered, ingested):
        held = ingested.get(partition)
        if any(a.state is State.IN_FLIGHT for a in tried[partition]):
            in_flight.append(partition)  # of whatever cause: what it stores decides whether more is to be done
            continue
        cause = f"{table}/{partition}/{offered[partition]}"
        same = sorted((a for a in tried[partition] if a.cause == cause), key=lambda a: (a.number, _ended(a, now)))
        vain = _in_vain(same, held)
        if same and same[-1].state is State.CREATED:
            number = same[-1].number  # whoever created it was killed before handing it over: the same key does so
        elif len(vain) > len(PAUSES):
            given_up[partition] = vain[-1].run_id
            continue
        elif vain and (again := _ended(vain[-1], now) + PAUSES[len(vain) - 1]) > now:
            pausing[partition] = again
            continue
        else:
            number = same[-1].number + 1 if same else 1
        wanted.append(Request(partition, f"{cause}/{number}", "new" if held is None else "changed"))
    return Landing(
        over=over,
        offered=len(offered),
        requests=tuple(wanted[:most]),
        later=len(wanted[most:]),
        in_flight=tuple(in_flight),
        pausing=pausing,
        given_up=given_up,
    )


def _ended(attempt: Attempt, now: datetime) -> datetime:
    return now if attempt.ended is None else attempt.ended


def _in_vain(same: Sequence[Attempt], held: Ingested | None) -> list[Attempt]:
    """The attempts in vain since the last one that was not; created ones are neither."""
    vain: list[Attempt] = []
    for attempt in same:
        if attempt.state is State.FAILED or (held is not None and attempt.run_id == held.run_id):
            vain.append(attempt)
        elif attempt.state is State.SUCCEEDED:
            vain = []
    return vain


def refuse_other_source(table: str, kind: str, kinds: Collection[str]) -> None:
    """Raise a ConfigError if partitions were ingested from another kind of source than the table has now.

    Real data would be overwritten with simulated data, or the other way round, because of a forgotten option.

    Args:
        table: its name.
        kind: of its source, as configured now.
        kinds: of the sources that its partitions were read from.
    """
    if others := sorted(set(kinds) - {kind}):
        raise ConfigError(
            f"data of {table}",
            found=f"partitions from a source of kind {others[0]}",
            expected=f"an empty data folder, or one filled from a source of kind {kind}",
            cure="name another folder with --data, or empty this one with `make clean`",
        )
