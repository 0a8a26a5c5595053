"""Pieces of the prediction log that looks at a rollout have read: a local folder that may be deleted at any time.

A piece lies under a key that says all that it was made from; what does not fit, or is damaged, is as good as not there.
What is in a piece is in `core.rollout.pieces`; who reads them, in `assets.rollout_pieces`.
"""

import json
import logging
import shutil
import tempfile
import time
import uuid
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_assets.core.errors import StorageError
from ml_assets.resources.durable import writing
from ml_assets.resources.whole_files import publish, write_whole

if TYPE_CHECKING:
    import polars as pl

UNUSED_AFTER_SECONDS = 3600
"""Age from which what a look did not use is removed: another one may be at it."""
_CHUNK = 1 << 20

logger = logging.getLogger(__name__)


class ReadPieces:
    """The pieces of one rollout.

    Args:
        folder: where they stay; None: they are gone after the look.
        scratch: an empty folder for what does not stay.
    """

    def __init__(self, folder: Path | None, scratch: Path) -> None:
        self._folder, self._scratch = folder, scratch
        self._used: set[str] = set()

    def found(self, key: str) -> tuple[dict[str, Any], Path] | None:
        """Facts and rows of a piece; None where it is not there, or is not what was written."""
        if self._folder is None:
            return None
        path = self._folder / f"{key}.parquet"
        try:
            told = json.loads((self._folder / f"{key}.json").read_bytes())
            facts: dict[str, Any] = told["facts"]
            if told["checksum"] != _checksum(facts, path):
                return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        self._used |= {path.name, f"{key}.json"}
        return facts, path

    def put(self, key: str, facts: Mapping[str, Any], rows: "pl.DataFrame", *, lasting: bool) -> Path:
        """Keep a piece; where it can't stay, until the look is over.

        Args:
            key: says all that it was made from.
            facts: JSON.
            rows: a table.
            lasting: whether another look may need it.

        Returns:
            The file of its rows.
        """
        path = self._scratch / f"{key}.parquet"
        rows.write_parquet(path, compression="zstd")
        if self._folder is None or not lasting:
            return path
        try:
            return self._to_stay(self._folder, path, key, facts)
        except (StorageError, FileNotFoundError) as error:
            logger.warning("what was read of a rollout is read again at the next look: %s", error)
            return path

    def _to_stay(self, folder: Path, path: Path, key: str, facts: Mapping[str, Any]) -> Path:
        from upath import UPath

        told, kept = {"checksum": _checksum(facts, path), "facts": facts}, folder / path.name
        moving = folder / f".{uuid.uuid4().hex}.part"
        with writing(moving, path.stat().st_size):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(path, moving)
                publish(moving, UPath(kept))
            finally:
                moving.unlink(missing_ok=True)
        # Last, since a piece is there once its facts are.
        write_whole(UPath(folder / f"{key}.json"), json.dumps(told).encode())
        self._used |= {kept.name, f"{key}.json"}
        return kept

    def sweep(self) -> None:
        """Remove what is of no use any more: of this rollout, and of those before it."""
        if self._folder is None or not self._folder.parent.exists():
            return
        before = time.time() - UNUSED_AFTER_SECONDS
        for folder in self._folder.parent.iterdir():
            used = self._used if folder == self._folder else set()
            with suppress(OSError):
                for path in folder.iterdir():
                    if path.name not in used and path.stat().st_mtime < before:
                        path.unlink(missing_ok=True)
                if folder != self._folder:
                    folder.rmdir()


@contextmanager
def pieces_read(root: str | None, pipeline: str, rollout: str) -> Iterator[ReadPieces]:
    """The pieces of a rollout, for the time of a look.

    Args:
        root: a local folder; None: nothing stays.
        pipeline, rollout: whose.
    """
    with tempfile.TemporaryDirectory(prefix="ml_assets_") as scratch:
        kept = ReadPieces(None if root is None else Path(root) / pipeline / rollout, Path(scratch))
        yield kept
        kept.sweep()


def _checksum(facts: Mapping[str, Any], path: Path) -> str:
    """Length and CRC of facts and a file: enough to find damage that nobody intends."""
    told = json.dumps(facts, sort_keys=True).encode()
    crc, length = zlib.crc32(told), len(told)
    with path.open("rb") as f:
        while chunk := f.read(_CHUNK):
            crc, length = zlib.crc32(chunk, crc), length + len(chunk)
    return f"{length}-{crc:08x}"
