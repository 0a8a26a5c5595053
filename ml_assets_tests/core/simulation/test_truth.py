"""What a detector should find in simulated trips."""

import pytest

from ml_assets.core.simulation.calibration import Calibration
from ml_assets.core.simulation.injections import (
    BrokenRows,
    SpeedChange,
)
from ml_assets.core.simulation.truth import ground_truth


def test_ground_truth_names_regimes_and_changes(calibration: Calibration) -> None:
    regimes = {key: ground_truth(calibration, key).regime for key in calibration.months}
    assert [key for key, regime in regimes.items() if regime == "pandemic"] == ["2020-04", "2020-05", "2020-06"]
    assert regimes["2020-03"] == "onset of the pandemic"
    changing = [key for key in calibration.months if ground_truth(calibration, key).schema_changes]
    assert changing == ["2019-01", "2019-02", "2019-03", "2019-07"]


def test_ground_truth_knows_speed_and_injections(calibration: Calibration) -> None:
    injections = (SpeedChange(start="2020-04", factor=0.5), BrokenRows(start="2020-04", share=0.2))
    usual = ground_truth(calibration, "2020-04")
    assert usual.speed_factor == pytest.approx(1.54, abs=0.03)
    truth = ground_truth(calibration, "2020-04", injections)
    assert truth.speed_factor == pytest.approx(usual.speed_factor / 2)
    assert truth.dirty_shares["broken"] == pytest.approx(0.2)
    assert truth.injected == injections
    assert ground_truth(calibration, "2020-03", injections).injected == ()
