"""Follows the ledger: what it asks for is loaded and put in place while requests go on being answered.

A look asks for the last sequences only; events are read where one has moved. Models are loaded beside, by threads of
their own: a look never waits for one, so that going back to a model that is warm takes effect at once, whatever else
is being tried.
Nothing that goes wrong here takes away what is loaded: a ledger that is away, a broken chain, a bundle that is damaged
are told, in the log and as metrics, and tried again. What the events mean is in `core.rollout.routes`.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

from ml_assets.core.errors import LedgerError, MLAssetsError
from ml_assets.core.releases import Event
from ml_assets.core.rollout.routes import routing_of
from ml_assets.core.routing import CHAMPION, Routing
from ml_assets.resources.ledger_database import LedgerDatabase
from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.loading import Loader
from ml_assets.serving.metrics import Metrics
from ml_assets.serving.picture import Picture, ServedModel

EVERY_SECONDS = 0.5
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 1.0, 60.0
LOADS_AT_ONCE = 2
SHOWN = 12

logger = logging.getLogger("ml_assets.serving")


@dataclass
class Followed:
    """How far a pipeline's ledger is followed.

    Args:
        seen: the last sequence at which its events were read.
        sequence: of its last event that is followed.
        head: the hash of that event.
        routing: what is put in place, as the ledger asked for it.
        models: loaded ones, by SHA-256.
        loading: those that are being loaded.
        failures: attempts that failed since the last one that did not.
        retry_at: when what failed is tried again; None: nothing failed.
    """

    seen: int = 0
    sequence: int = 0
    head: str = ""
    routing: Routing | None = None
    models: Mapping[str, ServedModel] = field(default_factory=dict)
    loading: dict[str, "Future[ServedModel]"] = field(default_factory=dict)
    failures: int = 0
    retry_at: float | None = None


class Watcher:
    """Looks at the ledger from a thread of its own.

    Args:
        plane: where pictures are put.
        ledger: what is followed.
        loader: loads bundles.
        metrics: told of everything.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        plane: DataPlane,
        ledger: LedgerDatabase,
        loader: Loader,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plane, self._ledger, self._loader, self._metrics, self._clock = plane, ledger, loader, metrics, clock
        self._followed = {pipeline: Followed() for pipeline in plane.pipelines}
        self._ledger_is_away = False
        self._loads = ThreadPoolExecutor(LOADS_AT_ONCE, thread_name_prefix="loading")
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self.placed: Callable[[], None] | None = None
        """Called when models were put in place."""

    def start(self, every_seconds: float = EVERY_SECONDS) -> None:
        """Look again and again, from now on."""
        self._thread = threading.Thread(target=self._run, args=(every_seconds,), name="ledger-watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more; a look under way ends first."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
        self._loads.shutdown(cancel_futures=True)

    def _run(self, every_seconds: float) -> None:
        while not self._ending.wait(every_seconds):
            try:
                self.look()
            except Exception:
                # Whatever it is: without its thread the server would go on with an old model in silence.
                logger.exception("a look at the ledger failed")

    def look(self) -> None:
        """Look once; what changed is loaded and put in place, what fails is told and tried again later."""
        try:
            last = self._ledger.last_sequences()
        except MLAssetsError as e:
            self._away(e)
        else:
            self._back()
            for pipeline, followed in self._followed.items():
                sequence = last.get(pipeline, 0)
                due = followed.retry_at is not None and self._clock() >= followed.retry_at
                if due or sequence != followed.seen or any(f.done() for f in followed.loading.values()):
                    followed.seen = sequence
                    self._follow(pipeline, followed)
        for pipeline in self._plane.pipelines:
            self._metrics.ready.labels(pipeline).set(float(self._plane.is_ready(pipeline)))
        self._metrics.refresh()

    def first_look(self, seconds: float) -> None:
        """Look, and wait until what is asked for is loaded, or refused, or the time is over."""
        self.look()
        waited_for = [f for followed in self._followed.values() for f in followed.loading.values()]
        wait(waited_for, timeout=seconds)
        self.look()

    def _away(self, error: MLAssetsError) -> None:
        self._metrics.ledger_read(well=False)
        if not self._ledger_is_away:
            logger.error("the ledger is away; answering goes on with what is loaded", extra={"error": str(error)})
        self._ledger_is_away = True

    def _back(self) -> None:
        self._metrics.ledger_read(well=True)
        if self._ledger_is_away:
            logger.warning("the ledger is back")
        self._ledger_is_away = False

    def _follow(self, pipeline: str, followed: Followed) -> None:
        try:
            events = self._ledger.events(pipeline)
            _require_more(pipeline, followed, events)
        except MLAssetsError as e:
            self._metrics.ledger_followed.labels(pipeline).set(0.0)
            self._failed(pipeline, followed, "the ledger can't be followed; answering goes on with what is loaded", e)
            return
        self._metrics.ledger_followed.labels(pipeline).set(1.0)
        routing = routing_of(events)
        if routing is None or (routing == followed.routing and followed.retry_at is None and not followed.loading):
            followed.sequence, followed.head = len(events), events[-1].hash if events else ""
            return
        self._put(pipeline, followed, routing, len(events), events[-1].hash)

    def _put(self, pipeline: str, followed: Followed, routing: Routing, sequence: int, head: str) -> None:
        """Load what a routing names; without the champion nothing changes, without others they are left out."""
        models: dict[str, ServedModel] = {}
        refused: dict[str, MLAssetsError] = {}
        for sha256 in routing.bundles:
            try:
                model = followed.models.get(sha256) or self._loaded(pipeline, followed, sha256)
            except MLAssetsError as e:
                refused[sha256] = e
                self._metrics.refused.labels(pipeline).inc()
            else:
                models |= {} if model is None else {sha256: model}
        if (error := refused.get(routing.champion)) is not None:
            self._failed(pipeline, followed, "the champion is refused; what is loaded stays", error)
            return
        if routing.champion not in models:
            return
        kept = without(routing, [sha256 for sha256 in routing.bundles if sha256 not in models])
        if kept != followed.routing or followed.models.keys() != models.keys():
            self._plane.put(pipeline, Picture(kept, models, sequence))
            versions = {a.variant: a.bundle for a in kept.arms}
            versions |= {f"shadow {s[:SHOWN]}": s for s in kept.shadows}
            self._metrics.show_models(pipeline, versions, sequence)
            logger.info(
                "models are in place",
                extra={"pipeline": pipeline, "sequence": sequence, "models": versions, "standby": list(kept.standby)},
            )
            if self.placed is not None:
                self.placed()
        followed.sequence, followed.head, followed.routing, followed.models = sequence, head, kept, models
        if refused:
            for error in refused.values():
                self._failed(pipeline, followed, "a model beside the champion is refused; it is left out", error)
        else:
            followed.failures, followed.retry_at = 0, None

    def _loaded(self, pipeline: str, followed: Followed, sha256: str) -> ServedModel | None:
        """A bundle that is loaded by now; None while it is not, which this begins."""
        if sha256 not in followed.loading:
            followed.loading[sha256] = self._loads.submit(self._loader.load, pipeline, sha256)
            return None
        if not followed.loading[sha256].done():
            return None
        return followed.loading.pop(sha256).result()

    def _failed(self, pipeline: str, followed: Followed, what: str, error: MLAssetsError) -> None:
        seconds = min(FIRST_RETRY_SECONDS * 2**followed.failures, LAST_RETRY_SECONDS)
        followed.failures += 1
        followed.retry_at = self._clock() + seconds
        logger.error(what, extra={"pipeline": pipeline, "error": str(error), "again_in_seconds": seconds})


def _require_more(pipeline: str, followed: Followed, events: Sequence[Event]) -> None:
    """Raise a LedgerError unless the events are those that were followed, and further ones."""
    at = followed.sequence
    found = f"{len(events)} events, where there were {at}" if len(events) < at else "other events than were followed"
    if len(events) < at or (at and events[at - 1].hash != followed.head):
        raise LedgerError(
            f"ledger of {pipeline}", found=found, expected="events that are only added",
            cure="restore its database; if this one is meant to count, start the server anew",
        )  # fmt: skip


def without(routing: Routing, refused: Collection[str]) -> Routing:
    """The routing without some bundles that are not the champion; who was theirs is the champion's."""
    arms = [a for a in routing.arms if a.variant == CHAMPION or a.bundle not in refused]
    freed = sum(a.weight for a in routing.arms) - sum(a.weight for a in arms)
    return replace(
        routing,
        arms=(replace(arms[0], weight=arms[0].weight + freed), *arms[1:]),
        shadows=tuple(s for s in routing.shadows if s not in refused),
        standby=tuple(s for s in routing.standby if s not in refused),
    )
