"""Optuna's own LightGBM integration, used as its documentation says.

Runs in an environment of its own, see `requirements.in`.
"""

from math import ceil
from pathlib import Path
from typing import Any

import lightgbm
import optuna
from optuna_integration import LightGBMPruningCallback
from optuna_integration import lightgbm as tuner

from benchmarks.contenders.arrays import Arrays, mae, read, tell

COMMON: dict[str, Any] = {"objective": "l1", "metric": "l1", "verbosity": -1, "num_threads": 1, "seed": 0}
TREES, PATIENCE, TRIALS = 1000, 30, 30
"""Of trees as many as the tuner's default; early stopping as ours."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


def stepwise(arrays: Arrays, out: Path) -> None:
    """`LightGBMTuner`: one group of parameters after the other, for as long as ml_assets took."""
    rows = _rows(arrays, tuner.Dataset)
    searched = tuner.LightGBMTuner(
        COMMON,
        rows,
        num_boost_round=TREES,
        valid_sets=[_validation(arrays, rows)],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
        time_budget=ceil(arrays.seconds),
        optuna_seed=0,
        show_progress_bar=False,
    )
    searched.run()
    best = searched.get_best_booster()
    tell(
        out,
        mae=mae(arrays, best.predict(arrays.later_x), out),
        trials=len(searched.study.trials),
        best={**searched.best_params, "trees": best.best_iteration},
    )


def plain(arrays: Arrays, out: Path) -> None:
    """The example of `LightGBMPruningCallback`, as many trials as ml_assets makes: each bins its rows anew."""
    best: list[Any] = []

    def objective(trial: optuna.Trial) -> float:
        params = {
            **COMMON,
            "lambda_l1": trial.suggest_float("lambda_l1", 1e-8, 10.0, log=True),
            "lambda_l2": trial.suggest_float("lambda_l2", 1e-8, 10.0, log=True),
            "num_leaves": trial.suggest_int("num_leaves", 2, 256),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.4, 1.0),
            "bagging_fraction": trial.suggest_float("bagging_fraction", 0.4, 1.0),
            "bagging_freq": trial.suggest_int("bagging_freq", 1, 7),
            "min_child_samples": trial.suggest_int("min_child_samples", 5, 100),
        }
        rows = _rows(arrays, lightgbm.Dataset)
        booster = lightgbm.train(
            params,
            rows,
            TREES,
            valid_sets=[_validation(arrays, rows)],
            callbacks=[
                LightGBMPruningCallback(trial, "l1"),
                lightgbm.early_stopping(PATIENCE, verbose=False),
            ],
        )
        loss = float(booster.best_score["valid_0"]["l1"])
        if not best or loss < best[0]:
            best[:] = [loss, booster]
        return loss

    study = optuna.create_study(
        direction="minimize",
        sampler=optuna.samplers.TPESampler(seed=0),
        pruner=optuna.pruners.MedianPruner(n_warmup_steps=10),
    )
    study.optimize(objective, n_trials=TRIALS)
    pruned = [t for t in study.trials if t.state == optuna.trial.TrialState.PRUNED]
    tell(
        out,
        mae=mae(arrays, best[1].predict(arrays.later_x), out),
        trials=len(study.trials),
        pruned=len(pruned),
        best={**study.best_params, "trees": best[1].best_iteration},
    )


def _rows(arrays: Arrays, dataset: Any) -> Any:
    return dataset(arrays.train_x, arrays.train_y, feature_name=arrays.names, categorical_feature=arrays.categories)


def _validation(arrays: Arrays, rows: Any) -> Any:
    return rows.create_valid(arrays.validation_x, arrays.validation_y)


STEPS = {"stepwise": stepwise, "plain": plain}
BEFORE = {"stepwise": read, "plain": read}
