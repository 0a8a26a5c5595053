"""ml_assets: drift of a partition against a stored reference profile, and verdicts on streams with a known truth."""

import json
from functools import partial
from pathlib import Path

import polars as pl
import pyarrow.parquet  # noqa: F401 - imported by what is measured
from scipy import special, stats  # noqa: F401 - imported by what is measured

from benchmarks.drift_files import CURRENT, FEATURES, PROFILE
from benchmarks.drift_streams import IMPORTANCES, SCORES, SHIFTS, Rows, cells, streams
from ml_assets.core.drift.bins import Column
from ml_assets.core.drift.profile import Profile
from ml_assets.core.drift.profiling import count_partition, profile_of
from ml_assets.core.drift.verdict import DriftReport, judge
from ml_assets.resources.text_counts import count_texts


def cost(folder: Path, out: Path) -> None:
    """From the partition's file and the stored profile to the report."""
    reference = Profile.from_bytes((folder / PROFILE).read_bytes())
    file = folder / CURRENT
    current = count_partition(pl.scan_parquet(file), reference.bins, "now", partial(count_texts, file))
    report = judge(reference, current, dict.fromkeys(FEATURES, 1.0))
    (out / "report.json").write_text(json.dumps(report.to_json()))


def power(folder: Path, out: Path) -> None:
    """P-value of each stream's verdict; the score is its negative, so that more is more drift."""
    found = {
        cell.name: {str(shift): [-(_report(*pair).p or 0.0) for pair in streams(cell, shift)] for shift in SHIFTS}
        for cell in cells(folder)
    }
    (out / SCORES).write_text(json.dumps(found))


def _report(reference: Rows, current: Rows) -> DriftReport:
    columns = [Column(name, "category" if name == "zone" else "number") for name in reference]
    rows, now = pl.DataFrame(reference), pl.DataFrame(current)
    month = pl.Series([f"{i // now.height:02d}" for i in range(rows.height)])
    profile = profile_of(rows, columns, month)
    return judge(profile, count_partition(now.lazy(), profile.bins, "now"), IMPORTANCES)


STEPS = {"cost": cost, "power": power}
