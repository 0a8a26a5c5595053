"""Scores beside: requests that one model has answered are scored by the other too, off the request's path.

Not in this process: threads share an interpreter, and on one core a second model's scoring is what requests then wait
for. The data plane's hook sends a request to a process that gives way to this one (`shadows.child`), which scores it
and writes it to the prediction log as role `shadow` (`shadows.process`). There is one as long as a routing names
shadows. Where requests come faster than it can score them, the newest are dropped and counted: a shadow that is left
out costs evidence, one that is waited for costs clients. Who is scored beside is in the routing, what follows from it
in `core.rollout`.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from ml_assets.core.errors import NotReady
from ml_assets.serving.data_plane import DataPlane, Served
from ml_assets.serving.metrics import Metrics
from ml_assets.serving.picture import ServedModel
from ml_assets.serving.shadows.child import Child
from ml_assets.serving.shadows.messages import OTHER, Beside, message_of

EVERY_SECONDS = 0.25
END_SECONDS = 20.0
"""How long what was sent may take at the end; it is a tenth of a second's work, on a core that nobody else wants."""
LIVED_WELL_SECONDS = 30.0
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.5, 60.0
MOST_REMEMBERED = 1_000

logger = logging.getLogger("ml_assets.serving")


@dataclass
class Counters:
    """What became of requests that were to be scored beside, since the start.

    Args:
        scored: by the other model, too.
        failed: that one could not.
        dropped: too many waited, or nobody was there to score them.
    """

    scored: int = 0
    failed: int = 0
    dropped: int = 0


