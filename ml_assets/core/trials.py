"""Trials of a tuning, as they are recorded: what was tried, how it did on each fold, how it ended.

How trials are drawn is in `tuning`, how they are scored in `trial_scoring`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from ml_assets.core.parameters import ModelParams
from ml_assets.core.recency import Recency
from ml_assets.core.search_range import Value

TrialState = Literal["complete", "pruned", "failed"]
Origin = Literal["untuned", "warm start", "recency", "preset", "search"]
"""Why a trial was made: the untuned model, the champion's best, each window and half-life once, large and small trees,
or TPE."""
EndedBy = Literal["trials", "timeout"]
WARM_STARTS = 5


@dataclass(frozen=True)
class FoldScore:
    """How a trial did on one fold.

    Args:
        loss: mean over the fold's rows of the deciding metric's loss: of `rmse` the squared error.
        rows: that judged.
        trees: that early stopping kept.
    """

    loss: float
    rows: int
    trees: int


def mean_loss(folds: "Sequence[FoldScore]") -> float:
    """Mean loss over all rows of some folds."""
    return sum(f.loss * f.rows for f in folds) / sum(f.rows for f in folds)


@dataclass(frozen=True)
class TrialRecord:
    """One trial that has ended.

    Args:
        number: from 0, without gaps, the same however often the study was interrupted.
        origin: why it was made.
        params: values of the search space.
        state: `failed` where nothing could be learnt with these parameters.
        value: mean loss over all folds' rows; None unless it is complete.
        folds: what was scored, the newest fold first.
        seconds: that it took; for people, part of no hash.
        reason: why it failed or was pruned; None where it is complete.
    """

    number: int
    origin: Origin
    params: Mapping[str, Value]
    state: TrialState
    value: float | None
    folds: tuple[FoldScore, ...]
    seconds: float
    reason: str | None = None

    @property
    def trees(self) -> int:
        """Trees for a model that learns from all rows of a fold and those after it: the mean over the folds.

        Not more of them for having some more rows: the fold is one block of rows shorter at most, and the loss is
        flat around its minimum. The mean of the folds' noisy minima is nearer to it than any one.
        """
        return max(1, round(sum(f.trees for f in self.folds) / max(1, len(self.folds))))

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(**{**record, "folds": tuple(FoldScore(**f) for f in record["folds"])})


@dataclass(frozen=True)
class Tuned:
    """What tuning has found.

    Args:
        study: name of the study.
        metric: whose loss was minimised.
        params: of the final model: the best trial's, with its number of trees and without early stopping.
        recency: what the final model learns from.
        trials: all that have ended, by number.
        ended_by: `trials`, or `timeout`, after which their number depends on the machine.
    """

    study: str
    metric: str
    params: ModelParams
    recency: Recency
    trials: tuple[TrialRecord, ...]
    ended_by: EndedBy

    @property
    def ranked(self) -> list[TrialRecord]:
        """The complete trials, best first; of equals the earlier."""
        return ranked(self.trials)

    @property
    def best(self) -> TrialRecord:
        """The winner."""
        return self.ranked[0]

    @property
    def warm_start(self) -> list[dict[str, Value]]:
        """Values of the best trials, best first: where the next study starts."""
        return [dict(t.params) for t in self.ranked[:WARM_STARTS]]

    def facts(self) -> dict[str, Any]:
        """What a bundle tells of it; the same on every machine, with no time in it."""
        return {
            "study": self.study,
            "trials": len(self.trials),
            "best": self.warm_start,
            "params": self.params.to_json(),
            "recency": self.recency.to_json(),
        }

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "study": self.study,
            "metric": self.metric,
            "params": self.params.to_json(),
            "recency": self.recency.to_json(),
            "trials": [t.to_json() for t in self.trials],
            "ended_by": self.ended_by,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(
            study=record["study"],
            metric=record["metric"],
            params=ModelParams.from_json(record["params"]),
            recency=Recency.from_json(record["recency"]),
            trials=tuple(TrialRecord.from_json(t) for t in record["trials"]),
            ended_by=record["ended_by"],
        )


@dataclass(frozen=True)
class Refit:
    """What an earlier study found, taken over as it is.

    Args:
        champion: SHA-256 of the bundle whose parameters these are.
        params: of the model.
        recency: what it learns from.
        told: what the champion tells of its study, see `Tuned.facts`.
    """

    champion: str
    params: ModelParams
    recency: Recency
    told: Mapping[str, Any]

    @classmethod
    def of(cls, champion: str, facts: Mapping[str, Any]) -> Self | None:
        """The parameters of a champion; None where its bundle is of before they were kept.

        Args:
            champion: SHA-256 of its bundle.
            facts: what it tells of its study.
        """
        if "params" not in facts:
            return None
        return cls(champion, ModelParams.from_json(facts["params"]), Recency.from_json(facts["recency"]), facts)

    def facts(self) -> dict[str, Any]:
        """What a bundle tells of it: the same as the champion's."""
        return dict(self.told)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"champion": self.champion, "told": dict(self.told)}


Settled = Tuned | Refit
"""What is settled about a model before it is trained."""


def settled_from_json(record: Mapping[str, Any]) -> Settled:
    """Read what `to_json` of either wrote."""
    if "champion" not in record:
        return Tuned.from_json(record)
    told = record["told"]
    params, recency = ModelParams.from_json(told["params"]), Recency.from_json(told["recency"])
    return Refit(record["champion"], params, recency, told)


def ranked(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The complete trials, best first; of equals the earlier."""
    done = [(t.value, t.number, t) for t in trials if t.value is not None and t.state == "complete"]
    return [t for _, _, t in sorted(done, key=lambda d: d[:2])]
