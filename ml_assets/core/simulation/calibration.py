"""Reading and checking the table of measured figures. What is in it is in `figures`; measuring, in `fit_table`."""

import calendar
import json
from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ml_assets.core.errors import ConfigError
from ml_assets.core.simulation.figures import Dirt, Mix, Money, Month, Speed, Volume, Zones
from ml_assets.core.simulation.sampling import Floats

FORMAT = 1
_CURE = "restore data/reference/taxi_calibration.json, or remake it with scripts/calibrate_simulation.py"
_DATES = ("pandemic_from", "surcharge_column_from", "surcharge_from", "toll_raised_on")


@dataclass(frozen=True, eq=False)
class Calibration:
    """Every measured figure the simulation uses. Treat the arrays as read-only."""

    zones: Zones
    mix: Mix
    speed: Speed
    money: Money
    dirt: Dirt
    volume: Volume
    by_month: Mapping[str, Month]
    pandemic_from: date
    surcharge_column_from: date  # congestion_surcharge is empty before
    surcharge_from: date  # and zero before this day
    toll_raised_on: date

    @property
    def months(self) -> list[str]:
        """Calibrated months as `YYYY-MM`, in order."""
        return sorted(self.by_month)

    def month(self, key: str) -> Month:
        """Return the figures of month `key`; ConfigError if it was not calibrated."""
        if key not in self.by_month:
            raise ConfigError(
                f"simulated month {key}",
                found="no calibrated figures",
                expected=f"a month from {self.months[0]} to {self.months[-1]}, as YYYY-MM",
                cure="choose one of these months",
            )
        return self.by_month[key]


_Section = TypeVar("_Section", Zones, Mix, Speed, Money, Dirt, Volume, Month)


def load_calibration(path: Path | str) -> Calibration:
    """Read the table of measured figures; ConfigError if it is missing or malformed, with every mismatch."""
    try:
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"calibration of the simulated source, {path}", found="no such file", expected="a table", cure=_CURE
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(
            f"calibration of the simulated source, {path}", found=str(error), expected="readable JSON", cure=_CURE
        ) from error
    found: list[str] = []
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        got = raw.get("format") if isinstance(raw, dict) else type(raw).__name__
        found = [f"format {got!r}"]
    else:
        lengths: dict[str, int] = {}

        def section(cls: type[_Section], name: str, holder: Any) -> _Section:
            return _section(cls, name, holder, lengths, found)

        parts = {
            "zones": section(Zones, "zones", raw.get("zones")),
            "mix": section(Mix, "mix", raw.get("mix")),
            "speed": section(Speed, "speed", raw.get("speed")),
            "money": section(Money, "money", raw.get("money")),
            "dirt": section(Dirt, "dirt", raw.get("dirt")),
            "volume": section(Volume, "volume", raw.get("volume")),
        }
        months = _months(raw.get("months"), lengths, found)
        dates = {name: _date(name, raw.get(name), found) for name in _DATES}
        if not found:
            return Calibration(**parts, by_month=months, **dates)
    raise ConfigError(
        f"calibration of the simulated source, {path}",
        found=found,
        expected=f"format {FORMAT} as described in ml_assets/core/simulation/figures.py",
        cure=_CURE,
    )


def _months(raw: Any, lengths: dict[str, int], found: list[str]) -> dict[str, Month]:
    if not isinstance(raw, dict) or not raw:
        found.append("months: none")
        return {}
    months = {}
    for key, holder in raw.items():
        year, _, number = key.partition("-")
        if not (year.isdigit() and number.isdigit() and len(key) == 7 and 1 <= int(number) <= 12):
            found.append(f"months.{key}: not a month YYYY-MM")
            continue
        days = calendar.monthrange(int(year), int(number))[1]
        months[key] = _section(Month, f"months.{key}", holder, lengths | {"d": days}, found)
    return months


def _date(name: str, raw: Any, found: list[str]) -> date:
    try:
        return date.fromisoformat(raw)
    except (TypeError, ValueError):
        found.append(f"{name}: {raw!r} is not a date YYYY-MM-DD")
        return date.min


def _section(cls: type[_Section], name: str, raw: Any, lengths: dict[str, int], found: list[str]) -> _Section:
    holder = raw if isinstance(raw, dict) else {}
    known = {f.name: f for f in fields(cls)}
    found.extend(f"{name}.{key}: unknown" for key in holder if key not in known)
    arrays = {key: _read(f"{name}.{key}", f, holder.get(key), lengths, found) for key, f in known.items()}
    return cls(**arrays)


def _read(name: str, f: "Field[Any]", raw: Any, lengths: dict[str, int], found: list[str]) -> Floats:
    shape = f.metadata["shape"]
    try:
        values: Floats = np.array(raw, dtype=np.float64)
    except (TypeError, ValueError):
        found.append(f"{name}: not a table of numbers")
        return np.zeros(0)
    if raw is None:
        found.append(f"{name}: missing")
    elif values.ndim != len(shape):
        found.append(f"{name}: {values.ndim} dimensions, not {len(shape)}")
    else:
        wanted = [
            lengths.setdefault(size, length) if isinstance(size, str) else size
            for size, length in zip(shape, values.shape, strict=True)
        ]
        if list(values.shape) != wanted:
            found.append(f"{name}: shape {list(values.shape)}, not {wanted}")
        elif not (np.isfinite(values).all() and (values >= f.metadata["least"]).all()):
            found.append(f"{name}: not finite, or below {f.metadata['least']}")
    return values
