"""Partitions in files: which files make up a window, and the way from them to one typed Parquet file.

Where files are is in `locating` and `remote_files`, how several of them are one table in `file_table`.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ml_assets.core.errors import SourceNotFound
from ml_assets.core.windows import Window
from ml_assets.resources.sources.config import FilesSourceConfig
from ml_assets.resources.sources.file_table import FileTable
from ml_assets.resources.sources.interface import Provenance, Source
from ml_assets.resources.sources.locating import Files, LocalCopy, LocalFiles
from ml_assets.resources.sources.masking import mask_url
from ml_assets.resources.sources.remote_files import RemoteFiles, is_remote
from ml_assets.resources.sources.templates import names_of, placeholders
from ml_assets.resources.sources.windowing import hit

if TYPE_CHECKING:
    import polars as pl


class FilesSource(Source):
    """Files, of which each window has its own or all share some.

    A fingerprint sees names, sizes and times of change (remote: what the server tells of these, or an ETag).
    """

    def __init__(self, config: FilesSourceConfig, base_dir: Path) -> None:
        self.config, self._base_dir = config, base_dir
        self._seen: tuple[str, tuple[Window, ...], list[str]] | None = None

    def partitions(self, windows: Sequence[Window]) -> list[str]:
        """Keys of the windows all of whose files are there; if all share files, of those with rows in them.

        Shared files are read for it, their event times only, once for each change of the files.
        """
        if placeholders(self.config.path):
            files = self._files()
            files.reach(self.config.path)
            return [w.key for w in windows if all(files.find(n) for n in self._patterns(w))]
        if not windows:
            return []
        stamp, wanted = self.fingerprint(windows[0]), tuple(windows)
        if self._seen is None or self._seen[:2] != (stamp, wanted):
            there = self._windows_with_rows(wanted)
            self._seen = stamp, wanted, [w.key for w in wanted if w.key in there]
        return list(self._seen[2])

    def fingerprint(self, window: Window) -> str:
        """SHA-256 of the configuration and of the window's file names, sizes and times of change."""
        files = self._files()
        stamps = [f"{name}: {files.stamp(name)}" for name in self._names(files, window)]
        return hashlib.sha256("\n".join([self.config.model_dump_json(), *stamps]).encode()).hexdigest()

    def fetch(
        self,
        window: Window,
        target: Path,
        expected: "Mapping[str, pl.DataType]",
        optional: Collection[str] = (),
    ) -> Provenance:
        """Read the window's files, in the order of their names, into one Parquet file; see `Source.fetch`."""
        thing = self._thing(window)
        files = self._files()
        names = self._names(files, window)
        try:
            with ExitStack() as stack:
                copies = [stack.enter_context(files.local(n, target.parent, thing=thing)) for n in names]
                table = FileTable(self.config, copies, stack, expected, optional, thing=thing)
                rows = table.write(window, target)
        except BaseException:
            target.unlink(missing_ok=True)  # also when a file turned out to have changed after it was written
            raise
        return Provenance(
            source=mask_url(names[0] if len(names) == 1 else f"{names[0]} to {names[-1]} ({len(names)} files)"),
            sha256=_digest(copies),
            bytes=sum(copy.bytes for copy in copies),
            rows=rows,
            columns=table.conformer.columns,
        )

    def _files(self) -> Files:
        return RemoteFiles(self.config.path) if is_remote(self.config.path) else LocalFiles(self._base_dir)

    def _patterns(self, window: Window) -> list[str]:
        return names_of(self.config.path, window, rows_filtered=self.config.event_time is not None)

    def _names(self, files: Files, window: Window) -> list[str]:
        found = {pattern: files.find(pattern) for pattern in self._patterns(window)}
        missing = [files.advice(pattern) for pattern, names in found.items() if not names]
        if missing:
            raise SourceNotFound(
                self._thing(window),
                found=missing,
                expected=f"the files {', '.join(map(mask_url, found))}",
                cure="correct source.path, or put the files there",
            )
        return list(dict.fromkeys(name for names in found.values() for name in names))

    def _windows_with_rows(self, windows: Sequence[Window]) -> set[str]:
        files, there = self._files(), set[str]()
        thing = f"source {mask_url(self.config.path)}"
        with TemporaryDirectory(prefix="ml_assets_") as scratch:
            for name in self._names(files, windows[0]):
                with ExitStack() as stack:
                    copy = stack.enter_context(files.local(name, Path(scratch), thing=thing))
                    table = FileTable(self.config, [copy], stack, {}, (), thing=thing)
                    for times in table.event_times():
                        there |= hit(times, windows)
        return there

    def _thing(self, window: Window) -> str:
        return f"source {mask_url(self.config.path)}, partition {window.key}"


def _digest(copies: Sequence[LocalCopy]) -> str:
    """SHA-256 of the one file, or of the list that `sha256sum` prints for several."""
    if len(copies) == 1:
        return copies[0].sha256
    listed = "".join(f"{copy.sha256}  {copy.name}\n" for copy in copies)
    return hashlib.sha256(listed.encode()).hexdigest()
