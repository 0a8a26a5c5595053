"""What the `source:` of a defs.yaml may say, by kind. What each does is in the module of its kind."""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_serializer, field_validator, model_validator

from ml_assets.resources.sources.injections import InjectionConfig
from ml_assets.resources.sources.masking import mask_url
from ml_assets.resources.sources.templates import UNITS, placeholders

DtypeName = Literal[
    "bool",
    "string",
    "date",
    "datetime",
    "time",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]
"""Polars dtypes by name; `datetime` is naive, in microseconds."""

FileFormat = Literal["parquet", "csv"]
EXTENSIONS: dict[str, FileFormat] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".tsv": "csv",
    ".tsv.gz": "csv",
}

_BOUND = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")


class FilesSourceConfig(BaseModel):
    """Parquet or CSV files, local or remote: one or more for each partition, or one for all."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kind: Literal["files"] = Field(description="Rows are in files.")
    path: str = Field(
        min_length=1,
        description="Path (relative to the repository), glob, or URL (s3://, https://, …), with "
        "{year}, {month}, "
        "{day}, {hour} of the partition's start, zero-padded, where its files differ by time.",
    )
    format: FileFormat | None = Field(default=None, description="parquet or csv; absent: by the path's extension.")
    rename: dict[str, str] = Field(
        default_factory=dict,
        description="Name in the file -> name from here on. Several old names may become the same new "
        "one if no "
        "file has more than one of them.",
    )
    types: dict[str, DtypeName] = Field(
        default_factory=dict,
        description="Column (after renaming) -> dtype by name, for columns beyond the schema, or "
        "where a column is "
        "to be read as something else first. CSV columns named neither here nor in the schema stay text.",
    )
    event_time: str | None = Field(
        default=None,
        description="Column (after renaming) by which rows are filtered to the partition's window; "
        "needed when "
        "several partitions share a file. Rows without a value in it belong to no partition, and are counted in "
        "a warning; a value that is no time is an error, since nothing tells which partition it belongs to.",
    )
    null_values: tuple[str, ...] = Field(
        default=(), description="CSV: further texts that mean null, besides the empty unquoted one."
    )
    separator: str | None = Field(
        default=None,
        min_length=1,
        max_length=1,
        description="CSV: one character; absent: tab for .tsv, else comma.",
    )
    datetime_format: str | None = Field(
        default=None,
        description="CSV: strftime format of its dates and times; absent: ISO 8601 without a zone.",
    )

    @field_serializer("path")
    def _without_secrets(self, path: str) -> str:
        return mask_url(path)

    @model_validator(mode="after")
    def _meaningful(self) -> "FilesSourceConfig":
        if "{{" in self.path:
            return self  # `{{ env.NAME }}` is filled in later, and the filled-in path judged then
        unknown = placeholders(self.path) - set(UNITS)
        if unknown:
            raise ValueError(f"path: unknown placeholders {sorted(unknown)}; known are {sorted(UNITS)}")
        if not placeholders(self.path) and self.event_time is None:
            raise ValueError(
                "path contains no {year}, {month}, {day} or {hour}, so all partitions share its files: "
                "add placeholders, or set event_time to the column that tells which partition a row "
                "belongs to"
            )
        of_csv = {
            "null_values": self.null_values,
            "separator": self.separator,
            "datetime_format": self.datetime_format,
        }
        idle = [name for name, value in of_csv.items() if value]
        if self.file_format == "parquet" and idle:
            raise ValueError(f"{', '.join(idle)}: for CSV only, and the files are Parquet; remove it")
        return self

    @property
    def file_format(self) -> FileFormat:
        """The format of the files, said or by extension."""
        if self.format is not None:
            return self.format
        name = self.path.partition("?")[0].lower()
        for extension, known in EXTENSIONS.items():
            if name.endswith(extension):
                return known
        raise ValueError(f"path: no format is known for {mask_url(self.path)!r}; set format to parquet or csv")

    @property
    def column_separator(self) -> str:
        """The character between two values of a CSV row."""
        return self.separator or ("\t" if ".tsv" in self.path.lower() else ",")


class SqlSourceConfig(BaseModel):
    """The rows of a query, in any database SQLAlchemy has a driver for."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kind: Literal["sql"] = Field(description="Rows are in a database.")
    url: str = Field(
        min_length=1,
        repr=False,
        description="SQLAlchemy URL. ${NAME} in it, or env:NAME in place of it, is read from the environment.",
    )
    query: str = Field(
        description="SELECT of one partition's rows, with :start (inclusive) and :end (exclusive) of "
        "event time, and an "
        "ORDER BY that leaves no two rows in doubt.",
    )
    batch_rows: int = Field(default=50_000, ge=1, le=1_000_000, description="Rows held in memory at a time.")
    fingerprint_query: str | None = Field(
        default=None,
        description="SELECT of one small row that changes whenever the partition's rows may have, "
        "with :start and :end, "
        "e.g. count(*), max(updated_at); absent: the number of rows, which misses changes in place.",
    )

    @field_serializer("url")
    def _without_secrets(self, url: str) -> str:
        return mask_url(url)

    @field_validator("query", "fingerprint_query")
    @classmethod
    def _bounded(cls, query: str | None) -> str | None:
        bound = set(_BOUND.findall(query)) if query is not None else {"start", "end"}
        if bound != {"start", "end"}:
            raise ValueError(
                f"has the parameters {sorted(':' + b for b in bound)}, expected :end and :start; "
                "write e.g. WHERE pickup_at >= :start AND pickup_at < :end, and CAST(:start AS …) for :start::…"
            )
        return query

    @field_validator("query")
    @classmethod
    def _ordered(cls, query: str) -> str:
        if not re.search(r"(?i)\border\s+by\b", query):
            raise ValueError(
                "has no ORDER BY: the same rows could come in another order, and everything "
                "downstream would look "
                "changed; order by event time and a key that is unique"
            )
        return query.strip().rstrip(";")


class SimulatedSourceConfig(BaseModel):
    """Yellow-taxi trips made up from figures measured on the real ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["simulated"] = Field(description="Rows are made up.")
    rows: int = Field(
        default=10_000, ge=1, description="Trips a month; a partition shorter than a month has its share."
    )
    seed: int = Field(default=0, ge=0, description="Same seed, same trips.")
    injections: tuple[InjectionConfig, ...] = Field(default=(), description="Known drift to add, applied in order.")
    calibration: str | None = Field(
        default=None, description="JSON of measured figures; absent: data/reference/taxi_calibration.json."
    )


SourceConfig = Annotated[FilesSourceConfig | SqlSourceConfig | SimulatedSourceConfig, Field(discriminator="kind")]
