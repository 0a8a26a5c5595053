"""What is true of a simulated month: what a detector should find in it. Nothing is drawn here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ml_assets.core.simulation.calibration import Calibration
from ml_assets.core.simulation.figures import DIRTY_KINDS, RECORD_COLUMNS, REGIMES
from ml_assets.core.simulation.injections import Injection, combine


@dataclass(frozen=True)
class GroundTruth:
    """Facts of one month.

    Args:
        month: `YYYY-MM`.
        regime: `before the pandemic`, `onset of the pandemic` (both in one month) or `pandemic`.
        speed_factor: median speed over clean rows, relative to the months of the first year, injected
            changes of speed included.
        median_speed_mph: expected median speed over clean rows, injected changes of speed included.
        dirty_shares: expected share of rows by kind of dirt; kinds overlap. `broken` is injected.
        clean_share: measured share of clean rows: 1 to 180 minutes, above 0 and below 100 miles, known zones;
            injections not included.
        schema_changes: what changes in the columns within or at the start of this month.
        injected: the drift that is active in this month.
    """

    month: str
    regime: str
    speed_factor: float
    median_speed_mph: float
    dirty_shares: Mapping[str, float]
    clean_share: float
    schema_changes: tuple[str, ...]
    injected: tuple[Injection, ...]


def ground_truth(calibration: Calibration, month: str, injections: Sequence[Injection] = ()) -> GroundTruth:
    """Return the facts of `month`; ConfigError if it is not calibrated."""
    figures = calibration.month(month)
    effects = combine(injections, month, figures)
    begun = f"{calibration.pandemic_from:%Y-%m}"
    regime = REGIMES[0] if month < begun else REGIMES[1]
    if month == begun and calibration.pandemic_from.day > 1:
        regime = "onset of the pandemic"
    year = [float(calibration.month(key).speed_mph[1]) for key in calibration.months[:12]]
    speed = float(figures.speed_mph[1]) * effects.speed_factor
    shares = dict(zip(DIRTY_KINDS, map(float, figures.dirty), strict=True))
    shares["broken"] = effects.broken_share
    return GroundTruth(
        month=month,
        regime=regime,
        speed_factor=speed / float(np.mean(year)),
        median_speed_mph=speed,
        dirty_shares=shares,
        clean_share=float(figures.clean[0]),
        schema_changes=_schema_changes(calibration, month),
        injected=effects.active,
    )


def _schema_changes(calibration: Calibration, month: str) -> tuple[str, ...]:
    steps = (
        (calibration.surcharge_column_from, "congestion_surcharge: empty before, 0 from here on"),
        (calibration.surcharge_from, "congestion_surcharge: 2.50 in the congestion zone from here on"),
        (calibration.toll_raised_on, "tolls_amount: the usual toll rises from 5.76 to 6.12"),
    )
    changes = [f"{day}: {what}" for day, what in steps if f"{day:%Y-%m}" == month]
    kind = DIRTY_KINDS.index("unrecorded")
    if month == min((key for key in calibration.months if calibration.month(key).dirty[kind]), default=""):
        changes.append(f"{month}-01: from here on some rows lack {', '.join(RECORD_COLUMNS)}")
    return tuple(changes)