class Shadowing:
    """Has requests scored once more.

    Args:
        plane: whose routings say by whom.
        pipelines: those with a prediction log; of others nothing is kept, and so nothing scored beside.
        begin: begins the process that does it.
    """

    def __init__(self, plane: DataPlane, pipelines: Collection[str], begin: Callable[[Beside], Child]) -> None:
        self._plane, self._pipelines, self._begin = plane, tuple(pipelines), begin
        self._child: Child | None = None
        self._leaving: list[Child] = []
        self._over, self._log = Counters(), {pipeline: Counter[str]() for pipeline in self._pipelines}
        self._failed: dict[str, None] = {}
        self._deaths, self._failures, self._begin_at = 0, 0, 0.0
        self._counting, self._closing = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def served(self, served: Served) -> None:
        """Take a request: the data plane's hook."""
        if not served.shadows or not served.rows or served.variant not in OTHER:
            return
        if served.predictions is None:
            self._remember(served.request_id)
            return
        # Whoever failed to answer this request has been told of: he is not asked a second time.
        if self._failed.pop(served.request_id, 0) is None:
            return
        if served.pipeline not in self._log:
            return
        for model in served.shadows:
            if model.version != served.version:
                self._send(served, model)

    def _send(self, served: Served, model: ServedModel) -> None:
        child = self._child
        if child is None or (served.pipeline, model.version) not in child.beside.shadows:
            self._count(dropped=1)
            return
        try:
            message = message_of(served, model, timed=(served.pipeline, served.version) in child.beside.timed)
        except (TypeError, ValueError, OverflowError):
            # What can't be sent could not be logged either, and is told of there.
            self._count(failed=1)
            return
        if not child.send(served.pipeline, message):
            self._count(dropped=1)

    def _count(self, **more: int) -> None:
        with self._counting:
            for outcome, requests in more.items():
                setattr(self._over, outcome, getattr(self._over, outcome) + requests)

    def _remember(self, request_id: str) -> None:
        self._failed[request_id] = None
        if len(self._failed) > MOST_REMEMBERED:
            self._failed.pop(next(iter(self._failed)), None)

    @property
    def counters(self) -> Counters:
        """What became of requests, as far as that is known."""
        with self._counting:
            told = [t for child in self._children() for t in child.told.values()]
            return Counters(
                self._over.scored + sum(t.scored for t in told),
                self._over.failed + sum(t.failed for t in told),
                self._over.dropped,
            )

    def waiting(self, pipeline: str) -> int:
        """Requests that were sent and of which nobody has heard yet."""
        return sum(_unheard(child, pipeline) for child in self._children())

    def entries(self, pipeline: str) -> Mapping[str, int]:
        """What became of the log's entries that were written beside, by outcome, and how many wait."""
        with self._counting:
            found = Counter(self._log.get(pipeline, {}))
            for told in (child.told.get(pipeline) for child in self._children()):
                if told is not None:
                    found.update(told.log)
                    found["waiting"] += told.waiting
            return found

    def tell(self, metrics: Metrics) -> None:
        """Show what waits and what became of requests, at every refresh."""
        for pipeline in self._pipelines:
            metrics.queue.labels("shadows", pipeline).set(self.waiting(pipeline))
        for outcome, requests in vars(self.counters).items():
            metrics.shadows.labels(outcome).set(requests)
        metrics.shadow_deaths.set(self._deaths)

    def _children(self) -> list[Child]:
        child = self._child
        return [*self._leaving, *([child] if child is not None else [])]

    def start(self) -> None:
        """Follow the routings from now on, from a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="shadowing", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Have scored what was sent, then end."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        for child in self._children():
            child.end()
        for child in self._children():
            self._bury(child)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self.follow()
            except Exception:
                # Whatever it is: without its thread nothing would be scored beside any more, in silence.
                logger.exception("scoring beside can't be followed")
                self._closing.wait(FIRST_PAUSE_SECONDS)

    def follow(self, seconds: float = EVERY_SECONDS) -> None:
        """Have the process that the routings ask for, and hear what it says for so long."""
        wanted, child = self._wanted(), self._child
        if child is not None and child.beside != wanted:
            self._leaving.append(child)
            self._child = child = None
            self._leaving[-1].end()
        if child is None and wanted.shadows and time.monotonic() >= self._begin_at:
            self._child = child = self._begin(wanted)
            logger.info("scoring beside", extra={"child": child.pid, "shadows": sorted(wanted.shadows)})
        if child is None:
            self._closing.wait(seconds)
        elif not child.hear(seconds):
            self._died(child)
        for leaving in list(self._leaving):
            if not leaving.hear(0.0):
                self._bury(leaving)

    def _wanted(self) -> Beside:
        found, timed = set(), set()
        for pipeline in self._pipelines:
            try:
                picture = self._plane.picture(pipeline)
            except NotReady:
                continue
            found |= {(pipeline, model.version) for model in picture.shadows}
            # Where both answer, their answers tell how long they take.
            if picture.shadows and picture.one_answers:
                timed.add((pipeline, picture.champion.version))
        return Beside(frozenset(found), frozenset(timed))

    def _died(self, child: Child) -> None:
        self._deaths += 1
        lived = time.monotonic() - child.began
        self._failures = 1 if lived >= LIVED_WELL_SECONDS else self._failures + 1
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (self._failures - 1), LAST_PAUSE_SECONDS)
        self._begin_at = time.monotonic() + pause
        code = self._bury(child)
        logger.error(
            "the process that scores beside died and is replaced",
            extra={"child": child.pid, "exit_code": code, "pause_seconds": pause},
        )

    def _bury(self, child: Child) -> int:
        """Wait for the end of a process, and count what it leaves undone."""
        code = child.bury(END_SECONDS)
        with self._counting:
            for pipeline, told in child.told.items():
                self._over.scored += told.scored
                self._over.failed += told.failed
                self._log[pipeline].update(told.log)
            self._over.dropped += sum(_unheard(child, pipeline) for pipeline in child.sent)
            if child is self._child:
                self._child = None
            else:
                self._leaving.remove(child)
        return code


def _unheard(child: Child, pipeline: str) -> int:
    told = child.told.get(pipeline)
    return max(0, child.sent[pipeline] - (told.scored + told.failed if told is not None else 0))
