"""The exact bytes models were trained on, kept by DVC and brought back, each file verified by its SHA-256.

DVC's settings and files are in `dvc_folder`, calling it in `dvc_command`.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from ml_assets.core.errors import PartitionMissing, VersioningError
from ml_assets.resources.durable import flush, flush_folder
from ml_assets.resources.dvc_command import DvcCommand, alone, full_disk_named
from ml_assets.resources.dvc_folder import DvcFolder, Pointer, pointer_path

if TYPE_CHECKING:
    from upath import UPath

__all__ = ["Pointer", "Versions"]

Tell = Callable[[str], None]
CHUNK_BYTES = 1 << 20


class Versions(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Add partitions to DVC and restore them: one call of `dvc` for many files, one process at a time.

    Args:
        root: local folder of the DVC repository; made on first use.
        remote: where DVC pushes to: a local folder or any URL that DVC knows.
        command: the dvc executable.
        patience_seconds: how long to wait for another process.
    """

    root: str
    remote: str
    command: str
    patience_seconds: float = 1800.0

    def add(self, files: "Mapping[str, Path | UPath]", sha256: Mapping[str, str], tell: Tell) -> dict[str, Pointer]:
        """Version files by key, as in `trip_duration/features/2019-03`, and push them; what DVC knows them by.

        A content that is versioned already costs nothing; if all are, and pushed, DVC isn't called.

        Raises:
            PartitionMissing: a file is not there.
            VersioningError: a file hasn't the SHA-256 that is given for it, or DVC failed.
        """
        with self._alone(tell) as (folder, dvc):
            places = {key: folder.place(key, sha256[key]) for key in files}
            known = {key: p for key, place in places.items() if (p := folder.pointer(place)) and folder.is_cached(p)}
            new = [key for key in files if key not in known]
            nothing_missing = folder.is_pushed() and not folder.not_on_remote(known.values())
            if nothing_missing and not new:
                return known
            folder.clean()
            folder.note_pushed(False)
            if new:
                tell(f"versioning {len(new)} of {len(files)} files with DVC")
                known |= _added(folder, dvc, {k: (files[k], places[k], sha256[k]) for k in new}, tell)
            # All pointers only after a change of remote or an interruption: that takes DVC longer with each of them.
            targets = [pointer_path(places[k]) for k in new] if nothing_missing else []
            tell(f"pushing to {folder.shown_remote}")
            said = dvc("push", targets, tell)
            if "neither locally nor on remote" in said:
                tell("DVC can't push some older versions: they are neither in its cache nor on the remote")
            if lacking := folder.not_on_remote(known.values()):
                raise VersioningError(
                    f"remote {folder.shown_remote}",
                    found=[f"{path} is missing or has another size after a push" for path in lacking],
                    expected="every object as DVC has pushed it",
                    cure="remove those files if they are there, and run it again",
                )
            folder.note_pushed(True)
            return {key: known[key] for key in files}

    def restore(self, wanted: Mapping[str, tuple[Pointer, str]], target: Path, tell: Tell) -> dict[str, Path]:
        """Bring files back as `target/<key>.parquet`, from DVC's cache or else from the remote.

        Args:
            wanted: for each key the pointer that `add` returned, and the SHA-256 of the content.
            target: a local folder; files of these names in it are replaced, each whole or not at all.
            tell: called with what is going on.

        Raises:
            VersioningError: the content of a file is nowhere, or damaged everywhere.
        """
        with self._alone(tell) as (folder, dvc):
            places = {key: folder.place(key, sha256) for key, (_, sha256) in wanted.items()}
            restoring = _Restoring(folder, dvc, places, target, tell)
            damaged = restoring.bring(wanted)
            if damaged:
                tell(f"damaged in DVC's cache, fetching again: {', '.join(damaged)}")
                damaged = restoring.bring({key: wanted[key] for key in damaged})
            if damaged:
                raise VersioningError(
                    f"versions from {folder.shown_remote}",
                    found=[f"{key} has SHA-256 {found}, not {wanted[key][1]}" for key, found in damaged.items()],
                    expected="the bytes that were versioned",
                    cure="the remote's copy is damaged, too: put the files "
                    f"{', '.join(wanted[key][0].md5 for key in damaged)} there from a backup, or train again",
                )
            return {key: restoring.target_of(key) for key in wanted}

    @contextmanager
    def _alone(self, tell: Tell) -> Iterator[tuple[DvcFolder, DvcCommand]]:
        remote = self.remote.removeprefix("file://")
        folder = DvcFolder(
            Path(self.root).expanduser().resolve(),
            remote if "://" in remote else str(Path(remote).expanduser().resolve()),
        )
        with full_disk_named(folder.root), alone(folder.lock, self.patience_seconds, tell) as lock:
            folder.configure()
            yield folder, DvcCommand(self.command, folder.root, folder.remote, folder.scratch, lock)


