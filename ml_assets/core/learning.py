"""One model, trained as a training set says: which rows it learns from, how much they count, when it stops.

How rows are divided is in `split`, what is learnt from them in `models`, how parameters are found in `tuning`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from ml_assets.core.encoding import Floats
from ml_assets.core.errors import TrainingError
from ml_assets.core.features import LABEL, ROW_NUMBER
from ml_assets.core.folds import Fold, refit_rows, rows_before_holdout
from ml_assets.core.manifest import Manifest
from ml_assets.core.metrics import losses
from ml_assets.core.models.fit import Fit, OnIteration
from ml_assets.core.models.kinds import fit_model
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.recency import Recency
from ml_assets.core.soundness import require_sound
from ml_assets.core.split import PARTITION, PARTS
from ml_assets.core.target_encoding import Declared, declared_json
from ml_assets.core.time_split import TimeSplit
from ml_assets.core.trials import Settled


@dataclass(frozen=True, eq=False)
class Recipe:
    """How a model of a pipeline is trained.

    Args:
        spec: the model; of a tuned one with the parameters that were found.
        recency: what of the rows it learns from, and how much they count.
        features: the model's inputs, in their order, and its target encodings.
        length: of one partition: ages are counted in it.
        seed: of everything random.
        threads: how many may be used; the model does not depend on it.
        tuned: whether parameters and number of trees are settled, so that no row is needed to stop by.
    """

    spec: ModelSpec
    recency: Recency
    features: Sequence[Declared]
    length: timedelta
    seed: int
    threads: int
    tuned: bool = False

    def to_json(self) -> dict[str, Any]:
        """As JSON, all that the model depends on beside the rows."""
        return {
            "spec": self.spec.to_json(),
            "recency": self.recency.to_json(),
            "features": [declared_json(f) for f in self.features],
            "length_seconds": self.length.total_seconds(),
            "seed": self.seed,
            "tuned": self.tuned,
        }

    @property
    def learns_all(self) -> bool:
        """Whether it learns from validation rows too, since nothing is stopped by them."""
        return self.tuned or not self.spec.iterates

    def with_settled(self, settled: Settled) -> "Recipe":
        """The same as a study found it, this time or an earlier one."""
        return Recipe(
            self.spec.with_params(settled.params), settled.recency, self.features, self.length, self.seed, self.threads,
            tuned=True,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Learnt:
    """A trained model.

    Args:
        fit: the model, and how its fitting went.
        rows: what it learnt from.
        facts: the same in numbers, for its bundle: `window` and `half_life` in partitions, `rows`, `iterations`,
            `until` (ISO 8601, from which ages are counted), and whether it learnt from validation rows.
    """

    fit: Fit
    rows: pl.DataFrame
    facts: dict[str, Any]


def learn(
    recipe: Recipe,
    manifest: Manifest,
    history: Mapping[str, pl.LazyFrame],
    *,
    on_iteration: OnIteration | None = None,
) -> Learnt:
    """Train on the rows of a training set, never on those of its holdout.

    Args:
        recipe: how.
        manifest: the training set.
        history: feature partition -> its features table.
        on_iteration: told of each iteration.

    Raises:
        TrainingError: the parts of the training set are not sound, or nothing can be learnt from them.
    """
    parts = {part: manifest.rows(history, part) for part in PARTS}
    require_sound(parts, manifest.split)
    split = manifest.split
    if recipe.learns_all:
        rows, until = refit_rows(rows_before_holdout(history, split), split)
        stopping = None
    else:
        rows, stopping, until = parts["train"], parts["validation"], _end_of_training(manifest)
    rows = recipe.recency.learnt(rows, until=until, length=recipe.length)
    fit = fit_model(
        recipe.spec,
        rows,
        stopping,
        features=recipe.features,
        seed=recipe.seed,
        threads=recipe.threads,
        weights=recipe.recency.weights(rows, until=until, length=recipe.length),
        on_iteration=on_iteration,
    )
    facts = {
        **recipe.recency.to_json(),
        "rows": rows.height,
        "iterations": fit.best_iteration,
        "until": until.isoformat(),
        "validation_rows_learnt": recipe.learns_all,
    }
    return Learnt(fit, rows, facts)


def out_of_fold(recipes: Mapping[str, Recipe], iterations: Mapping[str, int], folds: Sequence[Fold]) -> pl.DataFrame:
    """What each model says of rows that it has not learnt from, fold by fold.

    Every model is trained anew on what each fold learns from, with as many iterations as the final one has: rows
    that judge never say when to stop.

    Args:
        recipes: name -> how the model is trained.
        iterations: name -> iterations of the final model.
        folds: see `folds.make_folds`.

    Returns:
        `row_number`, `@partition`, `label` and a column per model, Float64 or Array of Float64 by class; the newest
        fold first.

    Raises:
        TrainingError: nothing can be learnt in a fold.
    """
    told = []
    for fold in folds:
        train, judged = fold.train, fold.validation
        columns = []
        for name, recipe in recipes.items():
            rows = recipe.recency.learnt(train, until=fold.until, length=recipe.length)
            fit = fit_model(
                recipe.spec.grown_to(iterations[name]),
                rows,
                None,
                features=recipe.features,
                seed=recipe.seed,
                threads=recipe.threads,
                weights=recipe.recency.weights(rows, until=fold.until, length=recipe.length),
            )
            scores = fit.model.scores(judged.select(s.name for s in fit.specs), fit.specs, threads=recipe.threads)
            dtype = pl.Float64() if scores.ndim == 1 else pl.Array(pl.Float64(), scores.shape[1])
            columns.append(pl.Series(name, scores, dtype=dtype))
        told.append(judged.select(ROW_NUMBER, pl.col(PARTITION).cast(pl.String), LABEL).with_columns(columns))
    return pl.concat(told)


def mean_losses(
    predictions: pl.DataFrame, names: Sequence[str], *, metric: str, alpha: float | None
) -> dict[str, float]:
    """Model -> mean deciding loss of what `out_of_fold` gave."""
    label = predictions[LABEL].to_numpy()
    found = {name: losses(metric, label, predictions[name].to_numpy(), alpha=alpha) for name in names}
    if unfit := [name for name, loss in found.items() if not np.isfinite(loss).all()]:
        raise TrainingError(
            "out-of-fold predictions",
            found=[f"{name} has losses that are not finite" for name in unfit],
            expected="finite losses",
            cure="leave these models out",
        )
    return {name: float(loss.mean()) for name, loss in found.items()}


def arrays(predictions: pl.DataFrame, names: Sequence[str]) -> dict[str, Floats]:
    """Model -> its out-of-fold predictions, `[rows]` or `[rows, classes]`."""
    return {name: predictions[name].to_numpy() for name in names}


def _end_of_training(manifest: Manifest) -> datetime:
    split = manifest.split
    return split.train.end if isinstance(split, TimeSplit) else split.as_of
