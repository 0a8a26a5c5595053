"""Simulated months of the shipped calibration, and the real ones where they are."""

from pathlib import Path

import polars as pl
import pytest

from ml_assets.core.simulation.calibration import Calibration, load_calibration
from ml_assets.core.simulation.generate import simulate_month
from ml_assets_tests.core.simulation.trips import ROWS, TABLE


@pytest.fixture(scope="session")
def calibration() -> Calibration:
    return load_calibration(TABLE)


@pytest.fixture(scope="session")
def months(calibration: Calibration) -> dict[str, pl.DataFrame]:
    return {key: simulate_month(calibration, key, rows=ROWS, seed=1) for key in calibration.months}


@pytest.fixture(scope="session")
def real(tlc: Path) -> dict[str, pl.DataFrame]:
    files = sorted(tlc.glob("yellow_tripdata_*.parquet"))
    return {path.stem[-7:]: pl.read_parquet(path) for path in files}
