"""Training and validation rows as LightGBM's data sets: encoded, binned, and ready for trees to be grown on them.

Binned once, they serve any number of trees with differing parameters: trials of a study have them in common. How
trees are grown is in `trees`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from ml_assets.core.encoding import FeatureSpec, Floats, learn_specs, matrix, require_fit
from ml_assets.core.errors import TrainingError
from ml_assets.core.models.labels import require_labels
from ml_assets.core.parameters import ModelParams
from ml_assets.core.target_encoding import Declared, FittedEncoding, divided, fit

SAMPLE = 4_000
"""Training rows at least that the training curve is computed on, if there are so many."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Training rows, and validation rows where there are any, as LightGBM's data sets: binned, ready to be grown on.

    Args:
        specs: the features with their vocabularies.
        encodings: the target encodings, fitted on the training rows.
        names: of the inputs: features, then encodings.
        rows: the training rows' `lightgbm.Dataset`.
        sample: that of some of the training rows, evenly spread, for the training curve: asking LightGBM for its
            answers to all of them after each tree would cost a quarter of the training.
        stopping: that of the validation rows; None without.
        sample_labels: of `sample`, `[rows]`; LightGBM itself keeps labels as float32.
        stopping_labels: of `stopping`; None without.
        max_categories: of the vocabularies.
        linear: whether it was prepared for linear leaves, which need the raw values.
        seed: of the binning, which looks at some 200,000 rows at most, and of the encodings.
    """

    specs: tuple[FeatureSpec, ...]
    encodings: tuple[FittedEncoding, ...]
    names: tuple[str, ...]
    rows: Any
    sample: Any
    stopping: Any
    sample_labels: Floats
    stopping_labels: Floats | None
    max_categories: int
    linear: bool
    seed: int

    @property
    def sample_weights(self) -> Floats | None:
        """How much each row of `sample` counts, `[rows]`, as the weights of `rows` are now."""
        weights = self.rows.get_field("weight")
        return None if weights is None else weights[:: _every(len(weights))].astype(np.float64)

    def weigh(self, weights: Floats | None) -> None:
        """Set how much each training row counts, float64 `[rows]`, above 0; None: all alike.

        Raises:
            TrainingError: they are not one for each row, finite and above 0.
        """
        count = self.rows.num_data()
        if weights is not None and (weights.shape != (count,) or not (np.isfinite(weights) & (weights > 0)).all()):
            raise TrainingError(
                "weights of training rows",
                found=f"{list(weights.shape)}, from {weights.min(initial=np.inf):g} to {weights.max(initial=0):g}",
                expected=f"{count} finite numbers above 0",
                cure="make them with `Recency.weights` of the very rows that are learnt from",
            )
        alike = weights is None or bool((weights == weights[0]).all())
        # Not by `set_weight`, which leaves the old ones where it is given None.
        self.rows.set_field("weight", None if alike or weights is None else weights.astype(np.float32))


def prepare(
    train: pl.DataFrame,
    validation: pl.DataFrame | None,
    *,
    features: Sequence[Declared],
    params: ModelParams,
    seed: int,
    threads: int,
    classes: int = 2,
    weights: Floats | None = None,
    specs: tuple[FeatureSpec, ...] | None = None,
) -> Prepared:
    """Learn vocabularies and target encodings, and bin the rows; see `kinds.fit_model`.

    Of `params` only the objective's demands on labels, `max_categories` and `linear_tree` are read: trees with all
    other parameters may be grown on the same.

    Raises:
        TrainingError: labels are missing or not what the objective needs.
        ScoringError: feature columns are missing or of another dtype.
        ConfigError: target encodings that can't be learnt from these features.
    """
    import lightgbm as lgb

    inputs, declared = divided(features)
    labels = require_labels("train", train, objective=params.objective, classes=classes)
    stopping_labels = None
    if validation is not None:
        stopping_labels = require_labels("validation", validation, objective=params.objective, classes=classes)
    specs = specs or learn_specs(train, inputs, max_categories=params.max_categories)
    fits = [fit(e, train, seed=seed) for e in declared]
    encodings = tuple(fitted for fitted, _ in fits)
    names = (*(s.name for s in specs), *(e.name for e in encodings))
    settings = {
        # Without it a data set would be tied to one min_data_in_leaf.
        "feature_pre_filter": False,
        "linear_tree": params.linear_tree,
        "num_threads": 1 if params.linear_tree else threads,
        "data_random_seed": seed,
        "verbosity": -1,
    }

    def dataset(values: Floats, label: Floats, reference: Any = None) -> Any:
        return lgb.Dataset(
            values,
            label,
            feature_name=list(names),
            categorical_feature=[i for i, s in enumerate(specs) if s.kind == "category"],
            params=settings,
            reference=reference,
        ).construct()

    # Training rows are given what other folds say of them, all others what the whole of training says.
    values = matrix(train, specs, [out_of_fold for _, out_of_fold in fits])
    rows = dataset(values, labels)
    every = _every(train.height)
    stopping = None
    if validation is not None and stopping_labels is not None:
        require_fit(validation.select(s.name for s in specs if s.name in validation.columns), specs)
        stopping = dataset(matrix(validation, specs, [e.values(validation) for e in encodings]), stopping_labels, rows)
    prepared = Prepared(
        specs=specs,
        encodings=encodings,
        names=names,
        rows=rows,
        sample=dataset(values[::every], labels[::every], rows),
        stopping=stopping,
        sample_labels=labels[::every],
        stopping_labels=stopping_labels,
        max_categories=params.max_categories,
        linear=params.linear_tree,
        seed=seed,
    )
    prepared.weigh(weights)
    return prepared


def _every(rows: int) -> int:
    """Every how-many-th training row is in the sample."""
    return max(1, rows // SAMPLE)
