"""Scores by bundles, beside the yardsticks that cost nothing: the first champion and the naive baseline.

How a bundle predicts is in `bundle`; how right the scores were is in `performance`.
"""

import polars as pl

from ml_assets.core.bundle import Bundle
from ml_assets.core.encoding import Floats
from ml_assets.core.errors import ScoringError
from ml_assets.core.features import EVENT_AT, ROW_NUMBER
from ml_assets.core.tasks import Task

CONTENDERS = {
    "champion": "prediction",
    "never_retrained": "prediction_never_retrained",
    "naive": "prediction_naive",
}
"""Contender -> its column in a predictions table."""


def schema(task: Task, classes: int = 1) -> pl.Schema:
    """The columns of a predictions table; of a multiclass problem a prediction holds a probability per class."""
    prediction = pl.Array(pl.Float64, classes) if task == "multiclass" else pl.Float64()
    return pl.Schema(
        {
            ROW_NUMBER: pl.UInt32(),
            EVENT_AT: pl.Datetime("us"),
            **dict.fromkeys(CONTENDERS.values(), prediction),
            "model_version": pl.String(),
        }
    )


def score(features: pl.DataFrame, champion: Bundle, first: Bundle, *, threads: int) -> pl.DataFrame:
    """The scores of every row, in the order given.

    Args:
        features: a features table.
        champion: the bundle that answers.
        first: the pipeline's first champion, never retrained.
        threads: how many may be used.

    Returns:
        `row_number`, `event_at`, a prediction per contender as `tasks` says (in the label's unit, or
        probabilities), `model_version` (the champion's SHA-256).

    Raises:
        ScoringError: the features are not those of a bundle, or the two bundles are not for the same task.
    """
    if (champion.task, champion.classes) != (first.task, first.classes):
        raise ScoringError(
            f"bundles {champion.sha256[:12]} and {first.sha256[:12]}",
            found=f"{_told(champion)} beside {_told(first)}",
            expected="champions of one and the same task",
            cure="give the pipeline another name when its label changes: its ledger starts anew",
        )
    predicted = {
        "champion": champion.predict(champion.feature_frame(features), threads=threads),
        "never_retrained": first.predict(first.feature_frame(features), threads=threads),
        "naive": champion.naive_scores(features.height),
    }
    columns = schema(champion.task, champion.classes)
    scores = features.select(
        pl.col(ROW_NUMBER),
        pl.col(EVENT_AT),
        *(pl.Series(c, predicted[who], dtype=columns[c]) for who, c in CONTENDERS.items()),
        pl.lit(champion.sha256).alias("model_version"),
    )
    return scores.match_to_schema(columns)


def no_scores(task: Task, classes: int = 1) -> pl.DataFrame:
    """What a partition without an eligible champion has."""
    return pl.DataFrame(schema=schema(task, classes))


def _told(bundle: Bundle) -> str:
    return f"{bundle.task} of {bundle.classes} classes" if bundle.task == "multiclass" else bundle.task


def contenders_on(
    holdout: pl.DataFrame, *, candidate: Bundle, champion: Bundle | None, threads: int
) -> dict[str, Floats]:
    """The scores of candidate, champion (if there is one) and naive baseline on the same rows.

    Args:
        holdout: rows of a features table that neither has learnt from.
        candidate: the bundle that wants to be released.
        champion: the live bundle, None where there is none, or where it has learnt from these rows.
        threads: how many may be used.
    """
    scores = {"candidate": candidate.predict(candidate.feature_frame(holdout), threads=threads)}
    if champion is not None:
        scores["champion"] = champion.predict(champion.feature_frame(holdout), threads=threads)
    scores["naive"] = candidate.naive_scores(holdout.height)
    return scores
