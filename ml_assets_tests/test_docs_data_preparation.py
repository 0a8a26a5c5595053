"""Every example of docs/data-preparation.md, run in the order of the page in a copy of the project."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = (REPOSITORY / "docs/data-preparation.md").read_text()
FILES = dict(re.findall(r"`ml_assets/defs/transit_hours/([a-z]+\.[a-z]+)`:\n\n```[a-z]+\n(.*?)```", PAGE, re.DOTALL))
SNIPPETS = [code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if code not in FILES.values()]
COMMANDS = re.findall(r"^\$ (ml-assets .*)$", PAGE, re.MULTILINE)
ROWS = 1500


def parcels(month: int) -> pl.DataFrame:
    """One month of parcels, as text, with faults of every kind in the first rows."""
    rng = np.random.default_rng(month)
    start, days = datetime(2024, month, 1), 28
    place, weight = rng.integers(0, 3, ROWS), rng.uniform(0.1, 24, ROWS)
    hours = 20 + 15 * place + 0.5 * weight + rng.exponential(4, ROWS)
    sent = [start + timedelta(minutes=float(m)) for m in np.sort(rng.uniform(0, days * 1440, ROWS))]
    frame = pl.DataFrame(
        {
            "parcel_id": [str(month * 100_000 + i) for i in range(ROWS)],
            "sent_at": [s.isoformat(" ", "seconds") for s in sent],
            "delivered_at": [
                (s + timedelta(hours=float(h))).isoformat(" ", "seconds") for s, h in zip(sent, hours, strict=True)
            ],
            "city": np.array(["Bern", "Lyon", "Oslo"])[place],
            "weight": [f"{w:.2f}" for w in weight],
        }
    )
    faults = {"weight": ["-1", "heavy"], "city": [None, None, "Rome"], "parcel_id": [None] * 5 + [str(month * 100_000)]}
    for name, values in faults.items():
        changed = [v if v is not None else old for v, old in zip(values, frame[name], strict=False)]
        frame = frame.with_columns(pl.Series(name, [*changed, *frame[name][len(values) :]]))
    late = frame["delivered_at"].to_list()
    late[3] = "2023-12-31 00:00:00"
    frame = frame.with_columns(pl.Series("delivered_at", late))
    return frame.with_columns(fragile=pl.lit("no")) if month >= 3 else frame


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("project")
    for name in ("ml_assets", "data/reference", "pyproject.toml", "dagster.yaml", "workspace.yaml"):
        source = REPOSITORY / name
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, root / name)
    folder = root / "ml_assets/defs/transit_hours"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    for month in range(1, 7):
        parcels(month).write_csv(folder / f"parcels-2024-{month:02}.csv")
    return root


def run(project: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ml_assets.cli", *command],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project), "ML_ASSETS_DATA": str(project / "data")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_holds_what_is_run_here():
    assert sorted(FILES) == ["defs.yaml", "features.py", "schema.py"]
    assert len(SNIPPETS) == 2
    assert len(COMMANDS) == 3


@pytest.mark.slow(seconds=30)
@pytest.mark.skipif(
    not Path(sys.prefix).with_name(".venv-dvc").exists(), reason="no environment of dvc; `make setup` makes it"
)
def test_the_example_is_trained_explained_and_restored(project):
    run(project, "demo", "--pipeline", "transit_hours", "--json", "summary.json")
    summary = json.loads((project / "summary.json").read_text())
    first = summary["partitions"][0]
    assert first["quarantine_reasons"] == {
        "city_isin": 1, "transit_hours_ge": 1, "unique": 1, "weight_kg_gt": 1, "weight_kg_type": 1,
    }  # fmt: skip
    assert all(p["rows_raw"] == p["rows_validated"] + p["rows_quarantined"] for p in summary["partitions"])
    assert summary["partitions"][2]["schema_changes"] == ["fragile appeared: text"]
    [training] = summary["trainings"]
    assert training["decision"] == "promote"
    assert (project / "data/reports/parcels/dictionary.html").is_file()
    said = [run(project, *shlex.split(c.replace("VERSION", training["bundle"]))[1:]) for c in COMMANDS]
    assert "parcels-2024-01.csv" in said[0]
    assert "4 of 4 partitions restored" in said[1]
    assert len(list((project / "training-data").rglob("*.parquet"))) == 4
    assert "0 of 4 partitions restored" in said[2]


def test_the_snippets_do_as_they_say(project):
    known: dict[str, object] = {}
    exec(compile(FILES["schema.py"], "schema.py", "exec"), known)
    raw = pl.scan_csv(project / "ml_assets/defs/transit_hours/parcels-2024-03.csv", infer_schema=False)
    known["raw"] = raw
    for code in SNIPPETS:
        exec(compile(code, "docs/data-preparation.md", "exec"), known)
    assert known["counts"]["unique"] == 1


TRAIN = """
import sys
from ml_assets.definitions import defs
from ml_assets.resources.home import instance
with instance() as shared:
    job = defs().resolve_job_def("transit_hours_train")
    sys.exit(not job.execute_in_process(instance=shared, partition_key=sys.argv[1], raise_on_error=False).success)
"""


@pytest.mark.slow(seconds=30)
def test_two_trainings_at_once_version_one_after_the_other_and_lose_nothing(project):
    run(project, "demo", "--pipeline", "transit_hours", "--through", "2024-06")
    shutil.rmtree(project / "data/versions")
    shutil.rmtree(project / "data/dvc-remote")
    env = {**os.environ, "PYTHONPATH": str(project), "ML_ASSETS_DATA": str(project / "data")}
    both = [
        subprocess.Popen([sys.executable, "-c", TRAIN, month], cwd=project, env=env, stderr=subprocess.PIPE, text=True)
        for month in ("2024-05", "2024-06")
    ]
    said = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said[0][-3000:] + said[1][-3000:]
    bundles = [
        json.loads((project / f"data/store/transit_hours/candidate/{month}.json").read_text())["bundle"]
        for month in ("2024-05", "2024-06")
    ]
    shutil.rmtree(project / "data/versions")  # a new machine: only the remote is left
    for bundle in bundles:
        shutil.rmtree(project / "data/store/transit_hours/features")
        assert "4 of 4 partitions restored" in run(project, "restore", "--model", bundle)
