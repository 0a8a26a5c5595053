"""Values as JSON has them: into the dtypes of a contract, and into the words that answer a faulty one.

Nothing here raises for what JSON can hold: what can't be read is left out and told apart by its absence. Which
values a record must bring is in `requests`; how a value of one dtype becomes another is in `conversion`.
"""

import json
from collections.abc import Sequence
from typing import Any

import polars as pl

from ml_assets.core.contract import ContractColumn
from ml_assets.core.conversion import Conversion, conversion
from ml_assets.core.dictionary import type_in_words

JSON_DTYPES: dict[type, pl.DataType] = {bool: pl.Boolean(), int: pl.Int64(), float: pl.Float64(), str: pl.String()}
"""Type of a JSON value -> the dtype in which it is read; null fits all, arrays and objects none."""

_BITS_OF_A_FLOAT = 1024
_SHOWN = 60


def conversions(name: str, wanted: pl.DataType) -> dict[type, Conversion]:
    """Type of a JSON value -> how a column of such values becomes the wanted dtype; without those that never do.

    Args:
        name: of the field; each conversion reads the column `column_of(name, type)`.
        wanted: the contract's dtype.
    """
    every = {kind: conversion(column_of(name, kind), dtype, wanted) for kind, dtype in JSON_DTYPES.items()}
    return {kind: one for kind, one in every.items() if one is not None}


def column_of(name: str, kind: type) -> str:
    """Name of the column that holds a field's values of one JSON type."""
    return f"{kind.__name__} in {name}"


def by_type(values: Sequence[Any]) -> dict[type, list[Any]]:
    """The values split by JSON type, each part with nulls in the places of the others.

    In none of them: null, arrays, objects, integers beyond any float, and text with half characters (JSON can
    write a lone surrogate). An integer that is too long for 64 bits is taken as its digits, so that none is lost.

    >>> by_type([1, None, 2.5, [3]])
    {<class 'int'>: [1, None, None, None], <class 'float'>: [None, None, 2.5, None]}
    """
    parts: dict[type, list[Any]] = {}
    for i, given in enumerate(values):
        kind, value = type(given), given
        if kind is int and not -(2**63) <= given < 2**63:
            kind, value = (str, str(given)) if given.bit_length() <= _BITS_OF_A_FLOAT else (list, None)
        if kind not in JSON_DTYPES or (kind is str and not _is_unicode(value)):
            continue
        if kind not in parts:
            parts[kind] = [None] * len(values)
        parts[kind][i] = value
    return parts


def in_words(column: ContractColumn) -> str:
    """What a field of a request must be: `number (Float64) in miles, or null`."""
    words = type_in_words(column.dtype)
    if isinstance(column.dtype, pl.Datetime):
        words = 'a time as ISO 8601 text without a zone, such as "2019-03-05T12:30:00",'
    elif isinstance(column.dtype, pl.Date):
        words = 'a date as ISO 8601 text, such as "2019-03-05",'
    unit = f" in {column.unit}" if column.unit else ""
    return f"{words}{unit}".removesuffix(",") + (", or null" if column.nullable else "")


def shown(value: Any) -> str:
    """A value as JSON text of bounded length, whatever it is.

    >>> shown("far"), shown(float("nan")), shown([1]), shown(10**400)
    ('"far"', 'NaN', 'an array', 'an integer of 1,329 bits')
    """
    if isinstance(value, str):
        text = cleaned(json.dumps(value[:_SHOWN], ensure_ascii=False))
        return text if len(value) <= _SHOWN else f"{text} and {len(value) - _SHOWN:,} characters more"
    if isinstance(value, int) and value.bit_length() > _BITS_OF_A_FLOAT:
        return f"an integer of {value.bit_length():,} bits"
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, dict):
        return "an object"
    return "an array" if isinstance(value, list) else cleaned(str(value)[:_SHOWN])


def cleaned(text: str) -> str:
    """A text that any encoder can write: half characters are spelt out."""
    return text.encode("utf-8", "backslashreplace").decode()


def _is_unicode(text: str) -> bool:
    return text.isascii() or cleaned(text) == text
