"""Scores by bundles, beside the yardsticks that cost nothing: the first champion and the naive baseline.

How a bundle predicts is in `bundle`; how right the scores were is in `performance`.
"""

import numpy as np
import polars as pl

from ml_assets.core.bundle import Bundle
from ml_assets.core.encoding import Floats
from ml_assets.core.features import EVENT_AT, ROW_NUMBER

CONTENDERS = {
    "champion": "prediction",
    "never_retrained": "prediction_never_retrained",
    "naive": "prediction_naive",
}
"""Contender -> its column in a predictions table."""

SCHEMA = pl.Schema(
    {
        ROW_NUMBER: pl.UInt32(),
        EVENT_AT: pl.Datetime("us"),
        **dict.fromkeys(CONTENDERS.values(), pl.Float64()),
        "model_version": pl.String(),
    }
)


def score(features: pl.DataFrame, champion: Bundle, first: Bundle, *, threads: int) -> pl.DataFrame:
    """The scores of every row, in the order given.

    Args:
        features: a features table.
        champion: the bundle that answers.
        first: the pipeline's first champion, never retrained.
        threads: how many LightGBM may use.

    Returns:
        `row_number`, `event_at`, a prediction per contender in the label's unit, `model_version` (the
        champion's SHA-256).

    Raises:
        ScoringError: the features are not those of a bundle.
    """
    scores = features.select(
        pl.col(ROW_NUMBER),
        pl.col(EVENT_AT),
        pl.Series("prediction", champion.predict(champion.feature_frame(features), threads=threads)),
        pl.Series("prediction_never_retrained", first.predict(first.feature_frame(features), threads=threads)),
        pl.lit(champion.naive).alias("prediction_naive"),
        pl.lit(champion.sha256).alias("model_version"),
    )
    return scores.match_to_schema(SCHEMA)


def no_scores() -> pl.DataFrame:
    """What a partition without an eligible champion has."""
    return pl.DataFrame(schema=SCHEMA)


def contenders_on(
    holdout: pl.DataFrame, *, candidate: Bundle, champion: Bundle | None, threads: int
) -> dict[str, Floats]:
    """The scores of candidate, champion (if there is one) and naive baseline on the same rows.

    Args:
        holdout: rows of a features table that neither has learnt from.
        candidate: the bundle that wants to be released.
        champion: the live bundle, None where there is none, or where it has learnt from these rows.
        threads: how many LightGBM may use.
    """
    scores = {"candidate": candidate.predict(candidate.feature_frame(holdout), threads=threads)}
    if champion is not None:
        scores["champion"] = champion.predict(champion.feature_frame(holdout), threads=threads)
    scores["naive"] = np.full(holdout.height, candidate.naive)
    return scores
