"""The training set's manifest: exactly which partitions, in which content, and which rows a model learns from.

How rows are divided is in `split`; what learns from them is in `training`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import polars as pl

from ml_assets.core.errors import TrainingError
from ml_assets.core.split import Part, PartCounts, Split, count_rows, rows_of, time_split
from ml_assets.core.windows import Window


@dataclass(frozen=True)
class Manifest:
    """What a model may learn from, as of the end of a partition.

    Args:
        as_of: key of the as-of partition, the newest of `partitions`.
        partitions: feature partition -> SHA-256 of its content, oldest first.
        split: time bounds of train, validation and holdout.
        counts: rows of each part, and rows left out because their label was not known in time.
    """

    as_of: str
    partitions: Mapping[str, str]
    split: Split
    counts: PartCounts

    def to_json(self) -> dict[str, Any]:
        """As JSON, times in ISO 8601."""
        return {
            "as_of": self.as_of,
            "partitions": dict(self.partitions),
            "split": self.split.to_json(),
            "rows": dict(self.counts.rows),
            "immature": dict(self.counts.immature),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        counts = PartCounts(rows=record["rows"], immature=record["immature"])
        return cls(record["as_of"], record["partitions"], Split.from_json(record["split"]), counts)

    def rows(self, history: Mapping[str, pl.LazyFrame], part: Part) -> pl.DataFrame:
        """The rows of a part, oldest partition first, in the order they are stored in.

        Args:
            history: feature partition -> its frame; at least those of the manifest.
        """
        frames = [rows_of(history[key], self.split, part) for key in self.partitions]
        return pl.concat(frames).collect(engine="streaming")

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
    validation: float,
    holdout: float,
    embargo: float,
    min_rows: int,
) -> Manifest:
    """Divide the learning window, and count what is in it.

    Args:
        history: feature partition -> its frame, oldest first, one for each of `windows`.
        windows: the partitions' windows of event time; the last is the as-of partition.
        digests: feature partition -> SHA-256 of its content.
        validation, holdout, embargo: lengths in partitions, as `split.time_split` takes them.
        min_rows: rows to train on at least.

    Raises:
        TrainingError: nothing, or too little, is left to learn from.
    """
    split = time_split(windows, validation=validation, holdout=holdout, embargo=embargo)
    counts = count_rows(pl.concat(history.values()), split, min_rows=min_rows)
    return Manifest(windows[-1].key, {w.key: digests[w.key] for w in windows}, split, counts)
