"""What is in a DVC repository of ours: settings, pointers, cached objects, and the note that all of it is pushed.

    root/.dvc/config, config.local          settings of DVC; the remote, readable for its owner only
    root/.dvc/cache/files/md5/aa/bbb…       each content once, under its MD5 (DVC's own layout)
    root/<key>/<sha256>.parquet.dvc         a pointer: which MD5 that file has
    root/pushed.txt                         the remote that has everything the pointers name

A file's name is its SHA-256, so another content of the same partition never replaces a pointer. Calling DVC is in
`dvc_command`, what to add and restore in `versioning`.
"""

import re
import shutil
import time
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ml_assets.core.errors import VersioningError
from ml_assets.resources.durable import flush, flush_folder
from ml_assets.resources.sources.masking import mask_url

ABANDONED_AFTER_SECONDS = 3600
_MD5, _SHA256 = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{64}")
_POINTER = re.compile(
    r"""^-[ ]md5:[ ]['"]?(?P<md5>[0-9a-f]{32})['"]?\n  # DVC quotes those that YAML would take for numbers
        ^[ ]{2}size:[ ](?P<bytes>\d+)\n
        ^[ ]{2}hash:[ ]md5\n
        ^[ ]{2}path:[ ](?P<path>\S+)\n""",
    re.MULTILINE | re.VERBOSE,
)
_URL = re.compile(r"^\s*url = (.*?)\s*$", re.MULTILINE)
# Named in full, so that nothing in a person's own DVC settings moves the cache or calls home.
_CONFIG = """\
[core]
    analytics = false
    check_update = false
    autostage = false
    no_scm = true
    hardlink_lock = false
[cache]
    dir = cache
    type = hardlink,copy
"""


