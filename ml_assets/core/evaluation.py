"""Contenders compared on the same rows: how large the errors are, where, and how sure that is.

Metrics are in `metrics`, intervals in `bootstrap`, slices in `slices` and `found_slices`, calibration in
`calibration`. What is decided from it is in `promotion`, what a reader ticks off in `checklist`; pictures are in
`evaluation_pictures`, the page in `evaluation_page`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from ml_assets.core.bootstrap import Interval, Intervals, Resamples, compare
from ml_assets.core.calibration import Calibration, calibration_of
from ml_assets.core.classification_metrics import Costs, likeliest
from ml_assets.core.errors import ContractError
from ml_assets.core.explanation import Explanation
from ml_assets.core.features import EVENT_AT, LABEL, ROW_NUMBER, SLICE_PREFIX
from ml_assets.core.found_slices import worst_slices
from ml_assets.core.manifest import Manifest
from ml_assets.core.measures import Floats
from ml_assets.core.metrics import losses, measures_of, require_scores
from ml_assets.core.releases import Champion
from ml_assets.core.slices import Sliced, SliceDifference, by_slice, label_luck, slice_differences
from ml_assets.core.split import PARTITION
from ml_assets.core.tasks import Task

if TYPE_CHECKING:
    from ml_assets.core.bundle import Bundle

CANDIDATE, CHAMPION, NAIVE = "candidate", "champion", "naive"


@dataclass(frozen=True)
class Evaluation:
    """Contenders on the same rows.

    Args:
        task, metric: what kind of problem, and the deciding metric.
        rows: rows with a mature label.
        holdout: `sha256` of these rows (see `digest_of`), `start` and `end`: times of the first and last event.
        metrics: contender -> metric -> value.
        intervals: contender -> metric -> its interval.
        differences: other contender -> the candidate's deciding loss minus its, below 0 where the candidate is better.
        metric_differences: other contender -> metric -> the candidate's minus its.
        slices: slice column -> value -> `rows`, and contender -> value of the deciding metric.
        slice_differences: slice column -> value -> the candidate's loss minus the champion's; none without champion.
        worst_slices: see `found_slices`.
        calibration: of the candidate; None of a regression.
        coverage: share of labels at or below the candidate's prediction, and the `alpha` it should be; None of all
            but quantiles.
        costs: of wrong answers, and the `threshold` they mean; None of all but binary problems.
    """

    task: Task
    metric: str
    rows: int
    holdout: dict[str, str]
    metrics: dict[str, dict[str, float]]
    intervals: Intervals
    differences: dict[str, Interval]
    metric_differences: Intervals
    slices: dict[str, dict[str, dict[str, float]]]
    slice_differences: dict[str, dict[str, SliceDifference]]
    worst_slices: list[dict[str, Any]]
    calibration: Calibration | None
    coverage: dict[str, float] | None
    costs: dict[str, float] | None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "task": self.task,
            "metric": self.metric,
            "rows": self.rows,
            "holdout": self.holdout,
            "metrics": self.metrics,
            "intervals": _json(self.intervals),
            "differences": {who: i.to_json() for who, i in self.differences.items()},
            "metric_differences": _json(self.metric_differences),
            "slices": self.slices,
            "slice_differences": _json(self.slice_differences),
            "worst_slices": self.worst_slices,
            "calibration": None if self.calibration is None else self.calibration.to_json(),
            "coverage": self.coverage,
            "costs": self.costs,
        }


def evaluate(
    holdout: pl.DataFrame,
    contenders: Mapping[str, Floats],
    *,
    task: Task,
    metric: str,
    alpha: float | None = None,
    slices: Sequence[str] = (),
    costs: Costs | None = None,
    seed: int = 0,
) -> Evaluation:
    """Compare contenders on the holdout.

    Args:
        holdout: rows of a features table with `PARTITION`, as `Manifest.rows` gives them; at least one, all labels
            mature.
        contenders: contender -> its predictions of these rows; the first is the candidate.
        task: what kind of problem.
        metric: the metric that decides.
        alpha: the quantile that is predicted, 0 to 1.
        slices: kept columns by which the error is broken down.
        costs: of wrong answers of a binary classifier.
        seed: of everything drawn at random.

    Raises:
        ContractError: labels or predictions are not what the task's are, or columns of the holdout are missing.
    """
    _require_columns(holdout, slices)
    label = holdout[LABEL].cast(pl.Float64).to_numpy()
    for who, scores in contenders.items():
        require_scores(task, label, scores, who)
    costs = (costs or Costs()) if task == "binary" else None
    resamples = Resamples(holdout.height, seed)
    measures = {who: measures_of(task, label, p, alpha=alpha, costs=costs) for who, p in contenders.items()}
    intervals, metric_differences = compare(measures, resamples)
    loss = {who: losses(metric, label, p, alpha=alpha) for who, p in contenders.items()}
    candidate, *others = contenders
    sliced = {name: Sliced.by(holdout[SLICE_PREFIX + name]) for name in slices}
    ruined: dict[str, dict[str, SliceDifference]] = {}
    if CHAMPION in others:
        luck = label_luck(metric, contenders[candidate], contenders[CHAMPION])
        ruined = slice_differences(sliced, loss[candidate], loss[CHAMPION], luck)
    return Evaluation(
        task=task,
        metric=metric,
        rows=holdout.height,
        holdout=_holdout(holdout),
        metrics={who: {name: m.value() for name, m in of.items()} for who, of in measures.items()},
        intervals=intervals,
        differences={who: resamples.mean(loss[candidate] - loss[who]) for who in others},
        metric_differences=metric_differences,
        slices={name: by_slice(of, loss, metric) for name, of in sliced.items()},
        slice_differences=ruined,
        worst_slices=worst_slices(holdout, loss, metric=metric, seed=seed),
        calibration=_calibration(task, label, contenders[candidate], intervals[candidate].get("bias"), seed),
        coverage=_coverage(alpha, intervals[candidate].get("coverage")),
        costs=None if costs is None else {**vars(costs), "threshold": costs.threshold},
    )


def evaluation_record(
    evaluation: Evaluation,
    bundle: "Bundle",
    manifest: Manifest,
    *,
    unit: str,
    champion: Champion | None,
    champion_learnt_holdout: bool,
    explanation: Explanation | None = None,
) -> dict[str, Any]:
    """The record of an evaluation, JSON-able, but for its `checklist`, which is filled in from it.

    Args:
        evaluation: the contenders on the holdout.
        bundle: the candidate.
        manifest: the training set.
        unit: of the deciding metric; empty where it has none.
        champion: the live one, whether it was compared with or not; None before the first release.
        champion_learnt_holdout: whether it learnt from rows that would judge it, and was left out for that.
        explanation: what the candidate's scores come from.
    """
    explained = {} if explanation is None else {explanation.kind: dict(explanation.shares)}
    return {
        "pipeline": bundle.facts["pipeline"],
        "bundle": bundle.sha256,
        "as_of": manifest.as_of,
        "scores_from": manifest.split.as_of.isoformat(),
        "rows_trained": bundle.rows_trained,
        "unit": unit,
        "rows_immature": manifest.counts.immature["holdout"],
        **evaluation.to_json(),
        "importances": dict(bundle.facts["importances"]),
        "shap": explained.get("shap"),
        "permutation": explained.get("permutation"),
        "champion": None
        if champion is None
        else {"bundle": champion.bundle, "as_of": champion.as_of, "sequence": champion.sequence},
        "champion_learnt_holdout": champion_learnt_holdout,
        "checklist": [],
    }


def digest_of(holdout: pl.DataFrame) -> str:
    """SHA-256 of which rows judge: partition, row number and label, in their order.

    Of each run of rows of one partition: the key in UTF-8, a zero byte, the number of rows (uint64), their row
    numbers (uint64) and labels (float64), little-endian.
    """
    digest = hashlib.sha256()
    rows = holdout.select(pl.col(PARTITION).cast(pl.String), pl.col(ROW_NUMBER).cast(pl.UInt64), pl.col(LABEL))
    for _, run in rows.group_by(pl.col(PARTITION).rle_id(), maintain_order=True):
        digest.update(run[PARTITION][0].encode() + b"\0" + len(run).to_bytes(8, "little"))
        digest.update(run[ROW_NUMBER].to_numpy().astype("<u8").tobytes())
        digest.update(run[LABEL].to_numpy().astype("<f8").tobytes())
    return digest.hexdigest()


def _holdout(holdout: pl.DataFrame) -> dict[str, str]:
    start, end = holdout.select(start=pl.col(EVENT_AT).min(), end=pl.col(EVENT_AT).max()).row(0)
    return {"sha256": digest_of(holdout), "start": start.isoformat(), "end": end.isoformat()}


def _require_columns(holdout: pl.DataFrame, slices: Sequence[str]) -> None:
    needed = [LABEL, EVENT_AT, ROW_NUMBER, PARTITION, *(SLICE_PREFIX + s for s in slices)]
    if missing := [f"no column {c}" for c in needed if c not in holdout.columns]:
        raise ContractError(
            "holdout",
            found=missing,
            expected="rows of a features table that keeps the slice columns",
            cure="take the rows from `Manifest.rows`; materialize the features again if evaluation.slices changed",
        )


def _calibration(task: Task, label: Floats, prediction: Floats, bias: Interval | None, seed: int) -> Calibration | None:
    if task == "regression" or bias is None:
        return None
    sure, right = likeliest(label, prediction) if task == "multiclass" else (prediction, label)
    return calibration_of(right, sure, bias=bias, seed=seed)


def _coverage(alpha: float | None, coverage: Interval | None) -> dict[str, float] | None:
    return None if alpha is None or coverage is None else {"alpha": alpha, **coverage.to_json()}


def _json(nested: Mapping[str, Mapping[str, Interval | SliceDifference]]) -> dict[str, dict[str, Any]]:
    return {outer: {inner: value.to_json() for inner, value in of.items()} for outer, of in nested.items()}
