"""Which process is the one that was written down."""

import os
import subprocess
import sys
import time

import pytest

from ml_assets.resources import processes
from ml_assets.resources.processes import is_running

HOUR = 3600.0


@pytest.fixture
def child():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        yield started
        started.kill()


def test_a_process_runs_until_it_has_ended_and_also_one_that_nobody_buried_has(child):
    seen = time.time()
    assert is_running(child.pid, seen)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_running(child.pid, seen), "a zombie"
    child.wait()
    assert not is_running(child.pid, seen)


def test_a_process_that_was_given_the_id_later_is_another_one(child):
    assert not is_running(child.pid, time.time() - HOUR)
    assert is_running(os.getppid(), time.time())


def test_without_proc_whoever_has_the_id_counts(child, monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "PROC", tmp_path)
    assert is_running(child.pid, time.time() - HOUR)
    child.kill()
    child.wait()
    assert not is_running(child.pid, time.time())
