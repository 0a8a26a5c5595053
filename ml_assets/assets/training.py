"""Group `training`: models from a training set, as bundles. Which rows there are is in `training_set`."""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets.assets.frames import LazyFrame
from ml_assets.assets.metadata import record_output
from ml_assets.assets.tracked import track
from ml_assets.assets.training_set import features_to_learn_from, opened
from ml_assets.config.model import THE_ONLY
from ml_assets.problem import Pipeline, model_noun
from ml_assets.resources.models import Models
from ml_assets.resources.reports import Reports
from ml_assets.resources.storage import Store
from ml_assets.resources.tracking import Tracking

if TYPE_CHECKING:
    import polars as pl

    from ml_assets.core.bundle import Bundle
    from ml_assets.core.learning import Learnt, Recipe
    from ml_assets.core.manifest import Manifest
    from ml_assets.core.trials import Settled

LOG_EVERY = 50


def model(pipeline: Pipeline, name: str = THE_ONLY) -> dg.AssetsDefinition:
    """`<p>/candidate` where there is one model only, else `<p>/model_<name>`: a trained bundle."""
    alone = pipeline.config.models is None
    noun = "candidate" if alone else model_noun(name)
    key, features_key = pipeline.key(noun), pipeline.key("features")
    spec = pipeline.config.specs[name]
    ins = {
        "training_set": dg.AssetIn(key=pipeline.key("training_set")),
        "features": features_to_learn_from(pipeline),
    }
    if pipeline.config.tuning:
        ins["tuning"] = dg.AssetIn(key=pipeline.key("tuning"))

    @dg.asset(
        key=key,
        ins=ins,
        description="A model trained on the training set, as a content-addressed bundle; not released by itself."
        if alone
        else f"The model {name}, one of several, trained on the training set, as a content-addressed bundle.",
        group_name="training",
        kinds={spec.kind if spec.kind != "sklearn" else "scikitlearn"},
        partitions_def=pipeline.table.partitions,
        io_manager_key="records",
        check_specs=[loads_back_spec(key)],
    )
    def model_as_of(
        context: dg.AssetExecutionContext,
        store: Store,
        models: Models,
        reports: Reports,
        tracking: Tracking,
        training_set: dict[str, Any],
        features: LazyFrame,
        **tuned: dict[str, Any],
    ) -> Iterator[dg.Output[Any] | dg.AssetCheckResult]:
        from ml_assets.core.pictures import importance, learning_curve

        manifest, history = opened(pipeline, store, training_set, features)
        found = tuned_of(tuned.get("tuning"), name)
        started = time.perf_counter()
        learnt, bundle = train(pipeline, name, manifest, history, found, context.log.info)
        seconds = time.perf_counter() - started
        sha256 = models.save(bundle)
        fit = learnt.fit
        drawn = {"importance": importance(fit.importances)}
        if len(fit.train_curve) > 1:
            drawn["learning_curve"] = learning_curve(
                fit.train_curve, fit.validation_curve, fit.best_iteration, loss=fit.loss
            )
        shown = {
            "bundle": sha256,
            "model": name,
            "rows_trained": learnt.rows.height,
            "training_seconds": seconds,
            **{name: value for name, value in learnt.facts.items() if name != "rows"},
            **({} if fit.validation_loss is None else {f"validation_{fit.loss}": fit.validation_loss}),
        }
        tracked = track(pipeline, tracking, context, noun, entry_of(learnt, bundle, models, drawn, register=alone))
        yield record_output(
            {"bundle": sha256, "as_of": manifest.as_of, "model": name},
            {
                **shown,
                "learnt_from": learnt_from(context.instance, features_key, manifest),
                **{k: v for n, png in drawn.items() for k, v in reports.picture(key, manifest.as_of, n, png).items()},
                **tracked,
            },
        )
        yield loads_back(key, models.load(sha256))

    return model_as_of


def recipe_of(pipeline: Pipeline, name: str, length: timedelta, tuned: "Settled | None" = None) -> "Recipe":
    """How a model of a pipeline is trained."""
    from ml_assets.core.learning import Recipe

    config = pipeline.config
    recipe = Recipe(
        spec=config.specs[name],
        recency=config.model.recency,
        features=pipeline.features,
        length=length,
        seed=config.model.seed,
        threads=config.model.threads,
    )
    return recipe if tuned is None else recipe.with_settled(tuned)


