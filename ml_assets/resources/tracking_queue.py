"""The journal of what is to be tracked: a folder per entry, written whole, kept until every tracker has it.

`<root>/<dagster run id>__<as-of partition>/<number>-<step>/` holds `entry.json`, numbered `pictures/` and `files/`, and
an empty file `for-<tracker>` per tracker that has not got it. When and to whom entries go is in `tracking_delivery`.
"""

import json
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from filelock import FileLock, Timeout

from ml_assets.core.errors import MLAssetsError
from ml_assets.core.tracked import Entry, TrackedRun
from ml_assets.resources.durable import flush, flush_folder

ENTRY = "entry.json"
FOR = "for-"
PATIENCE_SECONDS = 60.0
"""How long to wait for another process that delivers."""
ABANDONED_AFTER_SECONDS = 24 * 3600
_NUMBERED = re.compile(r"(\d+)-.+")


@dataclass(frozen=True)
class Queued:
    """One entry of the journal.

    Args:
        folder: where it is.
        run, step, entry: what is to be tracked.
        at: Unix time in seconds when it was written; every delivery of it says the same.
    """

    folder: Path
    run: TrackedRun
    step: str
    entry: Entry
    at: float

    @property
    def name(self) -> str:
        """As people read it."""
        return f"{self.step} of {self.run.name}"


@dataclass(frozen=True)
class Queue:
    """A local folder, shared by the processes of a machine."""

    root: Path

    def put(self, run: TrackedRun, step: str, entry: Entry, trackers: Sequence[str]) -> Path:
        """Write an entry for some trackers; on return it survives a power cut, and before nobody sees it."""
        name = quote(f"{run.dagster_run_id or 'no-run'}__{run.as_of or run.pipeline}", safe="")
        folder = self.root / name
        scratch = folder / f".part-{uuid.uuid4().hex}"
        self.root.mkdir(parents=True, exist_ok=True)
        # Under the lock, since who tidies up removes empty folders.
        with self._numbering():
            scratch.mkdir(parents=True)
        try:
            record = {"run": asdict(run), "step": step, "at": time.time(), "entry": entry.to_json()}
            for kind, contents in (("pictures", entry.pictures), ("files", entry.files)):
                record[kind] = list(contents)
                for i, content in enumerate(contents.values()):
                    _write(scratch / kind / str(i), content)
            for tracker in trackers:
                _write(scratch / f"{FOR}{tracker}", b"")
            _write(scratch / ENTRY, json.dumps(record).encode())
            for made in (scratch / "pictures", scratch / "files", scratch):
                if made.is_dir():
                    flush_folder(made)
            # Numbered one at a time, so that the order of a run's steps is the order of delivery.
            with self._numbering():
                numbers = [int(m[1]) for p in folder.iterdir() if (m := _NUMBERED.fullmatch(p.name))]
                target = folder / f"{max(numbers, default=0) + 1:03d}-{quote(step, safe='')}"
                scratch.rename(target)
            flush_folder(folder)
            flush_folder(self.root)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return target

    def pending(self, tracker: str) -> list[Path]:
        """Folders of the entries that a tracker has not got, oldest first, a run's in their order."""
        found = [p for p in self._entries() if (p / f"{FOR}{tracker}").exists()]
        return sorted(found, key=lambda p: ((p / ENTRY).stat().st_mtime_ns, p.name))

    def read(self, folder: Path) -> Queued:
        """The entry in a folder."""
        record = json.loads((folder / ENTRY).read_bytes())
        pictures, files = (
            {name: (folder / kind / str(i)).read_bytes() for i, name in enumerate(record[kind])}
            for kind in ("pictures", "files")
        )
        entry = Entry.from_json(record["entry"], pictures, files)
        return Queued(folder, TrackedRun(**record["run"]), record["step"], entry, record["at"])

    def mark(self, folder: Path, tracker: str) -> None:
        """Note that a tracker has an entry."""
        (folder / f"{FOR}{tracker}").unlink(missing_ok=True)
        flush_folder(folder)

    def awaiting(self) -> list[str]:
        """The trackers that have not got everything."""
        return sorted({p.name.removeprefix(FOR) for folder in self._entries() for p in folder.glob(f"{FOR}*")})

    def tidy(self) -> None:
        """Remove what every tracker has that it was for, and what killed processes left behind."""
        for folder in self._entries():
            if not any(folder.glob(f"{FOR}*")):
                # In two steps, so that a kill in between leaves no half entry.
                gone = folder.rename(folder.with_name(f".done-{uuid.uuid4().hex}"))
                shutil.rmtree(gone, ignore_errors=True)
        for hidden in self.root.glob("*/.*"):
            is_done = hidden.name.startswith(".done-")
            if is_done or time.time() - hidden.stat().st_mtime > ABANDONED_AFTER_SECONDS:
                shutil.rmtree(hidden, ignore_errors=True)
        with self._numbering():
            for run in self._runs():
                if not any(run.iterdir()):
                    run.rmdir()

    @contextmanager
    def alone(self, patience_seconds: float | None = None) -> Iterator[bool]:
        """Hold the lock of delivery; False if somebody else still does after that time, or `PATIENCE_SECONDS`.

        The kernel frees it when its holder dies.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.root / ".delivery.lock")
        try:
            lock.acquire(timeout=PATIENCE_SECONDS if patience_seconds is None else patience_seconds)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def note_down(self, tracker: str, error: MLAssetsError, seconds: float) -> None:
        """Keep other processes from waiting for a tracker that just did not answer."""
        note = {"until": time.time() + seconds, "thing": error.thing, "found": error.found[0], "cure": error.cure}
        path = self.root / f".down-{tracker}"
        _write(path.with_suffix(f".{uuid.uuid4().hex}"), json.dumps(note).encode()).replace(path)

    def note_up(self, tracker: str) -> None:
        """It has answered."""
        (self.root / f".down-{tracker}").unlink(missing_ok=True)

    def down(self, tracker: str) -> dict[str, Any] | None:
        """What was noted of a tracker that has not answered a moment ago: `thing`, `found`, `cure`."""
        try:
            note: dict[str, Any] = json.loads((self.root / f".down-{tracker}").read_bytes())
        except FileNotFoundError:
            return None
        return note if time.time() < note["until"] else None

    def set_aside(self, folder: Path) -> Path:
        """Move an entry where nobody delivers it, for a person to look at; returns where it is."""
        target = self.root / ".aside" / f"{folder.parent.name}--{folder.name}--{uuid.uuid4().hex[:8]}"
        target.parent.mkdir(exist_ok=True)
        return folder.rename(target)

    def _numbering(self) -> FileLock:
        return FileLock(self.root / ".numbering.lock")

    def _runs(self) -> list[Path]:
        if not self.root.is_dir():
            return []
        return [p for p in self.root.iterdir() if p.is_dir() and not p.name.startswith(".")]

    def _entries(self) -> list[Path]:
        return [p for run in self._runs() for p in run.iterdir() if _NUMBERED.fullmatch(p.name)]


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    flush(path)
    return path
