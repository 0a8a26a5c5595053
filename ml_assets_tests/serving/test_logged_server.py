"""A running server's log: whole after an orderly end, all but a second after a kill, patient with a full disk."""

import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from ml_assets.core.prediction_log import joined_by_request
from ml_assets.core.served_as_batch import differences
from ml_assets.resources.prediction_log import PredictionLogs
from ml_assets_tests.serving.running import PIPELINE, Released, serving, until

pytestmark = pytest.mark.slow


@pytest.fixture
def released(tmp_path):
    """A data folder with a released bundle."""
    released = Released(tmp_path)
    released.make_live(released.version(0))
    return released


def ask(server, request_id: str) -> None:
    status, answer, _ = server.ask(headers={"X-Request-Id": request_id})
    assert status == 200, answer


def deliver(server, request_id: str) -> int:
    content = json.dumps([{"request_id": request_id, "label": 7.5}]).encode()
    return server.ask("POST", f"/labels/{PIPELINE}", content)[0]


def test_what_a_server_answered_is_in_its_log(released):
    logs = PredictionLogs(root=str(released.root / "predictions"))

    def ids() -> list[str]:
        return logs.rows(PIPELINE, "requests")["request_id"].to_list()

    with serving(released.root) as server:
        for n in range(200):
            ask(server, f"a{n}")
        assert deliver(server, "a7") == 200
        assert logs.rows(PIPELINE, "labels")["request_id"].to_list() == ["a7"], "answered for when it is on disk"
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(30)
    assert ids() == [f"a{n}" for n in range(200)]
    rows = logs.rows(PIPELINE, "requests")
    assert differences(rows, released.bundles[0]) == [], "from the log, the batch path gives what was served"
    labelled = joined_by_request(rows, logs.rows(PIPELINE, "labels"))
    assert labelled["label"].drop_nulls().to_list() == [7.5]

    answered = []
    with serving(released.root) as server:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            ask(server, f"b{len(answered)}")
            answered.append(time.monotonic())
        server.process.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        server.process.wait(30)
    kept = [i for i in ids() if i.startswith("b")]
    assert kept == [f"b{n}" for n in range(len(kept))], "no gap: what is missing is the newest"
    flushed = sum(at < killed - 1.5 for at in answered)
    assert 0 < flushed <= len(kept) <= len(answered)


def test_a_full_disk_costs_no_answer_and_the_log_is_complete_afterwards(released, monkeypatch):
    disk = released.root / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this process may not mount a small disk: that needs root")
    monkeypatch.setenv("ML_ASSETS_PREDICTIONS", str(disk))
    logs = PredictionLogs(root=str(disk))
    try:
        with serving(released.root) as server:
            (disk / "other").write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize))
            for n in range(50):
                ask(server, f"c{n}")
            until(lambda: "No space left on device" in server.log.read_text())
            assert "predictions go on" in server.log.read_text()
            assert deliver(server, "c7") == 503
            ask(server, "c50")
            (disk / "other").unlink()
            until(lambda: "written again after" in server.log.read_text())
            assert deliver(server, "c7") == 200
            ask(server, "c51")
        assert logs.rows(PIPELINE, "requests")["request_id"].to_list() == [f"c{n}" for n in range(52)]
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
