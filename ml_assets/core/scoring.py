"""Scores by bundles, beside the yardsticks: the first champion, the naive baseline, the champion before.

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
"""Contender -> its column in a predictions table; each scores every row."""
REPLACED, REPLACED_PREDICTION = "replaced", "prediction_replaced"
"""The champion before, and its column, null where none scores on."""
VERSION, REPLACED_VERSION = "model_version", "replaced_version"
"""Columns with the SHA-256 of who answered a row, and of the champion before, null as its prediction is."""


def schema(task: Task, classes: int = 1) -> pl.Schema:
    """The columns of a predictions table; of a multiclass problem a prediction holds a probability per class."""
    prediction = pl.Array(pl.Float64, classes) if task == "multiclass" else pl.Float64()
    return pl.Schema(
        {
            ROW_NUMBER: pl.UInt32(),
            EVENT_AT: pl.Datetime("us"),
            **dict.fromkeys([*CONTENDERS.values(), REPLACED_PREDICTION], prediction),
            VERSION: pl.String(),
            REPLACED_VERSION: pl.String(),
        }
    )


def contenders(scores: pl.DataFrame) -> dict[str, str]:
    """Contender -> its column, of those that scored every one of some rows of a predictions table.

    A table that was written before a replaced champion scored on has no column of it.
    """
    scored_on = REPLACED_PREDICTION in scores.columns and not scores[REPLACED_PREDICTION].null_count()
    return {**CONTENDERS, REPLACED: REPLACED_PREDICTION} if scored_on else dict(CONTENDERS)


def score(
    features: pl.DataFrame, champion: Bundle, first: Bundle, *, threads: int, replaced: Bundle | None = None
) -> pl.DataFrame:
    """The scores of every row, in the order given.

    Args:
        features: a features table.
        champion: the bundle that answers.
        first: the pipeline's first champion, never retrained.
        threads: how many may be used.
        replaced: the champion before, where it scores on.

    Returns:
        `row_number`, `event_at`, a prediction per contender as `tasks` says (in the label's unit, or
        probabilities), `model_version` (the champion's SHA-256), `replaced_version`.

    Raises:
        ScoringError: the features are not those of a bundle, or the bundles are not for the same task.
    """
    beside = [first] if replaced is None else [first, replaced]
    for other in beside:
        _require_same_task(champion, other)
    # By hash: the first champion is often the live one, or the one before.
    models = {b.sha256: b for b in (champion, *beside)}
    by_bundle = {sha256: b.predict(b.feature_frame(features), threads=threads) for sha256, b in models.items()}
    columns = schema(champion.task, champion.classes)
    predicted = {
        "champion": by_bundle[champion.sha256],
        "never_retrained": by_bundle[first.sha256],
        "naive": champion.naive_scores(features.height),
    }
    before = None if replaced is None else by_bundle[replaced.sha256]
    scores = features.select(
        pl.col(ROW_NUMBER),
        pl.col(EVENT_AT),
        *(pl.Series(c, predicted[who], dtype=columns[c]) for who, c in CONTENDERS.items()),
        pl.lit(None, columns[REPLACED_PREDICTION]).alias(REPLACED_PREDICTION)
        if before is None
        else pl.Series(REPLACED_PREDICTION, before, dtype=columns[REPLACED_PREDICTION]),
        pl.lit(champion.sha256).alias(VERSION),
        pl.lit(None if replaced is None else replaced.sha256, pl.String).alias(REPLACED_VERSION),
    )
    return scores.match_to_schema(columns)


def _require_same_task(champion: Bundle, other: Bundle) -> None:
    if (champion.task, champion.classes) != (other.task, other.classes):
        raise ScoringError(
            f"bundles {champion.sha256[:12]} and {other.sha256[:12]}",
            found=f"{_told(champion)} beside {_told(other)}",
            expected="champions of one and the same task",
            cure="give the pipeline another name when its label changes: its ledger starts anew",
        )


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
