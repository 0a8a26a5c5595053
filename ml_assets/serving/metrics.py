"""What the server tells Prometheus at `/metrics`: requests, scores, models, the ledger's age, and the log.

With several workers each writes its numbers into files of the folder that PROMETHEUS_MULTIPROC_DIR names, and whichever
worker is asked adds them up, as prometheus_client does it. Gauges are brought up to date by `refresh`, which the
watcher calls at every look. What requests are counted by is noted first, and counted many at a time: that takes 1.5
microseconds a request, where counting each by itself takes 4.
"""

import os
import threading
import time
from collections import Counter as Counted
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from ml_assets.serving.data_plane import Served

if TYPE_CHECKING:
    from ml_assets.core.models.single_row import Predictions
    from ml_assets.core.tasks import Task
    from ml_assets.serving.picture import ServedModel

SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
AGES = (1.0, 10.0, 60.0, 600.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0, 2_592_000.0, 31_536_000.0)
_STEPS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
AMOUNTS = (
    *(-(10.0**power) for power in (6, 5, 4, 3, 2, 1, 0)),
    0.0,
    *(step * 10.0**power for power in range(-2, 4) for step in _STEPS),
    *(10.0**power for power in (4, 5, 6, 7)),
)
"""Upper bounds of predicted numbers: the same on all servers, so that they can be added up."""
SHARES = tuple(i / 20 for i in range(21))
"""Upper bounds of predicted probabilities; of several classes the largest counts."""
MOST_NOTED = 4096
"""Noted ones that are counted where requests are answered, should nobody refresh: in 10 ms."""
PIECE, PAUSE_SECONDS = 250, 0.002
"""Noted ones that a refresh counts at once, in half a millisecond, and the pause in which requests go on."""


class Noted(msgspec.Struct, frozen=True, gc=False):
    """What is counted of a scoring.

    Attributes:
        model: what scored.
        variant, rows, predictions, latency_us: as in `data_plane.Served`.
        age_s: age of the features in seconds; None where nobody said.
    """

    model: "ServedModel"
    variant: str
    rows: int
    predictions: "Predictions | None"
    latency_us: int
    age_s: float | None


