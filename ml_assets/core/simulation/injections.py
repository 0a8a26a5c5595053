"""Known drift to add to simulated trips, typed and validated. It acts in `trips`, `dirt` and `records`."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from ml_assets.core.errors import ConfigError
from ml_assets.core.simulation.figures import ZONES, Month

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_LEAST_FACTOR = 0.1


@dataclass(frozen=True, kw_only=True)
class Injection:
    """Drift from month `start` on, through month `end` (both `YYYY-MM`, inclusive) or for good.

    Raises:
        ConfigError: a value that means nothing.
    """

    start: str
    end: str | None = None
    kind: ClassVar[str] = "nothing"

    def __post_init__(self) -> None:
        wrong = [f"start = {self.start!r}"] if not _MONTH.fullmatch(self.start) else []
        if self.end is not None and (not _MONTH.fullmatch(self.end) or self.end < self.start):
            wrong.append(f"end = {self.end!r}")
        wrong += self._mismatches()
        if wrong:
            raise ConfigError(
                type(self).__name__,
                found=wrong,
                expected="months YYYY-MM with start <= end" + self._expectation(),
                cure="correct the injected drift",
            )

    def active(self, month: str) -> bool:
        """Whether the drift is in month `YYYY-MM`."""
        return self.start <= month and (self.end is None or month <= self.end)

    def _mismatches(self) -> list[str]:
        return []

    def _expectation(self) -> str:
        return ""


@dataclass(frozen=True, kw_only=True)
class FeatureShift(Injection):
    """Covariate shift: the mean of `column` moves by `sigmas` standard deviations of its month.

    Distances are stretched (minutes follow), passengers are added or taken away, down to zero.
    """

    column: Literal["trip_distance", "passenger_count"]
    sigmas: float
    kind: ClassVar[str] = "covariate shift"

    def _mismatches(self) -> list[str]:
        wrong = [] if self.column in ("trip_distance", "passenger_count") else [f"column = {self.column!r}"]
        return wrong if -3 <= self.sigmas <= 3 else [*wrong, f"sigmas = {self.sigmas}"]

    def _expectation(self) -> str:
        return ", column trip_distance or passenger_count, -3 <= sigmas <= 3"


@dataclass(frozen=True, kw_only=True)
class ZoneShift(Injection):
    """Covariate shift: a `share` of trips starts in one of `pickup_zones` (1 … 263), equally likely.

    The default zones are the airports JFK and LaGuardia.
    """

    share: float
    pickup_zones: tuple[int, ...] = (132, 138)
    kind: ClassVar[str] = "covariate shift"

    def _mismatches(self) -> list[str]:
        wrong = [] if 0 < self.share <= 1 else [f"share = {self.share}"]
        zones_known = self.pickup_zones and all(1 <= zone <= ZONES for zone in self.pickup_zones)
        return wrong if zones_known else [*wrong, f"pickup_zones = {self.pickup_zones}"]

    def _expectation(self) -> str:
        return f", 0 < share <= 1, zones 1 to {ZONES}"


@dataclass(frozen=True, kw_only=True)
class SpeedChange(Injection):
    """Concept drift: every trip is `factor` times as fast; no input changes."""

    factor: float
    kind: ClassVar[str] = "concept drift"

    def _mismatches(self) -> list[str]:
        return [] if 0.2 <= self.factor <= 5 else [f"factor = {self.factor}"]

    def _expectation(self) -> str:
        return ", 0.2 <= factor <= 5"


@dataclass(frozen=True, kw_only=True)
class BrokenRows(Injection):
    """A poisoned batch: a `share` of rows has its drop-off before its pick-up and a negative distance."""

    share: float
    kind: ClassVar[str] = "broken rows"

    def _mismatches(self) -> list[str]:
        return [] if 0 < self.share <= 1 else [f"share = {self.share}"]

    def _expectation(self) -> str:
        return ", 0 < share <= 1"


@dataclass(frozen=True, kw_only=True)
class MissingPassengers(Injection):
    """`passenger_count` goes missing in a `share` of rows, by default in all."""

    share: float = 1.0
    kind: ClassVar[str] = "missing values"

    def _mismatches(self) -> list[str]:
        return [] if 0 < self.share <= 1 else [f"share = {self.share}"]

    def _expectation(self) -> str:
        return ", 0 < share <= 1"


@dataclass(frozen=True)
class Effects:
    """What the active injections do to one month, combined in the order given."""

    miles_factor: float = 1.0
    passengers_added: float = 0.0
    zone_shifts: tuple[ZoneShift, ...] = ()
    speed_factor: float = 1.0
    broken_share: float = 0.0
    passengers_missing: float = 0.0
    active: tuple[Injection, ...] = field(default=())


def combine(injections: Sequence[Injection], key: str, month: Month) -> Effects:
    """Return the effects on the month named `key` with figures `month`.

    Raises:
        ConfigError: a shift so far down that distances would vanish.
    """
    active = tuple(i for i in injections if i.active(key))
    miles = added = 0.0
    speed = 1.0
    for injection in active:
        if isinstance(injection, FeatureShift) and injection.column == "trip_distance":
            miles += injection.sigmas * float(month.miles[4] / month.miles[3])
        elif isinstance(injection, FeatureShift):
            added += injection.sigmas * float(month.passenger_count[1])
        elif isinstance(injection, SpeedChange):
            speed *= injection.factor
    if 1 + miles < _LEAST_FACTOR:
        raise ConfigError(
            f"injected shift of trip_distance in {key}",
            found=f"the mean would become {1 + miles:.2f} times what it is",
            expected=f"{_LEAST_FACTOR} times or more",
            cure="shift by fewer standard deviations",
        )
    return Effects(
        miles_factor=1 + miles,
        passengers_added=added,
        zone_shifts=tuple(i for i in active if isinstance(i, ZoneShift)),
        speed_factor=speed,
        broken_share=either(i.share for i in active if isinstance(i, BrokenRows)),
        passengers_missing=either(i.share for i in active if isinstance(i, MissingPassengers)),
        active=active,
    )


def either(shares: Iterable[float]) -> float:
    """Return the share that at least one of several independent events hits.

    >>> either([0.5, 0.5])
    0.75
    """
    untouched = 1.0
    for share in shares:
        untouched *= 1 - share
    return 1 - untouched
