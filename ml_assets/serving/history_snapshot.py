"""The rows that history features look back on, kept in memory and made anew whenever the store has others.

A thread of its own looks at the store; a request takes whatever snapshot is in place, by one look at an attribute.
What a snapshot says of an event is in `core.history_snapshot`, how requests use it in `core.online_features`.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ml_assets.core.cadences import newest_in_a_row
from ml_assets.core.history_snapshot import HistorySnapshot, snapshot_of
from ml_assets.core.raw_fields import RawFields
from ml_assets.core.windows import Window
from ml_assets.resources.partition_folder import PartitionFolder, Stamp

logger = logging.getLogger("ml_assets.serving")

EVERY_SECONDS = 5.0
"""Between two looks at the store."""


class Kept(NamedTuple):
    """A snapshot, and what it was made of.

    Attributes:
        snapshot: None where nothing is stored.
        stamps: partition -> its file's stamp, oldest first.
    """

    snapshot: HistorySnapshot | None
    stamps: Mapping[str, Stamp]


class HistoryKeeper:
    """Keeps the snapshot of one pipeline.

    Args:
        fields: the pipeline.
        folder: the validated partitions of its table.
        every_seconds: between two looks.
    """

    def __init__(self, fields: RawFields, folder: PartitionFolder, *, every_seconds: float = EVERY_SECONDS) -> None:
        self._fields, self._folder, self._every = fields, folder, every_seconds
        self._kept: Kept = Kept(None, {})
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.failures = 0
        """Looks in a row that did not end well; the snapshot before stays in place."""

    @property
    def snapshot(self) -> HistorySnapshot | None:
        """The rows as they are known now; None where nothing is stored."""
        return self._kept.snapshot

    @property
    def partitions(self) -> tuple[str, ...]:
        """The partitions that the snapshot is made of, oldest first."""
        return tuple(self._kept.stamps)

    def look(self) -> bool:
        """Look at the store once, and put another snapshot in place if it has changed; says whether it has.

        Raises:
            MLAssetsError, OSError: the store can't be read, or its rows can't be looked back on.
        """
        stored = self._folder.stamps()
        windows = newest_in_a_row(self._fields.cadence, stored, self._fields.partitions_before)
        stamps = {w.key: stored[w.key] for w in windows}
        if stamps == self._kept.stamps:
            return False
        self._kept = Kept(self._made_of(windows) if windows else None, stamps)
        return True

    def start(self) -> None:
        """Look now, and then every so often in a thread of its own, until `close`.

        A failure is logged and counted, and looked at again: features without a snapshot are missing, and told so.
        """
        if not self._fields.online.history or self._thread is not None:
            return
        self._look_and_tell()
        self._thread = threading.Thread(target=self._go_on, name=f"history of {self._fields.pipeline}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _go_on(self) -> None:
        while not self._ended.wait(self._every):
            self._look_and_tell()

    def _look_and_tell(self) -> None:
        began = time.perf_counter()
        told = {"pipeline": self._fields.pipeline}
        try:
            changed = self.look()
        except Exception:
            self.failures += 1
            logger.exception("history could not be read; the rows known before stay", extra=told)
            return
        self.failures = 0
        if changed:
            now = self.snapshot
            more = {"partitions": list(self.partitions), "seconds": round(time.perf_counter() - began, 3)}
            size = {"rows": now.rows if now else 0, "bytes": now.nbytes if now else 0}
            logger.info("history made anew", extra={**told, **more, **size})

    def _made_of(self, windows: Sequence[Window]) -> HistorySnapshot:
        return snapshot_of(
            [self._folder.scan(w.key) for w in windows],
            self._fields.online.history,
            event_time=self._fields.event_time,
            known_late=self._fields.known_late,
            complete_from=windows[0].start,
            newest_from=windows[-1].start,
        )
