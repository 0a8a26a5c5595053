"""Files by name: finding them, stamping them, having a hashed copy to read. Here: on the local disk.

How names contain time is in `templates`; files behind URLs are in `remote_files`; what is in the files is in
`parquet_files` and `csv_files`.
"""

import difflib
import glob
import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ml_assets.core.errors import SourceNotFound, SourceUnreadable


@dataclass(frozen=True)
class LocalCopy:
    """A file that can be read here.

    Args:
        path: where it is on a local disk.
        name: its own name, for messages and for the format of what is inside.
        sha256: of its bytes.
        bytes: its size.
    """

    path: Path
    name: str
    sha256: str
    bytes: int


class Files(ABC):
    """The files of one place."""

    @abstractmethod
    def find(self, pattern: str) -> list[str]:
        """Names of the files that a name or glob stands for, sorted; empty if there are none."""

    @abstractmethod
    def reach(self, pattern: str) -> None:
        """Raise a SourceNotFound if the place of a name's files is not there, as when a disk is not mounted."""

    @abstractmethod
    def stamp(self, name: str) -> str:
        """A short text that changes when the file's content may have changed, without reading it."""

    @abstractmethod
    def local(self, name: str, scratch: Path, *, thing: str) -> AbstractContextManager[LocalCopy]:
        """The file on a local disk, hashed; what is made for it in `scratch` is removed afterwards."""

    @abstractmethod
    def advice(self, pattern: str) -> str:
        """What is there in place of a name that isn't."""


class LocalFiles(Files):
    """Files on a local disk; relative names start at `base_dir`."""

    def __init__(self, base_dir: Path) -> None:
        self.base_dir = base_dir

    def find(self, pattern: str) -> list[str]:
        """Names of the files that a name or glob stands for; a name that exists is no glob."""
        path = self._path(pattern)
        if path.is_file():
            return [str(path)]
        return sorted(p for p in glob.glob(str(path), recursive=True) if Path(p).is_file())  # noqa: PTH207 - absolute

    def reach(self, pattern: str) -> None:
        """The folders before the first placeholder or wildcard must be there."""
        folder = self._path(re.split(r"[*?\[{]", pattern, maxsplit=1)[0] + "x").parent
        if not folder.is_dir():
            there = next(p for p in folder.parents if p.is_dir())
            raise SourceNotFound(
                f"source {pattern}",
                found=f"no folder {folder}; the path exists as far as {there}",
                expected="the folder that files land in",
                cure="mount it, make it, or correct source.path",
            )

    def stamp(self, name: str) -> str:
        """Size and time of the last change."""
        try:
            stat = self._path(name).stat()
        except OSError as error:
            raise SourceNotFound(
                f"source {name}", found=f"it is gone: {error.strerror}", expected="a file", cure="put it back"
            ) from error
        return f"{stat.st_size} bytes, changed {stat.st_mtime_ns}"

    @contextmanager
    def local(self, name: str, scratch: Path, *, thing: str) -> Iterator[LocalCopy]:  # noqa: ARG002
        """The file where it is.

        Raises:
            SourceUnreadable: it can't be opened, or changed while it was read.
        """
        path = self._path(name)
        before = self.stamp(name)
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise SourceUnreadable(
                thing,
                found=f"{path}: {error.strerror}",
                expected="a readable file",
                cure="correct its permissions",
            ) from error
        yield LocalCopy(path, path.name, digest, path.stat().st_size)
        if self.stamp(name) != before:
            raise SourceUnreadable(
                thing,
                found=f"{path} changed while it was read",
                expected="files that are complete",
                cure="materialize again; have files written under another name and renamed when complete",
            )

    def advice(self, pattern: str) -> str:
        """The nearest names in the folder, or the part of the path that exists."""
        path = self._path(pattern)
        if path.is_dir():
            return f"{path} is a folder; add /*.parquet or /*.csv to read its files"
        folder = path.parent
        if not folder.is_dir():
            there = next(p for p in folder.parents if p.is_dir())
            return f"no folder {folder}; the path exists as far as {there}"
        names = sorted(p.name for p in folder.iterdir() if p.is_file())
        near = difflib.get_close_matches(re.sub(r"[*?]", "", path.name), names, n=3, cutoff=0.6)
        listed = ", ".join(near or names[:3]) or "none, it is empty"
        return f"no file {path}; nearest names in its folder: {listed}"

    def _path(self, name: str) -> Path:
        return self.base_dir / Path(name.removeprefix("file://")).expanduser()
