"""Bundles as folders: `<root>/<sha256>/manifest.json` and the files it lists, written whole and never overwritten.

What a bundle is, is in `ml_assets.core.bundle`; object stores are in `models`.
"""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_assets.core.bundle import FORMAT, MANIFEST, Bundle, require_names
from ml_assets.core.errors import BundleError
from ml_assets.resources.durable import flush, flush_folder, writing

if TYPE_CHECKING:
    from upath import UPath

ABANDONED_AFTER_SECONDS = 24 * 3600
_PART = ".part-"
CURE = "restore the folder from a backup, or train again as of the same partition: the same inputs give the same bundle"


def save(bundle: Bundle, root: Path) -> Path:
    """Write a bundle to `root/<sha256>`; an intact one that is there is left as it is, a damaged one moved aside.

    It becomes visible by one rename, after everything is on disk: a process killed in the middle leaves a
    hidden folder that nobody takes for a bundle, and that is removed when a day has passed.

    Raises:
        StorageError: the disk is full, or may not be written to.
    """
    folder = root / bundle.sha256
    if folder.is_dir():
        try:
            load(root, bundle.sha256)
        except BundleError:
            folder.rename(Path(tempfile.mkdtemp(prefix=f".damaged-{bundle.sha256[:12]}-", dir=root)) / bundle.sha256)
        else:
            return folder
    files = {**bundle.files, MANIFEST: bundle.manifest}
    with writing(folder, sum(map(len, files.values()))):
        _write(files, folder)
    return folder


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    root = folder.parent
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob(f"{_PART}*"):
        # Another process may be saving, and rename its own meanwhile.
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > ABANDONED_AFTER_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=_PART, dir=root))
    try:
        for name, content in files.items():
            (scratch / name).write_bytes(content)
            flush(scratch / name)
        flush_folder(scratch)
        scratch.chmod(0o755)
        try:
            scratch.rename(folder)
        except OSError:
            # Somebody saved the same content meanwhile: theirs is as good.
            if not folder.is_dir():
                raise
        flush_folder(root)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def load(root: "Path | UPath", sha256: str) -> Bundle:
    """Read a bundle and prove that it is the one asked for.

    Hashes are checked before anything parses the files: a damaged one can crash the process.

    Args:
        root: where bundles are kept, on disk or in an object store.
        sha256: the bundle's.

    Raises:
        BundleError: it is missing, half-written, damaged, of another format, holds what its manifest does not list,
            or scores its golden rows differently.
    """
    folder = root / sha256
    manifest = _read(folder / MANIFEST, sha256, expected=sha256)
    record: dict[str, Any] = json.loads(manifest)
    if record.get("format") != FORMAT:
        raise BundleError(
            f"bundle {sha256[:12]}",
            found=f"format {record.get('format')!r}",
            expected=f"format {FORMAT}",
            cure="train again as of the same partition, or use the ml_assets that wrote it",
        )
    hashes: Mapping[str, str] = record.pop("files")
    require_names(hashes)
    unlisted = sorted({p.name for p in folder.iterdir()} - {MANIFEST, *hashes})
    if unlisted:
        raise BundleError(
            f"bundle {sha256[:12]}, {folder}",
            found=[f"{name}, which its manifest does not list" for name in unlisted],
            expected=f"only {', '.join([MANIFEST, *hashes])}",
            cure="find out who put it there, and remove it",
        )
    bundle = Bundle(record, {name: _read(folder / name, sha256, expected=digest) for name, digest in hashes.items()})
    bundle.require_golden()
    return bundle


def _read(path: "Path | UPath", sha256: str, *, expected: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as e:
        missing = "No such file or directory: nothing was saved here, or only a part of it"
        raise BundleError(
            f"bundle {sha256[:12]}, {path}",
            found=missing if isinstance(e, FileNotFoundError) else e.strerror or str(e),
            expected="a readable file",
            cure=CURE,
        ) from e
    digest = hashlib.sha256(content).hexdigest()
    if digest != expected:
        raise BundleError(
            f"bundle {sha256[:12]}, {path}", found=f"SHA-256 {digest[:12]}…", expected=f"{expected[:12]}…", cure=CURE
        )
    return content
