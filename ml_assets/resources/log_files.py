"""Segments of the prediction log as files: written whole, to stay, on disk or in a bucket; listed; fetched.

How they are named is in `core.log_segments`, what they hold in `core.prediction_log`; what is asked of the log as a
whole is in `prediction_log`.
"""

import os
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ml_assets.core.log_segments import Kind, Segment, day_of
from ml_assets.resources.durable import flush_folder, writing
from ml_assets.resources.remote import is_remote
from ml_assets.resources.whole_files import ABANDONED_AFTER_SECONDS, publish

if TYPE_CHECKING:
    import polars as pl
    from upath import UPath

COMPRESSION: Literal["zstd"] = "zstd"


def folder(root: str, pipeline: str) -> "UPath":
    """Where a pipeline's log is."""
    from upath import UPath

    return UPath(root) / pipeline


class SegmentWriter:
    """Writes segments under names of its own.

    Args:
        root: where all pipelines' logs are: a path or an fsspec URL.
        pipeline: whose log.
        origin: who writes; no two writers may have the same.
    """

    def __init__(self, root: str, pipeline: str, origin: str) -> None:
        self._folder = folder(root, pipeline)
        self._origin, self._numbers = origin, count(1)

    def __str__(self) -> str:
        return str(self._folder)

    def write(self, kind: Kind, rows: "pl.DataFrame") -> Segment:
        """Write rows of one day, whole or not at all, and wait until they are on disk.

        Args:
            kind: what they are.
            rows: a table of `core.prediction_log.SCHEMA`, at least one row.

        Raises:
            StorageError: the disk is full, or may not be written to.
        """
        segment = described(kind, rows.lazy(), self._origin, next(self._numbers))
        day = self._folder / day_of(segment.first_at)
        with scratch(day) as path:
            rows.write_ipc(path, compression=COMPRESSION)
            keep(path, day / segment.name)
        return segment


def described(kind: Kind, rows: "pl.LazyFrame", origin: str, number: int, *, merged: bool = False) -> Segment:
    """The segment that some rows, at least one, make."""
    import polars as pl

    from ml_assets.core.prediction_log import event_time

    told = rows.select(
        pl.col("at").min().to_physical().alias("first_at"),
        event_time().min().to_physical().alias("first_event"),
        event_time().max().to_physical().alias("last_event"),
        pl.len(),
    )
    first_at, first_event, last_event, n = told.collect(engine="streaming").row(0)
    return Segment(kind, first_at, first_event, last_event, n, origin, number, merged)


@contextmanager
def scratch(day: "UPath") -> Iterator[Path]:
    """A path for a file of a day's folder that is being written; on a local disk in that folder, as no segment.

    Raises:
        StorageError: the disk is full, or may not be written to.
    """
    if is_remote(day):
        with tempfile.TemporaryDirectory(prefix="ml_assets_") as temporary:
            yield Path(temporary) / uuid.uuid4().hex
        return
    local = Path(str(day))
    path = local / f".{uuid.uuid4().hex}.part"
    with writing(path):
        is_new = not local.exists()
        local.mkdir(parents=True, exist_ok=True)
        if is_new:
            flush_folder(local.parent)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


def keep(path: Path, place: "UPath") -> None:
    """Move a complete file to its place, where nothing was, to stay; where that can't be told, nothing is there."""
    try:
        publish(path, place)
    except BaseException:
        # Else it would be written once more under another name, and its rows read twice.
        with suppress(OSError):
            place.unlink(missing_ok=True)
        raise


def pipelines(root: str) -> list[str]:
    """The pipelines with a log, in alphabetical order."""
    from upath import UPath

    base = UPath(root)
    return sorted(p.name for p in base.iterdir() if p.is_dir()) if base.exists() else []


def days(root: str, pipeline: str) -> list[str]:
    """The days with a folder, oldest first."""
    base = folder(root, pipeline)
    return sorted(p.name for p in base.iterdir() if p.is_dir()) if base.exists() else []


def listed(root: str, pipeline: str, day: str) -> list[Segment]:
    """The segments of a day, merged or not, oldest first; a day without a folder has none."""
    return [found for name in names(root, pipeline, day) if (found := Segment.read(name)) is not None]


def names(root: str, pipeline: str, day: str) -> list[str]:
    """The names in a day's folder, in their order; among them those of files that are being written."""
    place = folder(root, pipeline) / day
    if not is_remote(place):
        with suppress(FileNotFoundError), os.scandir(str(place)) as found:
            return sorted(entry.name for entry in found)
        return []
    place.fs.invalidate_cache()
    return sorted(p.name for p in place.iterdir()) if place.exists() else []


@contextmanager
def at_hand(root: str, pipeline: str, day: str, names: Sequence[str]) -> Iterator[list[Path]]:
    """Files of a day as local paths, in their order; those of a bucket are fetched, and removed afterwards.

    Raises:
        FileNotFoundError: one of them is gone.
    """
    place = folder(root, pipeline) / day
    if not is_remote(place):
        yield [Path(str(place)) / name for name in names]
        return
    with tempfile.TemporaryDirectory(prefix="ml_assets_") as temporary:
        paths = [Path(temporary) / name for name in names]
        place.fs.get([(place / name).path for name in names], [str(path) for path in paths])
        yield paths


def remove(root: str, pipeline: str, day: str, names: Sequence[str]) -> None:
    """Remove files of a day; those that are gone already, too."""
    place = folder(root, pipeline) / day
    for name in names:
        with suppress(FileNotFoundError):
            (place / name).unlink()


def sweep(root: str, pipeline: str, day: str) -> None:
    """Remove what killed processes were writing into a day's folder on a local disk."""
    place = folder(root, pipeline) / day
    if is_remote(place):
        return
    for part in Path(str(place)).glob(".*.part"):
        with suppress(FileNotFoundError):
            if time.time() - part.stat().st_mtime > ABANDONED_AFTER_SECONDS:
                part.unlink()
