"""The reference profile: what a champion was trained on, column by column, as counts per partition.

It is small, exact in what it counts, mergeable (profiles of parts add up to that of the whole), and all that drift is
ever compared with: the training rows are not read again. A partition that is judged is counted into a profile of its
own, over the same bins. How rows are counted is in `profiling`, drift itself in `verdict`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from ml_assets.core.drift.bins import Bins
from ml_assets.core.drift.counts import ColumnCounts
from ml_assets.core.errors import ProfileError
from ml_assets.core.stable_hash import salt

FORMAT = 1
FILE = "reference_profile.json"
"""Its name in a bundle."""
REST = ""
"""Key under which partitions are added up that are not kept one by one."""


@dataclass(frozen=True, eq=False)
class Profile:
    """Counts of some rows, over the bins of a reference.

    Args:
        partitions: their keys, ascending; `REST` is rows of several partitions.
        columns: the counts of each column, `[partitions, ...]`.
    """

    partitions: tuple[str, ...]
    columns: tuple[ColumnCounts, ...]

    @property
    def bins(self) -> tuple[Bins, ...]:
        """The bins of all columns."""
        return tuple(c.bins for c in self.columns)

    @cached_property
    def rows(self) -> dict[str, int]:
        """Partition -> rows: of the column that has most, since labels and predictions may come later."""
        each = np.max([c.rows for c in self.columns], axis=0)
        return dict(zip(self.partitions, each.tolist(), strict=True))

    @property
    def total_rows(self) -> int:
        """Rows of all partitions."""
        return sum(self.rows.values())

    def column(self, name: str) -> ColumnCounts:
        """The counts of a column."""
        return next(c for c in self.columns if c.name == name)

    def merged(self, other: "Profile") -> "Profile":
        """The profile of the rows of both; rows of the same partition are added up.

        Raises:
            ProfileError: they were counted over different bins.
        """
        if self.bins != other.bins:
            ours, theirs = set(self.bins), set(other.bins)
            raise ProfileError(
                "profiles to merge",
                found=[f"{name}: different columns or bins" for name in sorted({b.name for b in ours ^ theirs})]
                or "the same columns in another order",
                expected="profiles counted over the same bins",
                cure="count both over the bins of one `learn_bins`",
            )
        keys = tuple(sorted({*self.partitions, *other.partitions}))
        place = {key: i for i, key in enumerate(keys)}
        return self._gathered(other, [place[k] for k in (*self.partitions, *other.partitions)], keys)

    def thinned(self, most: int) -> "Profile":
        """At most so many partitions one by one, chosen by a hash of their keys, all others added up as `REST`.

        Calibration needs some partitions, not all: a year of days would make a large profile. A hash, since every
        seventh day would be a Monday.
        """
        named = [key for key in self.partitions if key != REST]
        kept = set(sorted(named, key=lambda key: salt("partition", key))[:most])
        keys = tuple(sorted(kept | ({REST} if len(kept) < len(self.partitions) else set())))
        return self._gathered(None, [keys.index(k if k in kept else REST) for k in self.partitions], keys)

    def _gathered(self, other: "Profile | None", places: Sequence[int], keys: tuple[str, ...]) -> "Profile":
        columns = []
        for i, mine in enumerate(self.columns):
            parts = [mine] if other is None else [mine, other.columns[i]]
            arrays = {}
            for name in ("cells", "unseen", "apart", "beyond"):
                stacked = np.concatenate([getattr(p, name) for p in parts])
                arrays[name] = np.zeros((len(keys), stacked.shape[1]), dtype=np.int64)
                np.add.at(arrays[name], list(places), stacked)
            columns.append(ColumnCounts(mine.bins, **arrays))
        return Profile(keys, tuple(columns))

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        columns = [c.to_json() for c in self.columns]
        return {"format": FORMAT, "partitions": list(self.partitions), "columns": columns}

    def to_bytes(self) -> bytes:
        """Canonical JSON: equal profiles give equal bytes, on any machine."""
        return json.dumps(
            self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        ).encode()

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ProfileError: it is of another format, or damaged.
        """
        if record.get("format") != FORMAT:
            raise _damaged(f"format {record.get('format')}")
        try:
            keys = tuple(record["partitions"])
            return cls(keys, tuple(ColumnCounts.from_json(c, len(keys)) for c in record["columns"]))
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(f"{type(error).__name__}: {error}") from error

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read what `to_bytes` wrote; see `from_json`."""
        try:
            record = json.loads(content)
        except ValueError as error:
            raise _damaged(f"no JSON: {error}") from error
        return cls.from_json(record if isinstance(record, dict) else {})


def _damaged(found: str) -> ProfileError:
    return ProfileError(
        "reference profile",
        found=found,
        expected=f"what `Profile.to_bytes` wrote, format {FORMAT}",
        cure="restore the bundle, or train again; a profile is never edited",
    )
