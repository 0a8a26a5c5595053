"""Small tables for people on disk or in a bucket: CSV that any tool opens, pandas frames in and out.

What the tables hold is declared in `assets.typed_tables`; tables of rows are Parquet, see `storage`.
"""

from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets.core.errors import PartitionMissing
from ml_assets.resources.whole_files import write_whole

if TYPE_CHECKING:
    from pandas import DataFrame
    from upath import UPath
else:
    DataFrame = Any

SCHEMA = "dagster/column_schema"
"""Metadata of the asset: the columns, with the kinds below as types. What is read back has these."""


def csv_bytes(frame: DataFrame) -> bytes:
    """One text for one content: UTF-8, a header line, missing values empty, floats to the last digit."""
    text: str = frame.to_csv(index=False, lineterminator="\n")
    return text.encode()


def pandas_dtype(kind: str, *, nullable: bool) -> str:
    """The dtype of a column of a kind (`text`, `integer` or `number`)."""
    if kind == "integer":
        return "Int64" if nullable else "int64"
    return "float64" if kind == "number" else "object"


class CsvIOManager(dg.UPathIOManager):
    """pandas frames as CSV files, written whole or not at all."""

    extension = ".csv"

    def dump_to_path(self, context: dg.OutputContext, obj: DataFrame, path: "UPath") -> None:  # noqa: ARG002
        """Write a table."""
        write_whole(path, csv_bytes(obj))

    def load_from_path(self, context: dg.InputContext, path: "UPath") -> DataFrame:
        """A table with the dtypes that its asset declares; an empty cell is missing, also in a column of text.

        Raises:
            PartitionMissing: it is not there.
        """
        import pandas as pd

        if not path.exists():
            raise PartitionMissing(
                f"table {'/'.join(path.parts[-3:])}",
                found=f"no file {path}",
                expected="a stored table",
                cure="materialize the asset that it belongs to first",
            )
        told = context.upstream_output.definition_metadata if context.upstream_output else {}
        schema = getattr(told.get(SCHEMA), "schema", None) or told.get(SCHEMA) or dg.TableSchema(columns=[])
        dtypes = {c.name: pandas_dtype(c.type, nullable=c.constraints.nullable) for c in schema.columns}
        with path.open("rb") as f:
            frame = pd.read_csv(f, dtype=dtypes, keep_default_na=False, na_values=[""], float_precision="round_trip")
        for name, dtype in dtypes.items():
            if dtype == "object":
                frame[name] = frame[name].where(frame[name].notna(), None)
        return frame


class CsvStore(dg.ConfigurableIOManagerFactory):  # type: ignore[type-arg]
    """`CsvIOManager` on a root that is a path or an fsspec URL."""

    root: str

    def create_io_manager(self, context: dg.InitResourceContext) -> CsvIOManager:  # noqa: ARG002
        """The manager, made when a step needs it."""
        from upath import UPath

        return CsvIOManager(UPath(self.root))
