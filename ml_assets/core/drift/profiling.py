"""Rows into profiles: of a champion's training rows, and of a partition that is compared with them.

What a profile is and how profiles are merged and kept is in `profile`, how a column is counted in `counts`.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl

from ml_assets.core.drift.bins import Bins, Column, learn_bins, require_columns
from ml_assets.core.drift.counts import ColumnCounts, Texts, count, of_texts
from ml_assets.core.drift.profile import Profile
from ml_assets.core.errors import ProfileError

CountTexts = Callable[[Sequence[str]], Mapping[str, Texts]]
"""Columns -> how many of their rows hold which text."""


def profile_of(rows: pl.DataFrame, columns: Sequence[Column], partition: pl.Series) -> Profile:
    """The reference profile of the rows that a champion learnt from.

    Args:
        rows: them, a column each of `columns`.
        columns: what is watched: features, prediction, label.
        partition: key of the partition that each row is of, String `[rows]`.

    Raises:
        ProfileError: columns are missing, of another type or without any value.
    """
    bins = learn_bins(rows, columns)
    names = [c.name for c in columns]
    parts = rows.select(names).with_columns(partition.alias(_KEY)).partition_by(_KEY, as_dict=True, include_key=False)
    keyed = {str(key): frame for (key,), frame in parts.items()}
    keys = tuple(sorted(keyed))
    return Profile(keys, tuple(_stacked([count(keyed[k].lazy(), b) for k in keys]) for b in bins))


_KEY = "partition of the row"


def count_partition(
    frame: pl.LazyFrame, bins: Sequence[Bins], partition: str, count_texts: CountTexts | None = None
) -> Profile:
    """Count the rows of a partition, column by column, so that no more than one column is in memory.

    Args:
        frame: a scan of the partition's Parquet; each of its column chunks is read once.
        bins: of the columns to count: those of the reference profile that this frame has.
        partition: its key.
        count_texts: counts the texts of some of the frame's columns faster than the frame is grouped; None: nothing
            does.

    Raises:
        ProfileError: columns are missing or of another type; lists all.
    """
    require_columns(frame.collect_schema(), [b.column for b in bins])
    categories = [b.name for b in bins if b.column.kind == "category"]
    texts = count_texts(categories) if count_texts and categories else {}
    counted = (of_texts(texts[b.name], b) if b.name in texts else count(frame, b) for b in bins)
    return Profile((partition,), tuple(counted))


def side_by_side(profiles: Sequence[Profile]) -> Profile:
    """Columns of the same partitions, counted from different files (features, predictions), as one profile.

    Raises:
        ProfileError: they are of different partitions.
    """
    keys = {p.partitions for p in profiles}
    if len(keys) != 1:
        raise ProfileError(
            "profiles of the same rows",
            found=f"partitions {sorted(keys)}",
            expected="the same partitions in all",
            cure="count features and predictions of the same partition",
        )
    return Profile(profiles[0].partitions, tuple(c for p in profiles for c in p.columns))


def _stacked(parts: Sequence[ColumnCounts]) -> ColumnCounts:
    arrays = {
        name: np.concatenate([getattr(p, name) for p in parts]) for name in ("cells", "unseen", "apart", "beyond")
    }
    return ColumnCounts(parts[0].bins, **arrays)
