"""Keys that a partition shares with others: each row is unique where it stands, and the table counts it twice.

Keys repeated within a partition are found by `validation`, which quarantines them; across partitions it depends on
which one came first, so that nothing is quarantined and a check tells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

SAMPLED_KEYS = 5


@dataclass(frozen=True)
class RepeatedKeys:
    """Keys found again.

    Args:
        counts: other partition -> how many of the keys it has, too; those with none are left out.
        sample: some of them: `partition` and the key's columns.
    """

    counts: Mapping[str, int]
    sample: Sequence[Mapping[str, Any]]


def repeated_keys(
    rows: pl.LazyFrame, others: Mapping[str, pl.LazyFrame], keys: Sequence[Sequence[str]]
) -> RepeatedKeys:
    """The keys of a partition that other partitions have, too.

    Args:
        rows: the partition's valid rows.
        others: partition -> its valid rows.
        keys: each a list of columns that no two rows may share; null equals null, as within a partition.
    """
    counts: dict[str, int] = {}
    sample: list[dict[str, Any]] = []
    for key in keys:
        own = rows.select(key).unique().collect(engine="streaming").lazy()
        for partition, frame in others.items():
            shared = own.join(frame.select(key), on=list(key), how="semi", nulls_equal=True).collect(engine="streaming")
            if shared.height:
                counts[partition] = counts.get(partition, 0) + shared.height
                first = shared.sort(list(key)).head(SAMPLED_KEYS)
                sample += [{"partition": partition, **row} for row in first.iter_rows(named=True)]
    return RepeatedKeys(counts, sample)
