"""Peak memory of the main job and of a large month, each in a process of its own."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).resolve().parents[1]
BOUND_MB = 1500


@pytest.fixture
def run(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY))
    monkeypatch.chdir(REPOSITORY)
    from benchmarks.measure import run

    return run


def test_the_demo(run, tmp_path):
    done = run(["-m", "ml_assets.cli", "demo", "--data", str(tmp_path), "--through", "2019-03"])
    assert "released" in done.printed
    assert done.peak_mb < BOUND_MB


def test_a_month_of_three_million_rows_from_its_file_to_features(run, tmp_path):
    from ml_assets.resources.sources.simulated import write_tlc_files

    list(write_tlc_files(tmp_path, ["2019-03"], 3_000_000, 0))
    done = run(["-m", "benchmarks.data_path", str(tmp_path), "--only", "ml_assets"])
    kept, quarantined = (int(part.split()[0]) for part in done.printed.split(", "))
    assert kept + quarantined == 3_000_000
    assert quarantined > 0
    assert done.peak_mb < BOUND_MB
