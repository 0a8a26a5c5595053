"""Rows as facts of history: their keys, when each became known, and what it says.

What a batch computes for a partition (`history`) and what a server looks up (`history_snapshot`) take the same rows for
facts, in the same order; windows and figures are in `rolling`.
"""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from ml_assets.core.errors import ConfigError
from ml_assets.core.exact_sums import Floats, Integers
from ml_assets.core.rolling import Positions

NEVER = np.iinfo(np.int64).min // 2
"""What stands for a time that is missing."""


def keys_among(rows: pl.DataFrame, by: Sequence[str]) -> tuple[pl.DataFrame, npt.NDArray[np.int32]]:
    """The distinct keys without those that miss a part, and of each row the number of its key, -1 for a missing one."""
    if not by:
        return pl.DataFrame(height=1), np.zeros(rows.height, dtype=np.int32)
    keys = rows.select(by)
    distinct = keys.unique(maintain_order=True).drop_nulls()
    numbered = distinct.with_row_index("code")
    found = keys.join(numbered, on=list(by), how="left", maintain_order="left")["code"]
    return distinct, found.cast(pl.Int32).fill_null(-1).to_numpy()


def facts_among(
    rows: pl.DataFrame, times: Integers, codes: npt.NDArray[np.int32], when: str, delay: timedelta
) -> tuple[Positions, Integers]:
    """Positions of the rows that count for events, and when each became known.

    Args:
        rows: of the table, with the column `when`.
        times: of their events, microseconds.
        codes: of their keys, -1 where missing.
        when: column that says when a row is known.
        delay: the longest time from an event until it is known.
    """
    known = np.maximum(microseconds(rows[when]), times)
    counts = rows[when].is_not_null().to_numpy() & (known - times <= in_microseconds(delay)) & (codes >= 0)
    facts = np.flatnonzero(counts).astype(np.uint32)
    return facts, known[facts]


def values_among(rows: pl.DataFrame, value: str, feature: str) -> Floats:
    """What a feature summarises, of each row: NaN where missing.

    Raises:
        ConfigError: a value is infinite or NaN.
    """
    column = rows[value].cast(pl.Float64)
    if wrong := column.len() - int((column.is_finite() | column.is_null()).sum()):
        raise ConfigError(
            f"history feature {feature}",
            found=f"{value} is infinite or NaN in {wrong} rows",
            expected="finite or missing values",
            cure="quarantine such rows by a rule in schema.py, or compute the column so that it is null there",
        )
    values: Floats = column.to_numpy()
    return values


def microseconds(times: pl.Series) -> Integers:
    """As numbers; a missing time is the earliest there is, and masked by who asks."""
    return times.dt.cast_time_unit("us").to_physical().fill_null(NEVER).to_numpy()


def in_microseconds(length: timedelta) -> int:
    """A length of time as a whole number."""
    return length // timedelta(microseconds=1)
