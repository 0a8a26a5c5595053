"""Peak memory of large months, each step in a process of its own; `.ci/run` looks at that of the main job."""

import json
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow(seconds=150)
REPOSITORY = Path(__file__).resolve().parents[1]
BOUND_MB = 1500
BOUND_OF_THIRTY_MILLION_ROWS_MB = 4000
BOUND_OF_A_LOOK_MB = 700
STEPS = ("ingest", "validate", "features of the pipeline")


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """An empty folder of this repository's processes, gone afterwards: what is made here has gigabytes."""
    monkeypatch.syspath_prepend(str(REPOSITORY))
    monkeypatch.chdir(REPOSITORY)
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize(
    ("rows", "broken", "bound_mb"),
    [
        (3_000_000, 0.0, BOUND_MB),
        (3_000_000, 0.5, BOUND_MB),
        (30_000_000, 0.0, BOUND_OF_THIRTY_MILLION_ROWS_MB),
    ],
    ids=["three million rows", "three million rows, half of them broken", "thirty million rows"],
)
def test_a_month_from_its_file_to_features(rows, broken, bound_mb, folder):
    import polars as pl

    from benchmarks import files
    from benchmarks.sections import Contender, measure
    from ml_assets.resources.sources.injections import BrokenRowsConfig
    from ml_assets.resources.sources.simulated import write_tlc_files

    injections = [BrokenRowsConfig(kind="broken_rows", share=broken, start=files.MONTH)] if broken else []
    list(write_tlc_files(folder, [files.MONTH], rows, 0, injections=injections))
    done = {step: measure(Contender("ours", step), folder, folder) for step in STEPS}
    print(", ".join(f"{step}: {one.wall:.1f} s, {one.peak_mb:.0f} MB" for step, one in done.items()))  # noqa: T201
    names = (files.RAW, files.VALIDATED, files.QUARANTINE, files.FEATURES)
    raw, valid, quarantined, features = (
        pl.scan_parquet(folder / name).select(pl.len()).collect().item() for name in names
    )
    assert raw == rows
    assert valid + quarantined == rows
    assert quarantined > max(broken - 0.01, 0) * rows
    assert features == valid
    assert {step: one.peak_mb for step, one in done.items() if one.peak_mb >= bound_mb} == {}


def test_a_look_at_a_rollout_takes_no_more_memory_for_ever_more_requests(folder):
    """The log as one table takes 1,200 MB for a million requests."""
    from benchmarks import looks
    from benchmarks.measure import run

    million = 1_000_000
    looks.write(folder, 0, million)
    first, second = (run(["-m", "benchmarks.looks", str(folder), how]) for how in looks.HOWS[1:3])
    print(", ".join(f"{one.printed}: {one.peak_mb:.0f} MB" for one in (first, second)))  # noqa: T201
    (cpu, tried, labels), (cpu_again, *again) = (json.loads(one.printed) for one in (first, second))
    assert tried == million
    assert 100_000 < labels < 200_000
    assert again == [tried, labels]
    assert cpu_again < cpu / 2, "what was read is not read again"
    assert max(first.peak_mb, second.peak_mb) < BOUND_OF_A_LOOK_MB
