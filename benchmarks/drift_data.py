"""A large partition and a reference as large, 15 features each, for the cost of a drift report."""

import json
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.drift_files import CATEGORIES, CURRENT, FEATURES, NUMBERS, PROFILE, REFERENCE, ROWS
from ml_assets.core.drift.bins import Column
from ml_assets.core.drift.profiling import profile_of
from ml_assets.resources.storage import READ_OFTEN, ROW_GROUP_ROWS

ZONES = 260


def make(folder: Path, rows: int) -> None:
    """Write both files, and the profile of the reference over twelve months: what a training leaves behind."""
    reference = _rows(rows, 0)
    columns = [Column(name, "category" if name in CATEGORIES else "number") for name in FEATURES]
    month = (pl.int_range(rows, eager=True) * 12 // rows).cast(pl.String)
    (folder / PROFILE).write_bytes(profile_of(reference, columns, month).to_bytes())
    (folder / ROWS).write_text(json.dumps(rows))
    for name, frame in ((REFERENCE, reference), (CURRENT, _rows(rows, 1))):
        frame.write_parquet(folder / name, **READ_OFTEN, row_group_size=ROW_GROUP_ROWS)


def _rows(rows: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    draw = [
        lambda: rng.standard_normal(rows), lambda: rng.lognormal(1, 1, rows), lambda: rng.exponential(10, rows),
        lambda: np.round(rng.lognormal(0.5, 0.9, rows), 2), lambda: rng.integers(0, 24, rows).astype(float),
        lambda: np.where(rng.random(rows) < 0.05, np.nan, rng.normal(12, 3, rows)),
    ]  # fmt: skip
    numbers = {name: draw[i % len(draw)]() for i, name in enumerate(NUMBERS)}
    texts = {
        "zone": np.minimum(rng.geometric(0.02, rows), ZONES), "vendor": rng.integers(1, 4, rows),
        "payment": rng.integers(1, 7, rows),
    }  # fmt: skip
    frame = pl.DataFrame({**numbers, **texts}).with_columns(pl.col(NUMBERS).fill_nan(None))
    return frame.with_columns(pl.col(CATEGORIES).cast(pl.String)).select(FEATURES)
