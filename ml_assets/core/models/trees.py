"""LightGBM's trees from training rows, the same to the byte wherever and on however many threads.

What the parameters mean is in `parameters`, how features become numbers in `encoding`, what the trees can do in
`trees_model`, what they are grown on in `trees_data`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from ml_assets.core.encoding import FeatureSpec, Floats
from ml_assets.core.errors import ConfigError, TrainingError
from ml_assets.core.models.fit import Fit, OnIteration
from ml_assets.core.models.labels import mean_loss
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.models.trees_data import Prepared, prepare
from ml_assets.core.models.trees_model import TreesModel
from ml_assets.core.parameters import ModelParams
from ml_assets.core.target_encoding import Declared

# LightGBM never stops early by what has this name.
_TRAIN, _VALIDATION = "training", "validation"


@dataclass(frozen=True)
class Grown:
    """Trees, and how they grew.

    Args:
        model: the trees.
        iterations: how many of them are kept (of several classes: rounds).
        train_curve: loss on training rows after each round, weighted as they are; on a fixed sample of them.
        validation_curve: loss on the validation rows likewise; empty without them.
        importances: input -> share of the loss reduction that its splits brought; they sum to 1.
    """

    model: TreesModel
    iterations: int
    train_curve: tuple[float, ...]
    validation_curve: tuple[float, ...]
    importances: dict[str, float]


def fit_trees(
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
    """Trees as `kinds.fit_model` says."""
    params = spec.params
    if not isinstance(params, ModelParams):
        raise ConfigError(
            f"model {spec.name}", found=type(params).__name__, expected="parameters of trees", cure="correct its kind"
        )
    prepared = prepare(
        train,
        validation,
        features=features,
        params=params,
        seed=seed,
        threads=threads,
        classes=spec.classes,
        weights=weights,
        specs=specs,
    )
    grown = grow(prepared, params, classes=spec.classes, seed=seed, threads=threads, on_iteration=on_iteration)
    return Fit(
        model=grown.model,
        specs=prepared.specs,
        importances=grown.importances,
        loss=params.objective,
        train_curve=grown.train_curve,
        validation_curve=grown.validation_curve,
        best_iteration=grown.iterations,
    )


def grow(
    prepared: Prepared,
    params: ModelParams,
    *,
    seed: int,
    threads: int,
    classes: int = 2,
    on_iteration: OnIteration | None = None,
) -> Grown:
    """Grow trees on prepared rows; nothing is printed, and what `on_iteration` raises is raised on.

    Raises:
        TrainingError: no feature separates the labels.
        ConfigError: parameters do not fit the features or what was prepared.
    """
    import lightgbm as lgb

    _require_prepared(params, prepared)
    settings = _settings(params, prepared, seed, threads, classes)
    loss = params.objective
    curves: dict[str, dict[str, list[float]]] = {}
    callbacks = [lgb.record_evaluation(curves)]
    if on_iteration is not None:
        callbacks.append(_progress(on_iteration))
    if prepared.stopping is not None and params.stops_early:
        callbacks.append(lgb.early_stopping(params.early_stopping_rounds, verbose=False))
    sets = {_TRAIN: prepared.sample, **({} if prepared.stopping is None else {_VALIDATION: prepared.stopping})}
    booster = lgb.train(
        settings,
        prepared.rows,
        num_boost_round=params.trees,
        valid_sets=list(sets.values()),
        valid_names=list(sets),
        feval=_loss(params, prepared),
        callbacks=callbacks,
        # Else it would be written as text and read again, as is done below anyway.
        keep_training_booster=True,
    )
    iterations = booster.best_iteration if booster.best_iteration > 0 else booster.current_iteration()
    gains = booster.feature_importance("gain", iteration=iterations)
    if not gains.sum() > 0:
        raise TrainingError(
            f"training on {prepared.rows.num_data()} rows",
            found=f"not one split in {iterations} trees",
            expected="features that separate the label",
            cure="add rows or features, or lower min_rows_per_leaf",
        )
    text = _portable(booster.model_to_string(num_iteration=iterations))
    return Grown(
        model=TreesModel.made(text, prepared.encodings, linear=params.linear_tree),
        iterations=iterations,
        train_curve=tuple(map(float, curves[_TRAIN][loss])),
        validation_curve=tuple(map(float, curves.get(_VALIDATION, {}).get(loss, ()))),
        importances={n: float(g) for n, g in zip(prepared.names, gains / gains.sum(), strict=True)},
    )


def _settings(params: ModelParams, prepared: Prepared, seed: int, threads: int, classes: int) -> dict[str, Any]:
    alpha, forest = params.alpha_or_default, params.boosting == "rf"
    return {
        "objective": params.objective,
        # Its own losses are sums by thread, whose last digits, and so the best tree, depend on how many there are.
        "metric": "None",
        "boosting": params.boosting,
        **({} if alpha is None else {"alpha": alpha}),
        **({"num_class": classes} if params.objective == "multiclass" else {}),
        **_monotone(params, prepared),
        **({} if forest else {"learning_rate": params.learning_rate}),
        "num_leaves": params.leaves,
        "min_data_in_leaf": params.min_rows_per_leaf,
        "feature_fraction": params.feature_fraction,
        "bagging_fraction": params.bagging_fraction,
        "bagging_freq": 1 if params.bagging_fraction < 1 else 0,
        "lambda_l2": params.l2,
        "cat_l2": params.category_l2,
        "linear_tree": params.linear_tree,
        "seed": seed,
        "data_random_seed": prepared.seed,
        # Sums within linear leaves depend on how many threads add them up.
        "num_threads": 1 if params.linear_tree else threads,
        "feature_pre_filter": False,
        "deterministic": True,
        # Column-wise: each histogram is summed by one thread, in the order of the rows.
        "force_col_wise": True,
        "verbosity": -1,
    }


def _monotone(params: ModelParams, prepared: Prepared) -> dict[str, Any]:
    if not params.monotone:
        return {}
    params.require_features([*prepared.specs, *(FeatureSpec(e.name, "number", None) for e in prepared.encodings)])
    signs = dict(params.monotone)
    return {"monotone_constraints": [signs.get(name, 0) for name in prepared.names]}


def _require_prepared(params: ModelParams, prepared: Prepared) -> None:
    made = {"max_categories": prepared.max_categories, "linear_tree": prepared.linear}
    wrong = [f"{n}: {getattr(params, n)}; prepared for {made[n]}" for n in made if getattr(params, n) != made[n]]
    if wrong:
        raise ConfigError(
            "trees to grow", found=wrong, expected="rows prepared for these parameters", cure="call `prepare` with them"
        )


def _loss(params: ModelParams, prepared: Prepared) -> Callable[[Floats, Any], tuple[str, float, bool]]:
    """The objective's loss as LightGBM asks for it: predictions and their data set -> name, value, higher is better."""
    alpha, weights = params.alpha_or_default, prepared.sample_weights

    def loss(predicted: Floats, dataset: Any) -> tuple[str, float, bool]:
        label, counts = prepared.sample_labels, weights
        if dataset is prepared.stopping and prepared.stopping_labels is not None:
            label, counts = prepared.stopping_labels, None
        return params.objective, mean_loss(params.objective, label, predicted, weights=counts, alpha=alpha), False

    return loss


def _progress(on_iteration: OnIteration) -> Callable[[Any], None]:
    def report(env: Any) -> None:
        losses = {name: value for name, _, value, *_ in env.evaluation_result_list}
        done, most = env.iteration + 1 - env.begin_iteration, env.end_iteration - env.begin_iteration
        on_iteration(done, most, losses.get(_VALIDATION, float(np.nan)))

    return report


def _portable(text: str) -> str:
    """Model text without the number of threads, which is the machine's and not the model's."""
    return re.sub(r"^\[num_threads: .*\]$", "[num_threads: 0]", text, flags=re.MULTILINE)
