"""The attributes of `ml_assets.components.Table`. What a source may say is beside the sources."""

from datetime import date, datetime, time

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_assets.config.later import Quality, refuse_unbuilt
from ml_assets.partitions import Cadence
from ml_assets.resources.sources.interface import SourceConfig

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
    event_time: str = Field(description="Column of the contract that says when the event happened (naive datetime).")
    contract: str = Field(
        alias="schema",
        pattern=REFERENCE,
        description="The pandera model every validated row keeps, as `file:Class` of a file beside this one.",
    )
    quality: Quality | None = Field(default=None, description="Limits on what a partition may look like (level 2).")

    @model_validator(mode="after")
    def _only_what_is_built(self) -> "TableConfig":
        refuse_unbuilt(self)
        return self
