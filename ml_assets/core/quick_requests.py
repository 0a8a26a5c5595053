"""Records that keep every rule, told from what was judged before: most values of most fields have been seen.

A table's columns hold few values each, but for times and measurements; asking polars the same of each of them, request
after request, is most of what a request costs. Here the contract's own conversions and rules are asked once per value
of a field, and what they say is remembered; rules of several fields are asked each time. Only good records are
answered for. What is wrong with all others is told by `requests`.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from ml_assets.core.contract import ContractColumn
from ml_assets.core.json_values import JSON_DTYPES, by_type, column_of
from ml_assets.core.requests import RequestRules
from ml_assets.core.rules import Rule

REMEMBERED = 4096
"""Values of a field that are remembered; then it begins anew."""

LONGEST = 64
"""Letters of a text that is remembered."""

_UNKNOWN = object()
_INSTANT = (19, 26)
"""Letters of an instant to the second, or to the microsecond, as ISO 8601 writes it."""


class QuickRecords:
    """Good records as rows. Any number of threads may ask at once.

    Args:
        rules: what a record is held to.
    """

    def __init__(self, rules: RequestRules) -> None:
        self._schema = {c.name: c.dtype for c in rules.fields}
        self._optional = frozenset(c.name for c in rules.fields if not c.required)
        self._computed = rules.computed
        asked = [rule for rule in rules.rules if rule.keeps is not None]
        own = {c.name: [rule for rule in asked if _reads_only(rule, c.name)] for c in rules.fields}
        alone = {rule.name for those in own.values() for rule in those}
        self._fields = tuple(_Field(rules, c, own[c.name]) for c in rules.fields)
        self._together = _keeping(rule for rule in asked if rule.name not in alone)
        # What Python has no exact value for is not remembered.
        self._fits = all(_is_exact_in_python(c.dtype) for c in rules.fields)

    def row(self, record: Any) -> pl.DataFrame | None:
        """The row that `RequestRules.judge` gives for a record without faults; None: judge it to know."""
        if not self._fits or type(record) is not dict or not record.keys() <= self._schema.keys():
            return None
        values: dict[str, Any] = {}
        unknown = []
        for one in self._fields:
            given = record.get(one.name)
            if given is None and one.name not in record and one.name not in self._optional:
                return None
            values[one.name] = value = one.known(given)
            if value is _UNKNOWN:
                unknown.append(one)
        if unknown and not _learn(unknown, record, values):
            return None
        row = pl.from_dicts([values], schema=self._schema)
        for c, derived in self._computed:
            row = row.with_columns(derived.cast(c.dtype).alias(c.name))
        return row if not self._together or all(row.select_seq(self._together).row(0)) else None


class _Field:
    """One field, and what its values become, as far as they keep its rules."""

    def __init__(self, rules: RequestRules, column: ContractColumn, own: Sequence[Rule]) -> None:
        self.name, self.dtype = column.name, column.dtype
        self.conversions = rules.conversions_of(column.name)
        self.keeps = _keeping(own)
        self._known: dict[tuple[type, Any], Any] = {}
        # A time that only has to be there needs no asking where it is written so that all read it alike.
        self._is_plain_time = column.dtype == pl.Datetime("us") and all(rule.kind == "not_null" for rule in own)

    def known(self, given: Any) -> Any:
        """What a value becomes, if that is known."""
        kind = type(given)
        if kind is str and self._is_plain_time and len(given) in _INSTANT and _is_instant(given):
            try:
                return datetime.fromisoformat(given)
            except ValueError:
                return _UNKNOWN
        if kind is float and given == 0:
            # Zero has a sign that a dictionary does not see.
            return _UNKNOWN
        try:
            return self._known.get((kind, given), _UNKNOWN)
        except TypeError:
            return _UNKNOWN

    def remember(self, given: Any, value: Any) -> None:
        """Keep what a good value became."""
        if isinstance(given, str) and len(given) > LONGEST:
            return
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[type(given), given] = value


def _learn(unknown: Sequence[_Field], record: dict[str, Any], values: dict[str, Any]) -> bool:
    """Ask what the values of some fields become, all at once; false if one of them can't be, or breaks a rule."""
    columns, read = [], []
    for one in unknown:
        given = record.get(one.name)
        if given is None:
            columns.append(pl.Series(one.name, [None], dtype=one.dtype))
            read.append(pl.col(one.name))
            continue
        parts = by_type([given])
        kind = next(iter(parts), None)
        conversion = one.conversions.get(kind) if kind is not None else None
        if kind is None or conversion is None:
            return False
        columns.append(pl.Series(column_of(one.name, kind), parts[kind], dtype=JSON_DTYPES[kind]))
        read.append(conversion.value.alias(one.name))
    row = pl.DataFrame(columns).select_seq(read)
    keeps = [expr for one in unknown for expr in one.keeps]
    if keeps and not all(row.select_seq(keeps).row(0)):
        return False
    try:
        became = row.row(0, named=True)
    except (ValueError, OverflowError):
        # Times beyond the year 9999 are none to Python.
        return False
    for one in unknown:
        given, value = record.get(one.name), became[one.name]
        if value is None and given is not None:
            return False
        values[one.name] = value
        one.remember(given, value)
    return True


def _keeping(rules: Iterable[Rule]) -> tuple[pl.Expr, ...]:
    return tuple(rule.keeps.alias(rule.name) for rule in rules if rule.keeps is not None)


def _reads_only(rule: Rule, column: str) -> bool:
    return rule.columns == (column,) and rule.keeps is not None and set(rule.keeps.meta.root_names()) == {column}


def _is_exact_in_python(dtype: pl.DataType) -> bool:
    plain = dtype.is_integer() or dtype.is_float() or dtype in (pl.Boolean, pl.String, pl.Date)
    return plain or dtype == pl.Datetime("us") or isinstance(dtype, pl.Enum)


def _is_instant(text: str) -> bool:
    """`2019-03-05T12:30:00`, with or without `.000001`: the one way of writing it that leaves no question."""
    digits = text[:4] + text[5:7] + text[8:10] + text[11:13] + text[14:16] + text[17:19] + text[20:]
    signs = text[4] + text[7] + text[10] + text[13] + text[16] + text[19:20]
    return digits.isascii() and digits.isdecimal() and signs in ("--T::", "--T::.") and text[11:13] < "24"
