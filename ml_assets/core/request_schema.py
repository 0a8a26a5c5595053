"""What a request with raw fields is, as JSON Schema: types, units, ranges and an example, out of the contract.

A schema is as wide as the rules: what it excludes, they refuse; what it can't say (a check of several fields, a time's
form), they refuse, too.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from ml_assets.core.contract import ContractColumn
from ml_assets.core.json_values import conversions, in_words
from ml_assets.core.requests import RequestRules

Schema = dict[str, Any]

_NAMES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def record_schema(rules: RequestRules) -> Schema:
    """The schema of one record."""
    example = example_of(rules)
    return {
        "type": "object",
        "properties": {c.name: field_schema(c) for c in rules.fields},
        "required": [c.name for c in rules.fields if c.required],
        "additionalProperties": False,
        **({} if example is None else {"example": example}),
    }


def field_schema(column: ContractColumn) -> Schema:
    """The schema of one field."""
    own = _own_type(column.dtype)
    others = {_NAMES[kind] for kind in conversions(column.name, column.dtype)} - {own}
    if own == "number":
        others -= {"integer"}
    elif own == "integer":
        # A whole number with a point is an integer to JSON Schema, as it is to the rules.
        others -= {"number"}
    also = sorted(others) + (["null"] if column.nullable else [])
    said: Schema = {"type": own, **column.limits}
    schema: Schema = {"anyOf": [said, {"type": also}]} if also else said
    words = "; ".join([in_words(column), *column.constraints])
    return {"description": f"{column.description} ({words})" if column.description else words, **schema}


def example_of(rules: RequestRules) -> Mapping[str, Any] | None:
    """A record that keeps the rules; None where guessing does not find one."""
    found = {c.name: _value(c) for c in rules.fields}
    return None if any(rules.faults([found])[0]) else found


def _own_type(dtype: pl.DataType) -> str:
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_integer():
        return "integer"
    return "number" if dtype.is_numeric() else "string"


def _value(column: ContractColumn) -> Any:
    limits, dtype = column.limits, column.dtype
    if "enum" in limits:
        return limits["enum"][0]
    if isinstance(dtype, pl.Datetime):
        return "2019-03-05T12:30:00"
    if isinstance(dtype, pl.Date):
        return "2019-03-05"
    if dtype == pl.Boolean:
        return False
    if not dtype.is_numeric():
        return None if column.nullable else ""
    low = limits.get("minimum", limits.get("exclusiveMinimum"))
    high = limits.get("maximum", limits.get("exclusiveMaximum"))
    if low is None and high is None:
        return 1
    low = high - 2 if low is None else low
    middle = (low + (low + 2 if high is None else min(high, low + 5))) / 2
    return round(middle) if dtype.is_integer() else middle
