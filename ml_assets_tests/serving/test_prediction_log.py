"""The log's writer: nothing is lost that was flushed, nothing torn is read, and a full disk costs no answer."""

import errno
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import polars as pl
import pytest

from ml_assets.core.log_segments import around
from ml_assets.core.prediction_log import unpacked
from ml_assets.resources import log_files
from ml_assets.resources.prediction_log import PredictionLogs
from ml_assets.serving.data_plane import new_id
from ml_assets.serving.prediction_log import Entry, PredictionLog

REPOSITORY = Path(__file__).resolve().parents[2]
DAY_US = 86_400_000_000
AT = 20_000 * DAY_US
"""A day's first microsecond."""


def entry(n: int, **changes: object) -> Entry:
    told = Entry(
        f"r{n}", 0, AT + n, "u", "champion", "answered", "ab" * 32, (n / 7, "zone", None), n / 3, 9, None, None
    )
    return told._replace(**changes)


def wait_until(is_so, seconds=10.0):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def files(root: Path) -> list[Path]:
    return [p for p in root.rglob("*") if p.is_file()]


@pytest.fixture
def logs(tmp_path):
    return PredictionLogs(root=str(tmp_path))


@pytest.fixture
def opened(tmp_path):
    """Open logs that flush when they are told to; closed in the end."""
    made = []

    def opening(**options: object) -> PredictionLog:
        made.append(PredictionLog(str(tmp_path), "p", **{"flush_seconds": 60.0, **options}))
        return made[-1]

    yield opening
    for log in made:
        log.close()


def test_what_is_appended_is_read_as_it_was(opened, logs):
    log = opened()
    for n in range(1200):
        log.append(entry(n, values=(n / 7, f"z{n}", None, n)))
    assert log.waiting == 1200
    log.flush()
    found = logs.rows("p", "requests")
    assert found["request_id"].to_list() == [f"r{n}" for n in range(1200)]
    assert [unpacked(v) for v in found["values"]] == [(n / 7, f"z{n}", None, n) for n in range(1200)]
    assert found["prediction"].list.first().to_list() == [n / 3 for n in range(1200)]
    assert (log.waiting, log.counters.written, log.counters.dropped) == (0, 1200, 0)


def test_entries_are_flushed_by_age(opened, logs):
    log = opened(flush_seconds=0.05)
    log.append(entry(1))
    wait_until(lambda: logs.days("p") and logs.rows("p", "requests").height == 1)
    log.append(entry(2))
    wait_until(lambda: logs.rows("p", "requests").height == 2)


def test_entries_are_flushed_by_number(opened):
    log = opened(flush_rows=10)
    for n in range(11):
        log.append(entry(n))
    wait_until(lambda: log.counters.written == 11)


def test_closing_writes_the_rest_and_takes_no_more(opened, logs):
    log = opened()
    log.append(entry(1))
    log.close()
    log.append(entry(2))
    assert logs.rows("p", "requests")["request_id"].to_list() == ["r1"]
    assert log.counters.dropped == 1


def test_each_day_has_a_folder_and_labels_files_of_their_own(opened, logs):
    log = opened()
    log.append(entry(1))
    log.append(entry(2, at_us=AT + DAY_US))
    log.append(entry(3, role="label", values=None))
    log.flush()
    assert logs.days("p") == ["2024-10-04", "2024-10-05"]
    kinds = [[s.kind for s in logs.segments("p", day)] for day in logs.days("p")]
    assert kinds == [["labels", "requests"], ["requests"]]
    assert logs.rows("p", "requests")["request_id"].to_list() == ["r1", "r2"]
    assert logs.rows("p", "labels")["request_id"].to_list() == ["r3"]


