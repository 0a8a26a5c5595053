"""The `dg` commands on a copy of the repository: scaffold, check, list."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def copy(tmp_path):
    for name in ("ml_assets", "pyproject.toml", "dagster.yaml", "workspace.yaml"):
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    return tmp_path


def dg(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("dg")), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "ML_ASSETS_DATA": str(folder / "data"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_scaffolded_table_and_pipeline_load(copy):
    assert dg(copy, "scaffold", "defs", "ml_assets.components.Table", "sales").returncode == 0
    assert dg(copy, "scaffold", "defs", "ml_assets.components.Pipeline", "sale_amount").returncode == 0
    yaml = copy / "ml_assets/defs/sale_amount/defs.yaml"
    yaml.write_text(yaml.read_text().replace("name_of_the_table", "sales"))
    checked = dg(copy, "check", "yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    listed = dg(copy, "list", "defs")
    assert listed.returncode == 0, listed.stderr
    assert "sale_amount/champion" in listed.stdout
    assert "sales/raw" in listed.stdout


def test_a_misspelt_key_is_shown_with_file_and_line(copy):
    yaml = copy / "ml_assets/defs/trips/defs.yaml"
    yaml.write_text(yaml.read_text().replace("event_time:", "evnt_time:"))
    checked = dg(copy, "check", "yaml")
    assert checked.returncode != 0
    said = checked.stdout + checked.stderr
    assert "trips/defs.yaml:" in said
    assert "evnt_time" in said
