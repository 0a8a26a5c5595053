"""Hashes that are the same on any machine, version and number of threads: for dividing rows by chance, repeatably.

Python's own `hash` and Polars' differ between processes or versions. What is divided by them is in `split` and
`target_encoding`; hashes of content are taken where content is stored.
"""

import hashlib
import json

import polars as pl

_MASK = 2**64 - 1
_GAMMA, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def salt(*told: str | int | None) -> int:
    """64 bits of BLAKE2b over what is told, so that hashes for one purpose say nothing about those for another."""
    digest = hashlib.blake2b(json.dumps(told, ensure_ascii=False).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def mixed(bits: pl.Expr, salted: int) -> pl.Expr:
    """SplitMix64 of whole numbers (as UInt64) shifted by a salt; a bijection, so different numbers stay different.

    Steele, Lea and Flood 2014, Fast splittable pseudorandom number generators; UInt64 arithmetic wraps around.

    >>> first = pl.select(mixed(pl.lit(0), 0)).item()
    >>> f"{first:x}"
    'e220a8397b1dcdaf'
    """
    z = bits.cast(pl.UInt64) + _bits((salted + _GAMMA) & _MASK)
    z = (z ^ (z // _bits(1 << 30))) * _bits(_MIX_1)
    z = (z ^ (z // _bits(1 << 27))) * _bits(_MIX_2)
    return z ^ (z // _bits(1 << 31))


def _bits(number: int) -> pl.Expr:
    return pl.lit(number, pl.UInt64)


def hashed_values(values: pl.Expr) -> pl.Expr:
    """64 bits of BLAKE2b over each value's text; null and NaN are one value of their own.

    A whole number is the same value as Int64, Float64 or text, so that a column whose type changes between
    partitions still has the same groups. Each different value is hashed once.
    """
    return values.map_batches(_hash_series, return_dtype=pl.UInt64, is_elementwise=True)


def _hash_series(values: pl.Series) -> pl.Series:
    if values.dtype.is_float():
        values = values.fill_nan(None)
    told = values.unique().drop_nulls()
    hashes = pl.Series([salt("value", _text(v)) for v in told.to_list()], dtype=pl.UInt64)
    missing = salt("value", None)
    return values.replace_strict(told, hashes, default=missing, return_dtype=pl.UInt64).fill_null(missing)


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
