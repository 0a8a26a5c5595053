"""How the `dvc` command is called: alone, in its own environment, with its failures as errors of ours.

DVC can't share an environment with Dagster (dagster#27487), so it is a command, never an import. What its folder holds
is in `dvc_folder`, what is done with it in `versioning`.
"""

import errno
import fcntl
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from ml_assets.core.errors import VersioningError
from ml_assets.resources.sources.masking import mask_url, scrub

Tell = Callable[[str], None]

TELL_EVERY_SECONDS = 10.0
LOOK_EVERY_SECONDS = 0.2
LAST_LINES = 8
# What DVC prints after every failure, and what says nothing.
_CHATTER = ("Having any troubles?",)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_A_PROGRAM = (errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR)


@dataclass(frozen=True)
class DvcCommand:
    """The executable, where it works, and the lock that its processes share."""

    executable: str
    folder: Path
    remote: str
    scratch: Path
    lock: int

    def __call__(self, verb: str, files: Sequence[Path], tell: Tell) -> str:
        """`dvc VERB FILES` in the folder; what it wrote to stderr.

        Raises:
            VersioningError: there is no such command, or it failed.
        """
        # A person may be using DVC in this folder by hand: wait for that, too.
        command = [self.executable, "--wait-for-lock", verb, "--", *(str(f.relative_to(self.folder)) for f in files)]
        with self._started(command) as process:
            try:
                said = _wait_for(process, f"dvc {verb}", tell)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise self._failed(verb, process.returncode, said)
        return said

    def _started(self, command: list[str]) -> "subprocess.Popen[str]":
        try:
            return subprocess.Popen(  # noqa: S603
                command,
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                # If this process is killed, its dvc goes on; the lock is held until that has ended, too.
                pass_fds=(self.lock,),
            )
        except OSError as error:
            if error.errno not in _NOT_A_PROGRAM:
                raise
            raise self._not_there(error) from error

    def _environment(self) -> dict[str, str]:
        # This environment's packages must not reach into DVC's.
        mine = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        return {**mine, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(self.scratch)}

    def _not_there(self, error: OSError) -> VersioningError:
        return VersioningError(
            "the dvc command",
            found=f"{self.executable} can't be started ({error.strerror})",
            expected="DVC in an environment of its own",
            cure="run `make setup`, which installs it in .venv-dvc; or set ML_ASSETS_DVC to a dvc executable; "
            "or write `versioning: off` in defs.yaml to train without versions",
        )

    def _failed(self, verb: str, code: int, said: str) -> VersioningError:
        secrets = [_password(self.remote)]
        lines = [scrub(line, secrets) for line in said.splitlines() if line.strip() and not line.startswith(_CHATTER)]
        if any("No space left" in line or "Disk quota" in line for line in lines):
            cure = f"free disk space for {self.folder} and for the remote, then run it again"
        else:
            cure = f"see what DVC says above; then try `{self.executable} {verb}` in {self.folder}, and run it again"
        return VersioningError(
            f"dvc {verb} in {self.folder} with the remote {mask_url(self.remote)}",
            found=[f"exit code {code}", *lines[-LAST_LINES:]],
            expected="exit code 0",
            cure=cure,
        )


def _password(url: str) -> str:
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return ""


def _wait_for(process: "subprocess.Popen[str]", name: str, tell: Tell) -> str:
    started = time.monotonic()
    while True:
        try:
            return process.communicate(timeout=TELL_EVERY_SECONDS)[1]
        except subprocess.TimeoutExpired:
            tell(f"{name} has been running for {time.monotonic() - started:.0f} s")


@contextmanager
def alone(lock: Path, patience_seconds: float, tell: Tell) -> Iterator[int]:
    """Hold a lock file, waiting for whoever has it; its descriptor, to be inherited by what must hold it as well.

    `flock` itself, not `filelock`: only an inherited descriptor keeps the lock while a dvc lives whose parent was
    killed. The kernel frees it with its last holder, so a killed run leaves no lock behind.

    Raises:
        VersioningError: it is still taken after `patience_seconds`.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _take(descriptor, lock, patience_seconds, tell)
        os.ftruncate(descriptor, 0)
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()} since {now}".encode(), 0)
        try:
            yield descriptor
        finally:
            # Closing is not enough: a process forked meanwhile, by whomever, has a copy of the descriptor.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _take(descriptor: int, lock: Path, patience_seconds: float, tell: Tell) -> None:
    started, told = time.monotonic(), float("-inf")
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - started
            holder = lock.read_text(errors="replace").strip() or "another process"
            if waited >= patience_seconds:
                raise VersioningError(
                    f"the lock {lock}",
                    found=f"still held after {patience_seconds:.0f} s, by {holder}",
                    expected="one run at a time that versions data, each for minutes",
                    cure="wait until that run has ended, or end it, then run this one again; no file is to be deleted",
                ) from None
            if waited - told >= TELL_EVERY_SECONDS:
                told = waited
                tell(f"waiting for another run that versions data ({holder}; {waited:.0f} s)")
            time.sleep(min(LOOK_EVERY_SECONDS, patience_seconds))
        else:
            return


@contextmanager
def full_disk_named(folder: Path) -> Iterator[None]:
    """A full disk as an error that says where.

    Raises:
        VersioningError: there is no space left.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise VersioningError(
            f"versions of training data in {folder}",
            found=f"no space left on the disk{f' for {error.filename}' if error.filename else ''}",
            expected="space for one copy of each new partition, and one on the remote",
            cure="free disk space, then run it again; what was versioned before is unharmed",
        ) from error
