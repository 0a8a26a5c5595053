"""What a bundle carries for the domain classifier: a sample of the reference's rows, and how alike its partitions are.

It is made once, when the model is trained, where `monitoring.drift.domain_classifier` is on. Left out are the
columns by which the reference's own partitions are told from each other, such as their month, or the traffic of the
last 24 hours: with them every partition would be told, and nothing else be seen; and how far the next one of a season
may go is not known. The classifier is in `domain_classifier`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from typing import Self

import polars as pl

from ml_assets.core.drift.bins import Column
from ml_assets.core.drift.domain_classifier import (
    FEWEST_ROWS,
    FEWEST_SEEN,
    DomainShift,
    Past,
    Told,
    between_partitions,
    domain_shift,
)
from ml_assets.core.drift.sample import Sample, sample_of
from ml_assets.core.errors import ProfileError
from ml_assets.core.features import ROW_NUMBER
from ml_assets.core.stable_hash import salt

FORMAT = 1
FILE = "reference_sample.json"
"""Its name in a bundle."""
MOST_PARTITIONS = 24
"""Partitions that are sampled: each must have rows enough to be told from the others."""
FEWEST_COLUMNS = FEWEST_VALUES = 2
CONSTANT = "it has one value in the sample: what it does together with others, it does alone"


@dataclass(frozen=True, eq=False)
class JointReference:
    """The rows that partitions are told from.

    Args:
        sample: of the reference; no rows where there are fewer than two columns to look at together.
        past: how well its partitions are told from each other.
        left_out: column -> why it is not in the sample.
    """

    sample: Sample
    past: tuple[Told, ...]
    left_out: Mapping[str, str]

    def compare(self, features: pl.LazyFrame, partition: str) -> DomainShift | str:
        """Tell a partition's rows from the sample's; where that says nothing, why, in words.

        Args:
            features: the partition's features table.
            partition: its key.

        Raises:
            ProfileError: columns are missing, or of another type.
        """
        if len(self.sample.columns) < FEWEST_COLUMNS:
            return "no two features to look at together: see what is left out"
        if len(self.past) < FEWEST_SEEN:
            return (
                f"the champion learnt from fewer than {FEWEST_SEEN} partitions with {FEWEST_ROWS} rows in its "
                "sample: how alike partitions are without drift is not known"
            )
        current = sample_of(features, self.sample.columns, partition, row_number=ROW_NUMBER, most=self.sample.most)
        found = domain_shift(self.sample, self.past, current)
        return f"fewer than {FEWEST_ROWS} rows" if found is None else found

    def to_bytes(self) -> bytes:
        """Canonical JSON: equal samples give equal bytes, on any machine."""
        record = {
            "format": FORMAT,
            "sample": self.sample.to_json(),
            "past": [asdict(told) for told in self.past],
            "left_out": dict(self.left_out),
        }
        return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Raises:
            ProfileError: it is of another format, or damaged.
        """
        try:
            record = json.loads(content)
            if record["format"] == FORMAT:
                past = tuple(Told(**told) for told in record["past"])
                return cls(Sample.from_json(record["sample"]), past, record["left_out"])
        except (KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
            raise _damaged(f"{type(error).__name__}: {error}") from error
        raise _damaged(f"format {record['format']}")


def _damaged(found: str) -> ProfileError:
    return ProfileError(
        "reference sample",
        found=found,
        expected=f"what `JointReference.to_bytes` wrote, format {FORMAT}",
        cure="restore the bundle, or train again; a sample is never edited",
    )


def joint_reference(columns: Sequence[Column], frames: Mapping[str, pl.LazyFrame]) -> JointReference:
    """Sample what a champion learnt from.

    Args:
        columns: its features.
        frames: partition -> the rows of its features table that count.
    """
    sample = reduce(Sample.merged, [_sampled(frames[key], columns, key) for key in _some(frames)])
    constant = [c.name for c in columns if sample.rows[c.name].n_unique() < FEWEST_VALUES]
    left_out = dict.fromkeys(constant, CONSTANT)
    kept = [c for c in columns if c.name not in left_out]
    while len(kept) >= FEWEST_COLUMNS:
        past = between_partitions(sample.only(kept))
        if past.auc <= past.by_chance:
            return JointReference(sample.only(kept), past.told, left_out)
        telling = max(past.columns, key=lambda name: past.columns[name])
        left_out[telling] = _told_by(past)
        kept = [c for c in kept if c.name != telling]
    return JointReference(Sample.empty(kept), (), left_out)


def _told_by(past: Past) -> str:
    return (
        f"by it, and others that are left, partitions are told from each other: AUC {past.auc:.3f} on average, by "
        f"chance at most {past.by_chance:.3f}; its own drift is told column by column"
    )


def _sampled(frame: pl.LazyFrame, columns: Sequence[Column], key: str) -> Sample:
    return sample_of(frame, columns, key, row_number=ROW_NUMBER)


def _some(keys: Iterable[str]) -> list[str]:
    """At most `MOST_PARTITIONS`, chosen as those of the profile are: every seventh day would be a Monday."""
    return sorted(keys, key=lambda key: salt("partition", key))[:MOST_PARTITIONS]
