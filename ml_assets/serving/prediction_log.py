"""Writes the prediction log: takes entries at the cost of a list's append, and puts them on disk from a thread.

What an entry is, is in `core.prediction_log`; who reads the log, in `resources.prediction_log`. Nothing here may cost
a client its answer: a full disk is waited for, within a bound, and told.
"""

import logging
import os
import secrets
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_assets.core.log_segments import KINDS, Kind, origin_of
from ml_assets.core.prediction_log import LABEL, Entry
from ml_assets.resources.log_files import SegmentWriter

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Entry", "PredictionLog"]

FLUSH_SECONDS = 1.0
FLUSH_ROWS = 10_000
MOST_WAITING = 50_000
"""Entries that wait in memory to become a table: half a minute of the busiest server, some 60 MB."""
MOST_UNWRITTEN_BYTES = 64 << 20
"""Tables that wait for room on disk."""
PIECE, PAUSE_SECONDS = 400, 0.003
"""Entries that become a table at once, in half a millisecond, and the pause in which requests go on.

Of smaller ones each entry costs more: a table takes a quarter of a millisecond, however few its rows.
"""
TOLD_EVERY_SECONDS = 60.0
MOST_OF_A_NAME = 64

logger = logging.getLogger(__name__)


@dataclass
class Counters:
    """What became of entries since the start.

    Args:
        written: on disk, to stay.
        dropped: given up, since too many waited, or the disk was full to the end.
        failed: not to be written at all: a value that no column can hold.
        refused: how often the disk refused a segment.
    """

    written: int = 0
    dropped: int = 0
    failed: int = 0
    refused: int = 0


