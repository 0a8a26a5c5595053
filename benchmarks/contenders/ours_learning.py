"""ml_assets: one model trained, all that a training costs beside it, and a study."""

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightgbm  # noqa: F401 - imported by what is measured
import numpy as np
import optuna  # noqa: F401 - likewise
import polars as pl

from benchmarks.files import ERRORS, MONTHS_LATER, MONTHS_LEARNT, PARTITIONS, RESULT
from ml_assets.assets import evaluation, training
from ml_assets.assets.tuning import tuned
from ml_assets.config.model import Tuning
from ml_assets.core.evaluation_page import render
from ml_assets.core.features import LABEL
from ml_assets.core.learning import learn
from ml_assets.core.manifest import Manifest, make_manifest
from ml_assets.core.models import trees  # noqa: F401 - imported by what is measured
from ml_assets.core.models.kinds import fit_model
from ml_assets.core.parameters import ModelParams
from ml_assets.core.pictures import importance, learning_curve
from ml_assets.core.tracked import TrackedRun
from ml_assets.problem import Pipeline
from ml_assets.project import pipeline_named
from ml_assets.resources.models import Models
from ml_assets.resources.studies import Studies
from ml_assets.resources.tracking import Tracking


def _pipeline() -> Pipeline:
    """`trip_duration`, learning from as many months as make 120,000 rows."""
    pipeline = pipeline_named("trip_duration")
    model = pipeline.config.model.model_copy(update={"window": len(MONTHS_LEARNT)})
    return replace(pipeline, config=pipeline.config.model_copy(update={"model": model}))


PIPELINE = _pipeline()
[(NAME, SPEC)] = PIPELINE.config.specs.items()
PARAMS = ModelParams()
TUNING = Tuning()
"""30 trials on 2 folds, the default space."""
LENGTH = PIPELINE.table.window(MONTHS_LEARNT[-1]).end - PIPELINE.table.window(MONTHS_LEARNT[-1]).start
RECIPE = training.recipe_of(PIPELINE, NAME, LENGTH)
"""Of the untuned model; here, since it reads what is declared: features, and the contract behind them."""


@dataclass(frozen=True)
class Parts:
    """Rows to train on and to stop by, in memory."""

    train: pl.DataFrame
    validation: pl.DataFrame
    later: pl.DataFrame


def training_set(folder: Path) -> tuple[Manifest, dict[str, pl.LazyFrame]]:
    """The manifest of all months that are learnt from, and their features."""
    files = {m: folder / PARTITIONS / f"{m}.parquet" for m in MONTHS_LEARNT}
    history = {m: pl.scan_parquet(file) for m, file in files.items()}
    windows = [PIPELINE.table.window(m) for m in MONTHS_LEARNT]
    return make_manifest(
        history,
        windows,
        digests={m: hashlib.sha256(file.read_bytes()).hexdigest() for m, file in files.items()},
        split=PIPELINE.config.split_over(windows),
        min_rows=PIPELINE.config.model.min_rows,
    ), history


def later(folder: Path, manifest: Manifest) -> pl.DataFrame:
    """Rows that nothing is chosen by: the holdout, and the months after it."""
    _, history = training_set(folder)
    months = [pl.read_parquet(folder / PARTITIONS / f"{m}.parquet") for m in MONTHS_LATER]
    columns = months[0].columns
    return pl.concat([manifest.rows(history, "holdout").select(columns), *months]).filter(pl.col(LABEL).is_not_null())


def read_parts(folder: Path) -> Parts:
    """As `learning.learn` reads them before it fits."""
    manifest, history = training_set(folder)
    return Parts(manifest.rows(history, "train"), manifest.rows(history, "validation"), later(folder, manifest))


def train(parts: Parts, out: Path) -> None:
    """One model with the default parameters, as a training of the pipeline fits it."""
    recipe = RECIPE
    fit = fit_model(
        recipe.spec,
        parts.train,
        parts.validation,
        features=recipe.features,
        seed=recipe.seed,
        threads=recipe.threads,
    )
    _tell(out, trees=fit.best_iteration, grown=len(fit.validation_curve))


def tune(folder: Path, out: Path) -> None:
    """A study, and the model of its winner."""
    manifest, history = training_set(folder)
    found = tuned(
        PIPELINE,
        NAME,
        TUNING,
        manifest,
        history,
        Studies(url=f"sqlite:///{out / 'studies.db'}"),
        warm_start=[],
        timeout_seconds=None,
        show=lambda *_: None,
    )
    learnt = learn(RECIPE.with_settled(found), manifest, history)
    rows = later(folder, manifest)
    scores = learnt.fit.model.scores(rows.select(s.name for s in learnt.fit.specs), learnt.fit.specs, threads=1)
    errors = np.abs(rows[LABEL].to_numpy() - scores)
    np.save(out / ERRORS, errors)
    _tell(
        out,
        mae=float(errors.mean()),
        trials=len(found.trials),
        pruned=sum(t.state == "pruned" for t in found.trials),
        best={**found.best.params, "trees": found.params.trees, "origin": found.best.origin},
    )


def outside(folder: Path, out: Path) -> None:
    """What a training of the pipeline does beside fitting, each by the function that does it there."""
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(what: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        seconds[what] = time.perf_counter() - started

    models = Models(root=str(out / "models"))
    tracking = Tracking(uri=f"sqlite:///{out / 'mlflow.db'}", queue=str(out / "queue"), timeout_seconds=60)
    run = TrackedRun(PIPELINE.name, "bench", MONTHS_LEARNT[-1], time.time())
    with timed("manifest: rows of all partitions counted, files hashed"):
        manifest, history = training_set(folder)
    with timed("features read: the rows of training, validation and holdout"):
        for part in ("train", "validation", "holdout"):
            manifest.rows(history, part)
    with timed("learn: the same rows read, checked, and fitted"):
        learnt, bundle = training.train(PIPELINE, NAME, manifest, history, None, _nobody)
    with timed("bundle: hashed and saved, durably"):
        models.save(bundle)
    with timed("bundle: loaded, hashes and golden rows checked"):
        models.load_anew(bundle.sha256)
    with timed("pictures of the training"):
        fit = learnt.fit
        drawn = {"importance": importance(fit.importances)}
        drawn["learning_curve"] = learning_curve(
            fit.train_curve, fit.validation_curve, fit.best_iteration, loss=fit.loss
        )
    with timed("evaluation: baselines, intervals, slices, explanation, pictures, checklist"):
        record, pictures = evaluation.judged(PIPELINE, manifest, history, models, bundle.sha256, None)
    with timed("report.html"):
        page = out / "report.html"
        page.write_text(render(record, pictures))
    with timed("tracking: MLflow imported, its database made, once in the life of a project"):
        tracking.catch_up()
        tracking.track(replace(run, dagster_run_id="first"), "training_set", _nothing())
    with timed("tracking: the training, the bundle registered as a model version"):
        tracking.track(run, "candidate", training.entry_of(learnt, bundle, models, drawn, register=True))
    with timed("tracking: the evaluation"):
        tracking.track(run, "evaluation", evaluation.entry_of(record, pictures, str(page)))
    _tell(out, seconds=seconds)


def _nothing() -> Any:
    from ml_assets.core.tracked import Entry

    return Entry(metrics={"nothing": 0.0})


def _nobody(text: str) -> None:
    """A log that nobody reads."""


def _tell(out: Path, **told: Any) -> None:
    (out / RESULT).write_text(json.dumps(told))


STEPS = {"train": train, "outside": outside, "tune": tune}
BEFORE = {"train": read_parts}
