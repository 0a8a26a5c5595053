"""All kinds of model: which module fits one, and which reads one back."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import polars as pl

from ml_assets.core.encoding import FeatureSpec, Floats
from ml_assets.core.errors import BundleError
from ml_assets.core.models.fit import Fit, OnIteration
from ml_assets.core.models.fitted import FittedModel
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.target_encoding import Declared

_CLASSES = {
    "lightgbm": ("trees_model", "TreesModel"),
    "linear": ("linear", "LinearModel"),
    "sklearn": ("sklearn_onnx", "OnnxModel"),
    "ensemble": ("ensemble", "EnsembleModel"),
    "segmented": ("segmented", "SegmentedModel"),
}
"""Kind -> module and class; imported when the first of its kind is read."""


def fit_model(
    spec: ModelSpec,
    train: pl.DataFrame,
    validation: pl.DataFrame | None,
    *,
    features: Sequence[Declared],
    seed: int,
    threads: int,
    weights: Floats | None = None,
    on_iteration: OnIteration | None = None,
    specs: tuple[FeatureSpec, ...] | None = None,
) -> Fit:
    """Fit a model: the same inputs give the same bytes, on any number of threads.

    Args:
        spec: which model.
        train: rows to learn from: `label`, a column per feature, `split.UNIT` where there are target encodings.
        validation: rows that say when to stop, likewise; None: it does not stop early.
        features: the model's inputs in their order, and target encodings.
        seed: of everything random.
        threads: how many may be used.
        weights: how much each training row counts, float64 `[rows]`; None: all alike.
        on_iteration: told of each iteration; what it raises ends the fitting and is raised on.
        specs: the features with vocabularies that are known already; None: learnt from `train`.

    Raises:
        TrainingError: nothing can be learnt from these rows.
        ConfigError: features and parameters do not fit each other.
    """
    if spec.per:
        from ml_assets.core.models.segmented import fit_segmented

        return fit_segmented(
            spec, train, validation, features=features, seed=seed, threads=threads, weights=weights,
            on_iteration=on_iteration, specs=specs,
        )  # fmt: skip
    given: dict[str, Any] = {
        "features": features, "seed": seed, "threads": threads, "weights": weights, "on_iteration": on_iteration,
        "specs": specs,
    }  # fmt: skip
    if spec.kind == "linear":
        from ml_assets.core.models.linear import fit_linear

        return fit_linear(spec, train, validation, **given)
    if spec.kind == "sklearn":
        from ml_assets.core.models.sklearn_onnx import fit_sklearn

        return fit_sklearn(spec, train, validation, **given)
    from ml_assets.core.models.trees import fit_trees

    return fit_trees(spec, train, validation, **given)


def read_model(facts: Mapping[str, Any], files: Mapping[str, bytes]) -> FittedModel:
    """Read what `FittedModel.facts` and `files` gave; hashes of the files have been checked.

    Raises:
        BundleError: the facts name a kind that is not known.
    """
    kind = facts.get("kind")
    if kind not in _CLASSES:
        raise BundleError(
            "model of a bundle",
            found=f"kind {kind!r}",
            expected=f"one of {', '.join(_CLASSES)}",
            cure="use the ml_assets that wrote it, or train again",
        )
    module, name = _CLASSES[kind]
    found: type[FittedModel] = getattr(import_module(f"ml_assets.core.models.{module}"), name)
    return found.read(facts, files)
