"""What a defs.yaml may say to add known drift to simulated trips.

What the drift does is in `core.simulation.injections`.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from ml_assets.core.simulation.injections import Injection

MONTH = r"^\d{4}-(0[1-9]|1[0-2])$"


class _Drift(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    start: str = Field(pattern=MONTH, description="First month with the drift, YYYY-MM.")
    end: str | None = Field(
        default=None, pattern=MONTH, description="Last month with it, YYYY-MM, inclusive; absent: for good."
    )

    def build(self) -> "Injection":
        """The injection that `simulate_batches` takes.

        Raises:
            ConfigError: values that mean nothing together.
        """
        from ml_assets.core.simulation import injections

        kind: type[Injection] = getattr(injections, type(self).__name__.removesuffix("Config"))
        return kind(**self.model_dump(exclude={"kind"}))


class FeatureShiftConfig(_Drift):
    """Covariate shift: the mean of a column moves."""

    kind: Literal["feature_shift"]
    column: Literal["trip_distance", "passenger_count"] = Field(description="Column that moves.")
    sigmas: float = Field(ge=-3, le=3, description="By how much, in standard deviations of its month.")


class ZoneShiftConfig(_Drift):
    """Covariate shift: trips start elsewhere."""

    kind: Literal["zone_shift"]
    share: float = Field(gt=0, le=1, description="Share of trips that start in `pickup_zones`, 0 to 1.")
    pickup_zones: tuple[int, ...] = Field(
        default=(132, 138),
        description="TLC zones 1 to 263 to start in; default: the airports JFK, LaGuardia.",
    )


class SpeedChangeConfig(_Drift):
    """Concept drift: the same trips take another time."""

    kind: Literal["speed_change"]
    factor: float = Field(ge=0.2, le=5, description="How many times as fast every trip is.")


class BrokenRowsConfig(_Drift):
    """A poisoned batch: drop-off before pick-up, negative distance."""

    kind: Literal["broken_rows"]
    share: float = Field(gt=0, le=1, description="Share of rows that are broken, 0 to 1.")


class MissingPassengersConfig(_Drift):
    """`passenger_count` goes missing."""

    kind: Literal["missing_passengers"]
    share: float = Field(default=1.0, gt=0, le=1, description="Share of rows without it, 0 to 1.")


InjectionConfig = Annotated[
    FeatureShiftConfig | ZoneShiftConfig | SpeedChangeConfig | BrokenRowsConfig | MissingPassengersConfig,
    Field(discriminator="kind"),
]
