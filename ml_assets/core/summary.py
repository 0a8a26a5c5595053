"""What one replay did, in figures: per partition, per training, in all; and the JSON that programs read.

The page that people read is in `report`; what runs a replay is outside of `core`. All metrics here are
errors: lower is better.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import ClassVar, Literal, Self

from ml_assets.core.errors import MLAssetsError

# Read by pydantic in `from_json`: no key too many, no text for a number, no NaN.
_STRICT = {"extra": "forbid", "strict": True, "allow_inf_nan": False}


def _check(thing: str, counts: dict[str, int], figures: dict[str, float | None]) -> None:
    """Raise a ValueError that lists every count and figure that is negative, NaN or infinite."""
    wrong = [f"{name} = {n}" for name, n in counts.items() if n < 0]
    wrong += [f"{name} = {x}" for name, x in figures.items() if x is not None and not 0 <= x < math.inf]
    if wrong:
        raise ValueError(f"{thing}: {', '.join(wrong)}; expected finite numbers of at least 0, None for unknown")


@dataclass(frozen=True)
class PartitionSummary:
    """What happened to one partition.

    Args:
        partition: its key.
        rows_raw: rows that landed.
        rows_validated: rows that keep the contract.
        rows_quarantined: rows that don't.
        quarantine_reasons: broken rule → rows that broke it; a row may break several.
        champion: SHA-256 of the bundle that scored the partition; None before the first release.
        metric: error of that champion on the partition; None while unknown.
        metric_never_retrained: error of the first champion, had it never been replaced.
        metric_naive: error of the naive baseline.
        drift_verdict: `stable`, `drifted`, `not_enough_rows`; None where no report was made.
        drifted_features: names, those that made the verdict first; a feature may have drifted in a stable partition.
        missing_values: column → validated rows in which it is missing.
        schema_changes: what changed in the source's columns since the partition before, in words.
    """

    __pydantic_config__: ClassVar = _STRICT

    partition: str
    rows_raw: int
    rows_validated: int
    rows_quarantined: int
    quarantine_reasons: dict[str, int]
    champion: str | None
    metric: float | None
    metric_never_retrained: float | None
    metric_naive: float | None
    drift_verdict: str | None
    drifted_features: list[str]
    missing_values: dict[str, int] = field(default_factory=dict)
    schema_changes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        rows = {"rows_raw": self.rows_raw, "rows_validated": self.rows_validated}
        rows["rows_quarantined"] = self.rows_quarantined
        metrics = {"metric": self.metric, "metric_never_retrained": self.metric_never_retrained}
        metrics["metric_naive"] = self.metric_naive
        reasons = {f"quarantine_reasons.{rule}": n for rule, n in self.quarantine_reasons.items()}
        missing = {f"missing_values.{column}": n for column, n in self.missing_values.items()}
        _check(f"partition {self.partition}", rows | reasons | missing, metrics)

    def accounted(self) -> bool:
        """Whether every row that landed is either validated or quarantined."""
        return self.rows_raw == self.rows_validated + self.rows_quarantined

    @property
    def quarantined_share(self) -> float | None:
        """Quarantined rows over raw rows, 0 to 1; None for an empty partition."""
        return self.rows_quarantined / self.rows_raw if self.rows_raw else None

    @property
    def saved(self) -> float | None:
        """Error that retraining saved: never retrained minus live; negative where it did harm."""
        if self.metric is None or self.metric_never_retrained is None:
            return None
        return self.metric_never_retrained - self.metric


@dataclass(frozen=True)
class Worth:
    """What releasing a bundle was worth, against the champion that it replaced; in the loss of the metric.

    Args:
        estimate: mean loss saved per row; negative where it did harm.
        low, high: its 95 % interval.
        rows: with a known label.
        partitions: counted so far.
        wanted: partitions that a replaced champion keeps scoring.
        closed: whether nothing will be added.
        words: the same in a sentence.
    """

    __pydantic_config__: ClassVar = _STRICT

    estimate: float
    low: float
    high: float
    rows: int
    partitions: int
    wanted: int
    closed: bool
    words: str

    def __post_init__(self) -> None:
        _check("worth", {n: getattr(self, n) for n in ("rows", "partitions", "wanted")}, {})
        if not -math.inf < self.low <= self.estimate <= self.high < math.inf:
            raise ValueError(
                f"worth: {self.estimate} ({self.low} to {self.high}); expected a finite interval around it"
            )


@dataclass(frozen=True)
class TrainingSummary:
    """One training and what was decided about its bundle.

    Args:
        as_of: key of the partition at whose end it was trained.
        reason: why it was started.
        decision: `promote`, `reject` or `undecided`.
        reasons: why so, in words and numbers.
        bundle: SHA-256 of the bundle.
        rows: rows learnt from.
        seconds: time it took; None if not measured.
        holdout_metric: the candidate's error on the holdout; None if not measured.
        holdout_metric_naive: the naive baseline's error on the same rows.
        worth: what releasing it was worth, as far as that is known; None where it is not, where nothing was released,
            and where nothing was replaced.
    """

    __pydantic_config__: ClassVar = _STRICT

    as_of: str
    reason: str
    decision: Literal["promote", "reject", "undecided"]
    reasons: list[str]
    bundle: str
    rows: int
    seconds: float | None
    holdout_metric: float | None
    holdout_metric_naive: float | None
    worth: Worth | None = None

    def __post_init__(self) -> None:
        metrics = {"holdout_metric": self.holdout_metric, "holdout_metric_naive": self.holdout_metric_naive}
        _check(f"training as of {self.as_of}", {"rows": self.rows}, metrics | {"seconds": self.seconds})


@dataclass(frozen=True)
class DecisionSummary:
    """What the retraining sensor decided, where that was another thing than before.

    Args:
        at: when, in ISO 8601; in a replay the end of the partition that had just landed.
        action: `ignore`, `refresh`, `retrain` or `block`.
        plan: of a `retrain`, what to train, in words; empty otherwise.
        reasons: in words and numbers, those for the action first.
    """

    __pydantic_config__: ClassVar = _STRICT

    at: str
    action: Literal["ignore", "refresh", "retrain", "block"]
    plan: str
    reasons: list[str]


@dataclass(frozen=True)
class Comparison:
    """Mean errors over the same partitions, so that they may be compared; None where nothing can be said.

    Args:
        partitions: how many partitions the means are over.
        live: error of the champions that were live.
        never_retrained: error of the first champion.
        naive: error of the naive baseline.
    """

    partitions: int
    live: float | None
    never_retrained: float | None
    naive: float | None


@dataclass(frozen=True)
class Summary:
    """One replay of one pipeline.

    Args:
        pipeline: name of the pipeline.
        source: where its data came from: `simulated` or a path or URL.
        metric: name of the metric, e.g. `mae`; lower is better.
        unit: the metric's unit, e.g. `minutes`; empty for none.
        label: the column that is predicted.
        partitions: in order of time.
        trainings: in the order in which they ran.
        seconds: time the replay took.
        decisions: of the retraining sensor, in order.
    """

    __pydantic_config__: ClassVar = _STRICT

    pipeline: str
    source: str
    metric: str
    unit: str
    label: str
    partitions: list[PartitionSummary]
    trainings: list[TrainingSummary]
    seconds: float
    decisions: list[DecisionSummary] = field(default_factory=list)

    def __post_init__(self) -> None:
        _check(f"summary of {self.pipeline}", {}, {"seconds": self.seconds})

    @property
    def rows_raw(self) -> int:
        """Rows that landed, in all."""
        return sum(p.rows_raw for p in self.partitions)

    @property
    def rows_validated(self) -> int:
        """Rows that keep the contract, in all."""
        return sum(p.rows_validated for p in self.partitions)

    @property
    def rows_quarantined(self) -> int:
        """Rows in quarantine, in all."""
        return sum(p.rows_quarantined for p in self.partitions)

    def unaccounted(self) -> list[str]:
        """Keys of the partitions in which rows were lost or made up on the way."""
        return [p.partition for p in self.partitions if not p.accounted()]

    def accounted(self) -> bool:
        """Whether raw = validated + quarantined holds in every partition, not in the total only."""
        return not self.unaccounted()

    def missing_values(self) -> dict[str, int]:
        """Column → validated rows in which it is missing, in all partitions, most first."""
        total: Counter[str] = Counter()
        for p in self.partitions:
            total.update(p.missing_values)
        return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))

    def quarantine_reasons(self) -> dict[str, int]:
        """Broken rule → rows that broke it in all partitions, the most frequent first, then by name."""
        total: Counter[str] = Counter()
        for p in self.partitions:
            total.update(p.quarantine_reasons)
        return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))

    def comparison(self) -> Comparison:
        """Errors over the partitions that a champion scored, each weighted by its validated rows.

        Only partitions in which every series that exists at all is known are counted: means over different
        partitions are not comparable. `rmse` is pooled over its squares, every other metric is averaged.
        """
        scored = [p for p in self.partitions if p.champion is not None and p.metric is not None]
        series = {
            "live": [p.metric for p in scored],
            "never_retrained": [p.metric_never_retrained for p in scored],
            "naive": [p.metric_naive for p in scored],
        }
        present = {name: values for name, values in series.items() if any(x is not None for x in values)}
        common = [i for i in range(len(scored)) if all(values[i] is not None for values in present.values())]
        weights = [scored[i].rows_validated for i in common]

        def mean(name: str) -> float | None:
            known = [x for i in common if (x := series[name][i]) is not None]
            return _mean(known, weights, squared=self.metric == "rmse") if name in present else None

        return Comparison(len(common), mean("live"), mean("never_retrained"), mean("naive"))

    def to_json(self) -> str:
        """The summary as JSON text, keys in the order of the fields."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The summary that `to_json` wrote; raises an MLAssetsError that lists every mismatch."""
        from pydantic import TypeAdapter, ValidationError

        try:
            return TypeAdapter(cls).validate_json(text)
        except ValidationError as error:
            listed = [f"{'.'.join(map(str, e['loc'])) or 'document'}: {e['msg']}" for e in error.errors()]
            raise MLAssetsError(
                "summary.json",
                found=listed,
                expected="the keys and types that Summary.to_json writes",
                cure="write it anew with `ml-assets demo`",
            ) from error


def _mean(values: Sequence[float], weights: Sequence[int], *, squared: bool) -> float | None:
    """Weighted mean, or root of the weighted mean of squares; None without weight."""
    total = sum(weights)
    if not total:
        return None
    power = 2 if squared else 1
    mean = math.fsum(w * x**power for x, w in zip(values, weights, strict=True)) / total
    return math.sqrt(mean) if squared else mean