def test_many_replicas_write_side_by_side(opened, logs):
    writers = [opened(replica="the same name") for _ in range(4)]

    def write(log: PredictionLog, first: int) -> None:
        for n in range(first, first + 100):
            log.append(entry(n))
            if n % 25 == 0:
                log.flush()

    threads = [threading.Thread(target=write, args=(log, i * 100)) for i, log in enumerate(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for log in writers:
        log.flush()
    assert sorted(logs.rows("p", "requests")["request_id"]) == sorted(f"r{n}" for n in range(400))


def test_a_bucket_is_written_and_read_as_a_folder_is(monkeypatch):
    root = "memory://a-bucket-of-the-prediction-log"
    log = PredictionLog(root, "p", flush_seconds=60.0)
    for n in range(3):
        log.append(entry(n))
        log.flush()
    log.close()
    logs = PredictionLogs(root=root)
    assert logs.rows("p", "requests")["request_id"].to_list() == ["r0", "r1", "r2"]
    assert logs.compact("p", "2024-10-05") == ["2024-10-04"]
    assert len(logs.segments("p", "2024-10-04")) == 1
    assert logs.rows("p", "requests")["request_id"].to_list() == ["r0", "r1", "r2"]


def test_an_entry_that_no_column_holds_costs_no_other(opened, logs, caplog):
    log = opened()
    for n in range(3):
        log.append(entry(n, values=(object(),) if n == 1 else (1.0,)))
    log.flush()
    assert logs.rows("p", "requests")["request_id"].to_list() == ["r0", "r2"]
    assert log.counters.failed == 1
    assert "1 entries can't be written, the first of request 'r1': a value of type object" in caplog.text


class Disk:
    """A disk that is full when told to."""

    def __init__(self, monkeypatch) -> None:
        self.is_full, self.really = False, log_files.publish
        monkeypatch.setattr(log_files, "publish", self.publish)

    def publish(self, path: Path, place: object) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        self.really(path, place)


def test_a_full_disk_is_waited_for_told_once_and_told_again_when_it_is_over(
    opened, logs, monkeypatch, caplog, tmp_path
):
    caplog.set_level(logging.WARNING)
    disk, log = Disk(monkeypatch), opened()
    disk.is_full = True
    for n in range(3):
        log.append(entry(n))
        log.flush()
    assert (log.refusing, log.waiting, log.counters.refused, log.counters.written) == (True, 3, 3, 0)
    assert caplog.text.count("No space left on device") == 1, "told once a minute, not once a second"
    assert "1 entries wait, 0 were dropped; predictions go on" in caplog.text
    assert files(tmp_path) == []
    disk.is_full = False
    log.flush()
    assert (log.refusing, log.waiting, log.counters.written, log.counters.dropped) == (False, 0, 3, 0)
    assert "written again after" in caplog.text
    assert logs.rows("p", "requests")["request_id"].to_list() == ["r0", "r1", "r2"]


def test_what_waits_for_a_full_disk_is_bounded_and_counted(opened, logs, monkeypatch):
    disk, log = Disk(monkeypatch), opened(most_unwritten_bytes=100_000)
    disk.is_full = True
    for n in range(2000):
        log.append(entry(n))
        if n % 100 == 99:
            log.flush()
    kept = log.waiting
    assert 100 <= kept < 1000
    assert log.counters.dropped == 2000 - kept
    assert sum(frame.estimated_size() for frame in log._unwritten) <= 100_000
    disk.is_full = False
    log.flush()
    assert logs.rows("p", "requests")["request_id"].to_list() == [f"r{n}" for n in range(kept)], "the oldest are kept"


def test_entries_that_wait_are_bounded_where_the_disk_does_not_even_answer(opened):
    log = opened(most_waiting=10)
    for n in range(25):
        log.append(entry(n))
    assert (log.waiting, log.counters.dropped) == (10, 15)


def test_closing_on_a_full_disk_tells_what_is_lost(opened, monkeypatch, caplog):
    disk, log = Disk(monkeypatch), opened()
    disk.is_full = True
    log.append(entry(1))
    log.close()
    assert "closed with 1 entries that never got to disk" in caplog.text
    assert log.counters.dropped == 1


def test_a_segment_that_may_or_may_not_be_in_its_place_is_not_read_twice(opened, logs, monkeypatch):
    log, really = opened(), log_files.publish

    def publish(path: Path, place: object) -> None:
        really(path, place)
        raise OSError(errno.EIO, "the folder could not be flushed")

    monkeypatch.setattr(log_files, "publish", publish)
    log.append(entry(1))
    log.flush()
    assert log.refusing
    monkeypatch.setattr(log_files, "publish", really)
    log.flush()
    assert logs.rows("p", "requests").height == 1


def test_a_disk_that_is_really_full(tmp_path, caplog):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this process may not mount a small disk: that needs root")
    try:
        (folder / "other").write_bytes(bytes(200_000))
        log = PredictionLog(str(folder), "p", flush_seconds=60.0)
        for n in range(5000):
            log.append(entry(n, request_id=os.urandom(16).hex()))
        log.flush()
        assert log.refusing
        assert "No space left on device" in caplog.text
        (folder / "other").unlink()
        log.flush()
        assert (log.refusing, log.counters.written, log.counters.dropped) == (False, 5000, 0)
        log.close()
        assert PredictionLogs(root=str(folder)).rows("p", "requests").height == 5000
        assert [p for p in files(folder) if p.name.startswith(".")] == []
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


WRITER = """
import sys, time
from ml_assets.serving.data_plane import new_id
from ml_assets.serving.prediction_log import Entry, PredictionLog
log, first = PredictionLog(sys.argv[1], "p", flush_seconds=0.02), int(sys.argv[2])
print("ready", flush=True)
n = first
while True:
    for _ in range(20):
        log.append(Entry(f"r{n}", 0, 1_728_000_000_000_000 + n, "u", "champion", "answered", "ab" * 32,
                         (n / 7, "zone"), n / 3, 9, None, None))
        n += 1
    print(n, log.counters.written, flush=True)
    time.sleep(0.002)
"""


@pytest.mark.slow
def test_a_killed_writer_loses_only_what_it_had_not_flushed_and_leaves_nothing_torn(tmp_path, logs):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    written, appended = {}, {}
    for kill in range(6):
        first = kill * 1_000_000
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(first)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert process.stdout.readline() == "ready\n"
        end = time.monotonic() + 0.15 + 0.031 * kill
        while time.monotonic() < end:
            told = process.stdout.readline().split()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        rest = [line.split() for line in process.stdout.read().splitlines() if line.count(" ") == 1]
        written[first] = int((rest or [told])[-1][1])
        appended[first] = int((rest or [told])[-1][0])
        process.stdout.close()
    found = logs.rows("p", "requests")
    numbers = found["request_id"].str.slice(1).cast(pl.Int64).sort()
    assert numbers.n_unique() == found.height
    for first in written:
        ours = numbers.filter(numbers.is_between(first, first + 999_999)).to_list()
        assert ours == list(range(first, first + len(ours))), "no gap: what is missing is the newest"
        assert written[first] > 0
        assert len(ours) >= written[first], "what was told to be written is there"
    assert all(
        unpacked(v)[0] * 7 == pytest.approx(int(r[1:])) for r, v in found.select("request_id", "values").iter_rows()
    )
    assert logs.compact("p", "9999-01-01")
    assert logs.rows("p", "requests").height == found.height


def test_the_ids_that_a_server_makes_say_when():
    assert abs(around(new_id()).at_us - time.time_ns() // 1000) < 1_000_000
