"""What every asset tells about itself in the UI: rows, columns, hashes."""

import warnings
from typing import TYPE_CHECKING, Any, TypeVar

import dagster as dg

from ml_assets.assets.frames import LazyFrame
from ml_assets.resources.storage import Staged, record_version

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
    return _versioned(staged, dg.DataVersion(staged.sha256), {**shown, **metadata}, output_name)


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


def record_output(record: dict[str, Any], metadata: dict[str, Any]) -> dg.Output[dict[str, Any]]:
    """A JSON record; the hash of its canonical text is its data version."""
    return _versioned(record, record_version(record), metadata)


def _versioned(
    value: T, version: dg.DataVersion, metadata: dict[str, Any], output_name: str = "result"
) -> dg.Output[T]:
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


def frame_preview(frame: LazyFrame, rows: int = PREVIEW_ROWS) -> dg.MetadataValue:
    """The first rows as a table in the UI."""
    head = frame.head(rows).collect()
    records = [
        dg.TableRecord({name: _cell(value) for name, value in row.items()}) for row in head.iter_rows(named=True)
    ]
    schema = dg.TableSchema(columns=[dg.TableColumn(name, str(dtype)) for name, dtype in head.schema.items()])
    return dg.MetadataValue.table(records=records, schema=schema)


def _cell(value: Any) -> str | int | float | bool | None:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
