"""What it takes for a file to survive a power cut."""

import os
from pathlib import Path


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
