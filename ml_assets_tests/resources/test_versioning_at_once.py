"""Runs that version at the same time, wait for each other, or are killed."""

import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from ml_assets.core.errors import VersioningError
from ml_assets.resources import dvc_command
from ml_assets.resources.dvc_command import alone
from ml_assets_tests.resources.dvc_bench import (
    THREE,
    A,
    B,
    C,
    content,
    files_of,
    needs_dvc,
    pointer,
    sha256,
    silent,
)

forked = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@needs_dvc
@forked
def test_two_processes_at_once_both_succeed(bench):
    contents = [{A: content(1), B: content(2)}, {B: content(3), C: content(4)}]
    told = bench.base / "told"

    def tell(message: str) -> None:
        with told.open("a") as f:
            f.write(message + "\n")

    def run(mine: dict[str, bytes], store: Path) -> None:
        bench.store = store
        assert bench.add(mine, tell=tell) == {key: pointer(data) for key, data in mine.items()}

    children = [in_child(run, mine, bench.base / f"store{i}") for i, mine in enumerate(contents)]
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    assert "waiting for another run that versions data (process" in told.read_text()
    for mine in contents:
        assert bench.restored(mine) == mine
        assert all(bench.on_remote(data).exists() for data in mine.values())
    assert sorted(bench.calls()) == ["add", "add", "push", "push"]


def in_child(function, *arguments):
    child = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    child.start()
    return child


class Deadly:
    """A stored file whose reader is killed."""

    def open(self, _: str):
        os.kill(os.getpid(), signal.SIGKILL)


KILL_BOTH = 'kill -9 $PPID; [ -n "$!" ] && kill -9 $!; exit 1'
WHEN_THERE_IS = '$DVC "$@" & until compgen -G "{}" >/dev/null; do sleep 0.005; done; ' + KILL_BOTH
MOMENTS = {
    "before dvc add": f"[ $2 = add ] && {{ {KILL_BOTH}; }}",
    "in dvc add, something is in the cache": WHEN_THERE_IS.format(".dvc/cache/files/md5/*/*"),
    "in dvc add, a pointer is there": WHEN_THERE_IS.format("p/*/*/*.dvc"),
    "in dvc add, which goes on": '$DVC "$@" & sleep 0.3; [ $2 = add ] && kill -9 $PPID; wait',
    "in dvc push": '[ $2 = add ] && exec $DVC "$@"; ' + WHEN_THERE_IS.format("../remote/files/md5/*/*"),
    "after dvc push": f'$DVC "$@"; [ $2 = push ] && {{ {KILL_BOTH}; }}; exit 0',
}


@needs_dvc
@forked
@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_is_killed_harms_no_later_one(bench, moment):
    contents = {f"p/features/{i}": content(i, 2_000_000) for i in range(8)}
    child = in_child(lambda: bench.add(contents, bench.versions(MOMENTS[moment])))
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert bench.add(contents) == {key: pointer(data) for key, data in contents.items()}
    assert files_of(bench.root, ".parquet") == []
    assert all(bench.on_remote(data).read_bytes() == data for data in contents.values())
    shutil.rmtree(bench.root)
    assert bench.restored(contents) == contents


@needs_dvc
@forked
def test_a_run_that_is_killed_while_it_copies_harms_no_later_one(bench):
    hashes = {A: sha256(THREE[A]), B: sha256(THREE[B])}
    child = in_child(lambda: bench.versions().add({A: bench.stored(THREE)[A], B: Deadly()}, hashes, silent))
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert files_of(bench.root, ".parquet") == [f"{A}/{hashes[A]}.parquet"]
    bench.add({B: THREE[B]})
    assert files_of(bench.root, ".parquet") == []
    assert bench.restored({B: THREE[B]}) == {B: THREE[B]}


@forked
def test_the_lock_is_held_until_the_dvc_of_a_killed_run_has_ended(bench):
    versions = bench.versions("kill -9 $PPID; sleep 1.5")
    started = time.monotonic()
    child = in_child(lambda: bench.add(THREE, versions))
    child.join()
    assert child.exitcode == -signal.SIGKILL
    with pytest.raises(VersioningError, match="still held"), alone(bench.base / "versions.lock", 0.1, silent):
        pytest.fail("two at once")
    said = []
    with alone(bench.base / "versions.lock", 60, said.append):
        assert time.monotonic() - started > 1.4
    assert f"process {child.pid} on" in said[0]


@forked
def test_a_process_that_was_forked_meanwhile_does_not_keep_the_lock(bench):
    with alone(bench.base / "versions.lock", 1, silent):
        child = in_child(time.sleep, 30)
    with alone(bench.base / "versions.lock", 0.1, silent):
        assert child.is_alive()
    child.kill()
    child.join()


def test_waiting_is_told_at_once_and_then_regularly_and_ends(bench, monkeypatch):
    monkeypatch.setattr(dvc_command, "TELL_EVERY_SECONDS", 0.3)
    said = []
    with alone(bench.base / "versions.lock", 1, silent), pytest.raises(VersioningError, match="still held") as late:
        bench.add(THREE, bench.versions("exit 0", patience_seconds=1), said.append)
    assert f"process {os.getpid()} on " in str(late.value)
    assert 2 <= len(said) <= 5
    assert all(
        message.startswith(f"waiting for another run that versions data (process {os.getpid()}") for message in said
    )
    assert said[0].endswith("; 0 s)")


def test_a_long_call_is_told_of_and_ends_with_the_run(bench, monkeypatch):
    monkeypatch.setattr(dvc_command, "TELL_EVERY_SECONDS", 0.2)
    pid = bench.base / "pid"

    def tell(message: str) -> None:
        if message.startswith("dvc add has been running for"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.add(THREE, bench.versions(f'echo $$ > "{pid}"; exec sleep 60'), tell)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert files_of(bench.root, ".parquet") == []
