"""The README's own example, as a stranger would follow it: a new folder, no other file touched."""

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
EXAMPLE = re.compile(r"`ml_assets/defs/transit_hours/([a-z]+\.[a-z]+)`\n```[a-z]+\n(.*?)```", re.DOTALL)


def example_files() -> dict[str, str]:
    return dict(EXAMPLE.findall((REPOSITORY / "README.md").read_text()))


def parcels(rows: int) -> pl.DataFrame:
    rng = np.random.default_rng(7)
    cities = np.array(["Bern", "Lyon", "Oslo"])
    place = rng.integers(0, 3, rows)
    weight = rng.uniform(0.1, 30, rows)
    hours = 20 + 15 * place + 0.5 * weight + rng.exponential(4, rows)
    sent = [datetime(2024, 1, 1) + timedelta(minutes=float(m)) for m in np.sort(rng.uniform(0, 244 * 1440, rows))]
    delivered = [s + timedelta(hours=float(h)) for s, h in zip(sent, hours, strict=True)]
    return pl.DataFrame({"sent_at": sent, "delivered_at": delivered, "city": cities[place], "weight_kg": weight})


def test_the_example_is_short():
    files = example_files()
    assert sorted(files) == ["defs.yaml", "features.py", "schema.py"]
    assert sum(len(text.splitlines()) for text in files.values()) <= 40


@pytest.mark.slow
def test_a_stranger_adds_a_pipeline_over_a_csv(tmp_path):
    for name in ("ml_assets", "data/reference", "pyproject.toml", "dagster.yaml", "workspace.yaml"):
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy(source, tmp_path / name)
    folder = tmp_path / "ml_assets/defs/transit_hours"
    folder.mkdir()
    for name, text in example_files().items():
        (folder / name).write_text(text)
    parcels(8_000).write_csv(folder / "parcels.csv")

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ml_assets.cli",
            "demo",
            "--pipeline",
            "transit_hours",
            "--json",
            str(tmp_path / "s.json"),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "ML_ASSETS_DATA": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "s.json").read_text())
    assert [p["partition"] for p in summary["partitions"]] == [f"2024-0{m}" for m in range(1, 9)]
    assert sum(p["rows_raw"] for p in summary["partitions"]) == 8_000
    assert [t["as_of"] for t in summary["trainings"]] == ["2024-04"], "parcels take as long as ever"
    scored = [p for p in summary["partitions"] if p["metric"] is not None]
    assert len(scored) == 4
    assert all(p["metric"] < 0.6 * p["metric_naive"] for p in scored)
