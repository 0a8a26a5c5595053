"""Candidates outside of a training run: what the assets of a training make of a training set, in one call.

How each model is trained is in `training`; how the best of several is chosen, as assets, in `several`.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ml_assets.assets.frames import LazyFrame
from ml_assets.assets.several import ENSEMBLE
from ml_assets.assets.training import recipe_of, train, tuned_of, watchable
from ml_assets.problem import Pipeline

if TYPE_CHECKING:
    from ml_assets.core.bundle import Bundle
    from ml_assets.core.manifest import Manifest

LIBRARIES = ("lightgbm", "numpy", "polars", "scikit-learn", "skl2onnx", "onnxruntime")
"""What a trained model depends on beside its rows and its recipe."""


def candidate_of(
    pipeline: Pipeline,
    manifest: "Manifest",
    history: Mapping[str, LazyFrame],
    tuning: Mapping[str, Any] | None,
    tell: Callable[[str], None],
) -> "Bundle":
    """The candidate that the assets of a training would make of a training set.

    Args:
        pipeline: whose.
        manifest: the training set.
        history: feature partition -> its features table.
        tuning: record of the asset `tuning` whose parameters are taken; None for those of the YAML.
        tell: progress.
    """
    names = list(pipeline.config.named_models)
    made = {name: train(pipeline, name, manifest, history, tuned_of(tuning, name), tell)[1] for name in names}
    return made[names[0]] if pipeline.config.models is None else _best_of(pipeline, made, manifest, history, tuning)


def _best_of(
    pipeline: Pipeline,
    made: "Mapping[str, Bundle]",
    manifest: "Manifest",
    history: Mapping[str, LazyFrame],
    tuning: Mapping[str, Any] | None,
) -> "Bundle":
    """The model, or ensemble of all, with the least loss on rows before the holdout that none had learnt from."""
    from ml_assets.core import learning
    from ml_assets.core.combining import combine
    from ml_assets.core.folds import make_folds, rows_before_holdout

    config, window = pipeline.config, pipeline.table.window(manifest.as_of)
    rows = rows_before_holdout(history, manifest.split)
    predictions = learning.out_of_fold(
        {name: recipe_of(pipeline, name, window.end - window.start, tuned_of(tuning, name)) for name in made},
        {name: int(bundle.facts["iterations"]) for name, bundle in made.items()},
        make_folds(rows, manifest.split, config.folds, min_rows=config.model.min_rows),
    )
    losses = learning.mean_losses(predictions, list(made), metric=config.metric, alpha=pipeline.alpha)
    among = dict(made)
    if config.ensemble is not None:
        bundle, found, learnt = combine(
            made, config.specs, predictions, method=config.ensemble.method, metric=config.metric, manifest=manifest,
            history=history,
        )  # fmt: skip
        among[ENSEMBLE] = watchable(pipeline, bundle, learnt, manifest, history)
        losses[ENSEMBLE] = pipeline.policy.loss(found.together)
    return among[min(losses, key=lambda name: losses[name])]


def inputs_told(pipeline: Pipeline, tuning: Mapping[str, Any] | None) -> dict[str, Any]:
    """All that `candidate_of` depends on beside the training set, JSON-able."""
    from datetime import timedelta
    from importlib.metadata import version

    from ml_assets.core.bundle import FORMAT

    config = pipeline.config
    recipes = {
        name: recipe_of(pipeline, name, timedelta(0), tuned_of(tuning, name)).to_json() for name in config.named_models
    }
    return {
        "format": FORMAT,
        "pipeline": pipeline.name,
        "label": pipeline.label_facts,
        "recipes": recipes,
        "tuning": {name: None if (t := tuned_of(tuning, name)) is None else t.facts() for name in recipes},
        "metric": config.metric,
        "several": config.models is not None,
        "folds": config.folds,
        "ensemble": None if config.ensemble is None else config.ensemble.method,
        "libraries": {name: version(name) for name in LIBRARIES},
    }