class PredictionLog:
    """The log of one pipeline in one process.

    Args:
        root: where all pipelines' logs are: a path or an fsspec URL.
        pipeline: whose requests.
        replica: name of this server among others; absent: the host. Its process and start are added.
        flush_seconds: how old an entry may get before it is written: what a killed process loses.
        flush_rows: how many entries are written sooner.
        most_waiting: entries in memory above which new ones are dropped.
        most_unwritten_bytes: size of tables that wait for a disk above which they are dropped.
    """

    def __init__(
        self,
        root: str,
        pipeline: str,
        replica: str | None = None,
        *,
        flush_seconds: float = FLUSH_SECONDS,
        flush_rows: int = FLUSH_ROWS,
        most_waiting: int = MOST_WAITING,
        most_unwritten_bytes: int = MOST_UNWRITTEN_BYTES,
    ) -> None:
        host = replica or socket.gethostname()
        origin = origin_of(host[:MOST_OF_A_NAME], os.getpid(), f"{time.time_ns():x}", secrets.token_hex(4))
        self.counters = Counters()
        self._writer = SegmentWriter(root, pipeline, origin)
        self._seconds, self._rows = flush_seconds, flush_rows
        self._most, self._most_bytes = most_waiting, most_unwritten_bytes
        self._entries: deque[Entry] = deque()
        self._unwritten: list[pl.DataFrame] = []
        self._wake, self._closing = threading.Event(), threading.Event()
        self._flushing, self._counting = threading.Lock(), threading.Lock()
        self._refusing_since: float | None = None
        self._told_at = 0.0
        self._thread = threading.Thread(target=self._run, name=f"prediction-log-{pipeline}", daemon=True)
        self._thread.start()

    def append(self, entry: Entry) -> bool:
        """Take an entry; it never waits and never raises. False: after `close` or above the bound, it is dropped."""
        waiting = len(self._entries)
        if waiting >= self._most or self._closing.is_set():
            with self._counting:
                self.counters.dropped += 1
            return False
        self._entries.append(entry)
        if waiting >= self._rows and not self._wake.is_set():
            self._wake.set()
        return True

    @property
    def waiting(self) -> int:
        """Entries that are not on disk yet."""
        return len(self._entries) + sum(frame.height for frame in list(self._unwritten))

    @property
    def refusing(self) -> bool:
        """Whether the disk refuses what is written; None of it is lost before the bound is reached."""
        return self._refusing_since is not None

    def flush(self, wait_seconds: float = -1) -> bool:
        """Write what was appended until now; where the disk refuses it, it stays.

        Args:
            wait_seconds: how long another flush that is under way is waited for; below 0: for as long as it takes.

        Returns:
            Whether there was a try: False where the other one took too long, such as on a disk that does not answer.
        """
        if not self._flushing.acquire(timeout=wait_seconds):
            return False
        try:
            self._take()
            self._write()
        finally:
            self._flushing.release()
        return True

    def close(self) -> None:
        """Write what is there and end; what the disk still refuses is dropped, counted and told."""
        self._closing.set()
        self._wake.set()
        self._thread.join()
        self.flush()
        with self._flushing:
            if lost := self._drop(list(self._unwritten)):
                logger.error("prediction log %s: closed with %d entries that never got to disk", self._writer, lost)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(self._seconds)
            self._wake.clear()
            try:
                self.flush()
            except Exception:
                # Whatever it is, the next second is another try: without its thread the log would end in silence.
                logger.exception("prediction log %s: could not be flushed", self._writer)

    def _take(self) -> None:
        """Make tables of the entries, piece by piece, so that no request waits for long."""
        from ml_assets.core.prediction_log import frame_of

        for _ in range(-(-len(self._entries) // PIECE)):
            piece = [self._entries.popleft() for _ in range(min(PIECE, len(self._entries)))]
            try:
                frame = frame_of(piece)
            except Exception:
                frame = self._of_those_that_fit(piece)
            if frame.height:
                self._unwritten.append(frame)
            self._closing.wait(PAUSE_SECONDS)
        self._bound()

    def _of_those_that_fit(self, piece: list[Entry]) -> "pl.DataFrame":
        from ml_assets.core.prediction_log import fit_for_a_table, frame_of

        good, bad = fit_for_a_table(piece)
        self.counters.failed += len(bad)
        entry, why = bad[0]
        logger.error(
            "prediction log %s: %d entries can't be written, the first of request %r: %s",
            self._writer, len(bad), entry.request_id, why,
        )  # fmt: skip
        return frame_of(good)

    def _bound(self) -> None:
        """Drop the newest of what waits for a disk, above the bound."""
        while self._unwritten and sum(f.estimated_size() for f in self._unwritten) > self._most_bytes:
            self._drop([self._unwritten[-1]])

    def _drop(self, frames: "list[pl.DataFrame]") -> int:
        lost = sum(frame.height for frame in frames)
        del self._unwritten[len(self._unwritten) - len(frames) :]
        with self._counting:
            self.counters.dropped += lost
        return lost

    def _write(self) -> None:
        parts = [part for kind in KINDS for part in by_day(kind, self._unwritten)]
        self._unwritten = [rows for _, rows in parts]
        for kind, rows in parts:
            try:
                self._writer.write(kind, rows)
            except Exception as error:
                self._refused(error)
            else:
                self._unwritten = [frame for frame in self._unwritten if frame is not rows]
                self.counters.written += rows.height
        if parts and not self._unwritten:
            self._accepted()

    def _refused(self, error: Exception) -> None:
        self.counters.refused += 1
        now = time.monotonic()
        self._refusing_since = self._refusing_since or now
        if now - self._told_at < TOLD_EVERY_SECONDS:
            return
        self._told_at = now
        logger.error(
            "prediction log %s: not written since %.0f s, %d entries wait, %d were dropped; predictions go on: %s",
            self._writer, now - self._refusing_since, self.waiting, self.counters.dropped, error,
        )  # fmt: skip

    def _accepted(self) -> None:
        if self._refusing_since is None:
            return
        logger.warning(
            "prediction log %s: written again after %.0f s, %d entries were dropped since the start",
            self._writer, time.monotonic() - self._refusing_since, self.counters.dropped,
        )  # fmt: skip
        self._refusing_since, self._told_at = None, 0.0


def by_day(kind: Kind, frames: "list[pl.DataFrame]") -> "list[tuple[Kind, pl.DataFrame]]":
    """The rows of a kind among some tables, a table for each day."""
    import polars as pl

    is_label = pl.col("role") == LABEL
    rows = pl.concat(frames).filter(is_label if kind == "labels" else ~is_label) if frames else None
    if rows is None or rows.is_empty():
        return []
    day = rows["at"].dt.date()
    return [(kind, rows.filter(day == one)) for one in day.unique().sort()]
