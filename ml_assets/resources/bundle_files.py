"""Bundles as folders: `<root>/<sha256>/manifest.json` and `model.txt`, written whole and never overwritten.

What a bundle is, is in `ml_assets.core.bundle`; object stores are in `models`.
"""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ml_assets.core.bundle import FORMAT, Bundle
from ml_assets.core.errors import BundleError
from ml_assets.resources.durable import flush, flush_folder

MANIFEST, MODEL = "manifest.json", "model.txt"
CURE = "restore the folder from a backup, or train again as of the same partition: the same inputs give the same bundle"


def save(bundle: Bundle, root: Path) -> Path:
    """Write a bundle to `root/<sha256>`; an intact one that is there is left as it is, a damaged one moved aside.

    It becomes visible by one rename, after everything is on disk: a process killed in the middle leaves a
    hidden folder that nobody takes for a bundle.
    """
    folder = root / bundle.sha256
    if folder.is_dir():
        try:
            load(root, bundle.sha256)
        except BundleError:
            folder.rename(Path(tempfile.mkdtemp(prefix=f".damaged-{bundle.sha256[:12]}-", dir=root)) / bundle.sha256)
        else:
            return folder
    root.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".part-", dir=root))
    try:
        for name, content in {MANIFEST: bundle.manifest, MODEL: bundle.model_text.encode()}.items():
            (scratch / name).write_bytes(content)
            flush(scratch / name)
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
    return folder


def load(root: Path, sha256: str) -> Bundle:
    """Read a bundle and prove that it is the one asked for.

    Hashes are checked before LightGBM sees the text: a damaged one can crash the process.

    Raises:
        BundleError: it is missing, damaged, of another format, or scores its golden rows differently.
    """
    folder = root / sha256
    manifest = _read(folder / MANIFEST, sha256, expected=sha256)
    record: dict[str, Any] = json.loads(manifest)
    if record.get("format") != FORMAT:
        raise BundleError(
            f"bundle {sha256[:12]}",
            found=f"format {record.get('format')!r}",
            expected=f"format {FORMAT}",
            cure="use the ml_assets that wrote it, or train again",
        )
    text = _read(folder / MODEL, sha256, expected=record.pop("files")[MODEL])
    bundle = Bundle(record, text.decode())
    bundle.require_golden()
    return bundle


def _read(path: Path, sha256: str, *, expected: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as e:
        raise BundleError(
            f"bundle {sha256[:12]}, {path}", found=e.strerror or str(e), expected="a readable file", cure=CURE
        ) from e
    digest = hashlib.sha256(content).hexdigest()
    if digest != expected:
        raise BundleError(
            f"bundle {sha256[:12]}, {path}", found=f"SHA-256 {digest[:12]}…", expected=f"{expected[:12]}…", cure=CURE
        )
    return content
