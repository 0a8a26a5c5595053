"""Hashes against their definition in plain Python, and against values written down once and for all."""

import hashlib
import json
from datetime import datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.stable_hash import hashed_values, mixed, salt

MASK = 2**64 - 1
BITS = st.integers(0, MASK)


def splitmix64(state: int) -> int:
    """The reference: Steele, Lea and Flood 2014, as in Vigna's splitmix64.c."""
    z = (state + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def hashes(values: list, dtype=None, engine="in-memory") -> list[int]:
    frame = pl.LazyFrame({"value": pl.Series(values, dtype=dtype)})
    return frame.select(hashed_values(pl.col("value"))).collect(engine=engine).to_series().to_list()


@settings(derandomize=True, database=None, deadline=None)
@given(bits=st.lists(BITS, min_size=1, max_size=50), salted=BITS)
def test_mixing_is_splitmix64(bits, salted):
    column = pl.DataFrame({"bits": pl.Series(bits, dtype=pl.UInt64)}).select(mixed(pl.col("bits"), salted))
    assert column.schema == {"bits": pl.UInt64}
    assert column.to_series().to_list() == [splitmix64((b + salted) & MASK) for b in bits]


def test_its_published_sequence():
    drawn = [pl.select(mixed(pl.lit(0), k * 0x9E3779B97F4A7C15 & MASK)).item() for k in range(3)]
    assert drawn == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_a_salt_is_blake2b_of_what_is_told():
    text = json.dumps(["part", 7], ensure_ascii=False).encode()
    assert salt("part", 7) == int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
    assert len({salt("part", 7), salt("part", "7"), salt("fold", 7), salt("part", 8), salt("part7")}) == 5


def test_values_written_down():
    # Whoever changes these moves rows from one part to another in every pipeline.
    assert hashes(["a", None, "ü"]) == [salt("value", "a"), salt("value", None), salt("value", "ü")]
    assert salt("value", "a") == 0xE13F7652D969D1DD
    assert salt("value", None) == 0x0826193907F67EC0
    assert salt("row", "2018-01") == 0x88755A500232326A


@pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt8, pl.Float64, pl.String, pl.Categorical])
def test_a_value_is_the_same_whatever_its_type(dtype):
    values = [1, 2, None, 1]
    given = [v if v is None or dtype not in (pl.String, pl.Categorical) else str(v) for v in values]
    assert hashes(given, dtype) == [salt("value", "1"), salt("value", "2"), salt("value", None), salt("value", "1")]


def test_other_types():
    nan = float("nan")
    assert hashes([nan, None, 1.5], pl.Float64) == [salt("value", None)] * 2 + [salt("value", "1.5")]
    assert len(set(hashes([True, False, None]))) == 3
    assert len(set(hashes([datetime(2018, 1, 1), datetime(2018, 1, 2)]))) == 2
    assert hashes([None, None], pl.String) == [salt("value", None)] * 2
    assert hashes([], pl.String) == []


def test_neither_the_engine_nor_the_rows_beside_count():
    values = [None if i % 11 == 0 else f"v{i % 1000}" for i in range(20_000)]
    together = hashes(values)
    assert together == hashes(values, engine="streaming")
    assert together[:9] == hashes(values[:9])
    assert len(set(together)) == 1001