@dataclass(frozen=True)
class Pointer:
    """What DVC knows a file by: MD5 of its bytes and their number."""

    md5: str
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """As a record."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Pointer":
        """From a record."""
        return cls(md5=str(record["md5"]), bytes=int(record["bytes"]))


@dataclass(frozen=True)
class DvcFolder:
    """A DVC repository without Git, and its one remote: a folder or any URL that DVC knows."""

    root: Path
    remote: str

    @property
    def scratch(self) -> Path:
        """Where DVC keeps what it can compute anew."""
        return self.root / ".dvc" / "tmp" / "ml_assets"

    @property
    def lock(self) -> Path:
        """What whoever changes the folder holds: beside it, so that it outlives it."""
        return self.root.with_name(f"{self.root.name}.lock")

    @property
    def shown_remote(self) -> str:
        """The remote, without secrets."""
        return mask_url(self.remote)

    def configure(self) -> None:
        """Make the folder a DVC repository whose remote is the one of the settings.

        Options that someone added to this remote (`dvc remote modify --local store …`) stay until its URL changes.
        """
        config, local = self.root / ".dvc" / "config", self.root / ".dvc" / "config.local"
        if not config.exists():
            config.parent.mkdir(parents=True, exist_ok=True)
            _write(config, _CONFIG)
        configured = _URL.findall(local.read_text()) if local.exists() else []
        if [url.strip("\"'") for url in configured] != [self.remote]:
            _write(local, f"[core]\n    remote = store\n['remote \"store\"']\n    url = {_quoted(self.remote)}\n")
        local.chmod(0o600)

    def place(self, key: str, sha256: str) -> Path:
        """Where a file is put for DVC to take.

        Raises:
            VersioningError: the key would lead out of the folder, or into DVC's own.
        """
        if any(part in ("", "..") or part.startswith((".", "-")) or "\n" in part for part in key.split("/")):
            raise VersioningError(
                f"key {key!r}",
                found="a part that is empty or begins with a point or a dash",
                expected="names separated by slashes, as in trip_duration/features/2019-03",
                cure="name the pipeline and its partitions so",
            )
        if not _SHA256.fullmatch(sha256):
            raise VersioningError(
                f"hash of {key}",
                found=repr(sha256),
                expected="a SHA-256: 64 hexadecimal digits",
                cure="materialize that partition again",
            )
        return self.root / key / f"{sha256}.parquet"

    def pointer(self, file: Path) -> Pointer | None:
        """What a file's pointer says; None where there is none, or a damaged one."""
        path = pointer_path(file)
        match = _POINTER.search(path.read_text(errors="replace")) if path.exists() else None
        if match is None or match["path"] != file.name:
            return None
        return Pointer(match["md5"], int(match["bytes"]))

    def write_pointer(self, file: Path, pointer: Pointer) -> None:
        """A pointer that was recorded elsewhere, as DVC would have written it."""
        file.parent.mkdir(parents=True, exist_ok=True)
        text = f"outs:\n- md5: '{pointer.md5}'\n  size: {pointer.bytes}\n  hash: md5\n  path: {file.name}\n"
        _write(pointer_path(file), text)

    def cached(self, pointer: Pointer) -> Path:
        """Where DVC's cache has that content.

        Raises:
            VersioningError: the pointer has no MD5.
        """
        return self.root / ".dvc" / "cache" / _object(pointer)

    def is_cached(self, pointer: Pointer) -> bool:
        """Whether the cache has it, in its full length."""
        return _has(self.cached(pointer), pointer)

    def not_on_remote(self, pointers: Iterable[Pointer]) -> list[Path]:
        """Objects that a remote which is a folder lacks. DVC alone can look at others: nothing."""
        if "://" in self.remote:
            return []
        return [path for p in pointers if not _has(path := Path(self.remote) / _object(p), p)]

    def is_pushed(self) -> bool:
        """Whether everything the pointers name is known to be on the remote."""
        note = self.root / "pushed.txt"
        return note.exists() and note.read_text() == self.shown_remote

    def note_pushed(self, pushed: bool) -> None:
        """Remember that everything is pushed, or forget it before that changes."""
        note = self.root / "pushed.txt"
        if pushed:
            _write(note, self.shown_remote)
        else:
            note.unlink(missing_ok=True)

    def clean(self) -> None:
        """Remove what killed processes left, while nobody else is here.

        One half-written pointer or lock record makes every later call of DVC fail.
        """
        (self.root / ".dvc" / "tmp" / "rwlock").unlink(missing_ok=True)
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(parents=True, mode=0o700)
        for folder in self.root.iterdir():
            if folder.is_dir() and not folder.name.startswith("."):
                for file in folder.rglob("*"):
                    if self._is_left_over(file):
                        file.unlink()
        for file in (self.root / ".dvc" / "cache").rglob(".*.tmp"):
            # A person's own `dvc fetch` may be writing there.
            if time.time() - file.stat().st_mtime > ABANDONED_AFTER_SECONDS:
                file.unlink(missing_ok=True)

    def _is_left_over(self, file: Path) -> bool:
        if file.is_dir():
            return False
        if file.suffix == ".dvc":
            return self.pointer(file.with_suffix("")) is None
        return file.suffix == ".tmp" or _SHA256.fullmatch(file.stem) is not None


def pointer_path(file: Path) -> Path:
    """The pointer of a file."""
    return file.with_name(f"{file.name}.dvc")


def _object(pointer: Pointer) -> Path:
    if not _MD5.fullmatch(pointer.md5):
        raise VersioningError(
            "a recorded pointer",
            found=f"md5 {pointer.md5!r}",
            expected="32 hexadecimal digits",
            cure="the record is damaged: restore another version, or train again",
        )
    return Path("files", "md5", pointer.md5[:2], pointer.md5[2:])


def _has(path: Path, pointer: Pointer) -> bool:
    return path.is_file() and path.stat().st_size == pointer.bytes


def _quoted(url: str) -> str:
    quote = next((q for q in "\"'" if q not in url), None)
    if quote is None or "\n" in url or "%(" in url:
        raise VersioningError(
            "the remote of the versions",
            found=mask_url(url),
            expected="a path or URL without line breaks, without `%(` and with one kind of quotes at most",
            cure="choose another folder or URL",
        )
    return f"{quote}{url}{quote}"


def _write(path: Path, text: str) -> None:
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    scratch.touch(mode=0o600)
    scratch.write_text(text)
    flush(scratch)
    scratch.replace(path)
    flush_folder(path.parent)
