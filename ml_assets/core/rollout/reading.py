"""The prediction log of a rollout as counts and sums, period by period.

What is in the log is in `core.prediction_log`; what follows from the sums, in `guardrails` and `machine`. Rows that a
client asked for by version or for a test are no part of the rollout and are left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import polars as pl

from ml_assets.core.features import LABEL
from ml_assets.core.measures import Floats
from ml_assets.core.prediction_log import ANSWERED, FAILED, SHADOW, TIMED
from ml_assets.core.rollout.observed import Counts, Estimates, Leg, Pairs, Seen, Sums, latency_counts
from ml_assets.core.rollout.recorded import Rollout
from ml_assets.core.routing import CANDIDATE, CHAMPION

Loss = Callable[[Floats, Floats], Floats]
"""Labels `[rows]` and predictions `[rows]` or `[rows, classes]` -> the deciding loss of each row."""
Expect = Callable[[str, pl.DataFrame], Floats | None]
"""A bundle's SHA-256 and rows of the log that it scored -> the losses that are expected, `[blocks, rows]`, see
`core.estimator`; None: it can't tell."""
MOST_ESTIMATED = 2_000
"""Rows of a period whose loss is estimated, evenly spread: what is left out adds next to nothing."""
AFTERWARDS = "afterwards"
"""Role of rows that are in no log: what the other model makes of a request that it did not score, see `afterwards`."""
_ROW = ["request_id", "row"]
_COUNTED = [*_ROW, "at", "role", "bundle", "prediction", "latency_us", "error", LABEL]
_NOT_COMPARED = {"latency_us", "error"}


@dataclass(frozen=True)
class Period:
    """Between two events of a rollout: `[start, end)` in UTC without a zone; None: up to now."""

    step: int
    weight: int
    start: datetime
    end: datetime | None


def periods_of(rollout: Rollout) -> list[Period]:
    """The periods of a rollout, oldest first."""
    told = [(e.facts["to"], datetime.fromisoformat(e.facts["at"])) for e in rollout.events]
    starts = [at.astimezone(UTC).replace(tzinfo=None) for _, at in told]
    return [
        Period(state["step"], state["weight"], start, end)
        for (state, _), start, end in zip(told, starts, [*starts[1:], None], strict=True)
        if state["phase"] in ("shadow", "canary", "green", "test")
    ]


def legs_of(
    rollout: Rollout,
    rows: pl.DataFrame,
    loss: Loss,
    expect: Expect | None = None,
    sample: pl.DataFrame | None = None,
    counts: Sequence[tuple[Seen, Seen]] | None = None,
) -> list[Leg]:
    """What was seen in each period.

    Args:
        rollout: whose champion and candidate.
        rows: rows of the log since it began, with `label` (float64, null where it is not known); those that were scored
            afterwards make pairs, and count as nobody's request.
        loss: the deciding loss.
        expect: estimates losses; None: they are not estimated.
        sample: some of these rows, whole requests with their `values`, of which losses are estimated.
        counts: what was counted of champion and candidate in each period, where `rows` are not all; None:
            `rows` are counted.
    """
    periods = periods_of(rollout)
    own = of_arms(rollout, rows).select(name for name in _COUNTED if counts is None or name not in _NOT_COMPARED)
    if counts is None:
        counts = [counted(rollout, within(own, period)) for period in periods]
    told = [_leg(p, within(own, p), rollout, loss, seen) for p, seen in zip(periods, counts, strict=True)]
    if expect is None or sample is None:
        return told
    part = of_arms(rollout, sample).filter(pl.col("prediction").is_not_null(), pl.col("values").is_not_null())
    return [
        replace(leg, estimated=_estimated(rollout, within(part, period), expect))
        for leg, period in zip(told, periods, strict=True)
    ]


def counted(rollout: Rollout, rows: pl.DataFrame) -> tuple[Seen, Seen]:
    """What needs no label and no other row, of champion and candidate: requests, latencies, predictions.

    Args:
        rollout: whose.
        rows: of the arms, see `of_arms`, of one period.
    """
    timed = rows.filter(pl.col("role") == TIMED).select("request_id").unique()
    told = [_counted(rows.filter(pl.col("bundle") == b), timed) for b in (rollout.champion, rollout.candidate)]
    return told[0], told[1]