def _added(
    folder: DvcFolder, dvc: DvcCommand, files: "Mapping[str, tuple[Path | UPath, Path, str]]", tell: Tell
) -> dict[str, Pointer]:
    """Copy files into the workspace, let DVC take them into its cache, and leave only pointers there."""
    try:
        copied, wrong = {}, []
        for key, (source, place, sha256) in files.items():
            copied[key], found = _copy(source, place, key)
            if found != sha256:
                wrong.append(f"{key} has SHA-256 {found}, not {sha256}")
        if wrong:
            raise VersioningError(
                "partitions to be versioned",
                found=wrong,
                expected="the content that the run has read",
                cure="they were replaced meanwhile: run it again on what is there now",
            )
        for pointer in copied.values():
            # DVC trusts what its cache has under that name, even if a power cut left it damaged.
            folder.cached(pointer).unlink(missing_ok=True)
        dvc("add", [place for _, place, _ in files.values()], tell)
        for key, (_, place, _) in files.items():
            if folder.pointer(place) != copied[key] or not folder.is_cached(copied[key]):
                raise VersioningError(
                    f"pointer {pointer_path(place)}",
                    found=f"{folder.pointer(place)} after `dvc add`",
                    expected=f"{copied[key]}, and that in DVC's cache",
                    cure="check the version of DVC (made for 3.60 to 3.67), then run it again",
                )
            for path in (folder.cached(copied[key]), pointer_path(place)):
                flush(path)
                flush_folder(path.parent)
        return copied
    finally:
        for _, place, _ in files.values():
            place.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Restoring:
    """One restoration: what it reads, where it writes."""

    folder: DvcFolder
    dvc: DvcCommand
    places: Mapping[str, Path]
    target: Path
    tell: Tell

    def target_of(self, key: str) -> Path:
        return self.target / f"{key}.parquet"

    def bring(self, wanted: Mapping[str, tuple[Pointer, str]]) -> dict[str, str]:
        """Files to their targets; the SHA-256 of each that is damaged, which is removed from the cache."""
        self._fetch({key: pointer for key, (pointer, _) in wanted.items() if not self.folder.is_cached(pointer)})
        damaged = {}
        for key, (pointer, sha256) in wanted.items():
            goal = self.target_of(key)
            scratch = goal.with_name(f".{goal.name}.{uuid.uuid4().hex}")
            try:
                _, found = _copy(self.folder.cached(pointer), scratch, key)
                if found == sha256:
                    scratch.replace(goal)
                    flush_folder(goal.parent)
                else:
                    damaged[key] = found
            finally:
                scratch.unlink(missing_ok=True)
        for key in damaged:
            self.folder.cached(wanted[key][0]).unlink(missing_ok=True)
        return damaged

    def _fetch(self, missing: Mapping[str, Pointer]) -> None:
        if not missing:
            return
        folder = self.folder
        folder.clean()
        for key, pointer in missing.items():
            folder.cached(pointer).unlink(missing_ok=True)  # one of another length
            if folder.pointer(self.places[key]) != pointer:
                folder.write_pointer(self.places[key], pointer)
        self.tell(f"fetching {len(missing)} files from {folder.shown_remote}")
        try:
            self.dvc("fetch", [pointer_path(self.places[key]) for key in missing], self.tell)
        finally:
            # A pointer counts only if its content is somewhere; `dvc fetch` exits 0 where it is not.
            lost = [key for key, pointer in missing.items() if not folder.is_cached(pointer)]
            for key in lost:
                pointer_path(self.places[key]).unlink(missing_ok=True)
        if lost:
            raise VersioningError(
                f"versions from {folder.shown_remote}",
                found=_nowhere(lost, missing),
                expected="each in DVC's cache or on the remote",
                cure="set the remote to the one they were pushed to, and see that it can be reached; "
                "or restore on the machine that trained that version",
            )


def _nowhere(keys: Iterable[str], pointers: Mapping[str, Pointer]) -> list[str]:
    return [f"{key} (MD5 {pointers[key].md5}) is neither in the cache nor on the remote" for key in keys]


def _copy(source: "Path | UPath", target: Path, key: str) -> tuple[Pointer, str]:
    """Copy a file to disk, wherever it is; its MD5, its size and its SHA-256, from the one time it is read.

    A copy, since a link would make DVC's cache and the store one file: read-only for the store, and lost to the cache
    as soon as someone writes to it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    try:
        reading = source.open("rb")
    except FileNotFoundError as error:
        raise PartitionMissing.at(key, source) from error
    with reading, target.open("wb") as writing:
        while chunk := reading.read(CHUNK_BYTES):
            writing.write(chunk)
            md5.update(chunk)
            sha256.update(chunk)
            size += len(chunk)
    flush(target)
    return Pointer(md5.hexdigest(), size), sha256.hexdigest()
