"""The score of a trial: models of its parameters grown on every fold, judged by the metric that decides.

LightGBM's datasets are built once for each fold and learning window that is asked for, and kept: in a study the
same rows are learnt from again and again. Which parameters are tried is decided in `tuning`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from ml_assets.core.errors import TrainingError
from ml_assets.core.features import LABEL
from ml_assets.core.folds import Fold
from ml_assets.core.metrics import Deciding, losses
from ml_assets.core.models.labels import require_labels
from ml_assets.core.models.trees import grow
from ml_assets.core.models.trees_data import Prepared, prepare
from ml_assets.core.parameters import ModelParams
from ml_assets.core.pruning import Curves, Pruning, kept
from ml_assets.core.recency import Recency
from ml_assets.core.search_range import Value
from ml_assets.core.search_space import SearchSpace
from ml_assets.core.target_encoding import Declared, declared_json
from ml_assets.core.tasks import Task
from ml_assets.core.trials import FoldScore, TrialState, mean_loss


@dataclass(frozen=True, eq=False)
class TuningPlan:
    """What is searched, and by what a trial is judged.

    Args:
        folds: that every trial is judged on, the newest first; see `folds.make_folds`.
        space: what can be chosen.
        features: the model's inputs, in their order, and its target encodings.
        metric: that decides, as of the evaluation; a trial's score is the mean of its loss by row, whatever
            LightGBM itself minimises, and unweighted: what is old counts less in learning, not in judging.
        alpha: the quantile, for `pinball`.
        length: of one partition: ages are counted in it.
        seed: of the search and of everything random in training.
        task: the kind of problem.
        classes: how many a classification has.
        pruning: when a trial is given up; None for never.
    """

    folds: Sequence[Fold]
    space: SearchSpace
    features: Sequence[Declared]
    metric: Deciding
    length: timedelta
    seed: int
    task: Task = "regression"
    classes: int = 2
    alpha: float | None = None
    pruning: Pruning | None = field(default_factory=Pruning)

    def to_json(self) -> dict[str, Any]:
        """As JSON, all that a trial depends on beside the rows."""
        return {
            "folds": len(self.folds),
            "space": self.space.to_json(),
            "features": [declared_json(f) for f in self.features],
            "task": self.task,
            "classes": self.classes,
            "metric": self.metric,
            "alpha": self.alpha,
            "length_seconds": self.length.total_seconds(),
            "seed": self.seed,
            "pruning": None if self.pruning is None else asdict(self.pruning),
        }


@dataclass(frozen=True)
class Scored:
    """How a trial did.

    Args:
        state: `complete`, `pruned` or `failed`.
        folds: what was scored.
        curves: validation curves of these folds, as `pruning` compares them; None where the parameters are refused.
        reason: why it is not complete.
        given_up: fold, tree and loss at which it was pruned.
    """

    state: TrialState
    folds: tuple[FoldScore, ...]
    curves: Curves | None
    reason: str | None = None
    given_up: tuple[int, int, float] | None = None

    @property
    def value(self) -> float | None:
        """Mean loss over all rows of the folds."""
        if self.state != "complete":
            return None
        return mean_loss(self.folds)


class TrialScorer:
    """Scores trials of one plan, one after the other.

    Args:
        plan: what they are judged by.
        threads: how many LightGBM may use; no score depends on it.
    """

    def __init__(self, plan: TuningPlan, threads: int) -> None:
        self._plan, self._threads = plan, threads
        self._prepared: dict[tuple[int, int | None, int, bool], Prepared] = {}
        self._judging = [fold.validation for fold in plan.folds]
        self.built = 0
        """Data sets that were built: one for each fold, learning window and `max_categories` asked for so far."""

    def score(
        self, values: Mapping[str, Value], finished: Sequence[Curves] = (), judged: Sequence[Sequence[FoldScore]] = ()
    ) -> Scored:
        """Grow and judge the model of these values on every fold, or until it is given up.

        Args:
            values: of the search space.
            finished: curves of the earlier trials whose loss is the same.
            judged: fold scores of all earlier trials.
        """
        scores: list[FoldScore] = []
        curves: list[tuple[float, ...]] = []
        params: ModelParams | None = None

        def scored(state: TrialState, reason: str | None = None, at: tuple[int, int, float] | None = None) -> Scored:
            through = None if params is None else Curves(_rate(params), tuple(curves))
            return Scored(state, tuple(scores), through, reason, at)

        try:
            params, recency = self._plan.space.model(values)
            for at in range(len(self._plan.folds)):
                score, curve = self._on_fold(at, params, recency, finished)
                scores.append(score)
                curves.append(kept(curve))
                self._require_promising(scores, judged)
        except _GivenUpError as e:
            return scored("pruned", str(e), e.at)
        except TrainingError as e:
            # Deterministic, such as no split at all with these parameters: a bad trial, not a broken study.
            return scored("failed", f"fold {len(scores)}: {'; '.join(e.found)}")
        return scored("complete")

    def _require_promising(self, scores: Sequence[FoldScore], judged: Sequence[Sequence[FoldScore]]) -> None:
        """Raise where it is not worth while to go on to a further fold."""
        rule, done = self._plan.pruning, len(scores)
        if rule is None or done == len(self._plan.folds):
            return
        loss, others = mean_loss(scores), [mean_loss(folds[:done]) for folds in judged if len(folds) >= done]
        if rule.surpassed(loss, others):
            folds = "fold 0" if done == 1 else f"folds 0 to {done - 1}"
            raise _GivenUpError(
                (done - 1, scores[-1].trees, loss),
                f"{folds}: the loss {loss:.6g} is above the {min(others):.6g} of an earlier trial",
            )

    def _on_fold(
        self, at: int, params: ModelParams, recency: Recency, finished: Sequence[Curves]
    ) -> tuple[FoldScore, Sequence[float]]:
        plan, prepared = self._plan, self._rows(at, params, recency)
        best, rule = float("inf"), plan.pruning

        def watch(tree: int, most: int, loss: float) -> None:  # noqa: ARG001
            nonlocal best
            best = min(best, loss)
            if rule and rule.outpaced(at, tree, best, learning_rate=_rate(params), finished=finished):
                raise _GivenUpError(
                    (at, tree, best),
                    f"fold {at}, tree {tree}: the validation loss {best:.6g} is above those of the best earlier trials",
                )

        grown = grow(prepared, params, classes=plan.classes, seed=plan.seed, threads=self._threads, on_iteration=watch)
        judging = self._judging[at]
        frame = judging.select(s.name for s in prepared.specs)
        scores = grown.model.scores(frame, prepared.specs, threads=self._threads)
        by_row = losses(plan.metric, judging[LABEL].to_numpy(), scores, alpha=plan.alpha)
        return FoldScore(float(by_row.mean()), judging.height, grown.iterations), grown.validation_curve

    def _rows(self, at: int, params: ModelParams, recency: Recency) -> Prepared:
        """A fold's data sets, weighted as asked for; binned at their first use."""
        fold, plan = self._plan.folds[at], self._plan
        train = recency.learnt(fold.train, until=fold.until, length=plan.length)
        weights = recency.weights(train, until=fold.until, length=plan.length)
        key = (at, recency.window, params.max_categories, params.linear_tree)
        if key in self._prepared:
            # They were prepared for another trial, whose objective may ask less of labels.
            require_labels("train", train, objective=params.objective, classes=plan.classes)
        else:
            self.built += 1
            self._prepared[key] = prepare(
                train,
                self._judging[at],
                features=plan.features,
                params=params,
                seed=plan.seed,
                threads=self._threads,
                classes=plan.classes,
            )
        self._prepared[key].weigh(weights)
        return self._prepared[key]


def _rate(params: ModelParams) -> float:
    return 1.0 if params.boosting == "rf" else params.learning_rate


class _GivenUpError(Exception):
    """A trial is not worth more time; what LightGBM is stopped by."""

    def __init__(self, at: tuple[int, int, float], reason: str) -> None:
        super().__init__(reason)
        self.at = at
