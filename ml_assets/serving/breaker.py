"""The instant breaker: takes the traffic back from a candidate that fails or is slow, at once and by itself.

It needs neither Dagster nor the ledger to act: the picture without the candidate is put in place first, the end of the
rollout is written to the ledger as soon as that can be reached, and until then no look at the ledger brings the
candidate back. When it acts is in `core.rollout.breaker`; the finer tests, which need hundreds of requests, are in
`core.rollout.guardrails`.
"""

import logging
import threading
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

from ml_assets.core.errors import LedgerConflict, MLAssetsError
from ml_assets.core.rollout.breaker import Breaker as Rule
from ml_assets.core.rollout.machine import turn_down
from ml_assets.core.rollout.recorded import kind_of, moved_facts, rollouts
from ml_assets.core.routing import CANDIDATE, CHAMPION, Routing, alone
from ml_assets.resources.ledger_database import LedgerDatabase
from ml_assets.serving.data_plane import DataPlane, Served
from ml_assets.serving.metrics import Metrics
from ml_assets.serving.picture import Picture

CHAMPION_WINDOW = 500
LEAST_OF_CHAMPION = 100
"""Requests of the champion without which its 99th percentile is none."""
SORTED_EVERY = 100
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.2, 10.0

logger = logging.getLogger("ml_assets.serving")


@dataclass
class Watched:
    """What was seen of a rollout by this server.

    Args:
        rule: when to go back.
        candidate: of its last requests: whether it failed, whether it was slow.
        failed: of the champion's last requests: whether it failed.
        latencies: of the champion's last answers, microseconds a row.
        p99: of these; None while there are too few.
        since: champion's answers since it was computed.
    """

    rule: Rule
    candidate: deque[tuple[bool, bool]] = field(init=False)
    failed: deque[bool] = field(default_factory=lambda: deque(maxlen=CHAMPION_WINDOW))
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=CHAMPION_WINDOW))
    p99: float | None = None
    since: int = 0

    def __post_init__(self) -> None:
        self.candidate = deque(maxlen=self.rule.window)

    def see_champion(self, failed: bool, latency_us: float) -> None:
        """Take a request of the champion."""
        self.failed.append(failed)
        if failed:
            return
        self.latencies.append(latency_us)
        self.since += 1
        if len(self.latencies) >= LEAST_OF_CHAMPION and (self.p99 is None or self.since >= SORTED_EVERY):
            told = sorted(self.latencies)
            self.p99, self.since = float(told[int(0.99 * (len(told) - 1))]), 0

    def see_candidate(self, failed: bool, latency_us: float) -> str | None:
        """Take a request of the candidate; why to go back, None where there is no reason."""
        slow = self.p99 is not None and latency_us > self.rule.slow * self.p99
        self.candidate.append((failed, slow))
        champion_failed = sum(self.failed) / len(self.failed) if self.failed else 0.0
        told = list(self.candidate)
        return self.rule.why(sum(f for f, _ in told), sum(s for _, s in told), champion_failed)


