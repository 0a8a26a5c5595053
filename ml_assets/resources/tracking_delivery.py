"""How queued entries reach the trackers: one process at a time, in order, each once; a tracker that is down waits.

What a tracker makes of an entry is in `tracking_runs` (MLflow), `tracking_wandb` and `tracking_tensorboard`.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ml_assets.core.errors import MLAssetsError
from ml_assets.resources.tracking_queue import Queue, Queued

DOWN_SECONDS = 30.0
"""For how long a tracker that has not answered is left alone by trainings."""
BACKLOG_SECONDS = 30.0
"""What a training spends at most on entries of others that wait."""

Say = Callable[[str], None]


class TrackerDown(MLAssetsError):
    """A tracker can't take anything now: it is unreachable, slow, full, or refuses. Never leaves delivery."""


class EntryRefused(MLAssetsError):
    """A tracker works, but won't take this run: its experiment was deleted, say. Never leaves delivery."""


class Tracker(Protocol):
    """Where entries go."""

    @property
    def name(self) -> str:
        """As in the setting `trackers`."""

    @property
    def place(self) -> str:
        """Where it is, without passwords."""

    def deliver(self, queued: Queued, say: Say) -> None:
        """Bring an entry; again after a kill in the middle, it must end as if brought once.

        Raises:
            TrackerDown, EntryRefused: it can't be brought now.
        """


@dataclass
class Delivered:
    """What became of the entries.

    Args:
        delivered: tracker -> how many it has got now.
        waiting: tracker -> how many it has not.
        causes: tracker -> why.
    """

    delivered: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    causes: dict[str, MLAssetsError] = field(default_factory=dict)

    def complaint(self, tracker: Tracker, queue: Queue) -> str:
        """What a person is told: the tracker, why, how many wait, and the cure."""
        error = self.causes.get(tracker.name)
        why = error.found[0] if error else "another process is delivering, or a training spent its time"
        cure = f"{error.cure}; they" if error else "they"
        n = self.waiting[tracker.name]
        return (
            f"tracking: {tracker.name} at {tracker.place} has not got {n} entr{'y' if n == 1 else 'ies'}: {why}\n"
            f"  they are kept in {queue.root}, and this run goes on without\n"
            f"  cure: {cure} are delivered with the next training, or at once by `ml-assets catch-up`"
        )


def deliver(
    queue: Queue, trackers: Sequence[Tracker], say: Say, *, mine: Path | None = None, everything: bool = False
) -> Delivered:
    """Bring to every tracker what it has not got.

    Args:
        queue: the journal.
        trackers: whom to bring it.
        say: called with what is worth a line of log.
        mine: the run's folder of the journal that goes first; the others follow as time allows.
        everything: take all the time it needs, and ask trackers again that were down a moment ago.

    Raises:
        Exception: what else goes wrong while an entry of `mine` is brought, or of any where `everything` is asked for:
            that is no outage but a fault of ours. The entry is set aside first, so that it fails one run only.
    """
    report = Delivered()
    with queue.alone() as alone:
        for tracker in trackers if alone else ():
            note = None if everything else queue.down(tracker.name)
            if note is None:
                _bring(queue, tracker, say, mine, everything, report)
            else:
                report.causes[tracker.name] = TrackerDown(
                    note["thing"], found=f"{note['found']} (a moment ago)", expected="an answer", cure=note["cure"]
                )
        if alone:
            queue.tidy()
    report.waiting = {t.name: len(queue.pending(t.name)) for t in trackers}
    return report


def _bring(queue: Queue, tracker: Tracker, say: Say, mine: Path | None, everything: bool, report: Delivered) -> None:
    until = float("inf") if everything else time.monotonic() + BACKLOG_SECONDS
    blocked: set[Path] = set()
    queue.note_up(tracker.name)
    while waiting := [p for p in queue.pending(tracker.name) if p.parent not in blocked]:
        own = [p for p in waiting if p.parent == mine]
        folder = (own or waiting)[0]
        if not own and time.monotonic() > until:
            return
        try:
            with _set_aside(queue, folder, say, is_raised=everything or bool(own)):
                tracker.deliver(queue.read(folder), say)
        except EntryRefused as error:
            blocked.add(folder.parent)
            report.causes[tracker.name] = error
            continue
        except TrackerDown as error:
            report.causes[tracker.name] = error
            queue.note_down(tracker.name, error, DOWN_SECONDS)
            return
        if folder.exists():
            queue.mark(folder, tracker.name)
            report.delivered[tracker.name] = report.delivered.get(tracker.name, 0) + 1


@contextmanager
def _set_aside(queue: Queue, folder: Path, say: Say, *, is_raised: bool) -> Iterator[None]:
    """What is neither outage nor refusal is a fault in an entry or in this code: it must not come up for ever."""
    try:
        yield
    except (TrackerDown, EntryRefused):
        raise
    except Exception as error:
        aside = queue.set_aside(folder)
        say(f"tracking: {folder.parent.name}/{folder.name} can't be delivered and was moved to {aside}: {error!r}")
        if is_raised:
            raise
