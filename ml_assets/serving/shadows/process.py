"""Scores beside, in a process of its own: `python -m ml_assets.serving.shadows.process PLAN`.

Requests come in at its standard input, are scored one by one, and written to the prediction log as role `shadow`; what
became of them goes out at its standard output. While a candidate answers nobody, who answers is timed here beside it:
CPU times of two processes can't be compared, and without any a slow candidate would be found only by clients. It ends
when its input does: with the server, however that ended, and after what was sent is scored and on disk. What the system
sends to a whole group of processes it leaves to the server.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import isfinite
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ml_assets.core.errors import BundleError
from ml_assets.core.models.row_values import Columns
from ml_assets.core.prediction_log import SHADOW, TIMED, Entry, unpacked
from ml_assets.resources.model_folder import ModelFolder
from ml_assets.serving.loading import Loader
from ml_assets.serving.logs import log_to_stderr
from ml_assets.serving.picture import ServedModel
from ml_assets.serving.prediction_log import PredictionLog
from ml_assets.serving.shadows.messages import OTHER, Asked, Frames, Plan, Told, report

if TYPE_CHECKING:
    from ml_assets.core.models.single_row import Predictions

MOST_TIMED = 5_000
"""Requests for which who answered is timed as well: more than a rollout looks at before it moves on by default."""
PIECE = 1 << 18
"""Bytes that are read at once."""
GATHER_SECONDS = 0.05
"""How long requests gather before they are read; woken for each, it would take the core three times as long."""
REPORT_SECONDS = 0.25

logger = logging.getLogger("ml_assets.serving")


class Scoring:
    """Scores requests, and counts.

    Args:
        models: pipeline and SHA-256 -> the loaded bundle, of all that score or are timed.
        logs: pipeline -> its prediction log.
        most_timed: requests of a pipeline for which who answered is timed.
    """

    def __init__(
        self,
        models: Mapping[tuple[str, str], ServedModel],
        logs: Mapping[str, PredictionLog],
        most_timed: int = MOST_TIMED,
    ) -> None:
        self._models, self._logs = models, logs
        self._told = {pipeline: Told() for pipeline in logs}
        self._to_time = dict.fromkeys(logs, most_timed)

    def score(self, asked: Asked) -> None:
        """Score one request and append it to the log."""
        model, told = self._models[asked.pipeline, asked.bundle], self._told[asked.pipeline]
        names = model.names if asked.names is None else asked.names
        rows = [unpacked(v) or () for v in asked.values]
        columns: dict[str, Sequence[Any]] = dict(zip(names, zip(*rows, strict=True), strict=True))
        answered_by = self._timed(asked)
        # What the first of two finds in no cache, the second does: each goes first every other time.
        if answered_by is not None and self._to_time[asked.pipeline] % 2:
            self._time(asked, answered_by, columns, len(rows))
            answered_by = None
        scored = scored_by(model, columns, len(rows))
        if answered_by is not None:
            self._time(asked, answered_by, columns, len(rows))
        told.scored += scored.predictions is not None
        told.failed += scored.predictions is None
        for row in range(len(rows)):
            values = rows[row]
            if asked.names is not None:
                values = tuple(columns[n][row] if n in columns else None for n in model.names)
            self._logs[asked.pipeline].append(
                Entry(
                    asked.request_id, row, asked.at_us, asked.unit, asked.variant, SHADOW, asked.bundle, values,
                    None if scored.predictions is None else scored.predictions[row], scored.took_us, scored.error,
                    asked.feature_age_s, unpacked(asked.keys[row]) if asked.keys else None,
                    asked.events_us[row] if asked.events_us else None,
                )
            )  # fmt: skip

    def _timed(self, asked: Asked) -> ServedModel | None:
        """Who answered, if he is to be timed for this request."""
        if asked.answered_by is None or not self._to_time[asked.pipeline]:
            return None
        self._to_time[asked.pipeline] -= 1
        return self._models.get((asked.pipeline, asked.answered_by))

    def _time(self, asked: Asked, model: ServedModel, columns: Columns, rows: int) -> None:
        """Write down how long a model takes that answered the request itself."""
        scored = scored_by(model, columns, rows)
        if scored.predictions is None:
            return
        per_row = round(scored.took_us / rows)
        self._logs[asked.pipeline].append(
            Entry(asked.request_id, 0, asked.at_us, asked.unit, OTHER[asked.variant], TIMED, model.version, None, None,
                  per_row, None, None)
        )  # fmt: skip

    def told(self) -> dict[str, Told]:
        """What became of requests, pipeline by pipeline."""
        for pipeline, told in self._told.items():
            told.waiting, told.log = self._logs[pipeline].waiting, dict(vars(self._logs[pipeline].counters))
        return self._told


class Scored(NamedTuple):
    """What a model made of a request, in words if nothing, and the CPU microseconds it took."""

    predictions: "Predictions | None"
    error: str | None
    took_us: int


def scored_by(model: ServedModel, columns: Columns, rows: int) -> Scored:
    """Score a request."""
    predictions: Predictions | None = None
    error: str | None = None
    began = time.thread_time_ns()
    try:
        predictions = model.predict(columns, rows)
        if not all(isfinite(x) for p in predictions for x in (p if isinstance(p, list) else (p,))):
            predictions, error = None, "NoFiniteScore: a prediction that is infinite or NaN"
    except Exception as e:
        # A candidate's failure is what a shadow is there to find; it is written down, and costs no client anything.
        error = f"{type(e).__name__}: {e}"
    return Scored(predictions, error, (time.thread_time_ns() - began) // 1000)


def run(plan: Plan, requests: int, reports: int) -> None:
    """Score what comes until nothing more can come.

    Args:
        plan: what is asked for.
        requests: a file descriptor to read from.
        reports: one to write to; whoever read there may be gone.

    Raises:
        BundleError: a model can't be loaded.
    """
    loader = Loader(ModelFolder(plan.models), Path(plan.local) / "tried")
    wanted = {*plan.shadows, *plan.timed}
    models = {(pipeline, sha256): loader.load(pipeline, sha256) for pipeline, sha256 in sorted(wanted)}
    give_way()
    logs = {pipeline: PredictionLog(plan.predictions, pipeline) for pipeline, _ in plan.shadows}
    scoring = Scoring(models, logs)
    try:
        follow(scoring, requests, reports)
    finally:
        for log in logs.values():
            log.close()
        tell(scoring, reports)


def give_way() -> None:
    """Take only the time of a core that nobody else wants, where the system knows such a thing and allows it.

    A low priority alone is not enough: on Linux also the least urgent finishes its turn, of up to three milliseconds.
    """
    with suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def follow(scoring: Scoring, requests: int, reports: int) -> None:
    """Score what comes, and tell of it again and again."""
    frames, told_at = Frames(), time.monotonic()
    while True:
        if wait([requests], timeout=REPORT_SECONDS):
            time.sleep(GATHER_SECONDS)
            piece = os.read(requests, PIECE)
            if not piece:
                return
            for asked in frames.of(piece):
                scoring.score(asked)
        if time.monotonic() - told_at >= REPORT_SECONDS:
            tell(scoring, reports)
            told_at = time.monotonic()


def tell(scoring: Scoring, reports: int) -> None:
    """Tell what became of requests, if anybody still wants to know."""
    with suppress(BrokenPipeError):
        os.write(reports, report(scoring.told()))


def main(told: str) -> int:
    """Do what a plan, as JSON, asks for; the exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    plan = msgspec.json.decode(told, type=Plan)
    log_to_stderr(as_json=plan.as_json)
    try:
        run(plan, sys.stdin.fileno(), sys.stdout.fileno())
    except BundleError:
        logger.exception("a model that scores beside can't be loaded")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
