"""Files on disk or in a bucket that readers see whole or not at all. Partitions and records are in `storage`."""

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.resources.durable import flush, flush_folder, writing
from ml_assets.resources.remote import is_remote

if TYPE_CHECKING:
    from upath import UPath

ABANDONED_AFTER_SECONDS = 24 * 3600
"""The age from which a temporary file counts as one that a killed process left."""


def publish(path: Path, target: "UPath") -> None:
    """Move a complete local file to its place, so that readers see the old one or the new one, never a part.

    Raises:
        StorageError: the disk is full, or may not be written to.
    """
    if is_remote(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.fs.put_file(str(path), target.path)
        path.unlink()
        return
    local = Path(str(target))
    with writing(local, path.stat().st_size):
        local.parent.mkdir(parents=True, exist_ok=True)
        flush(path)
        path.replace(local)
        flush_folder(local.parent)


def write_whole(path: "UPath", content: bytes) -> None:
    """Write a small file so that readers see all of it or none.

    Raises:
        StorageError: the disk is full, or may not be written to.
    """
    if is_remote(path):
        path.write_bytes(content)
        return
    local = Path(str(path))
    scratch = local.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with writing(local, len(content)):
        try:
            scratch.write_bytes(content)
            publish(scratch, path)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise
