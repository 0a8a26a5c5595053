"""The `dg` commands on a copy of the repository: scaffold, check, list."""

import json
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


# Each command has a process of its own, as always; what `dg` imports for more than a second is imported once for all.
FORKS = """
import json, os, sys
import alembic.command, dagster, sqlalchemy.dialects.sqlite
from dagster_dg_cli.cli import cli, main

cli.list_commands(None)  # imports them all
for line in sys.stdin:
    folder, environment, arguments = json.loads(line)
    if not (child := os.fork()):
        said = os.open(os.path.join(folder, "said"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.chdir(folder)
        os.environ.update(environment)
        sys.path.insert(0, folder)
        sys.argv = ["dg", *arguments]
        sys.exit(main())
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def dg():
    """Runs a `dg` command in a folder: its exit code, and what it said."""
    command = [sys.executable, "-c", FORKS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def run(folder: Path, *arguments: str) -> tuple[int, str]:
            environment = {"PYTHONPATH": str(folder), "ML_ASSETS_DATA": str(folder / "data"), "COLUMNS": "200"}
            print(json.dumps([str(folder), environment, arguments]), file=process.stdin, flush=True)
            return int(process.stdout.readline()), (folder / "said").read_text()

        yield run
        process.stdin.close()


def test_a_scaffolded_table_and_pipeline_load(copy, dg):
    assert dg(copy, "scaffold", "defs", "ml_assets.components.Table", "sales")[0] == 0
    assert dg(copy, "scaffold", "defs", "ml_assets.components.Pipeline", "sale_amount")[0] == 0
    yaml = copy / "ml_assets/defs/sale_amount/defs.yaml"
    yaml.write_text(yaml.read_text().replace("name_of_the_table", "sales"))
    code, said = dg(copy, "check", "yaml")
    assert code == 0, said
    code, listed = dg(copy, "list", "defs")
    assert code == 0, listed
    assert "sale_amount/champion" in listed
    assert "sales/raw" in listed


def test_a_misspelt_key_is_shown_with_file_and_line(copy, dg):
    yaml = copy / "ml_assets/defs/trips/defs.yaml"
    yaml.write_text(yaml.read_text().replace("event_time:", "evnt_time:"))
    code, said = dg(copy, "check", "yaml")
    assert code != 0
    assert "trips/defs.yaml:" in said
    assert "evnt_time" in said
