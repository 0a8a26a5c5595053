"""Whether a classifier can tell a partition's rows from the reference's: drift of how columns go together.

Columns may each keep their distribution while their combination changes. Rows of a partition and of the reference are
given to a classifier; where it ranks rows that it has not seen better than by chance, and better than the reference's
own partitions can be told from each other, the partition has drifted. Lopez-Paz and Oquab 2017, Revisiting classifier
two-sample tests. What rows there are is in `joint_reference`, what comes of it for the verdict in `both_tests`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import polars as pl

from ml_assets.core.drift.between_partitions import ScoreModel
from ml_assets.core.drift.sample import ORDER, PARTITION, Sample
from ml_assets.core.errors import ProfileError
from ml_assets.core.measures import Floats

HALVES = 2
"""One half is learnt from, the other one judged: by chance its area varies exactly as Mann and Whitney say. A mean over
cross-validation's folds varies more than they say (by a quarter, measured), as folds share what they learn from."""
FEWEST_ROWS = 40
"""Sampled rows of a partition that can be told from others at all."""
FEWEST_SEEN = 6
"""Partitions of the reference below which it is not known how far they may differ without drift."""
SEASONAL = 1.0
"""Prior probability that partitions differ by more than chance. Always: seasons too small to be seen are left when the
columns that show them are out; with an even prior, six partitions made five times the false alarms (measured)."""
TREES = 40
SEED = 1
PARAMETERS: dict[str, Any] = {
    "objective": "binary", "num_leaves": 7, "learning_rate": 0.1, "min_data_in_leaf": 10, "max_bin": 63,
    "deterministic": True, "force_row_wise": True, "num_threads": 1, "seed": SEED, "verbosity": -1,
}  # fmt: skip
_NORMAL_95 = 1.959964
_LARGE = 1.281552
"""Of a standard normal variable, exceeded once in ten times."""


@dataclass(frozen=True)
class Told:
    """How well some rows are told from others.

    Args:
        auc: area under the ROC curve, of rows that the classifier has not seen; 0.5: not at all, 1: always.
        variance: of the area, by chance.
    """

    auc: float
    variance: float


@dataclass(frozen=True)
class DomainShift:
    """How well rows of a partition are told from the reference's.

    Args:
        auc: as of `Told`.
        chance: interval that holds the AUC of two samples of the same rows in 95 of 100 cases.
        p: chance of at least this AUC without drift, given how well the reference's own partitions are told from
            each other: where seasons tell them, they are no drift.
        rows: of the partition that were looked at.
        telling: columns by which they were told, the most telling first, with their shares of the gain.
    """

    auc: float
    chance: tuple[float, float]
    p: float
    rows: int
    telling: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {**vars(self), "chance": list(self.chance)}


@dataclass(frozen=True)
class Past:
    """How well the reference's own partitions are told from each other.

    Args:
        told: each of them from the others; none where there are too few to compare.
        columns: column -> how much of their mean AUC is lost where its values are shuffled.
    """

    told: tuple[Told, ...]
    columns: Mapping[str, float]

    @property
    def auc(self) -> float:
        """The mean."""
        return float(np.mean([one.auc for one in self.told])) if self.told else 0.5

    @property
    def by_chance(self) -> float:
        """The mean AUC that is exceeded once in ten times where no partition differs; see `_correlated`."""
        if not self.told:
            return 0.5
        variance = float(np.mean([one.variance for one in self.told])) / len(self.told)
        return 0.5 + _LARGE * float(np.sqrt(variance * len(self.told) / (len(self.told) - 1)))


def between_partitions(reference: Sample) -> Past:
    """How well each of the reference's partitions is told from the others."""
    keys = sorted(_large(reference)[PARTITION].to_list())
    if len(keys) < FEWEST_SEEN:
        return Past((), {})
    of = pl.col(PARTITION)
    parts = [_Classifier.of(reference, *(reference.rows.filter(w) for w in (of == key, of != key))) for key in keys]
    lost = np.mean([part.lost() for part in parts], axis=0)
    names = (c.name for c in reference.columns)
    return Past(tuple(part.told for part in parts), dict(zip(names, lost.tolist(), strict=True)))


