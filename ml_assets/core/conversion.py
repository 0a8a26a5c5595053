"""Values of a source into the dtype that a contract declares, without silent loss.

Only what one value becomes belongs here. Which columns a table has is in `contract`; what happens to a row
whose value can't be converted is in `validation`.

A value that the wanted dtype can't hold becomes null, and the caller tells it from a value that was missing
by comparing with the source. Stricter than a polars cast, which truncates 1.5 to 1, takes 2 for true and 7
for a microsecond of 1970.
"""

from dataclasses import dataclass

import polars as pl

_TRUE = ["true", "t", "yes", "y", "1"]
_FALSE = ["false", "f", "no", "n", "0"]
_UNITS = ["ms", "us", "ns"]
_INSTANTS = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"]


@dataclass(frozen=True)
class Conversion:
    """How a source column becomes a column of the contract.

    Args:
        value: the converted value; null where the source is null or its value does not fit.
        can_fail: whether a value of the source may not fit.
    """

    value: pl.Expr
    can_fail: bool


def conversion(column: str, found: pl.DataType, wanted: pl.DataType) -> Conversion | None:
    """How `column`, of dtype `found`, becomes `wanted`; None where no value could.

    - Numbers: to an integer only if whole and in range (an integer column that turned float converts back);
      to a Boolean only 0 and 1. Integers beyond 2**53 lose digits in a float, as in every float column.
    - Text: numbers as written in ASCII, surrounding blanks ignored; Booleans as true/t/yes/y/1 and
      false/f/no/n/0 in any case; times as ISO 8601 without a zone. Empty text is a value, not null.
    - Times: a time with a zone becomes a naive one by keeping the wall clock of the zone it is in (the source
      is expected in the table's own clock; UTC stays UTC); a naive one becomes zoned by being that zone's
      wall clock, where this is neither ambiguous nor skipped. A time becomes a date only at midnight.
    - Numbers never become times or times numbers: the unit would be a guess. Nested dtypes only to
      themselves.
    """
    value = pl.col(column)
    if found == wanted:
        return Conversion(value, can_fail=False)
    if found == pl.Null:
        return Conversion(value.cast(wanted), can_fail=False)
    if isinstance(found, pl.Categorical | pl.Enum):
        value, found = value.cast(pl.String), pl.String()
        if wanted == pl.String:
            return Conversion(value, can_fail=False)
    if wanted.is_temporal():
        return _to_time(value, found, wanted)
    if found.is_numeric() or found == pl.Boolean:
        return _from_number(value, found, wanted)
    if found == pl.String:
        return _from_text(value, wanted)
    if found.is_temporal() and wanted == pl.String:
        return Conversion(value.cast(pl.String), can_fail=False)
    return None


def _whole(value: pl.Expr, wanted: pl.DataType) -> pl.Expr:
    whole = value.cast(wanted, strict=False)
    return pl.when(whole.cast(pl.Float64) == value).then(whole)


def _from_number(value: pl.Expr, found: pl.DataType, wanted: pl.DataType) -> Conversion | None:
    fractional = found.is_float() or found.is_decimal()
    if wanted.is_integer() and fractional:
        return Conversion(_whole(value.cast(pl.Float64), wanted), can_fail=True)
    if wanted.is_float() or (wanted.is_integer() and found == pl.Boolean):
        return Conversion(value.cast(wanted), can_fail=False)
    if wanted.is_integer() or wanted.is_decimal():
        return Conversion(value.cast(wanted, strict=False), can_fail=True)
    if wanted == pl.Boolean:
        return Conversion(pl.when((value == 0) | (value == 1)).then(value == 1), can_fail=True)
    if isinstance(wanted, pl.String | pl.Categorical | pl.Enum):
        # codes that turned float because some are missing must keep their spelling: 1.0 is "1"
        whole = _whole(value.cast(pl.Float64), pl.Int64()).cast(pl.String)
        text = pl.coalesce(whole, value.cast(pl.String)) if fractional else value.cast(pl.String)
        return Conversion(text.cast(wanted, strict=False), can_fail=isinstance(wanted, pl.Enum))
    return None


def _from_text(value: pl.Expr, wanted: pl.DataType) -> Conversion | None:
    bare = value.str.strip_chars()
    if wanted.is_integer():
        as_float = _whole(bare.cast(pl.Float64, strict=False), wanted)
        return Conversion(pl.coalesce(bare.cast(wanted, strict=False), as_float), can_fail=True)
    if wanted.is_numeric():
        return Conversion(bare.cast(wanted, strict=False), can_fail=True)
    if wanted == pl.Boolean:
        word = bare.str.to_lowercase()
        known = pl.when(word.is_in(_TRUE)).then(True).when(word.is_in(_FALSE)).then(False)
        return Conversion(known, can_fail=True)
    if isinstance(wanted, pl.Categorical | pl.Enum):
        return Conversion(value.cast(wanted, strict=False), can_fail=isinstance(wanted, pl.Enum))
    return None


def _to_time(value: pl.Expr, found: pl.DataType, wanted: pl.DataType) -> Conversion | None:
    if found == pl.String:
        return _text_to_time(value.str.strip_chars(), wanted)
    if isinstance(found, pl.Duration) and isinstance(wanted, pl.Duration):
        return Conversion(value.cast(wanted), can_fail=False)
    if isinstance(found, pl.Date) and isinstance(wanted, pl.Datetime):
        midnight = value.cast(pl.Datetime(wanted.time_unit), strict=False)
        return Conversion(_in_zone(midnight, wanted).value, can_fail=True)
    if not isinstance(found, pl.Datetime):
        return None
    if isinstance(wanted, pl.Date):
        naive = value.dt.replace_time_zone(None)
        return Conversion(pl.when(naive.dt.time() == pl.time(0)).then(naive.dt.date()), can_fail=True)
    if not isinstance(wanted, pl.Datetime):
        return None
    # A finer unit ends earlier: the year 292,278,994 is a time in milliseconds, and none in microseconds.
    finer = _UNITS.index(wanted.time_unit) > _UNITS.index(found.time_unit)
    same_unit = value.cast(pl.Datetime(wanted.time_unit, found.time_zone), strict=False)
    if found.time_zone is None:
        zoned = _in_zone(same_unit, wanted)
        return Conversion(zoned.value, can_fail=finer or zoned.can_fail)
    if wanted.time_zone is None:
        return Conversion(same_unit.dt.replace_time_zone(None), can_fail=finer)
    return Conversion(same_unit.dt.convert_time_zone(wanted.time_zone), can_fail=finer)


def _in_zone(naive: pl.Expr, wanted: pl.Datetime) -> Conversion:
    if wanted.time_zone is None:
        return Conversion(naive, can_fail=False)
    zoned = naive.dt.replace_time_zone(wanted.time_zone, ambiguous="null", non_existent="null")
    return Conversion(zoned, can_fail=True)


def _text_to_time(text: pl.Expr, wanted: pl.DataType) -> Conversion | None:
    date = text.str.strptime(pl.Date, "%Y-%m-%d", strict=False)
    if isinstance(wanted, pl.Date):
        return Conversion(date, can_fail=True)
    if isinstance(wanted, pl.Time):
        return Conversion(text.str.strptime(pl.Time, "%H:%M:%S%.f", strict=False), can_fail=True)
    if not isinstance(wanted, pl.Datetime):
        return None
    naive = pl.Datetime(wanted.time_unit)
    midnight = date.cast(naive, strict=False)
    instants = [text.str.strptime(naive, form, strict=False) for form in _INSTANTS]
    return Conversion(_in_zone(pl.coalesce(*instants, midnight), wanted).value, can_fail=True)