class Breaker:
    """Watches the candidates of a data plane.

    Args:
        plane: whose.
        ledger: where the end of a rollout is written.
        by: who this server is, for the ledger.
    """

    def __init__(self, plane: DataPlane, ledger: LedgerDatabase, by: str) -> None:
        self._plane, self._ledger, self._by = plane, ledger, by
        self._watched: dict[str, Watched] = {}
        self._tripped: dict[str, str] = {}
        self._unwritten: dict[str, tuple[str, str, dict[str, Any]]] = {}
        self._lock, self._ending = threading.Lock(), threading.Event()
        self._due = threading.Event()
        self._thread: threading.Thread | None = None
        plane.guard = self.without_tripped

    @property
    def unwritten(self) -> int:
        """Rollouts that were ended here and of which the ledger does not know yet."""
        return len(self._unwritten)

    @property
    def tripped(self) -> tuple[str, ...]:
        """Rollouts that were ended here."""
        return tuple(self._tripped)

    def tell(self, metrics: Metrics) -> None:
        """Show what was ended here, at every refresh."""
        metrics.breaker.labels("yes").set(len(self._tripped) - len(self._unwritten))
        metrics.breaker.labels("no").set(len(self._unwritten))

    def served(self, served: Served) -> None:
        """Take a request: the data plane's hook."""
        if served.variant not in (CHAMPION, CANDIDATE):
            return
        routing = self._plane.picture(served.pipeline).routing
        if routing.breaker is None or routing.arm(CANDIDATE) is None:
            return
        watched = self._watched.get(routing.salt)
        if watched is None:
            watched = self._watched.setdefault(routing.salt, Watched(routing.breaker))
        failed = served.predictions is None
        # By row: a client that sends many rows at once would make its arm look slow.
        per_row = served.latency_us / max(served.rows, 1)
        if served.variant == CHAMPION:
            watched.see_champion(failed, per_row)
        elif (why := watched.see_candidate(failed, per_row)) is not None:
            self._trip(served.pipeline, routing, why, watched)

    def without_tripped(self, picture: Picture) -> Picture:
        """The picture that may be put in place: without a candidate that was taken the traffic from."""
        if picture.routing.salt not in self._tripped:
            return picture
        routing = alone(picture.routing.champion, picture.routing.standby)
        return replace(picture, routing=routing, models={s: picture.models[s] for s in routing.bundles})

    def start(self) -> None:
        """Write to the ledger from now on, from a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="breaker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is there, if it can be, then end."""
        self._ending.set()
        self._due.set()
        if self._thread is not None:
            self._thread.join()
        self.write()

    def _trip(self, pipeline: str, routing: Routing, why: str, watched: Watched) -> None:
        with self._lock:
            if routing.salt in self._tripped:
                return
            self._tripped[routing.salt] = why
            told = list(watched.candidate)
            evidence = {"window": watched.rule.window, "seen": len(told), "failed": sum(f for f, _ in told),
                        "slow": sum(s for _, s in told), "champion_p99_us": watched.p99}  # fmt: skip
            self._unwritten[routing.salt] = (pipeline, why, evidence)
        self._plane.put(pipeline, self._plane.picture(pipeline))
        logger.error(
            "the breaker took the traffic back from the candidate",
            extra={"pipeline": pipeline, "rollout": routing.salt, "why": why},
        )
        self._due.set()

    def _run(self) -> None:
        wait = FIRST_RETRY_SECONDS
        while not self._ending.is_set():
            self._due.wait()
            self._due.clear()
            while self._unwritten and not self._ending.is_set():
                wait = FIRST_RETRY_SECONDS if self.write() else min(2 * wait, LAST_RETRY_SECONDS)
                if self._unwritten:
                    self._ending.wait(wait)

    def write(self) -> bool:
        """Try to write all that is not written yet; False where something is left, which is told."""
        for rollout, (pipeline, why, evidence) in list(self._unwritten.items()):
            try:
                self._write(pipeline, rollout, why, evidence)
            except LedgerConflict:
                continue  # Somebody else wrote meanwhile: the next try looks what.
            except MLAssetsError as e:
                logger.warning(
                    "the end of a rollout can't be written yet; the champion answers",
                    extra={"pipeline": pipeline, "rollout": rollout, "error": str(e)},
                )
                continue
            except Exception:
                logger.exception("the end of a rollout can't be written yet", extra={"rollout": rollout})
                continue
            self._unwritten.pop(rollout, None)
        return not self._unwritten

    def _write(self, pipeline: str, rollout: str, why: str, evidence: dict[str, Any]) -> None:
        events = self._ledger.events(pipeline)
        told = next((r for r in rollouts(events) if r.id == rollout), None)
        if told is None or told.state.over:
            return
        down = turn_down(told.state, f"breaker: {why}", evidence)
        self._ledger.append(pipeline, kind_of(down), moved_facts(told, down, self._by), after=len(events))
