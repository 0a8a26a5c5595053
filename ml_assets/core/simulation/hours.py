"""How an hour of the week is binned, by the calibration and by the simulation alike. No data here."""

import numpy as np
import numpy.typing as npt

HOURS = np.arange(168)
"""Hour of the week, 0 = Monday 00:00."""

_HOUR = HOURS % 24
_WEEKEND = HOURS // 24 >= 5

DAY_HOURS = 48
"""Working day or weekend, times hour of the day: the clock of the mix of trips."""
DAY_HOUR: npt.NDArray[np.intp] = _WEEKEND * 24 + _HOUR

TIME_BANDS = 6
"""Night, morning, midday, afternoon, evening, daytime of a weekend: how distance turns into minutes."""
TIME_BAND: npt.NDArray[np.intp] = np.where(
    _WEEKEND & (_HOUR >= 8) & (_HOUR < 20),
    5,
    np.select([_HOUR < 6, _HOUR < 10, _HOUR < 16, _HOUR < 20], [0, 1, 2, 3], 4),
)

BUSY: npt.NDArray[np.intp] = (~_WEEKEND & (_HOUR >= 7) & (_HOUR < 19)).astype(np.intp)
"""1 in the working hours of a working day: when zones differ most in speed."""

NIGHT_EXTRA: npt.NDArray[np.bool_] = (_HOUR >= 20) | (_HOUR < 6)
RUSH_EXTRA: npt.NDArray[np.bool_] = ~_WEEKEND & (_HOUR >= 16) & (_HOUR < 20)
"""When the meter adds 0.50 and 1.00 dollars (TLC data dictionary, `extra`)."""
