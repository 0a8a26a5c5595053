"""Types of columns: as a configuration names them, as a source has them, as they are stored.

What the values become is in `converting` and `as_found`; which columns there should be is in `conforming`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


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
    """The Arrow type in which a column is written: of the wanted dtype, or as found.

    As found means without dictionaries, and of times in a zone that polars does not know, in UTC.
    """
    import polars as pl
    import pyarrow as pa

    if wanted is None:
        if pa.types.is_dictionary(found):
            found = found.value_type
        if has_unknown_zone(found):
            return pa.timestamp(found.unit, "UTC")
        return pa.large_string() if is_text(found) else found
    if isinstance(wanted, pl.Categorical | pl.Enum):
        return pa.large_string()
    return pl.Series([], dtype=wanted).to_arrow().type


def plain(column: "pa.Array", target: "pa.DataType") -> "pa.Array":
    """The column without a dictionary, its times in a zone that polars knows: in UTC, or in none.

    Args:
        column: the values, (rows,).
        target: what they will become; where it has no zone, times keep the wall clock of theirs.

    Raises:
        pa.ArrowInvalid: the zone is nowhere known.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if has_unknown_zone(column.type):
        is_zoned = pa.types.is_timestamp(target) and target.tz is not None
        column = pc.cast(column, stored_type(None, column.type)) if is_zoned else pc.local_timestamp(column)
    return column


def without_nan(column: "pa.Array", target: "pa.DataType") -> "pa.Array":
    """NaN in place of a whole number or a Boolean is how tools whose integers can't be null write a missing one."""
    import pyarrow.compute as pc
    import pyarrow.types as pt

    if not (pt.is_floating(column.type) and (pt.is_integer(target) or pt.is_boolean(target))):
        return column
    return pc.if_else(pc.is_nan(column), None, column)


def has_unknown_zone(found: "pa.DataType") -> bool:
    """Whether it is a time in a zone that polars can't read, such as `+05:30`: a file with one can't be scanned."""
    import polars as pl
    import pyarrow as pa

    if not pa.types.is_timestamp(found) or found.tz in (None, "UTC"):
        return False
    try:
        pl.Series("", pa.array([], found))
    except pl.exceptions.ComputeError:
        return True
    return False


def is_text(dtype: "pa.DataType") -> bool:
    """Whether it is text, however stored."""
    import pyarrow as pa

    types = pa.types
    return bool(types.is_string(dtype) or types.is_large_string(dtype) or types.is_string_view(dtype))


def ticks_per_day(dtype: "pa.DataType") -> int:
    """How many of its units a date or timestamp counts in a day."""
    import pyarrow as pa

    if pa.types.is_date32(dtype):
        return 1
    unit = "ms" if pa.types.is_date64(dtype) else dtype.unit
    return 86_400 * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]


def is_coarser(found: "pa.DataType", target: "pa.DataType") -> bool:
    """Whether both are points in time, and found ones count in greater units, so that some lie beyond the target."""
    import pyarrow.types as pt

    are_times = (pt.is_timestamp(found) or pt.is_date(found)) and pt.is_timestamp(target)
    return bool(are_times and ticks_per_day(found) < ticks_per_day(target))
