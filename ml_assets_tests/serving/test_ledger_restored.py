"""The runbook's way to restore an SQLite ledger, its commands as they stand there, under a server that runs on."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ml_assets_tests.serving.running import PIPELINE, REPOSITORY, Clients, Released, serving, until

pytestmark = pytest.mark.slow

PAGE = (REPOSITORY / "docs/model-deployment.md").read_text()
COMMANDS = re.findall(r"^ *\$ (.+)$", PAGE.partition("### Restoring the ledger")[2], re.MULTILINE)


def carry_out(command: str, released: Released) -> None:
    """Run a command of the runbook beside the data folder."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    beside = released.root.parent
    subprocess.run(command, shell=True, check=True, cwd=beside, env={**os.environ, "PATH": path}, capture_output=True)


def test_a_ledger_is_backed_up_and_restored(tmp_path):
    (tmp_path / "data").mkdir()
    released = Released(tmp_path / "data")
    released.make_live(released.version(0))
    [back_up, put_away, restore] = COMMANDS
    with serving(released.root) as server, Clients(server.port, 1, pause=0.01) as clients:
        released.make_live(released.version(1))
        until(lambda: server.version() == released.version(1))
        carry_out(back_up, released)
        carry_out(put_away, released)
        until(lambda: server.metric("ml_assets_ledger_up") == 0)
        carry_out(restore, released)
        until(lambda: server.metric("ml_assets_ledger_up") == 1)
        released.make_live(released.version(2))
        until(lambda: server.version() == released.version(2), 10)
        assert server.metric("ml_assets_ledger_followed") == 1, "the backup has all that was followed"

        carry_out(put_away.replace("ledger-before", "ledger-again"), released)
        carry_out(restore, released)
        until(lambda: server.metric("ml_assets_ledger_followed") == 0)
        assert len(released.ledger.events(PIPELINE)) == 2
        assert server.version() == released.version(2)
        assert server.ask("GET", "/health/ready")[0] == 200
    assert clients.errors == []
    with serving(released.root) as server:
        assert server.version() == released.version(1)
        assert server.metric("ml_assets_ledger_followed") == 1