def of_arms(rollout: Rollout, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of champion and candidate that nobody asked for by version or for a test."""
    arms = pl.col("variant").is_in([CHAMPION, CANDIDATE]) | (pl.col("role") == SHADOW)
    return rows.filter(arms, pl.col("bundle").is_in([rollout.champion, rollout.candidate]))


def within(rows: pl.DataFrame, period: Period) -> pl.DataFrame:
    """The rows of a period."""
    later = pl.lit(value=True) if period.end is None else pl.col("at") < period.end
    return rows.filter(pl.col("at") >= period.start, later)


def _leg(period: Period, rows: pl.DataFrame, rollout: Rollout, loss: Loss, counts: tuple[Seen, Seen]) -> Leg:
    each = [rows.filter(pl.col("bundle") == b) for b in (rollout.champion, rollout.candidate)]
    scored = [_scored(of) for of in each]
    both = scored[0].join(scored[1], on=_ROW, how="inner", suffix=" of candidate", maintain_order="left")
    pairs, labelled = _of_both(both), _of_both(both.filter(pl.col(LABEL).is_not_null()))
    label = both[LABEL].drop_nulls().to_numpy()
    champion, candidate = (replace(c, losses=_losses(of, loss)) for c, of in zip(counts, each, strict=True))
    return Leg(
        period.step,
        period.weight,
        champion,
        candidate,
        Pairs.of(*(_scalar(values) for values in pairs)),
        Pairs.of(*(loss(label, values) for values in labelled)) if len(label) else Pairs(),
    )


def _counted(rows: pl.DataFrame, timed: pl.DataFrame) -> Seen:
    """What was seen of a model, but its losses; requests are counted by their first row.

    Args:
        rows: of the log that are the model's.
        timed: `request_id` of those for which who answered was timed beside.
    """
    chosen = pl.col("role").is_in([ANSWERED, FAILED])
    requests = rows.filter(pl.col("row") == 0, ~pl.col("role").is_in([AFTERWARDS, TIMED]))
    answered = rows.filter(pl.col("role") == ANSWERED)
    beside = rows.filter((pl.col("role") == TIMED) | (pl.col("role") == SHADOW) & pl.col("error").is_null())
    return Seen(
        answered=requests.filter(chosen).height,
        tried=requests.height,
        failed=requests.filter(pl.col("error").is_not_null()).height,
        latencies=_latencies(answered),
        predictions=Sums.of(_scalar(matrix(answered["prediction"]))),
        beside=_latencies(beside.join(timed, on="request_id", how="semi")),
    )


def _latencies(rows: pl.DataFrame) -> Counts:
    """How long requests took, by row: a client that sends many rows at once would make its arm look slow."""
    per_row = rows.group_by("request_id").agg(pl.col("latency_us").first() / pl.len())
    return latency_counts(per_row["latency_us"].to_numpy())


def _losses(rows: pl.DataFrame, loss: Loss) -> Sums:
    """The realised losses of what a model answered."""
    known = rows.filter(pl.col("role") == ANSWERED, pl.col(LABEL).is_not_null(), pl.col("prediction").is_not_null())
    return Sums.of(loss(known[LABEL].to_numpy(), matrix(known["prediction"]))) if known.height else Sums()


def _scored(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows that a model has scored, answered or beside, each once."""
    known = rows.filter(pl.col("prediction").is_not_null())
    return known.unique(_ROW, keep="first", maintain_order=True).select(*_ROW, LABEL, "prediction")


def _of_both(both: pl.DataFrame) -> tuple[Floats, Floats]:
    return matrix(both["prediction"]), matrix(both["prediction of candidate"])


def matrix(predictions: pl.Series) -> Floats:
    """`[rows]` of numbers, or `[rows, classes]`."""
    if predictions.is_empty():
        return np.zeros(0)
    width = int(predictions.list.len().max())  # type: ignore[arg-type]
    flat = predictions.explode().to_numpy().astype(np.float64)
    return flat if width == 1 else flat.reshape(-1, width)


def _scalar(predictions: Floats) -> Floats:
    """One number a row: of several classes, how sure the model is of the likeliest."""
    return predictions if predictions.ndim == 1 else predictions.max(axis=1)


def _estimated(rollout: Rollout, rows: pl.DataFrame, expect: Expect) -> Estimates:
    """The losses that are expected of the rows that both have scored, or of an evenly spread part of them."""
    each = [rows.filter(pl.col("bundle") == b).unique(_ROW, keep="first", maintain_order=True)
            for b in (rollout.champion, rollout.candidate)]  # fmt: skip
    both = each[0].select(_ROW).join(each[1].select(_ROW), on=_ROW, how="inner", maintain_order="left")
    if both.is_empty():
        return Estimates()
    part = both.gather_every(max(1, both.height // MOST_ESTIMATED))
    told: list[Floats] = []
    for bundle, own in zip((rollout.champion, rollout.candidate), each, strict=True):
        found = expect(bundle, part.join(own, on=_ROW, how="inner", maintain_order="left"))
        told += [] if found is None else [found]
    return Estimates.of(*told) if len(told) == 2 else Estimates()
