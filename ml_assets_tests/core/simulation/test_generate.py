"""What is simulated is exact and repeatable."""

from datetime import datetime
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml_assets.core.errors import ConfigError
from ml_assets.core.simulation import generate
from ml_assets.core.simulation.calibration import Calibration, load_calibration
from ml_assets.core.simulation.generate import simulate_batches, simulate_month
from ml_assets_tests.core.simulation.trips import DROPOFF, PICKUP, ROWS, TABLE

SCHEMA: dict[str, Any] = {
    "VendorID": pl.Int64,
    PICKUP: pl.Datetime("us"),
    DROPOFF: pl.Datetime("us"),
    "passenger_count": pl.Float64,
    "trip_distance": pl.Float64,
    "RatecodeID": pl.Float64,
    "store_and_fwd_flag": pl.String,
    "PULocationID": pl.Int64,
    "DOLocationID": pl.Int64,
    "payment_type": pl.Int64,
    "fare_amount": pl.Float64,
    "extra": pl.Float64,
    "mta_tax": pl.Float64,
    "tip_amount": pl.Float64,
    "tolls_amount": pl.Float64,
    "improvement_surcharge": pl.Float64,
    "total_amount": pl.Float64,
    "congestion_surcharge": pl.Float64,
}


def test_columns_and_types_are_those_of_the_tlc(months: dict[str, pl.DataFrame]) -> None:
    assert all(trips.schema == pl.Schema(SCHEMA) for trips in months.values())


def test_real_files_have_the_same_columns_and_types(
    months: dict[str, pl.DataFrame], real: dict[str, pl.DataFrame]
) -> None:
    for key in ("2018-01", "2019-02", "2020-06"):
        assert months[key].schema == real[key].schema


@pytest.mark.parametrize(("month", "rows"), [("2018-02", 1), ("2020-04", 7), ("2020-04", 25_013)])
def test_rows_are_exact(calibration: Calibration, month: str, rows: int) -> None:
    assert simulate_month(calibration, month, rows=rows, seed=3).height == rows


def test_rows_are_sorted_by_pickup(months: dict[str, pl.DataFrame]) -> None:
    assert all(trips[PICKUP].is_sorted() for trips in months.values())


def test_same_seed_same_trips_whatever_was_made_before(
    calibration: Calibration, months: dict[str, pl.DataFrame]
) -> None:
    assert_frame_equal(simulate_month(load_calibration(TABLE), "2020-05", rows=ROWS, seed=1), months["2020-05"])
    other = simulate_month(calibration, "2020-05", rows=ROWS, seed=2)
    assert not other["total_amount"].equals(months["2020-05"]["total_amount"])


def test_months_are_independent_draws(months: dict[str, pl.DataFrame]) -> None:
    one, other = months["2018-05"][PICKUP], months["2018-07"][PICKUP]
    assert not (one - datetime(2018, 5, 1)).equals(other - datetime(2018, 7, 1))


def test_batches_are_blocks_of_the_month(calibration: Calibration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "BLOCK_ROWS", 1500)
    batches = list(simulate_batches(calibration, "2020-04", rows=ROWS, seed=1))
    assert len(batches) > 4
    assert max(b.height for b in batches) < 2000
    whole = pl.concat(batches)
    assert whole.height == ROWS
    assert whole[PICKUP].is_sorted()
    assert_frame_equal(whole, simulate_month(calibration, "2020-04", rows=ROWS, seed=1))


@pytest.mark.parametrize(("rows", "seed", "found"), [(0, 1, "rows = 0"), (10, -1, "seed = -1")])
def test_impossible_requests_are_refused_at_the_call(
    calibration: Calibration, rows: int, seed: int, found: str
) -> None:
    with pytest.raises(ConfigError, match=found):
        simulate_batches(calibration, "2018-01", rows=rows, seed=seed)


def test_a_month_that_was_not_calibrated_is_refused(calibration: Calibration) -> None:
    with pytest.raises(ConfigError, match="from 2018-01 to 2020-06"):
        simulate_month(calibration, "2021-01", rows=10, seed=1)
