"""Reading and checking the table of measured figures. What it holds: `figures`; measuring it: `fit_table`."""

import calendar
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import numpy as np

from ml_assets.core.errors import ConfigError
from ml_assets.core.simulation.figures import Dirt, Mix, Money, Month, Shape, Speed, Volume, Zones
from ml_assets.core.simulation.sampling import Floats

FORMAT = 1
_CURE = "restore data/reference/taxi_calibration.json, or remake it with scripts/calibrate_simulation.py"
_EXPECTED = f"format {FORMAT} as described in ml_assets/core/simulation/figures.py"


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
    thing = f"calibration of the simulated source, {path}"
    try:
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(thing, found="no such file", expected="a table", cure=_CURE) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(thing, found=str(error), expected="readable JSON", cure=_CURE) from error
    return calibration_from(raw, thing)


def calibration_from(raw: Any, thing: str) -> Calibration:
    """Check the parsed JSON `raw`; ConfigError about `thing` with every mismatch."""
    found: list[str] = []
    holder = raw if isinstance(raw, dict) else {}
    if holder.get("format") != FORMAT:
        found.append(f"format {holder.get('format')!r}")
        raise ConfigError(thing, found=found, expected=_EXPECTED, cure=_CURE)
    lengths: dict[str, int] = {}

    def section(cls: type[_Section], name: str) -> _Section:
        return _section(cls, name, holder.get(name), lengths, found)

    def day(name: str) -> date:
        return _date(name, holder.get(name), found)

    calibration = Calibration(
        zones=section(Zones, "zones"),
        mix=section(Mix, "mix"),
        speed=section(Speed, "speed"),
        money=section(Money, "money"),
        dirt=section(Dirt, "dirt"),
        volume=section(Volume, "volume"),
        by_month=_months(holder.get("months"), lengths, found),
        pandemic_from=day("pandemic_from"),
        surcharge_column_from=day("surcharge_column_from"),
        surcharge_from=day("surcharge_from"),
        toll_raised_on=day("toll_raised_on"),
    )
    if found:
        raise ConfigError(thing, found=found, expected=_EXPECTED, cure=_CURE)
    return calibration


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
    shapes = {key: hint.__metadata__[0] for key, hint in get_type_hints(cls, include_extras=True).items()}
    found.extend(f"{name}.{key}: unknown" for key in holder if key not in shapes)
    return cls(**{key: _read(f"{name}.{key}", s, holder.get(key), lengths, found) for key, s in shapes.items()})


def _read(name: str, shape: Shape, raw: Any, lengths: dict[str, int], found: list[str]) -> Floats:
    try:
        values: Floats = np.array(raw, dtype=np.float64)
    except (TypeError, ValueError):
        found.append(f"{name}: not a table of numbers")
        return np.zeros(0)
    if raw is None:
        found.append(f"{name}: missing")
    elif values.ndim != len(shape.sizes):
        found.append(f"{name}: {values.ndim} dimensions, not {len(shape.sizes)}")
    else:
        wanted = [
            lengths.setdefault(size, length) if isinstance(size, str) else size
            for size, length in zip(shape.sizes, values.shape, strict=True)
        ]
        if list(values.shape) != wanted:
            found.append(f"{name}: shape {list(values.shape)}, not {wanted}")
        elif not (np.isfinite(values).all() and (values >= shape.least).all()):
            found.append(f"{name}: not finite, or below {shape.least}")
    return values
