"""The demo killed without warning, in its own process, and given again: nothing half-done, nothing lost."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from ml_assets.core.releases import DECIDED, RELEASED, check_chain
from ml_assets.core.retraining.recorded import requests
from ml_assets.resources.bundle_files import load
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.sources.simulated import months_between, write_tlc_files

pytestmark = pytest.mark.slow(seconds=140)
MONTHS = months_between("2018-01", "2019-01")
ROWS = 2500


def command(data: Path) -> list[str]:
    files = data.parent / "files"
    if not files.exists():
        list(write_tlc_files(files, MONTHS, ROWS, 0))
    ml_assets = str(Path(sys.executable).with_name("ml-assets"))
    return [ml_assets, "demo", "--source", str(files), "--data", str(data), "--json", str(data / "s.json")]


def without_seconds(summary: Path) -> dict:
    told = json.loads(summary.read_text())
    told.pop("seconds")
    for training in told["trainings"]:
        training.pop("seconds")
    return told


def test_killed_again_and_again_it_ends_as_if_it_had_never_been(tmp_path):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    for folder in (undisturbed, killed):
        folder.mkdir()
    subprocess.run(command(undisturbed), check=True, capture_output=True, env=os.environ)

    kills = 0
    for seconds in (5.0, 6.5, 8.0, 9.5):
        process = subprocess.Popen(command(killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert kills >= 2
    last = subprocess.run(command(killed), check=False, capture_output=True, text=True)
    assert last.returncode == 0, last.stderr

    assert without_seconds(killed / "s.json") == without_seconds(undisturbed / "s.json")
    events = Ledger(url=f"sqlite:///{killed / 'ledger.db'}").events("trip_duration")
    check_chain(events)
    assert [e.kind for e in events if e.kind in (DECIDED, RELEASED)] == [DECIDED, RELEASED]
    assert len(requests(events)) == 1, "asked for once, however often it was killed"
    for bundle in (killed / "models").glob("[0-9a-f]*"):
        load(killed / "models", bundle.name)
    with dg.DagsterInstance.from_config(str(killed / "dagster")) as instance:
        left = [r.status for r in instance.get_runs() if not r.is_finished]
        assert left == []
    again = subprocess.run(command(killed), check=True, capture_output=True, text=True)
    assert "Nothing new" in again.stdout
