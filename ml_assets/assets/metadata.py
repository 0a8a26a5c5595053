"""What every asset tells about itself in the UI: rows, columns, hashes."""

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import dagster as dg

from ml_assets.assets.frames import LazyFrame
from ml_assets.resources.materializations import MADE_FROM
from ml_assets.resources.storage import Staged, Store, record_version

PREVIEW_ROWS = 10
SHOWN_DIGITS = 4
T = TypeVar("T")

if TYPE_CHECKING:
    from ml_assets.core.contract import Contract, ContractColumn


def table_output(
    staged: Staged,
    metadata: dict[str, Any],
    *,
    contract: "Contract | None" = None,
    output_name: str = "result",
) -> dg.Output[Staged]:
    """A staged table with rows, column schema and content hash; its hash is its data version."""
    described = {c.name: c for c in contract.columns} if contract else {}
    columns = [_column(name, str(dtype), described.get(name)) for name, dtype in staged.schema.items()]
    shown = {
        "dagster/row_count": staged.rows,
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "bytes": staged.bytes,
    }
    return versioned(staged, dg.DataVersion(staged.sha256), {**shown, **metadata}, output_name)


def _column(name: str, dtype: str, contract: "ContractColumn | None") -> dg.TableColumn:
    if contract is None:
        return dg.TableColumn(name, dtype)
    told = contract.description + (f" ({contract.unit})" if contract.unit else "")
    return dg.TableColumn(
        name,
        dtype,
        description=told or None,
        constraints=dg.TableColumnConstraints(nullable=contract.nullable, other=list(contract.constraints)),
    )


def made_from(store: Store, read: Mapping[dg.AssetKey, Sequence[str]]) -> dict[str, Any]:
    """Metadata that says from which content of which partitions something was made.

    Args:
        store: where they are.
        read: asset -> partitions.
    """
    told = {key.to_user_string(): {p: store.sha256(key, p) for p in partitions} for key, partitions in read.items()}
    return {MADE_FROM: told}


def record_output(record: dict[str, Any], metadata: dict[str, Any]) -> dg.Output[dict[str, Any]]:
    """A JSON record; the hash of its canonical text is its data version."""
    return versioned(record, record_version(record), metadata)


def versioned(
    value: T, version: dg.DataVersion, metadata: Mapping[str, Any], output_name: str = "result"
) -> dg.Output[T]:
    """An output whose content hash is its data version and is shown."""
    with warnings.catch_warnings():
        # Data versions given by the asset are marked beta in Dagster 1.13; there is no other way to give them.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.Output(
            value,
            output_name=output_name,
            data_version=version,
            metadata={"sha256": version.value, **{name: _readable(told) for name, told in metadata.items()}},
        )


def _readable(value: Any) -> Any:
    return round(value, SHOWN_DIGITS) if isinstance(value, float) else value


def table_of(rows: Sequence[Mapping[str, Any]]) -> dg.MetadataValue:
    """A small table in the UI; the columns are those of the first row."""
    names = list(rows[0]) if rows else []
    records = [dg.TableRecord({name: _cell(row.get(name)) for name in names}) for row in rows]
    types = {name: next((type(r[name]).__name__ for r in rows if r.get(name) is not None), "str") for name in names}
    return dg.MetadataValue.table(
        records=records, schema=dg.TableSchema(columns=[dg.TableColumn(name, types[name]) for name in names])
    )


def frame_preview(frame: LazyFrame, rows: int = PREVIEW_ROWS) -> dg.MetadataValue:
    """The first rows as a table in the UI."""
    import polars as pl

    head = frame.head(rows).collect()
    # Times beyond the year 9999 are none in Python, and polars stops the process's thread over their text.
    times = [name for name, dtype in head.schema.items() if isinstance(dtype, pl.Datetime)]
    head = head.with_columns(pl.when(pl.col(name).dt.year().is_between(1, 9999)).then(pl.col(name)) for name in times)
    records = [
        dg.TableRecord({name: _cell(value) for name, value in row.items()}) for row in head.iter_rows(named=True)
    ]
    schema = dg.TableSchema(columns=[dg.TableColumn(name, str(dtype)) for name, dtype in head.schema.items()])
    return dg.MetadataValue.table(records=records, schema=schema)


def _cell(value: Any) -> str | int | float | bool | None:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
