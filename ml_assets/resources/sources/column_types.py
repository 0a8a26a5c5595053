"""One column into one type: Arrow's checked cast where it succeeds, `core.conversion` where it doesn't.

Which columns there should be is in `conforming`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


@dataclass(frozen=True)
class Converted:
    """A converted column, or why it can't be converted.

    Args:
        values: the column; as it was, if there is a fault.
        fault: the type or value found; None if all went well.
        position: of the first value at fault; None if it is the type.
    """

    values: "pa.Array"
    fault: str | None = None
    position: int | None = None


def named(name: str) -> "pl.DataType":
    """The polars dtype of a name in a configuration."""
    import polars as pl

    special = {
        "bool": pl.Boolean(),
        "datetime": pl.Datetime("us"),
        "string": pl.String(),
        "uint8": pl.UInt8(),
        "uint16": pl.UInt16(),
        "uint32": pl.UInt32(),
        "uint64": pl.UInt64(),
    }
    return special[name] if name in special else getattr(pl, name.capitalize())()


def stored_type(wanted: "pl.DataType | None", found: "pa.DataType") -> "pa.DataType":
    """The Arrow type in which a column is written: of the wanted dtype, or as found without dictionaries."""
    import polars as pl
    import pyarrow as pa

    if wanted is None:
        if pa.types.is_dictionary(found):
            found = found.value_type
        text = pa.types.is_string(found) or pa.types.is_string_view(found)
        return pa.large_string() if text else found
    if isinstance(wanted, pl.Categorical | pl.Enum):
        return pa.large_string()
    return pl.Series([], dtype=wanted).to_arrow().type


def converted(
    column: "pa.Array",
    wanted: "pl.DataType | None",
    *,
    text: Literal["any", "times", "none"],
    datetime_format: str | None = None,
) -> Converted:
    """The column as `wanted` (None: as it is), null where it was null.

    Args:
        column: the values, (rows,).
        wanted: the dtype they should have.
        text: what text may become: any value, times only, or only other text and Booleans.
        datetime_format: how text writes times; None: ISO 8601.
    """
    import polars as pl
    import pyarrow as pa
    import pyarrow.compute as pc

    target = stored_type(wanted, column.type)
    if column.type == target:
        return Converted(column)
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if wanted is None or (_is_text(target) and _is_text(column.type)):
        return Converted(pc.cast(column, target))
    if column.null_count == len(column):
        return Converted(pa.nulls(len(column), target))
    times = pa.types.is_temporal(target)
    if _is_text(column.type) and not (text == "any" or (text == "times" and times) or pa.types.is_boolean(target)):
        return _first_of(column)
    formatted = datetime_format if times and _is_text(column.type) else None
    arrow_says = ""
    if formatted is None and _arrow_is_exact(column.type, target):
        try:
            return Converted(_cast(column, target))
        except pa.ArrowInvalid as error:
            arrow_says = str(error)
    result = _by_rules(column, pl.String() if target == pa.large_string() else wanted, formatted)
    if result.fault is None and arrow_says and not _is_text(column.type):
        return Converted(column, arrow_says)
    return result if result.fault is not None else Converted(pc.cast(result.values, target))


def _cast(column: "pa.Array", target: "pa.DataType") -> "pa.Array":
    """Arrow's checked cast; whole numbers may be written as text with a fraction of zero."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return pc.cast(column, target)
    except pa.ArrowInvalid:
        if not (_is_text(column.type) and pa.types.is_integer(target)):
            raise
        numbers = pc.cast(column, pa.float64())
        bounds = pc.min_max(numbers).as_py()
        if not -(2**53) < bounds["min"] <= bounds["max"] < 2**53:  # digits may be lost on the way
            raise
        return pc.cast(numbers, target)


def _by_rules(column: "pa.Array", wanted: "pl.DataType", datetime_format: str | None) -> Converted:
    import polars as pl

    from ml_assets.core.conversion import conversion

    series = pl.Series("", column)
    if datetime_format is not None:
        values = series.str.strip_chars().str.strptime(wanted, datetime_format, strict=False)  # type: ignore[arg-type]
    else:
        how = conversion("", series.dtype, wanted)
        if how is None:
            return Converted(column, f"{series.dtype}")
        values = series.to_frame().select(how.value.alias("")).to_series()
    lost = (values.is_null() & series.is_not_null()).arg_true()
    if len(lost):
        position = int(lost[0])
        return Converted(column, f"{series.dtype} {series[position]!r}", position)
    return Converted(values.to_arrow())


def _first_of(column: "pa.Array") -> Converted:
    """A fault of the type, with the first value so that it can be recognised."""
    position = column.is_valid().index(True).as_py()
    return Converted(column, f"String {column[position].as_py()!r}", position)


def _is_text(dtype: "pa.DataType") -> bool:
    import pyarrow as pa

    types = pa.types
    return bool(types.is_string(dtype) or types.is_large_string(dtype) or types.is_string_view(dtype))


def _arrow_is_exact(found: "pa.DataType", wanted: "pa.DataType") -> bool:
    """Whether Arrow's checked cast means what `core.conversion` means, or refuses."""
    import pyarrow.types as pt

    to_number = pt.is_integer(wanted) or pt.is_floating(wanted)
    naive = pt.is_timestamp(wanted) and wanted.tz is None
    if _is_text(found):
        return to_number or naive or pt.is_date(wanted)
    if pt.is_timestamp(found) and pt.is_timestamp(wanted):
        return bool(found.tz == wanted.tz)
    if pt.is_duration(found) and pt.is_duration(wanted):
        return True
    if pt.is_date(found):
        return naive
    narrowing = pt.is_floating(found) and pt.is_floating(wanted) and wanted.bit_width < found.bit_width
    return to_number and (pt.is_integer(found) or pt.is_floating(found) or pt.is_decimal(found)) and not narrowing
