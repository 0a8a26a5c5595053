"""The estimator of error that a bundle carries: which kind, fitted on which rows, and how it is found again.

Kinds are in `loss_model` (regression) and `confidence` (classification), what they have in common in `estimator`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ml_assets.core.confidence import Confidence
from ml_assets.core.estimator import Estimator
from ml_assets.core.features import EVENT_AT, LABEL
from ml_assets.core.loss_model import LossModel
from ml_assets.core.metrics import losses

if TYPE_CHECKING:
    from ml_assets.core.bundle import Bundle

KINDS: dict[str, type[LossModel | Confidence]] = {kind.kind: kind for kind in (LossModel, Confidence)}
LEAST_ROWS = 100
MOST_ROWS = 50_000


def read_estimator(facts: Mapping[str, Any] | None, files: Mapping[str, bytes]) -> Estimator | None:
    """The estimator of a bundle; None where it has none."""
    return None if facts is None else KINDS[facts["kind"]].read(facts, files)


def with_estimator(
    bundle: "Bundle", holdout: pl.DataFrame, *, metric: str, alpha: float | None, threads: int
) -> "Bundle":
    """The bundle with an estimator of its error, fitted on its holdout: rows it has not learnt from, the newest.

    What the bundle predicts does not change by it, so the holdout still judges; with too few rows there is none.

    Args:
        bundle: the model.
        holdout: rows of a features table, all with a mature label.
        metric: the one that decides.
        alpha: the quantile that is predicted.
        threads: how many may be used; the outcome does not depend on it.
    """
    if holdout.height < LEAST_ROWS:
        return bundle
    every = -(-holdout.height // MOST_ROWS)
    rows = holdout.sort(EVENT_AT, maintain_order=True).gather_every(every)
    frame, label = bundle.feature_frame(rows), rows[LABEL].cast(pl.Float64).to_numpy()
    scores = bundle.predict(frame, threads=threads)
    estimator: Estimator
    if bundle.task == "regression":
        loss = losses(metric, label, np.asarray(scores), alpha=alpha)
        estimator = LossModel.fit(
            frame, scores, loss, bundle.specs, metric=metric, seed=int(bundle.facts["seed"]), threads=threads
        )
    else:
        estimator = Confidence.fit(scores, label, metric=metric)
    return bundle.estimated_by(estimator)
