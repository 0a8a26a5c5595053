"""Whether a classifier can tell a partition's rows from the reference's: drift of how columns go together.

Columns may each keep their distribution while their combination changes. It is told beside the verdict, and no part
of it: what a classifier finds has no importance to the champion to be weighted by. A column by which any partition is
told from the others, such as its month, hides what else has changed: sample without it. Lopez-Paz and Oquab 2017,
Revisiting classifier two-sample tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from ml_assets.core.drift.between_partitions import ScoreModel
from ml_assets.core.drift.sample import ORDER, PARTITION, Sample
from ml_assets.core.errors import ProfileError
from ml_assets.core.measures import Floats

FOLDS = 5
FEWEST_ROWS = 40
"""Sampled rows of a partition that can be told from others at all."""
TREES = 40
PARAMETERS: dict[str, Any] = {
    "objective": "binary", "num_leaves": 7, "learning_rate": 0.1, "min_data_in_leaf": 10, "max_bin": 63,
    "deterministic": True, "force_row_wise": True, "num_threads": 1, "seed": 1, "verbosity": -1,
}  # fmt: skip
_NORMAL_95 = 1.959964


@dataclass(frozen=True)
class DomainShift:
    """How well rows of a partition are told from the reference's.

    Args:
        auc: cross-fitted area under the ROC curve, 0.5: not at all, 1: always.
        chance: interval that holds the AUC of two samples of the same rows in 95 of 100 cases.
        p: chance of at least this AUC without drift, given how well the reference's own partitions are told from
            each other: a month that is a feature is always told.
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


def domain_shift(reference: Sample, current: Sample) -> DomainShift | None:
    """Train classifiers on samples of both, and judge them on rows that they have not seen.

    From the partition as many rows are taken as the sample has of each of the reference's, so that it is told as
    easily as these; None where these are too few.

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
    counts = reference.rows[PARTITION].value_counts(name="rows").filter(pl.col("rows") >= FEWEST_ROWS)
    each = int(counts["rows"].median() or 0)  # type: ignore[arg-type]
    now = current.rows.sort(ORDER).head(each)
    if now.height < FEWEST_ROWS:
        return None
    past = []
    for key in sorted(counts[PARTITION].to_list()):
        of_it = pl.col(PARTITION) == key
        past.append(_told(reference, reference.rows.filter(of_it), reference.rows.filter(~of_it))[:2])
    found, variance, telling = _told(reference, now, reference.rows)
    half = _NORMAL_95 * float(np.sqrt(variance))
    return DomainShift(
        auc=found,
        chance=(0.5 - half, 0.5 + half),
        p=_p(found, variance, past) if past else 1.0,
        rows=now.height,
        telling=telling,
    )  # fmt: skip


def _p(found: float, variance: float, past: Sequence[tuple[float, float]]) -> float:
    areas, variances = np.array(past).T
    return ScoreModel(variance, areas, variances, only_larger=True).p(found)


def _told(reference: Sample, ones: pl.DataFrame, zeros: pl.DataFrame) -> tuple[float, float, dict[str, float]]:
    """Mean AUC over folds, its variance by chance (Mann and Whitney 1947), and columns by gain."""
    import lightgbm as lgb

    names = [c.name for c in reference.columns]
    rows, label = pl.concat([ones, zeros]), np.repeat([1.0, 0.0], [ones.height, zeros.height])
    matrix = np.column_stack([_numbers(rows[c.name], c.kind) for c in reference.columns])
    categories = [i for i, c in enumerate(reference.columns) if c.kind == "category"]
    fold = np.concatenate([np.arange(ones.height), np.arange(zeros.height)]) % FOLDS
    areas, variances, gains = [], [], np.zeros(len(names))
    for held in range(FOLDS):
        learnt, judged = fold != held, fold == held
        data = lgb.Dataset(
            matrix[learnt], label[learnt], feature_name=[f"f{i}" for i in range(len(names))],
            categorical_feature=categories, params=PARAMETERS,
        )  # fmt: skip
        booster = lgb.train(PARAMETERS, data, num_boost_round=TREES)
        gains += booster.feature_importance("gain")
        areas.append(_area(label[judged], booster.predict(matrix[judged])))
        positives, negatives = int(label[judged].sum()), int((1 - label[judged]).sum())
        variances.append((positives + negatives + 1) / (12 * positives * negatives))
    shares = gains / max(gains.sum(), 1e-12)
    telling = {names[i]: float(shares[i]) for i in np.argsort(-shares, kind="stable") if shares[i] > 0}
    return float(np.mean(areas)), float(np.sum(variances)) / FOLDS**2, telling


def _numbers(values: pl.Series, kind: str) -> Floats:
    """Numbers as they are; categories as their place in the alphabet of these rows; missing as NaN."""
    if kind == "category":
        values = values.cast(pl.Enum(sorted(values.drop_nulls().unique().to_list()))).to_physical()
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _area(label: Floats, scores: Floats) -> float:
    from scipy.stats import rankdata

    ones = label == 1
    ranks = rankdata(scores)[ones]
    return float((ranks.sum() - ones.sum() * (ones.sum() + 1) / 2) / (ones.sum() * (~ones).sum()))
