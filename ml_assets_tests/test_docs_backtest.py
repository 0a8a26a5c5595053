"""The examples of the backtest in docs/continuous-training.md: its command is there, its snippet prints a record."""

import os
import re
import subprocess
import sys
from pathlib import Path

from ml_assets.resources.home import prepare_home

REPOSITORY = Path(__file__).resolve().parents[1]
SECTION = (REPOSITORY / "docs/continuous-training.md").read_text().split("## How to choose thresholds")[1]
[SNIPPET] = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
[COMMAND] = re.findall(r"^\$ (DAGSTER_HOME.*)$", SECTION, re.MULTILINE)
FEATURES = ("raw", "validated", "quarantine", "features")


def test_the_command_runs_the_job(tmp_path, monkeypatch):
    monkeypatch.setenv("ML_ASSETS_DATA", str(tmp_path / "data"))
    prepare_home()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", COMMAND],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    # Without any partition it says so; that it runs to its end is proven where the asset is tested.
    assert done.returncode != 0
    assert "0 partitions of features are stored" in done.stderr + done.stdout


def test_the_snippet_prints_every_policy(world, tmp_path, monkeypatch, capsys):
    replay = world.replay("2018-05", pipeline=world.changed(world.pipeline, name="trip_duration", retraining={}))
    jobs = {name: replay.definitions.resolve_job_def(f"trip_duration_{name}") for name in ("follow", "backtest")}
    for window in replay.windows:
        selection = [replay.pipeline.key(noun) for noun in FEATURES]
        jobs["follow"].execute_in_process(instance=world.instance, partition_key=window.key, asset_selection=selection)
    jobs["backtest"].execute_in_process(instance=world.instance)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec(compile(SNIPPET, "docs/continuous-training.md", "exec"), {})
    said, *policies = capsys.readouterr().out.splitlines()
    assert "error" in said
    assert [line[:14].strip() for line in policies] == [
        "never", "every 1 on 3", "every 1 on 1", "every 3 on 3", "every 3 on 1", "drift", "performance", "configured",
    ]  # fmt: skip
