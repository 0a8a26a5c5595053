"""What the server tells Prometheus at `/metrics`: requests, scores, models, the ledger's age, and the log.

With several workers each writes its numbers into files of the folder that PROMETHEUS_MULTIPROC_DIR names, and whichever
worker is asked adds them up, as prometheus_client does it. Gauges are brought up to date by `refresh`, which the
watcher calls at every look; what requests are counted by is `noted` until then.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

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
from ml_assets.serving.noted import MOST_NOTED, Noted, observe_all

if TYPE_CHECKING:
    from ml_assets.core.models.single_row import Predictions

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
PIECE, PAUSE_SECONDS = 1_000, 0.002
"""Values of each kind that a refresh counts at once, in half a millisecond, and the pause in which requests go on."""


class Arm(NamedTuple):
    """What is noted of an arm.

    Attributes:
        latencies_us: microseconds of scorings that gave something.
        predictions: those of each, as `data_plane.Served` has them.
        failed: counts scorings that gave nothing.
    """

    latencies_us: Noted
    predictions: Noted
    failed: Counter


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
        self._answers: dict[tuple[str, int], Noted] = {}
        self._arms: dict[tuple[str, str], Arm] = {}
        self._ages: dict[str, Noted] = {}
        self._all: list[Noted] = []
        self._adding = threading.Lock()
        self._shown: dict[str, set[tuple[str, str]]] = {}
        self._refreshed: list[Callable[[Metrics], None]] = []
        self._read_at: float | None = None

    def answered(self, protocol: str, status: int, seconds: float) -> None:
        """Note an answer: its protocol, HTTP's status, and the time since the request's head."""
        noted = self._answers.get((protocol, status)) or self._answers_of(protocol, status)
        noted.values.append(seconds)
        if len(noted.values) >= MOST_NOTED:
            noted.count(MOST_NOTED)

    def served(self, served: Served) -> None:
        """Note a scoring: the data plane's hook."""
        arm = self._arms.get((served.pipeline, served.variant)) or self._arm_of(served)
        if served.predictions is None:
            arm.failed.inc()
            return
        # Not the request itself: its columns, kept alive, are what the garbage collector would look through.
        arm.latencies_us.values.append(served.latency_us)
        arm.predictions.values.append(served.predictions)
        if served.feature_age_s is not None:
            (self._ages.get(served.pipeline) or self._ages_of(served.pipeline)).values.append(served.feature_age_s)
        if len(arm.latencies_us.values) >= MOST_NOTED:
            self.count()

    def count(self, most: int = 2 * MOST_NOTED) -> bool:
        """Count what was noted until now, or so many values of each kind; whether more is left. From any thread."""
        left = [noted.count(most) for noted in list(self._all)]
        return any(left)

    def _answers_of(self, protocol: str, status: int) -> Noted:
        times, histogram = self.requests.labels(protocol, status), self.seconds.labels(protocol)

        def count(seconds: Sequence[float]) -> None:
            times.inc(len(seconds))
            observe_all(histogram, seconds)

        of = (protocol, status)
        with self._adding:
            return self._answers.get(of) or self._answers.setdefault(of, self._add(count))

    def _arm_of(self, served: Served) -> Arm:
        labels = (served.pipeline, served.variant)
        rows, scoring = self.rows.labels(*labels), self.scoring.labels(*labels)
        amounts = self.amounts if served.model.bundle.task == "regression" else self.shares
        predicted = amounts.labels(*labels)

        def count_latencies(latencies_us: Sequence[int]) -> None:
            observe_all(scoring, [us / 1e6 for us in latencies_us])

        def count_predictions(predictions: "Sequence[Predictions]") -> None:
            flat: chain[Any] = chain.from_iterable(predictions)
            numbers: list[float] = [max(p) if isinstance(p, list) else p for p in flat]
            rows.inc(len(numbers))
            observe_all(predicted, numbers)

        with self._adding:
            if labels not in self._arms:
                failed = self.errors.labels(*labels)
                self._arms[labels] = Arm(self._add(count_latencies), self._add(count_predictions), failed)
            return self._arms[labels]

    def _ages_of(self, pipeline: str) -> Noted:
        ages = self.age.labels(pipeline)
        with self._adding:
            return self._ages.get(pipeline) or self._ages.setdefault(pipeline, self._add(partial(observe_all, ages)))

    def _add(self, count: Callable[[Sequence[Any]], None]) -> Noted:
        self._all.append(Noted(count))
        return self._all[-1]

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
