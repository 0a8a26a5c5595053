"""One column into one type: Arrow's checked cast where it succeeds, `core.conversion` where it doesn't.

Of what types columns are is in `column_types`; columns that can't be converted are in `as_found`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ml_assets.resources.sources.column_types import (
    is_coarser,
    is_text,
    plain,
    stored_type,
    ticks_per_day,
    without_nan,
)

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

Text = Literal["any", "times", "none"]
"""What text may become: any value (CSV), times only (SQLite), or only other text and Booleans."""


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


def converted(
    column: "pa.Array", wanted: "pl.DataType | None", *, text: Text, datetime_format: str | None = None
) -> Converted:
    """The column as `wanted` (None: as it is), null where it was null.

    Args:
        column: the values, (rows,).
        wanted: the dtype they should have.
        text: what text may become.
        datetime_format: how text writes times; None: ISO 8601.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    target = stored_type(wanted, column.type)
    if column.type == target:
        return Converted(column)
    if column.null_count == len(column):
        return Converted(pa.nulls(len(column), target))
    try:
        column = plain(column, target)
    except pa.ArrowInvalid:
        return Converted(column, str(column.type))
    if wanted is None or column.type == target or (is_text(target) and is_text(column.type)):
        return Converted(pc.cast(column, target))
    times = pa.types.is_temporal(target)
    if is_text(column.type) and not (text == "any" or (text == "times" and times) or pa.types.is_boolean(target)):
        return _first_of(column)
    formatted = datetime_format if times and is_text(column.type) else None
    refused = False
    if formatted is None and _arrow_is_exact(column, target):
        try:
            return Converted(_cast(column, target))
        except pa.ArrowInvalid:
            refused = True
    return _value_by_value(column, wanted, target, formatted, refused=refused)


def read_by_rules(column: "pa.Array", wanted: "pl.DataType", datetime_format: str | None) -> "pl.Series | None":
    """The values by `core.conversion`, null where one does not fit; None if there is no way between the dtypes."""
    import polars as pl

    from ml_assets.core.conversion import conversion

    series = pl.Series("", column)
    if datetime_format is not None:
        return series.str.strip_chars().str.strptime(wanted, datetime_format, strict=False)  # type: ignore[arg-type]
    how = conversion("", series.dtype, wanted)
    return None if how is None else series.to_frame().select(how.value.alias("")).to_series()


def _value_by_value(
    column: "pa.Array", wanted: "pl.DataType", target: "pa.DataType", datetime_format: str | None, *, refused: bool
) -> Converted:
    import polars as pl
    import pyarrow.compute as pc

    numbers = without_nan(column, target)
    if numbers.null_count > column.null_count:
        return converted(numbers, wanted, text="none")
    beyond = _first_beyond(column, target)
    if beyond is not None:
        return _fault_at(column, beyond)
    series = read_by_rules(column, pl.String() if is_text(target) else wanted, datetime_format)
    if series is None:
        return Converted(column, str(pl.Series("", column.slice(0, 0)).dtype))
    if series.null_count() > column.null_count:
        lost = pc.and_(series.is_null().to_arrow(), column.is_valid())
        return _fault_at(column, lost.index(True).as_py())
    if refused and not is_text(column.type):  # the rules would lose digits that Arrow keeps or refuses
        return _fault_at(column, _first_refused(column, target))
    return Converted(pc.cast(series.to_arrow(), target))


def _cast(column: "pa.Array", target: "pa.DataType") -> "pa.Array":
    """Arrow's checked cast; whole numbers may be written as text with a fraction of zero."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return pc.cast(column, target)
    except pa.ArrowInvalid:
        if not (is_text(column.type) and pa.types.is_integer(target)):
            raise
        numbers = pc.cast(column, pa.float64())
        bounds = pc.min_max(numbers).as_py()
        if not -(2**53) < bounds["min"] <= bounds["max"] < 2**53:  # digits may be lost on the way
            raise
        return pc.cast(numbers, target)


def _first_of(column: "pa.Array") -> Converted:
    """A fault of the type, with the first value so that it can be recognised."""
    return _fault_at(column, column.is_valid().index(True).as_py())


def _fault_at(column: "pa.Array", position: int) -> Converted:
    import polars as pl
    import pyarrow as pa
    import pyarrow.compute as pc

    one = column.slice(position, 1)
    dtype = pl.Series("", column.slice(0, 0)).dtype
    # numbers and times not by Python, which has no times beyond the year 9999
    value = repr(one[0].as_py()) if is_text(column.type) else pc.cast(one, pa.string())[0].as_py()
    return Converted(column, f"{dtype} {value}", position)


def _first_beyond(column: "pa.Array", target: "pa.DataType") -> int | None:
    """Position of the first time that lies beyond what the target's unit holds; polars would panic at it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not is_coarser(column.type, target):
        return None
    ticks = column.view(pa.int32() if pa.types.is_date32(column.type) else pa.int64())
    most = (2**63 - 1) // (ticks_per_day(target) // ticks_per_day(column.type))
    ticks = pc.cast(ticks, pa.int64())
    first = pc.or_(pc.greater(ticks, most), pc.less(ticks, -most)).index(True).as_py()
    return None if first < 0 else int(first)


def _first_refused(column: "pa.Array", target: "pa.DataType") -> int:
    """Position of the first value that Arrow's checked cast refuses, of a column in which there is one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            pc.cast(column.slice(low, middle - low), target)
        except pa.ArrowInvalid:
            high = middle
        else:
            low = middle
    return low


def _arrow_is_exact(column: "pa.Array", wanted: "pa.DataType") -> bool:
    """Whether Arrow's checked cast means what `core.conversion` means, or refuses."""
    import pyarrow.types as pt

    found = column.type
    to_number = pt.is_integer(wanted) or pt.is_floating(wanted)
    naive = pt.is_timestamp(wanted) and wanted.tz is None
    if is_text(found):
        return (to_number or naive or pt.is_date(wanted)) and not _arrow_reads_more(column, wanted)
    if pt.is_timestamp(found) and pt.is_timestamp(wanted):
        return bool(found.tz == wanted.tz)
    if pt.is_duration(found) and pt.is_duration(wanted):
        return True
    if pt.is_date(found):
        return naive
    narrowing = pt.is_floating(found) and pt.is_floating(wanted) and wanted.bit_width < found.bit_width
    return to_number and (pt.is_integer(found) or pt.is_floating(found) or pt.is_decimal(found)) and not narrowing


def _arrow_reads_more(text: "pa.Array", wanted: "pa.DataType") -> bool:
    """Whether the text may hold what Arrow reads and `core.conversion` doesn't: `0x1f`, `2019-03-01 12`."""
    import numpy as np
    import pyarrow.compute as pc
    import pyarrow.types as pt

    if pt.is_integer(wanted):
        content = text.buffers()[2]
        # digits, signs and points all lie below letters, so one look at the bytes clears nearly every column
        return content is not None and np.frombuffer(content, np.uint8).max(initial=0) >= ord("X")
    hour_only = len("2019-03-01 12")
    return pt.is_timestamp(wanted) and pc.any(pc.equal(pc.binary_length(text), hour_only)).as_py() is True
