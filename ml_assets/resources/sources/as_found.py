"""Columns that stay as the source has them, because not all their values can be converted.

Such a column is judged row by row later (`core.validation`): it must be in a form from which the rules of
`core.conversion` can tell the good values from the bad ones. Converting whole columns is in `converting`.
"""

from typing import TYPE_CHECKING

from ml_assets.resources.sources.column_types import (
    has_unknown_zone,
    is_coarser,
    is_text,
    plain,
    stored_type,
    without_nan,
)

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


def can_be_judged(column: "pa.Array", wanted: "pl.DataType") -> bool:
    """Whether `core.conversion` knows a way from the column's type to the wanted one."""
    import polars as pl
    import pyarrow as pa
    import pyarrow.compute as pc

    from ml_assets.core.conversion import conversion

    try:
        # a value is needed to find out that Arrow does not know a zone
        one = pc.cast(pa.array([0]), column.type) if pa.types.is_timestamp(column.type) else column.slice(0, 0)
        found = pl.Series("", plain(one, stored_type(wanted, column.type))).dtype
    except (pa.ArrowException, pl.exceptions.PolarsError):
        return False
    return conversion("", found, wanted) is not None


def kept_type(found: "pa.DataType", wanted: "pl.DataType") -> "pa.DataType":
    """The type in which a column at fault is stored: its own, or text where that hides the fault.

    A time whose unit is coarser than the wanted one can only be at fault by lying beyond what the wanted unit
    holds, and polars can't convert such a column at all.
    """
    import pyarrow as pa

    target = stored_type(wanted, found)
    if is_coarser(found, target):
        return pa.large_string()
    if has_unknown_zone(found) and not (pa.types.is_timestamp(target) and target.tz is not None):
        return pa.timestamp(found.unit)
    return stored_type(None, found)


def kept(column: "pa.Array", stored: "pa.DataType", wanted: "pl.DataType") -> "pa.Array":
    """The column's values as found, in the type in which it is stored.

    NaN is null where a whole number or a Boolean is wanted, as in a column that converts.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    target = stored_type(wanted, column.type)
    if column.null_count == len(column):
        return pa.nulls(len(column), stored)
    column = without_nan(plain(column, target), target)
    if is_text(stored):
        return as_text(column)
    return column if column.type == stored else pc.cast(column, stored)


def as_text(column: "pa.Array") -> "pa.Array":
    """Values as the text from which `core.conversion` reads them again; zoned times by their wall clock."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        column = pc.local_timestamp(column)
    text = pc.cast(column, pa.large_string())
    if not pa.types.is_floating(column.type):
        return text
    # one spelling of a whole number, whether or not its neighbours made it a float
    is_whole = pc.and_(pc.less(pc.abs(column), float(2**53)), pc.equal(pc.floor(column), column))
    whole = pc.cast(pc.if_else(is_whole, column, None), pa.int64())
    return pc.coalesce(pc.cast(whole, pa.large_string()), text)
