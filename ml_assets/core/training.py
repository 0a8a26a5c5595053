"""Gradient-boosted trees from training rows, the same to the byte wherever and on however many threads.

What the parameters mean is in `parameters`, how features become numbers in `encoding`, what becomes of the
model in `bundle`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from ml_assets.core.encoding import FeatureSpec, Floats, learn_specs, matrix, require_fit
from ml_assets.core.errors import TrainingError
from ml_assets.core.features import LABEL
from ml_assets.core.parameters import ModelParams
from ml_assets.core.target_encoding import Declared, FittedEncoding, divided, fit

OnIteration = Callable[[int, int, float], None]
"""Called after each tree with its number from 1, the most there can be, and the validation loss."""

_TRAIN, _VALIDATION = "train", "validation"


@dataclass(frozen=True)
class TrainedModel:
    """What training gives.

    Args:
        text: the trees in LightGBM's text format, without anything of the machine that grew them.
        specs: the features with their vocabularies, in the order of the model's input.
        best_iteration: trees in `text`.
        loss: name of the loss in the curves, which is the objective's own.
        train_curve: loss on the training rows after each tree.
        validation_curve: loss on the validation rows after each tree.
        importances: feature or target encoding -> share of the loss reduction that its splits brought; they sum
            to 1.
        encodings: the target encodings, which follow the features in the model's input.
    """

    text: str
    specs: tuple[FeatureSpec, ...]
    best_iteration: int
    loss: str
    train_curve: tuple[float, ...]
    validation_curve: tuple[float, ...]
    importances: dict[str, float]
    encodings: tuple[FittedEncoding, ...] = ()


def train_lightgbm(
    train: pl.DataFrame,
    validation: pl.DataFrame,
    *,
    features: Sequence[Declared],
    params: ModelParams,
    seed: int,
    threads: int,
    on_iteration: OnIteration | None = None,
) -> TrainedModel:
    """Train a regression model; nothing is printed.

    Args:
        train: rows to learn from: `label` and a column per feature, Float64 or String; `split.UNIT` where there
            are target encodings.
        validation: rows that say when to stop, likewise; no target encoding learns from them.
        features: the model's inputs, in their order, and its target encodings.
        params: see `ModelParams`.
        seed: of everything random.
        threads: how many LightGBM may use; the model does not depend on it.
        on_iteration: told of each tree.

    Raises:
        TrainingError: labels are missing or not what the objective needs, or no feature separates them.
        ScoringError: feature columns are missing or of another dtype.
        ConfigError: target encodings that can't be learnt from these features.
    """
    import lightgbm as lgb

    inputs, encodings = divided(features)
    for part, frame in ((_TRAIN, train), (_VALIDATION, validation)):
        _require_labels(part, frame, params)
    specs = learn_specs(train, inputs, max_categories=params.max_categories)
    settings = _settings(params, seed, threads)
    fits = [fit(e, train, seed=seed) for e in encodings]
    names = [s.name for s in specs] + [e.name for e in encodings]
    categories = [i for i, s in enumerate(specs) if s.kind == "category"]

    def dataset(frame: pl.DataFrame, encoded: Sequence[pl.Series], reference: Any = None) -> Any:
        values: Floats = matrix(frame, specs, encoded)
        return lgb.Dataset(
            values,
            frame[LABEL].to_numpy(),
            feature_name=names,
            categorical_feature=categories,
            params=settings,
            reference=reference,
        )

    # Training rows are given what other folds say of them, all others what the whole of training says.
    rows = dataset(train, [out_of_fold for _, out_of_fold in fits])
    require_fit(validation.select(s.name for s in specs if s.name in validation.columns), specs)
    stopping = dataset(validation, [fitted.values(validation) for fitted, _ in fits], rows)
    curves: dict[str, dict[str, list[float]]] = {}
    callbacks = [lgb.record_evaluation(curves)]
    if on_iteration is not None:
        callbacks.append(_progress(on_iteration))
    if params.early_stopping_rounds:
        # LightGBM never stops by the set it trains on: that one is only recorded.
        callbacks.append(lgb.early_stopping(params.early_stopping_rounds, verbose=False))
    booster = lgb.train(
        settings,
        rows,
        num_boost_round=params.trees,
        valid_sets=[rows, stopping],
        valid_names=[_TRAIN, _VALIDATION],
        callbacks=callbacks,
    )
    trees = booster.best_iteration if booster.best_iteration > 0 else booster.num_trees()
    gains = booster.feature_importance("gain", iteration=trees)
    if not gains.sum() > 0:
        raise TrainingError(
            f"training on {train.height} rows",
            found=f"not one split in {trees} trees",
            expected="features that separate the label",
            cure="add rows or features, or lower min_rows_per_leaf",
        )
    return TrainedModel(
        text=_portable(booster.model_to_string(num_iteration=trees)),
        specs=specs,
        best_iteration=trees,
        loss=params.objective,
        train_curve=tuple(map(float, curves[_TRAIN][params.objective])),
        validation_curve=tuple(map(float, curves[_VALIDATION][params.objective])),
        importances={n: float(g) for n, g in zip(names, gains / gains.sum(), strict=True)},
        encodings=tuple(fitted for fitted, _ in fits),
    )


def _settings(params: ModelParams, seed: int, threads: int) -> dict[str, Any]:
    alpha = params.alpha_or_default
    return {
        "objective": params.objective,
        "metric": params.objective,
        **({} if alpha is None else {"alpha": alpha}),
        "learning_rate": params.learning_rate,
        "num_leaves": params.leaves,
        "min_data_in_leaf": params.min_rows_per_leaf,
        "feature_fraction": params.feature_fraction,
        "bagging_fraction": params.bagging_fraction,
        "bagging_freq": 1 if params.bagging_fraction < 1 else 0,
        "lambda_l2": params.l2,
        "cat_l2": params.category_l2,
        "seed": seed,
        "num_threads": threads,
        "deterministic": True,
        # Column-wise: each histogram is summed by one thread, in the order of the rows.
        "force_col_wise": True,
        "verbosity": -1,
    }


def _require_labels(part: str, frame: pl.DataFrame, params: ModelParams) -> None:
    if frame.height == 0 or LABEL not in frame.columns:
        wrong = ["no rows"] if frame.height == 0 else [f"no column {LABEL}"]
    else:
        label = frame[LABEL].cast(pl.Float64)
        unusable = frame.height - int(label.is_finite().sum())
        wrong = [f"{unusable} labels are missing or infinite"] if unusable else []
        if params.objective == "poisson" and (label < 0).any():
            wrong.append("negative labels")
    if wrong:
        raise TrainingError(
            f"{part} rows",
            found=wrong,
            expected="rows with a finite label" + (" of at least 0" if params.objective == "poisson" else ""),
            cure="take rows from `split.rows_of`, which leaves out labels that are not known",
        )


def _progress(on_iteration: OnIteration) -> Callable[[Any], None]:
    def report(env: Any) -> None:
        loss = next(value for name, _, value, *_ in env.evaluation_result_list if name == _VALIDATION)
        on_iteration(env.iteration + 1 - env.begin_iteration, env.end_iteration - env.begin_iteration, loss)

    return report


def _portable(text: str) -> str:
    """Model text without the number of threads, which is the machine's and not the model's."""
    return re.sub(r"^\[num_threads: .*\]$", "[num_threads: 0]", text, flags=re.MULTILINE)