def domain_shift(reference: Sample, past: Sequence[Told], current: Sample) -> DomainShift | None:
    """Train classifiers on samples of both, and judge them on rows that they have not seen.

    From the partition as many rows are taken as the sample has of each of the reference's, so that it is told as
    easily as these; None where these are too few, or `past` is.

    Args:
        reference: the sample that a bundle holds.
        past: what `between_partitions` says of it.
        current: of the partition, the same columns.

    Raises:
        ProfileError: the samples are of different columns.
    """
    if reference.columns != current.columns:
        raise ProfileError(
            "samples of reference and partition",
            found=f"columns {[c.name for c in current.columns]}",
            expected=f"columns {[c.name for c in reference.columns]}",
            cure="sample the partition with the columns of the reference's sample",
        )
    now = current.rows.sort(ORDER).head(int(_large(reference)["rows"].median() or 0))  # type: ignore[arg-type]
    if now.height < FEWEST_ROWS or len(past) < FEWEST_SEEN:
        return None
    classifier = _Classifier.of(reference, now, reference.rows)
    found = classifier.told
    half = _NORMAL_95 * float(np.sqrt(found.variance))
    areas, variances = np.array([(told.auc, told.variance) for told in past]).T
    model = ScoreModel(found.variance * _correlated(len(past)), areas, variances, only_larger=True)
    return DomainShift(
        auc=found.auc,
        chance=(0.5 - half, 0.5 + half),
        p=model.p(found.auc, seasonal=SEASONAL),
        rows=now.height,
        telling=classifier.gains(),
    )


def _correlated(partitions: int) -> float:
    """What makes up for past areas that go up and down together: each partition is among the others of all others.

    Of m partitions of the same rows, both how two of them differ from the others and what the classifiers make of it
    correlate by -1 / (m - 1), so their areas by the square; the mean of all varies by 1 / (m (m - 1)) more.
    """
    return 1 + 1 / (partitions * (partitions - 1))


def _large(reference: Sample) -> pl.DataFrame:
    """The partitions with enough rows, and how many they have."""
    return reference.rows[PARTITION].value_counts(name="rows").filter(pl.col("rows") >= FEWEST_ROWS)


@dataclass(frozen=True, eq=False)
class _Classifier:
    """What has learnt to tell rows from others, and the rows that it has not seen.

    Args:
        booster: the classifier.
        names: of the columns.
        rows: that are judged, `[rows, columns]`.
        label: 1 of the ones and 0 of the others, `[rows]`.
    """

    booster: Any
    names: Sequence[str]
    rows: Floats
    label: Floats

    @classmethod
    def of(cls, reference: Sample, ones: pl.DataFrame, zeros: pl.DataFrame) -> Self:
        import lightgbm as lgb

        columns, rows = reference.columns, pl.concat([ones, zeros])
        label = np.repeat([1.0, 0.0], [ones.height, zeros.height])
        matrix = np.column_stack([_numbers(rows[c.name], c.kind) for c in columns])
        # Rows come in the order of a hash, partition by partition: every other one is a random half of each.
        learnt = np.concatenate([np.arange(ones.height), np.arange(zeros.height)]) % HALVES == 0
        data = lgb.Dataset(
            matrix[learnt], label[learnt], feature_name=[f"f{i}" for i in range(len(columns))], params=PARAMETERS,
            categorical_feature=[i for i, c in enumerate(columns) if c.kind == "category"],
        )  # fmt: skip
        booster = lgb.train(PARAMETERS, data, num_boost_round=TREES)
        return cls(booster, [c.name for c in columns], matrix[~learnt], label[~learnt])

    @cached_property
    def told(self) -> Told:
        """The AUC, and its variance by chance (Mann and Whitney 1947)."""
        ones = int(self.label.sum())
        zeros = self.label.size - ones
        return Told(self._auc(self.rows), (ones + zeros + 1) / (12 * ones * zeros))

    def lost(self) -> list[float]:
        """What is lost of the AUC by shuffling each column (Breiman 2001, Random forests)."""
        order = np.random.default_rng(SEED).permutation(self.label.size)
        lost = []
        for i in range(len(self.names)):
            rows = self.rows.copy()
            rows[:, i] = rows[order, i]
            lost.append(self.told.auc - self._auc(rows))
        return lost

    def gains(self) -> dict[str, float]:
        """Columns by their share of the gain, the largest first."""
        gains = self.booster.feature_importance("gain")
        shares = gains / max(gains.sum(), 1e-12)
        return {self.names[i]: float(shares[i]) for i in np.argsort(-shares, kind="stable") if shares[i] > 0}

    def _auc(self, rows: Floats) -> float:
        from scipy.stats import rankdata

        ones = self.label == 1
        ranks = rankdata(self.booster.predict(rows))[ones]
        return float((ranks.sum() - ones.sum() * (ones.sum() + 1) / 2) / (ones.sum() * (~ones).sum()))


def _numbers(values: pl.Series, kind: str) -> Floats:
    """Numbers as they are; categories as their place in the alphabet of these rows; missing as NaN."""
    if kind == "category":
        values = values.cast(pl.Enum(sorted(values.drop_nulls().unique().to_list()))).to_physical()
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
