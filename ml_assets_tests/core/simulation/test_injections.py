"""Simulated trips drift where they are told to, and nowhere else."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml_assets.core.errors import ConfigError
from ml_assets.core.simulation.calibration import Calibration
from ml_assets.core.simulation.generate import simulate_month
from ml_assets.core.simulation.injections import (
    BrokenRows,
    FeatureShift,
    Injection,
    MissingPassengers,
    SpeedChange,
    ZoneShift,
)
from ml_assets_tests.core.simulation.trips import DROPOFF, PICKUP, ROWS, clean, middle


def changed(one: pl.DataFrame, other: pl.DataFrame) -> set[str]:
    return {name for name in one.columns if not one[name].equals(other[name])}


@pytest.fixture
def inject(calibration: Calibration) -> Callable[..., pl.DataFrame]:
    def made(*injections: Injection, month: str = "2019-06") -> pl.DataFrame:
        return simulate_month(calibration, month, rows=ROWS, seed=1, injections=injections)

    return made


def test_injections_leave_earlier_and_later_months_alone(
    inject: Callable[..., pl.DataFrame], months: dict[str, pl.DataFrame]
) -> None:
    change = SpeedChange(start="2019-06", end="2019-07", factor=0.5)
    assert_frame_equal(inject(change, month="2019-05"), months["2019-05"])
    assert_frame_equal(inject(change, month="2019-08"), months["2019-08"])
    assert not inject(change, month="2019-07").equals(months["2019-07"])


def test_speed_change_is_concept_drift_only(
    inject: Callable[..., pl.DataFrame], months: dict[str, pl.DataFrame]
) -> None:
    slow = inject(SpeedChange(start="2019-06", factor=0.8))
    assert changed(slow, months["2019-06"]) == {DROPOFF, "fare_amount", "tip_amount", "total_amount"}
    ratio = middle(clean(slow)["minutes"]) / middle(clean(months["2019-06"])["minutes"])
    assert ratio == pytest.approx(1 / 0.8, rel=0.02)


@pytest.mark.parametrize(
    ("column", "sigmas"), [("trip_distance", 0.5), ("trip_distance", -0.4), ("passenger_count", 0.7)]
)
def test_feature_shift_moves_the_mean_by_standard_deviations(
    inject: Callable[..., pl.DataFrame], months: dict[str, pl.DataFrame], column: Any, sigmas: float
) -> None:
    shifted, usual = inject(FeatureShift(start="2019-06", column=column, sigmas=sigmas)), months["2019-06"]
    before, after = usual[column].drop_nulls().to_numpy(), shifted[column].drop_nulls().to_numpy()
    moved = (after.mean() - before.mean()) / before.std()
    assert moved == pytest.approx(sigmas, rel=0.06)
    assert shifted["PULocationID"].equals(usual["PULocationID"])


def test_zone_shift_moves_pickups(inject: Callable[..., pl.DataFrame], months: dict[str, pl.DataFrame]) -> None:
    shifted = inject(ZoneShift(start="2019-06", share=0.3, pickup_zones=(7, 8)))
    assert shifted["PULocationID"].is_in([7, 8]).mean() == pytest.approx(0.3, abs=0.02)
    assert months["2019-06"]["PULocationID"].is_in([7, 8]).mean() == pytest.approx(0, abs=0.02)


def test_broken_rows_break(inject: Callable[..., pl.DataFrame], months: dict[str, pl.DataFrame]) -> None:
    batch = inject(BrokenRows(start="2019-06", end="2019-06", share=0.4))
    broken = (pl.col(DROPOFF) < pl.col(PICKUP)) & (pl.col("trip_distance") < 0)
    assert batch.select(broken.mean()).item() == pytest.approx(0.4, abs=0.02)
    assert months["2019-06"].select(broken.sum()).item() == 0


def test_passengers_go_missing(inject: Callable[..., pl.DataFrame], months: dict[str, pl.DataFrame]) -> None:
    assert inject(MissingPassengers(start="2019-06"))["passenger_count"].null_count() == ROWS
    half = inject(MissingPassengers(start="2019-06", share=0.5))
    assert half["passenger_count"].null_count() == pytest.approx(ROWS / 2, rel=0.05)
    assert changed(half, months["2019-06"]) == {"passenger_count"}


@pytest.mark.parametrize(
    ("kind", "arguments", "found"),
    [
        (SpeedChange, {"start": "2019-13", "factor": 1.0}, "start = '2019-13'"),
        (SpeedChange, {"start": "2019-06", "end": "2019-05", "factor": 0.0}, "factor = 0.0"),
        (FeatureShift, {"start": "2019-06", "column": "fare", "sigmas": 1.0}, "column = 'fare'"),
        (FeatureShift, {"start": "2019-06", "column": "trip_distance", "sigmas": float("nan")}, "sigmas = nan"),
        (ZoneShift, {"start": "2019-06", "share": 1.5}, "share = 1.5"),
        (ZoneShift, {"start": "2019-06", "share": 0.5, "pickup_zones": (264,)}, "264"),
        (BrokenRows, {"start": "2019-06", "share": 0.0}, "share = 0.0"),
        (MissingPassengers, {"start": "2019-06", "share": -1.0}, "share = -1.0"),
    ],
)
def test_impossible_injections_are_refused(kind: type[Injection], arguments: Any, found: str) -> None:
    with pytest.raises(ConfigError, match=found):
        kind(**arguments)


def test_a_shift_to_nowhere_is_refused(inject: Callable[..., pl.DataFrame]) -> None:
    with pytest.raises(ConfigError, match="fewer standard deviations"):
        inject(FeatureShift(start="2019-06", column="trip_distance", sigmas=-2))
