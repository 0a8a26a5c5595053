"""The reference that a bundle carries: profiles of what it learnt from, and what its features weigh in a verdict.

It is made once, when the model is trained; how a partition is compared with it is in `verdict`, what comes of that in
`watched`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl

from ml_assets.core.drift.bins import Column, learn_bins
from ml_assets.core.drift.joint_reference import joint_reference
from ml_assets.core.drift.profile import Profile
from ml_assets.core.drift.profiling import count_partition, side_by_side
from ml_assets.core.features import EVENT_AT, LABEL
from ml_assets.core.metrics import losses
from ml_assets.core.split import PARTITION
from ml_assets.core.target_encoding import TargetEncoding
from ml_assets.core.tasks import Task

if TYPE_CHECKING:
    from ml_assets.core.bundle import Bundle

PREDICTED, LABELLED = "@prediction", "@label"
"""Names in a profile of what is no feature; no feature can have them."""
MOST_PREDICTED = 60_000
"""Rows that are scored for the profile, from all partitions."""
MOST_COMPARED = 10_000
"""Rows of which the loss is taken, learnt from and not."""
NO_VALUE = "no row that was learnt from has a value"
MOST_PARTITIONS = 64
LEAST_HOLDOUT = 100
MEMORISED = 1.5
"""Loss on the holdout over that on the rows learnt from, above which a model's answers to the latter say little of its
answers to others."""


@dataclass(frozen=True)
class Reference:
    """What a bundle's facts say of its profile.

    Args:
        weights: feature -> the share of the model's importance that is its own or of encodings made of it.
        left_out: column -> why it is not watched.
    """

    weights: Mapping[str, float]
    left_out: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"weights": dict(self.weights), "left_out": dict(self.left_out)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(record["weights"], record["left_out"])


def with_reference(
    bundle: "Bundle",
    learnt: pl.DataFrame,
    holdout: pl.DataFrame,
    history: Mapping[str, pl.LazyFrame],
    *,
    declared: Sequence[object],
    metric: str,
    alpha: float | None,
    threads: int,
    sampled: bool = False,
) -> "Bundle":
    """The bundle with the profile of the time that it learnt from, partition by partition.

    Of that time all rows are counted, also those that never get a label and could not be learnt from: the rows that
    are compared with them are all rows, too. Predictions are mostly of rows it has learnt from: those it has not are
    of the last partition or two, which can't say how much partitions differ without drift, so every season would be
    one. A model that knows its rows by heart is told by its loss on the holdout; its predictions are not watched.

    Args:
        bundle: the model.
        learnt: the rows it learnt from, with `label` and `split.PARTITION`.
        holdout: rows it has not.
        history: feature partition -> its features table, at least those that were learnt from.
        declared: features and target encodings of the pipeline.
        metric: the one that decides.
        alpha: the quantile that is predicted.
        threads: how many may be used; the profile does not depend on it.
        sampled: whether some rows are kept, too, for the domain classifier.
    """
    left_out = {s.name: NO_VALUE for s in bundle.specs if learnt[s.name].drop_nulls().is_empty()}
    features = [Column(s.name, s.kind) for s in bundle.specs if s.name not in left_out]
    label = learnt.select(pl.col(PARTITION).cast(pl.String), labelled(bundle.task))
    [label_bins] = learn_bins(label, [label_column(bundle.task)])
    bins = learn_bins(learnt, features)
    time = pl.col(EVENT_AT).is_between(learnt[EVENT_AT].min(), learnt[EVENT_AT].max())
    keys = sorted(label[PARTITION].unique().to_list())
    frames = {key: history[key].filter(time) for key in keys}
    scores = None
    if memorised := _memorised(bundle, learnt, holdout, metric=metric, alpha=alpha, threads=threads):
        left_out[PREDICTED] = memorised
    else:
        scores = _scores(bundle, frames, threads=threads)
    scores_bins = () if scores is None else learn_bins(scores, predicted_columns(bundle.classes))
    parts = []
    for key, frame in frames.items():
        of_it = pl.col(PARTITION) == key
        counted = [count_partition(frame, bins, key), count_partition(label.filter(of_it).lazy(), [label_bins], key)]
        counted += [] if scores is None else [count_partition(scores.filter(of_it).lazy(), scores_bins, key)]
        parts.append(side_by_side(counted))
    profile = reduce(Profile.merged, parts).thinned(MOST_PARTITIONS)
    weights = _weights([c.name for c in features], bundle.facts["importances"], declared)
    joint = joint_reference(features, frames) if sampled else None
    return bundle.compared_with(profile, Reference(weights, left_out), joint)


def _scores(bundle: "Bundle", frames: Mapping[str, pl.LazyFrame], *, threads: int) -> pl.DataFrame:
    """What the model says of some rows of each partition."""
    rows = sum(int(frame.select(pl.len()).collect().item()) for frame in frames.values())
    every, scored = max(1, -(-rows // MOST_PREDICTED)), []
    for key, frame in frames.items():
        some = frame.select(s.name for s in bundle.specs).gather_every(every).collect()
        said = bundle.predict(some, threads=threads)
        columns = [said] if said.ndim == 1 else list(np.ascontiguousarray(said.T))
        named = dict(zip(predicted_names(bundle.classes), columns, strict=True))
        scored.append(pl.DataFrame(named).with_columns(pl.lit(key).alias(PARTITION)))
    return pl.concat(scored)


def predicted_names(classes: int) -> list[str]:
    """Columns of a profile that predictions have: one per class of a multiclass problem."""
    return [PREDICTED] if classes == 1 else [f"{PREDICTED}_{i}" for i in range(classes)]


def predicted_columns(classes: int) -> list[Column]:
    """What is watched of predictions."""
    return [Column(name, "number", "prediction") for name in predicted_names(classes)]


def predicted(column: str, classes: int) -> list[pl.Expr]:
    """These columns out of a predictions table's."""
    if classes == 1:
        return [pl.col(column).alias(PREDICTED)]
    return [pl.col(column).arr.get(i).alias(name) for i, name in enumerate(predicted_names(classes))]


