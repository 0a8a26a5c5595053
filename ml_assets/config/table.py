"""The attributes of `ml_assets.components.Table`. What a source may say is beside the sources."""

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_assets.config.durations import Length, length
from ml_assets.core.cadences import Cadence
from ml_assets.resources.sources.interface import SourceConfig

if TYPE_CHECKING:
    from ml_assets.core.quality import Limits

Policy = Literal["ignore", "refuse"]
NAME = r"^[a-z][a-z0-9_]*$"
REFERENCE = r"^[A-Za-z_][A-Za-z0-9_]*:[A-Za-z_][A-Za-z0-9_]*$"


class Partitions(BaseModel):
    """How the table's event time is cut."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cadence: Cadence = Field(description="Length of one partition of event time.")
    start: date = Field(description="First day of the first partition.")
    end: date | None = Field(
        default=None,
        description="First day that is not a partition any more; absent: partitions grow with time.",
    )

    @model_validator(mode="after")
    def _start_before_end(self) -> "Partitions":
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"end {self.end} must be later than start {self.start}")
        return self

    @property
    def first(self) -> datetime:
        """First instant of the first partition."""
        return datetime.combine(self.start, time())

    @property
    def last(self) -> datetime | None:
        """First instant after the last partition; None where partitions grow with time."""
        return None if self.end is None else datetime.combine(self.end, time())


class Quality(BaseModel):
    """What a partition may look like: its checks say what exceeds these limits, and a refused change stops it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_quarantined: float = Field(
        default=0.1, ge=0, le=1, description="Largest share of quarantined rows; more is an error of the check volume."
    )
    max_broken: float = Field(
        default=0.05, ge=0, le=1, description="Largest share of rows that break any one rule; more is a warning."
    )
    min_rows: int = Field(default=1, ge=0, description="Fewest rows of a partition; fewer is an error.")
    max_row_change: float = Field(
        default=3.0,
        gt=1,
        description="How many times more, or fewer, rows than the median of recent partitions; beyond is a warning.",
    )
    recent: int = Field(
        default=12,
        ge=1,
        description="Partitions before that trends, the median and changes of the columns are taken from.",
    )
    keys_across: int = Field(
        default=12,
        ge=0,
        description="Partitions before and after in which no key may be found again; 0: each by itself. Keys that "
        "hold the event time can't repeat elsewhere and cost nothing.",
    )
    new_columns: Policy = Field(default="ignore", description="A column of the source appears: ignore or refuse.")
    missing_columns: Policy = Field(
        default="ignore", description="A column of the source that the contract does not require disappears."
    )
    changed_types: Policy = Field(default="ignore", description="A column of the source changes its type.")

    @property
    def limits(self) -> "Limits":
        """As the rules that decide take them."""
        from ml_assets.core.quality import Limits

        return Limits(**self.model_dump(exclude={"recent", "keys_across"}))


class TableConfig(BaseModel):
    """One stream of rows with event times: where it comes from, its contract, its partitions."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: str | None = Field(
        default=None,
        pattern=NAME,
        description="Name of the table, first part of its asset keys; absent: the folder's name.",
    )
    source: SourceConfig = Field(description="Where the rows come from: kind simulated, files or sql.")
    partitions: Partitions = Field(description="How event time is cut into partitions.")
    check_every: Length = Field(
        default="30s",
        description="Shortest time, as 30s or 10m, between two looks at the source for new and changed partitions. A "
        "look asks it about every one of them: a database or an object store is better asked less often.",
    )
    event_time: str = Field(description="Column of the contract that says when the event happened (naive datetime).")
    contract: str = Field(
        alias="schema",
        pattern=REFERENCE,
        description="The pandera model every validated row keeps, as `file:Class` of a file beside this one.",
    )
    quality: Quality = Field(default_factory=Quality, description="Limits on what a partition may look like (level 2).")

    @property
    def check_interval(self) -> timedelta:
        """The time between two looks at the source."""
        return length(self.check_every, "check_every")
