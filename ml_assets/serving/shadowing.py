"""Scores beside: requests that one model has answered are scored by the other too, off the request's path.

The data plane's hook only puts a request into a bounded queue; a thread scores what is there, and writes it to the
prediction log as role `shadow`. Where requests come faster than both models can score them, the newest are dropped and
counted: a shadow that is left out costs evidence, one that is waited for costs clients. Who is scored beside is in the
routing, what follows from it in `core.rollout`.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from ml_assets.core.prediction_log import SHADOW, Entry
from ml_assets.core.routing import CANDIDATE, CHAMPION
from ml_assets.serving.data_plane import Served
from ml_assets.serving.metrics import Metrics
from ml_assets.serving.picture import ServedModel
from ml_assets.serving.prediction_log import PredictionLog

if TYPE_CHECKING:
    from ml_assets.core.models.single_row import Predictions

MOST_WAITING = 2_000
"""Requests in the queue: some tenths of a second's work."""
IDLE_SECONDS = 0.005
"""How often an empty queue is looked at: waking a thread at each request would cost the request."""
MOST_REMEMBERED = 1_000
OTHER = {CHAMPION: CANDIDATE, CANDIDATE: CHAMPION}

logger = logging.getLogger("ml_assets.serving")


@dataclass
class Counters:
    """What became of requests that were to be scored beside, since the start.

    Args:
        scored: by the other model, too.
        failed: that one could not.
        dropped: too many waited.
    """

    scored: int = 0
    failed: int = 0
    dropped: int = 0


class Shadowing:
    """Scores requests once more, from a thread of its own.

    Args:
        logs: pipeline -> its prediction log; without one, nothing is kept and nothing is scored beside.
        most_waiting: requests in the queue above which new ones are dropped.
    """

    def __init__(self, logs: Mapping[str, PredictionLog], most_waiting: int = MOST_WAITING) -> None:
        self.counters = Counters()
        self._logs, self._most = logs, most_waiting
        self._queue: deque[tuple[Served, tuple[ServedModel, ...]]] = deque()
        self._failed: dict[str, None] = {}
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def served(self, served: Served) -> None:
        """Take a request: the data plane's hook."""
        if not served.shadows or served.variant not in OTHER:
            return
        if served.predictions is None:
            self._remember(served.request_id)
            return
        # Whoever failed to answer this request has been told of: he is not asked a second time.
        if self._failed.pop(served.request_id, 0) is None:
            return
        models = tuple(m for m in served.shadows if m.version != served.version)
        if not models or served.pipeline not in self._logs:
            return
        if len(self._queue) >= self._most or self._closing.is_set():
            self.counters.dropped += 1
            return
        self._queue.append((served, models))

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    def start(self) -> None:
        """Score from now on."""
        self._thread = threading.Thread(target=self._run, name="shadowing", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Score what waits, then end; before the logs are closed."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        self.drain()

    def drain(self) -> None:
        """Score what waits."""
        while self._queue:
            served, models = self._queue.popleft()
            for model in models:
                self._score(served, model)
            # Requests first: this thread gives way after each.
            time.sleep(0)

    def tell(self, metrics: Metrics) -> None:
        """Show the queue and what became of requests, at every refresh."""
        for pipeline in self._logs:
            waiting = sum(served.pipeline == pipeline for served, _ in list(self._queue))
            metrics.queue.labels("shadows", pipeline).set(waiting)
        for outcome, requests in vars(self.counters).items():
            metrics.shadows.labels(outcome).set(requests)

    def _run(self) -> None:
        while not self._closing.wait(IDLE_SECONDS):
            try:
                self.drain()
            except Exception:
                # Whatever it is: without its thread nothing would be scored beside any more, in silence.
                logger.exception("scoring beside failed")

    def _remember(self, request_id: str) -> None:
        self._failed[request_id] = None
        if len(self._failed) > MOST_REMEMBERED:
            self._failed.pop(next(iter(self._failed)), None)

    def _score(self, served: Served, model: ServedModel) -> None:
        predictions: Predictions | None = None
        error: str | None = None
        began = time.perf_counter_ns()
        try:
            predictions = model.predict(served.columns, served.rows)
            if not all(isfinite(x) for p in predictions for x in (p if isinstance(p, list) else (p,))):
                predictions, error = None, "NoFiniteScore: a prediction that is infinite or NaN"
        except Exception as e:
            # A candidate's failure is what a shadow is there to find; it is written down, and costs no client anything.
            error = f"{type(e).__name__}: {e}"
        took_us = (time.perf_counter_ns() - began) // 1000
        self.counters.scored += predictions is not None
        self.counters.failed += predictions is None
        names, append = [s.name for s in model.specs], self._logs[served.pipeline].append
        for row in range(served.rows):
            values = tuple(served.columns[n][row] if n in served.columns else None for n in names)
            append(
                Entry(
                    served.request_id, row, served.at_us, served.unit, OTHER[served.variant], SHADOW, model.version,
                    values, None if predictions is None else predictions[row], took_us, error, served.feature_age_s,
                    served.keys[row] if served.keys else None, served.events_us[row] if served.events_us else None,
                )
            )  # fmt: skip
