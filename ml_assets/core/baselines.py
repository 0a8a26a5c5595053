"""Yardsticks that a model must beat to be worth its keep: what is fitted beside every candidate.

Those that need no model are in `naive_baselines`; how all fare beside the candidate is in `evaluation`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.measures import Floats
from ml_assets.core.models.fitted import FittedModel
from ml_assets.core.models.linear_params import LinearObjective, LinearParams
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.naive_baselines import Baseline, LastValue, NaiveByKey
from ml_assets.core.target_encoding import Declared
from ml_assets.core.tasks import Task

OBJECTIVE: dict[str, LinearObjective] = {"mae": "l1", "rmse": "l2", "pinball": "quantile"}
"""Metric of a regression that decides -> what the linear model minimises."""


@dataclass(frozen=True)
class Modelled(Baseline):
    """A fitted model as a yardstick, such as a linear one.

    Args:
        model: the model.
        specs: its features.
        threads: how many it may use.
    """

    model: FittedModel
    specs: tuple[FeatureSpec, ...]
    threads: int = 1

    def scores(self, frame: pl.DataFrame) -> Floats:
        """Its predictions."""
        return self.model.scores(frame.select(s.name for s in self.specs), self.specs, threads=self.threads)


def fit_baselines(
    train: pl.DataFrame,
    validation: pl.DataFrame,
    *,
    task: Task,
    metric: str,
    classes: int = 2,
    alpha: float | None = None,
    by: Sequence[str] = (),
    features: Sequence[Declared] = (),
    seed: int = 0,
    threads: int = 1,
) -> dict[str, Baseline]:
    """The baselines beside the naive one, which the candidate's bundle holds; none learns from the holdout.

    Args:
        train: the training set's rows, as `Manifest.rows` gives them.
        validation: those that say when to stop; the baselines, which do not, learn from them, too.
        task: what kind of problem.
        metric: the deciding one, which the linear model minimises.
        classes: of a multiclass problem.
        alpha: the quantile that is predicted, 0 to 1.
        by: features or kept columns that make a key; none: no baselines by key.
        features: inputs of the linear model; none: no linear model.
        seed, threads: of the linear model.

    Returns:
        `naive_by_key`, `last_value` and `linear`, as far as asked for.

    Raises:
        ContractError: columns of the key are missing.
        TrainingError: the linear model can't learn from these rows.
    """
    learnt = pl.concat([train, validation])
    found: dict[str, Baseline] = {}
    if by:
        found["naive_by_key"] = NaiveByKey.fit(learnt, by, task=task, classes=classes, alpha=alpha)
        found["last_value"] = LastValue.fit(learnt, by, task=task, classes=classes, alpha=alpha)
    if features:
        from ml_assets.core.models.kinds import fit_model

        objective: LinearObjective = OBJECTIVE[metric] if task == "regression" else task
        params = LinearParams(objective=objective, alpha=alpha if objective == "quantile" else None)
        spec = ModelSpec("linear", "linear", task, params, classes)
        fit = fit_model(spec, learnt, None, features=features, seed=seed, threads=threads)
        found["linear"] = Modelled(fit.model, fit.specs, threads)
    return found
