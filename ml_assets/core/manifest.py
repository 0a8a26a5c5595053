"""The training set's manifest: exactly which partitions, in which content, and which rows a model learns from.

How rows are divided is in `split`, which rows they are in `assignment`; what learns from them is in `models`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import polars as pl

from ml_assets.core.assignment import PartCounts, count_rows, rows_of
from ml_assets.core.errors import TrainingError
from ml_assets.core.share_split import ShareSplit
from ml_assets.core.split import Part, Split
from ml_assets.core.time_split import TimeSplit
from ml_assets.core.windows import Window

SPLITS: dict[str, type[TimeSplit | ShareSplit]] = {"time": TimeSplit, "group": ShareSplit, "random": ShareSplit}
"""Kind of split -> what reads it."""


@dataclass(frozen=True)
class Manifest:
    """What a model may learn from, as of the end of a partition.

    Args:
        as_of: key of the as-of partition, the newest of `partitions`.
        partitions: feature partition -> SHA-256 of its content, oldest first.
        split: which row is for training, validation or holdout.
        counts: rows of each part, and rows left out because their label was not known in time, or there is none.
        versions: feature partition -> what DVC knows its content by; None where it is not versioned.
    """

    as_of: str
    partitions: Mapping[str, str]
    split: Split
    counts: PartCounts
    versions: Mapping[str, Mapping[str, Any]] | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON, times in ISO 8601."""
        return {
            "as_of": self.as_of,
            "partitions": dict(self.partitions),
            "split": self.split.to_json(),
            "rows": dict(self.counts.rows),
            "immature": dict(self.counts.immature),
            "unlabelled": dict(self.counts.unlabelled),
            "versions": None if self.versions is None else {p: dict(told) for p, told in self.versions.items()},
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; a split without a kind is of a time when there was one only: by time."""
        counts = PartCounts(record["rows"], record["immature"], record["unlabelled"])
        split = SPLITS[record["split"].get("kind", "time")].from_json(record["split"])
        return cls(record["as_of"], record["partitions"], split, counts, record.get("versions"))

    def scan(self, history: Mapping[str, pl.LazyFrame], part: Part) -> pl.LazyFrame:
        """The rows of a part, oldest partition first, in the order they are stored in.

        Args:
            history: feature partition -> its frame; at least those of the manifest.

        Returns:
            The columns of a features table, `split.PARTITION` (Enum) and `split.UNIT` (UInt64).
        """
        return rows_of({key: history[key] for key in self.partitions}, self.split, part)

    def rows(self, history: Mapping[str, pl.LazyFrame], part: Part) -> pl.DataFrame:
        """What `scan` gives, in memory."""
        return self.scan(history, part).collect(engine="streaming")

    def require(self, found: Mapping[str, str]) -> None:
        """Raise a TrainingError unless the partitions that are there now are those of the manifest.

        Args:
            found: feature partition -> SHA-256 of its content now.
        """
        changed = [
            f"{key}: {found.get(key, 'missing')[:12]} in place of {digest[:12]}"
            for key, digest in self.partitions.items()
            if found.get(key) != digest
        ]
        if changed:
            raise TrainingError(
                f"training set as of {self.as_of}",
                found=changed,
                expected="the feature partitions that the manifest names, unchanged",
                cure="materialize training_set again for this as-of partition, then train",
            )


def make_manifest(
    history: Mapping[str, pl.LazyFrame],
    windows: Sequence[Window],
    digests: Mapping[str, str],
    *,
    split: Split,
    min_rows: int,
) -> Manifest:
    """Count what is in a divided learning window, and name it with its content.

    Args:
        history: feature partition -> its frame, oldest first, one for each of `windows`.
        windows: the partitions' windows of event time; the last is the as-of partition.
        digests: feature partition -> SHA-256 of its content.
        split: how to divide them.
        min_rows: rows to train on at least.

    Raises:
        TrainingError: nothing, or too little, is left to learn from.
    """
    counts = count_rows(history, split, min_rows=min_rows)
    return Manifest(windows[-1].key, {w.key: digests[w.key] for w in windows}, split, counts)
