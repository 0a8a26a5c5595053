"""The training set's manifest: exactly which partitions, in which content, and which rows a model learns from.

Pure: what it is made from is passed in. How rows are divided is in `split`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ml_assets.core.errors import TrainingError
from ml_assets.core.split import Split


@dataclass(frozen=True)
class Manifest:
    """What a model may learn from, as of the end of a partition.

    Args:
        as_of: key of the as-of partition.
        partitions: feature partition -> SHA-256 of its content, oldest first.
        split: time bounds of train, validation and holdout.
        rows: part -> rows in it.
        immature: part -> rows left out because their label was not known in time.
    """

    as_of: str
    partitions: Mapping[str, str]
    split: Split
    rows: Mapping[str, int]
    immature: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """As JSON, times in ISO 8601."""
        return {
            "as_of": self.as_of,
            "partitions": dict(self.partitions),
            "split": self.split.to_json(),
            "rows": dict(self.rows),
            "immature": dict(self.immature),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Manifest":
        """Read what `to_json` wrote."""
        return cls(
            as_of=record["as_of"],
            partitions=record["partitions"],
            split=Split.from_json(record["split"]),
            rows=record["rows"],
            immature=record["immature"],
        )

    def require(self, found: Mapping[str, str]) -> None:
        """Raise a TrainingError if the partitions that are there now are not those of the manifest.

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

    @property
    def end(self) -> datetime:
        """The instant at which the model is trained: it sees nothing later."""
        return self.split.as_of
