"""What the other model would have answered, made up for afterwards from the features in the log, of a sample.

Where a plan is not paired, a request is scored by the one that answers it. Losses of different requests differ by
chance far more than those of two models of the same one; so some requests are scored by the other model, too, when the
log is read: off the path of any request, and with the same result to the bit. What the rows tell is in `reading`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from ml_assets.core.bundle import Bundle
from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.prediction_log import ANSWERED, packed
from ml_assets.core.rollout.reading import AFTERWARDS, of_arms, periods_of, within
from ml_assets.core.rollout.recorded import Rollout
from ml_assets.core.served import feature_frame

ALL_UP_TO = 4_000
"""Requests of a period of which all are scored; then half of as many again, a quarter of twice as many, and so on."""


def in_sample(position: npt.NDArray[np.int64], lot: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Which requests of a period are scored afterwards.

    Who is in stays in when more come: what is seen only grows, as a confidence sequence needs it.

    Args:
        position: place of each in the period, from 0.
        lot: a random whole number for each.
    """
    halvings = np.ceil(np.log2(np.maximum((position + 1) / ALL_UP_TO, 1.0))).astype(np.uint64)
    return np.asarray(lot % (np.uint64(1) << halvings) == 0)


def sample_of(rollout: Rollout, rows: pl.DataFrame) -> pl.Series:
    """The ids of the requests that are scored afterwards.

    Args:
        rollout: whose champion and candidate.
        rows: rows of the log since it began, in the order in which they were answered.
    """
    answered = of_arms(rollout, rows).filter(pl.col("role") == ANSWERED, pl.col("row") == 0)
    told = [within(answered, period)["request_id"] for period in periods_of(rollout) if period.weight]
    taken = [ids.filter(pl.Series(in_sample(np.arange(len(ids)), ids.hash().to_numpy()))) for ids in told]
    return pl.concat([pl.Series("request_id", dtype=pl.String), *taken])


def possible(answered: Sequence[FeatureSpec], other: Sequence[FeatureSpec]) -> bool:
    """Whether a model can score what another one answered: all its features are there, and mean the same."""
    known = {s.name: (s.kind, s.unit, s.history) for s in answered}
    return all(known.get(s.name) == (s.kind, s.unit, s.history) for s in other)


def scored_by_the_other(rows: pl.DataFrame, own: Bundle, other: Bundle, *, threads: int) -> pl.DataFrame:
    """What one model answered, as the other one scores it; nothing where it can't, see `possible`.

    Args:
        rows: of the log, with their `values`.
        own, other: the bundles.
        threads: how many may be used.

    Returns:
        Rows like those of `own`, with role `AFTERWARDS`, and bundle, prediction and features of `other`.

    Raises:
        PredictionLogError: a row has other features than the bundle that answered it.
    """
    told = rows.filter(pl.col("role") == ANSWERED, pl.col("bundle") == own.sha256)
    if told.is_empty() or not possible(own.specs, other.specs):
        return rows.clear()
    frame = feature_frame(told, own.specs).select(s.name for s in other.specs)
    predictions = other.predict(frame, threads=threads)
    return told.with_columns(
        pl.lit(AFTERWARDS).alias("role"),
        pl.lit(other.sha256).alias("bundle"),
        pl.Series("prediction", predictions.reshape(len(predictions), -1)).arr.to_list(),
        pl.Series("values", [packed(values) for values in frame.rows()], dtype=pl.Binary),
        pl.lit(None, pl.String).alias("error"),
    )