def tuned_of(record: Mapping[str, Any] | None, name: str) -> "Settled | None":
    """What a study found for a model, or the champion's found; None where it is not tuned."""
    from ml_assets.core.trials import settled_from_json

    found = (record or {}).get("models", {}).get(name)
    return None if found is None else settled_from_json(found)


def train(
    pipeline: Pipeline,
    name: str,
    manifest: "Manifest",
    history: Mapping[str, LazyFrame],
    tuned: "Settled | None",
    log: Callable[[str], None],
) -> "tuple[Learnt, Bundle]":
    """Train one model on the manifest's rows; progress goes to the run's log."""
    from ml_assets.core.bundle import Bundle
    from ml_assets.core.learning import learn

    window = pipeline.table.window(manifest.as_of)
    recipe = recipe_of(pipeline, name, window.end - window.start, tuned)

    def tell(iteration: int, of: int, loss: float) -> None:
        if iteration % LOG_EVERY == 0:
            log(f"iteration {iteration} of {of}" + (f": {loss:.4f}" if loss == loss else ""))

    learnt = learn(recipe, manifest, history, on_iteration=tell)
    bundle = Bundle.of(
        learnt.fit,
        pipeline=pipeline.name,
        label=pipeline.label_facts,
        spec=recipe.spec,
        seed=recipe.seed,
        manifest=manifest,
        train=learnt.rows,
        learning=learnt.facts,
        tuning=None if tuned is None else {name: tuned.facts()},
    )
    return learnt, watchable(pipeline, bundle, learnt.rows, manifest, history)


def watchable(
    pipeline: Pipeline,
    bundle: "Bundle",
    learnt: "pl.DataFrame",
    manifest: "Manifest",
    history: Mapping[str, LazyFrame],
) -> "Bundle":
    """The bundle with what watches it in production: an estimator of its error, a profile of what it learnt from."""
    from ml_assets.core.drift.reference import with_reference
    from ml_assets.core.estimators import with_estimator

    config, holdout = pipeline.config, manifest.rows(history, "holdout")
    told: dict[str, Any] = {"metric": config.metric, "alpha": pipeline.alpha, "threads": config.model.threads}
    return with_reference(
        with_estimator(bundle, holdout, **told), learnt, holdout, history, declared=pipeline.features,
        sampled=config.monitoring.drift.domain_classifier, **told,
    )  # fmt: skip


def entry_of(
    learnt: "Learnt", bundle: "Bundle", models: Models, pictures: Mapping[str, bytes], *, register: bool
) -> Any:
    """What a training tells the trackers."""
    from ml_assets.core.tracked import Entry, TrackedBundle

    fit = learnt.fit
    losses = {} if fit.validation_loss is None else {f"validation_{fit.loss}": fit.validation_loss}
    curves = {f"train_{fit.loss}": fit.train_curve, f"validation_{fit.loss}": fit.validation_curve}
    return Entry(
        params={"model": bundle.facts["models"], "learning": learnt.facts, "seed": bundle.facts["seed"]},
        metrics={"rows_trained": learnt.rows.height, "iterations": fit.best_iteration, **losses},
        curves={name: curve for name, curve in curves.items() if len(curve) > 1},
        pictures=pictures,
        bundle=TrackedBundle(models.root, bundle.sha256, register=register),
    )


def learnt_from(instance: dg.DagsterInstance, features_key: dg.AssetKey, manifest: "Manifest") -> dg.MetadataValue:
    """Links from every partition of the learning window back to the source's files and their SHA-256."""
    from ml_assets.core.lineage import as_markdown
    from ml_assets.resources.lineage import chains

    return dg.MetadataValue.md(as_markdown(chains(instance, features_key, manifest.partitions)))


def loads_back_spec(key: dg.AssetKey) -> dg.AssetCheckSpec:
    """The check of every bundle."""
    return dg.AssetCheckSpec(
        "loads_back", asset=key, description="The stored bundle predicts the same, and refuses permuted columns."
    )


def loads_back(key: dg.AssetKey, bundle: "Bundle") -> dg.AssetCheckResult:
    """Whether a stored bundle refuses permuted columns; that it scores as before was proven when it was loaded."""
    import polars as pl

    from ml_assets.core.errors import ScoringError

    permuted = pl.DataFrame(schema={s.name: s.dtype for s in reversed(bundle.specs)})
    try:
        bundle.predict(permuted)
        refused = len(bundle.specs) == 1
    except ScoringError:
        refused = True
    return dg.AssetCheckResult(
        check_name="loads_back", asset_key=key, passed=refused, metadata={"bundle": bundle.sha256}
    )
