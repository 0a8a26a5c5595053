"""What was seen of a rollout, read from the prediction log, with labels as they come in; what follows is in `core`."""

from functools import partial
from typing import TYPE_CHECKING

from ml_assets.assets.rollout_pieces import COLUMNS, Read, reading
from ml_assets.assets.served import keyed_rows
from ml_assets.core.rollout.recorded import Rollout
from ml_assets.partitions import windows_through
from ml_assets.problem import Pipeline
from ml_assets.resources.models import Models
from ml_assets.resources.prediction_log import PredictionLogs
from ml_assets.resources.storage import Store

MOST_SAMPLED = 20_000
"""Requests whose features are read, to estimate losses from."""

FEW = ["variant", "role", "bundle"]
"""Columns with few values, some of them long."""

if TYPE_CHECKING:
    import polars as pl

    from ml_assets.core.measures import Floats
    from ml_assets.core.rollout.observed import Leg


def seen_of(pipeline: Pipeline, rollout: Rollout, store: Store, models: Models, logs: PredictionLogs) -> "list[Leg]":
    """What was seen of a rollout up to now, period by period.

    Requests, failures, latencies and predictions are counted of all. Models are compared row by row, and labels are
    looked for, of all requests up to `compared_up_to` of the rules, of ever fewer beyond. Labels are those that were
    delivered by request id; where the pipeline has a natural key (`serving.key`), also those of the stored partitions.
    Where the rollout is not paired, some requests are scored by the other model now.
    """
    import polars as pl

    from ml_assets.core.features import LABEL
    from ml_assets.core.metrics import losses
    from ml_assets.core.rollout.reading import AFTERWARDS, legs_of
    from ml_assets.core.rollout.rules import Rules

    def expect(bundle: str, rows: "pl.DataFrame") -> "Floats | None":
        return expected_losses(pipeline, models, bundle, rows)

    rules = Rules.from_json(rollout.rules)
    estimates = rules.guardrails.estimated_loss is not None
    key = ["key"] if pipeline.natural_key else []
    values = ["values"] if estimates or not rules.paired else []
    with reading(pipeline.name, rollout, logs, compared=rules.compared_up_to, more=[*key, *values]) as read:
        rows = with_labels(pipeline, store, read)
        sample = None
        if not rules.paired:
            sample = answered_by_one(pipeline, models, rollout, rows, read.rows([*COLUMNS, *values]))
            known = rows.select("request_id", "row", LABEL).unique(["request_id", "row"], keep="first")
            afterwards = sample.filter(pl.col("role") == AFTERWARDS).join(known, on=["request_id", "row"], how="left")
            rows = pl.concat([rows, afterwards.cast({name: rows.schema[name] for name in FEW})], how="diagonal")
        elif estimates:
            every = max(1, rows["request_id"].n_unique() // MOST_SAMPLED)
            part = pl.col("request_id").hash() % every == 0
            sample = read.rows([*COLUMNS, *values]).filter(part).collect()
    loss = partial(losses, pipeline.config.metric, alpha=pipeline.alpha)
    return legs_of(rollout, rows, loss, expect if estimates else None, sample, read.counts)


def answered_by_one(
    pipeline: Pipeline, models: Models, rollout: Rollout, rows: "pl.DataFrame", with_values: "pl.LazyFrame"
) -> "pl.DataFrame":
    """Requests with their features, a sample of what either model answered, and as the other one scores them."""
    import polars as pl

    from ml_assets.core.rollout.afterwards import sample_of, scored_by_the_other

    taken = with_values.filter(pl.col("request_id").is_in(sample_of(rollout, rows).implode())).collect()
    if taken.is_empty():
        return taken
    champion, candidate = models.load(rollout.champion), models.load(rollout.candidate)
    threads = pipeline.config.model.threads
    each = [
        scored_by_the_other(taken, *pair, threads=threads) for pair in ((champion, candidate), (candidate, champion))
    ]
    return pl.concat([taken, *each], how="diagonal")


def with_labels(pipeline: Pipeline, store: Store, read: Read) -> "pl.DataFrame":
    """The rows that are compared, with `label` (float64) where it is known."""
    import polars as pl

    from ml_assets.core.features import LABEL, ROW_NUMBER
    from ml_assets.core.prediction_log import event_time, joined_by_request
    from ml_assets.core.served import LABEL_FROM, joined_by_key

    key = ["key"] if pipeline.natural_key else []
    rows = read.rows([*COLUMNS, *key]).cast(dict.fromkeys(FEW, pl.Categorical)).collect(engine="streaming")
    told = joined_by_request(rows, read.known())
    if pipeline.natural_key and not told.is_empty():
        first, last = told.select(event_time().min().alias("first"), event_time().max().alias("last")).row(0)
        windows = [w for w in windows_through(pipeline.table.partitions) if w.start <= last and w.end > first]
        known = [k for w in windows if (k := keyed_rows(pipeline, store, w)) is not None]
        if known:
            without = told.with_columns(
                pl.lit(None, pl.UInt32).alias(ROW_NUMBER), pl.lit(None, pl.String).alias(LABEL_FROM)
            )
            told = joined_by_key(without, pl.concat(known), pipeline.natural_key)[0]
    return told.with_columns(pl.col(LABEL).cast(pl.Float64))


def expected_losses(pipeline: Pipeline, models: Models, bundle: str, rows: "pl.DataFrame") -> "Floats | None":
    """The losses that a bundle's own estimator expects of rows that it scored, `[blocks, rows]`; None without one."""
    from ml_assets.core.rollout.reading import matrix
    from ml_assets.core.served import feature_frame

    model = models.load(bundle)
    if model.estimator is None or rows.is_empty():
        return None
    scores = matrix(rows["prediction"])
    frame = feature_frame(rows, model.specs)
    return model.estimator.expected(frame, scores, model.specs, threads=pipeline.config.model.threads).by_block