class Metrics:
    """Everything that is counted, in one registry.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._clock = clock
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "ml_assets_requests", "HTTP requests, by protocol and status", ("protocol", "status"), registry=registry
        )
        self.seconds = Histogram(
            "ml_assets_request_seconds", "From a request's head to the end of its answer", ("protocol",),
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.in_flight = Gauge(
            "ml_assets_requests_in_flight", "Requests being answered", registry=registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        arm = ("pipeline", "variant")
        self.rows = Counter("ml_assets_predictions", "Rows answered", arm, registry=registry)
        self.errors = Counter("ml_assets_scoring_errors", "Scorings that a model failed", arm, registry=registry)
        self.scoring = Histogram(
            "ml_assets_scoring_seconds", "Scoring of a request", arm, buckets=SECONDS, registry=registry
        )
        self.amounts = Histogram(
            "ml_assets_prediction", "Predictions of regressions, in the label's unit", arm, buckets=AMOUNTS,
            registry=registry,
        )  # fmt: skip
        self.shares = Histogram(
            "ml_assets_probability", "Predictions of classifications: of the positive class, or the largest", arm,
            buckets=SHARES, registry=registry,
        )  # fmt: skip
        self.age = Histogram(
            "ml_assets_feature_age_seconds", "Age of the features of a request", ("pipeline",), buckets=AGES,
            registry=registry,
        )  # fmt: skip
        self.model = Gauge(
            "ml_assets_model", "1 for the model that an arm has now, by the SHA-256 of its bundle",
            ("pipeline", "variant", "version"), registry=registry, multiprocess_mode="livemax",
        )  # fmt: skip
        self.ready = Gauge(
            "ml_assets_ready", "Whether a champion is loaded and answers its golden row", ("pipeline",),
            registry=registry, multiprocess_mode="livemin",
        )  # fmt: skip
        self.swaps = Counter("ml_assets_swaps", "Pictures put in place of others", ("pipeline",), registry=registry)
        self.refused = Counter(
            "ml_assets_bundles_refused", "Attempts to load a bundle that failed", ("pipeline",), registry=registry
        )
        self.sequence = Gauge(
            "ml_assets_ledger_sequence", "Event of the ledger that is followed", ("pipeline",), registry=registry,
            multiprocess_mode="livemin",
        )  # fmt: skip
        self.ledger_up = Gauge(
            "ml_assets_ledger_up", "Whether the ledger could be read at the last look", registry=registry,
            multiprocess_mode="livemin",
        )  # fmt: skip
        self.ledger_age = Gauge(
            "ml_assets_ledger_age_seconds", "Since the ledger was last read", registry=registry,
            multiprocess_mode="livemax",
        )  # fmt: skip
        self.ledger_followed = Gauge(
            "ml_assets_ledger_followed", "Whether its events are whole, and more than those that were followed before",
            ("pipeline",), registry=registry, multiprocess_mode="livemin",
        )  # fmt: skip
        self.queue = Gauge(
            "ml_assets_queue", "What waits in a queue: of the prediction log, of shadows", ("queue", "pipeline"),
            registry=registry, multiprocess_mode="livesum",
        )  # fmt: skip
        self.log_entries = Gauge(
            "ml_assets_log_entries", "Entries of the prediction log since the start, by what became of them",
            ("outcome", "pipeline"), registry=registry, multiprocess_mode="sum",
        )  # fmt: skip
        self.shadows = Gauge(
            "ml_assets_shadow_requests", "Requests to be scored beside since the start, by what became of them",
            ("outcome",), registry=registry, multiprocess_mode="sum",
        )  # fmt: skip
        self.shadow_deaths = Gauge(
            "ml_assets_shadow_deaths", "Processes that scored beside and died since the start", registry=registry,
            multiprocess_mode="sum",
        )  # fmt: skip
        self.breaker = Gauge(
            "ml_assets_breaker_trips", "Rollouts that this server ended at once, since the start", ("written",),
            registry=registry, multiprocess_mode="livesum",
        )  # fmt: skip
        self.history_rows = Gauge(
            "ml_assets_history_rows", "Rows that history features look back on", ("pipeline",), registry=registry,
            multiprocess_mode="livemin",
        )  # fmt: skip
        self.history_failures = Gauge(
            "ml_assets_history_failures", "Looks at the store in a row that failed", ("pipeline",), registry=registry,
            multiprocess_mode="livemax",
        )  # fmt: skip
        self.answering = 0
        """Requests being answered; for the event loop's thread only."""
        self._noted_answers: deque[tuple[str, int, float]] = deque()
        self._noted_scores: deque[Noted] = deque()
        self._counting = threading.Lock()
        self._shown: dict[str, set[tuple[str, str]]] = {}
        self._refreshed: list[Callable[[Metrics], None]] = []
        self._read_at: float | None = None

    def answered(self, protocol: str, status: int, seconds: float) -> None:
        """Note an answer: its protocol, HTTP's status, and the time since the request's head."""
        self._noted_answers.append((protocol, status, seconds))
        if len(self._noted_answers) >= MOST_NOTED:
            self.count()

    def served(self, served: Served) -> None:
        """Note a scoring: the data plane's hook."""
        # Not the request itself: its columns, kept alive, are what the garbage collector would look through.
        self._noted_scores.append(
            Noted(
                served.model, served.variant, served.rows, served.predictions, served.latency_us, served.feature_age_s
            )
        )
        if len(self._noted_scores) >= MOST_NOTED:
            self.count()

    def count(self, at_once: int = 2 * MOST_NOTED) -> bool:
        """Count what was noted until now, or so many of it; whether more is left. From any thread."""
        with self._counting:
            self._count_answers(_taken(self._noted_answers, at_once))
            self._count_scores(_taken(self._noted_scores, at_once))
        return bool(self._noted_answers or self._noted_scores)

    def _count_answers(self, answers: Sequence[tuple[str, int, float]]) -> None:
        for (protocol, status), times in Counted((a[0], a[1]) for a in answers).items():
            self.requests.labels(protocol, status).inc(times)
        for protocol in {a[0] for a in answers}:
            observe_all(self.seconds.labels(protocol), [seconds for p, _, seconds in answers if p == protocol])

    def _count_scores(self, scores: Sequence[Noted]) -> None:
        arms: dict[tuple[str, str], list[Noted]] = {}
        for s in scores:
            arms.setdefault((s.model.pipeline, s.variant), []).append(s)
        for arm, of_arm in arms.items():
            good = [s for s in of_arm if s.predictions is not None]
            self.errors.labels(*arm).inc(len(of_arm) - len(good))
            self.rows.labels(*arm).inc(sum(s.rows for s in good))
            observe_all(self.scoring.labels(*arm), [s.latency_us / 1e6 for s in good])
            numbers = [max(p) if isinstance(p, list) else p for s in good for p in s.predictions or ()]
            observe_all(self._predicted(of_arm[-1].model.bundle.task).labels(*arm), numbers)
            ages = [s.age_s for s in good if s.age_s is not None]
            if ages:
                observe_all(self.age.labels(arm[0]), ages)

    def _predicted(self, task: "Task") -> Histogram:
        return self.amounts if task == "regression" else self.shares

    def show_models(self, pipeline: str, versions: Mapping[str, str], sequence: int) -> None:
        """Tell which bundle each variant has now.

        Args:
            pipeline: whose.
            versions: variant -> SHA-256.
            sequence: the event of the ledger that says so.
        """
        now = set(versions.items())
        for variant, version in self._shown.get(pipeline, set()) - now:
            self.model.labels(pipeline, variant, version).set(0)
        for variant, version in now:
            self.model.labels(pipeline, variant, version).set(1)
        self._shown[pipeline] = self._shown.get(pipeline, set()) | now
        self.sequence.labels(pipeline).set(sequence)
        self.swaps.labels(pipeline).inc()

    def ledger_read(self, *, well: bool) -> None:
        """Tell whether a look at the ledger went well."""
        if well or self._read_at is None:
            self._read_at = self._clock()
        self.ledger_up.set(float(well))

    def on_refresh(self, bring: Callable[["Metrics"], None]) -> None:
        """Call this at every refresh, to set gauges."""
        self._refreshed.append(bring)

    def refresh(self) -> None:
        """Bring gauges up to date, and count what was noted."""
        while self.count(PIECE):
            time.sleep(PAUSE_SECONDS)
        self.in_flight.set(self.answering)
        if self._read_at is not None:
            self.ledger_age.set(max(0.0, self._clock() - self._read_at))
        for bring in self._refreshed:
            bring(self)

    def exposition(self) -> tuple[bytes, str]:
        """Everything in Prometheus' text format, and its content type."""
        self.count()
        self.in_flight.set(self.answering)
        registry = self.registry
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            from prometheus_client.multiprocess import MultiProcessCollector

            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST


def observe_all(histogram: Histogram, values: Sequence[float]) -> None:
    """What `observe` of each value does, at once; it reaches into prometheus_client, which has no such call."""
    import numpy as np

    places = np.searchsorted(histogram._upper_bounds, values)
    for place, times in zip(*np.unique(places, return_counts=True), strict=True):
        histogram._buckets[place].inc(int(times))
    histogram._sum.inc(float(sum(values)))


def _taken(noted: "deque[Any]", at_most: int) -> list[Any]:
    """What stands there now; others may go on adding."""
    return [noted.popleft() for _ in range(min(len(noted), at_most))]
