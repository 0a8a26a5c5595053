"""What tests of versions work with: partitions, a DVC folder and its remote, and the calls of dvc."""

import hashlib
import random
import shutil
from pathlib import Path

import pytest

from ml_assets.resources.dvc_folder import DvcFolder
from ml_assets.resources.versioning import Pointer, Versions

REPOSITORY = Path(__file__).resolve().parents[2]
DVC = REPOSITORY / ".venv-dvc" / "bin" / "dvc"
needs_dvc = pytest.mark.skipif(not DVC.exists(), reason=f"no {DVC.relative_to(REPOSITORY)}; make setup installs it")

A, B, C = "trip_duration/features/2019-01", "trip_duration/features/2019-02", "a table/[odd] & names/2019-03-01-05:00"


def silent(_: str) -> None: ...


def content(seed: object, size: int = 50_000) -> bytes:
    return random.Random(str(seed)).randbytes(size)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pointer(data: bytes) -> Pointer:
    return Pointer(hashlib.md5(data).hexdigest(), len(data))


def wanted(contents: dict[str, bytes]) -> dict[str, tuple[Pointer, str]]:
    return {key: (pointer(data), sha256(data)) for key, data in contents.items()}


def files_of(folder: Path, *suffixes: str) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name.endswith(suffixes))


class Bench:
    """Partitions in a store, a DVC folder, its remote, and a record of the calls of dvc."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root, self.remote, self.calls_file = base / "versions", base / "remote", base / "calls"
        self.store = base / "store"
        self.store.mkdir(parents=True, exist_ok=True)

    def script(self, body: str) -> str:
        """A command in place of dvc; $DVC in it is the real one, $2 the verb."""
        path = self.base / f"dvc{hashlib.md5(body.encode()).hexdigest()[:8]}"
        path.write_text(f'#!/bin/bash\nDVC="{DVC}"\n{body}\n')
        path.chmod(0o755)
        return str(path)

    def versions(self, body: str | None = None, **options) -> Versions:
        counting = f'echo "$2" >> "{self.calls_file}"\n{body or "exec $DVC"} "$@"' if body is None else body
        return Versions(
            **{"root": str(self.root), "remote": str(self.remote), "command": self.script(counting), **options}
        )

    def calls(self) -> list[str]:
        """The verbs called since the last look."""
        said = self.calls_file.read_text().split() if self.calls_file.exists() else []
        self.calls_file.unlink(missing_ok=True)
        return said

    def stored(self, contents: dict[str, bytes]) -> dict[str, Path]:
        paths = {key: self.store / f"{key}.parquet" for key in contents}
        for key, path in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents[key])
        return paths

    def add(self, contents: dict[str, bytes], versions: Versions | None = None, tell=silent) -> dict[str, Pointer]:
        hashes = {key: sha256(data) for key, data in contents.items()}
        return (versions or self.versions()).add(self.stored(contents), hashes, tell)

    def restored(self, contents: dict[str, bytes], tell=silent) -> dict[str, bytes]:
        target = self.base / "restored"
        shutil.rmtree(target, ignore_errors=True)
        paths = self.versions().restore(wanted(contents), target, tell)
        assert paths == {key: target / f"{key}.parquet" for key in contents}
        assert files_of(target, "") == sorted(f"{key}.parquet" for key in contents)
        return {key: path.read_bytes() for key, path in paths.items()}

    def cached(self, data: bytes) -> Path:
        return DvcFolder(self.root, "").cached(pointer(data))

    def on_remote(self, data: bytes, remote: Path | None = None) -> Path:
        return (remote or self.remote) / self.cached(data).relative_to(self.root / ".dvc" / "cache")

    def damage(self, path: Path, to: bytes | None = None) -> None:
        path.chmod(0o644)
        path.write_bytes(to or b"damaged" + path.read_bytes()[7:])
        path.chmod(0o444)  # as DVC protects it, so that it trusts it


THREE = {A: content(1), B: content(2), C: content(3)}