def label_column(task: Task) -> Column:
    """What is watched of labels."""
    return Column(LABELLED, "category" if task == "multiclass" else "number", "label")


def labelled(task: Task) -> pl.Expr:
    """This column out of a features table's."""
    label = pl.col(LABEL)
    return (label.cast(pl.Int64).cast(pl.String) if task == "multiclass" else label.cast(pl.Float64)).alias(LABELLED)


def _memorised(
    bundle: "Bundle",
    learnt: pl.DataFrame,
    holdout: pl.DataFrame,
    *,
    metric: str,
    alpha: float | None,
    threads: int,
) -> str:
    """Why predictions of rows learnt from are no measure for those of others; empty where they are."""
    if holdout.height < LEAST_HOLDOUT:
        return f"its holdout of {holdout.height} rows can't tell whether it answers others as it answers what it learnt"

    def loss(rows: pl.DataFrame) -> float:
        some = rows.gather_every(-(-rows.height // MOST_COMPARED))
        said = bundle.predict(bundle.feature_frame(some), threads=threads)
        return float(losses(metric, some[LABEL].cast(pl.Float64).to_numpy(), said, alpha=alpha).mean())

    own, others = loss(learnt), loss(holdout)
    if others <= MEMORISED * own:
        return ""
    return f"its loss is {others:.4g} on the holdout and {own:.4g} on what it learnt from: it knows these rows by heart"


def _weights(names: Sequence[str], importances: Mapping[str, float], declared: Sequence[object]) -> dict[str, float]:
    """Importance of a target encoding goes, in equal parts, to the features it is made of."""
    weights = {name: max(0.0, float(importances.get(name, 0.0))) for name in names}
    for encoding in (d for d in declared if isinstance(d, TargetEncoding)):
        of = [name for name in encoding.of if name in weights]
        for name in of:
            weights[name] += max(0.0, float(importances.get(encoding.name, 0.0))) / len(of)
    return weights
