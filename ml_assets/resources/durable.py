"""What it takes for a file to be on disk, power cut or not, and what is said where it can't be."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ml_assets.core.errors import MLAssetsError, StorageError

_AGAIN = "then give the same command, or start the run, again: nothing half-written was kept"
CURES = {
    errno.ENOSPC: f"free space on that disk, or name another with --data or ML_ASSETS_DATA; {_AGAIN}",
    errno.EDQUOT: f"remove what is yours on that disk and not needed, or have the quota raised; {_AGAIN}",
    errno.EROFS: f"mount it for writing, or name another place with --data or ML_ASSETS_DATA; {_AGAIN}",
    errno.EACCES: f"give this user the right to write there, or name another place with ML_ASSETS_DATA; {_AGAIN}",
}
"""What the system may say -> what the reader can do."""
_OF_RUST = re.compile(r"\(os error (\d+)\)")


@contextmanager
def writing(path: Path, size: int | None = None) -> Iterator[None]:
    """Say what to do where the system refuses to write a file.

    Args:
        path: the file or folder that is written; it need not exist.
        size: bytes that are needed, where that is known.

    Raises:
        StorageError: in place of an error that says no space, quota used up, read-only or not allowed.
    """
    try:
        yield
    except MLAssetsError:
        raise
    except Exception as error:
        number = _number(error)
        # What may not be read is told in the same words as what may not be written.
        if number not in CURES or (number == errno.EACCES and str(path.parent) not in str(error)):
            raise
        raise StorageError(
            f"writing {path}",
            found=os.strerror(number) + ("" if size is None else f": {size:,} bytes to write, {_free(path):,} free"),
            expected="room for the whole file" if number in (errno.ENOSPC, errno.EDQUOT) else "a place to write to",
            cure=CURES[number],
        ) from error


def _number(error: Exception) -> int | None:
    """The system's number of an error; Polars tells it in its text only."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    told = _OF_RUST.search(str(error))
    return int(told[1]) if told else None


def _free(path: Path) -> int:
    return shutil.disk_usage(next(p for p in path.parents if p.exists())).free


def flush(path: Path) -> None:
    """Wait until a file's content is on disk."""
    with path.open("rb") as f:
        os.fsync(f.fileno())


def flush_folder(path: Path) -> None:
    """Wait until a folder's entries are on disk, so that a rename in it lasts."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
