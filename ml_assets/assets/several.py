"""Group `training`: several models in place of one, what they say of rows they have not learnt from, and the best.

How one model is trained is in `training`; how weights are found in `core.models.ensemble`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from ml_assets.assets.frames import LazyFrame
from ml_assets.assets.metadata import made_from, record_output, table_of, table_output
from ml_assets.assets.tracked import track
from ml_assets.assets.training import loads_back, loads_back_spec, model, recipe_of, tuned_of, watchable
from ml_assets.assets.training_set import features_to_learn_from, opened
from ml_assets.config.model import Ensemble
from ml_assets.problem import Pipeline, model_noun
from ml_assets.resources.models import Models
from ml_assets.resources.storage import Store
from ml_assets.resources.tracking import Tracking

ENSEMBLE = "ensemble"


def models(pipeline: Pipeline) -> list[dg.AssetsDefinition]:
    """An asset per model, their out-of-fold predictions, the ensemble where one is asked for, and the candidate."""
    config = pipeline.config
    return [
        *(model(pipeline, name) for name in config.named_models),
        out_of_fold(pipeline),
        *([ensemble(pipeline, config.ensemble)] if config.ensemble else []),
        candidate(pipeline),
    ]


def _members(pipeline: Pipeline) -> dict[str, dg.AssetIn]:
    return {name: dg.AssetIn(key=pipeline.key(model_noun(name))) for name in pipeline.config.named_models}


def out_of_fold(pipeline: Pipeline) -> dg.AssetsDefinition:
    """`<p>/out_of_fold`: what each model says of rows before the holdout that it has not learnt from."""
    folds = pipeline.config.folds
    tuning = {"tuning": dg.AssetIn(key=pipeline.key("tuning"))} if pipeline.config.tuning else {}

    @dg.asset(
        key=pipeline.key("out_of_fold"),
        ins={
            "training_set": dg.AssetIn(key=pipeline.key("training_set")),
            "features": features_to_learn_from(pipeline),
            **tuning,
            **_members(pipeline),
        },
        description=f"What each model, trained anew for each of {folds} blocks of rows before the holdout, says of it: "
        "by this the best is chosen and weights are found, never by the holdout.",
        group_name="training",
        kinds={"polars"},
        partitions_def=pipeline.table.partitions,
    )
    def out_of_fold_as_of(
        store: Store,
        models: Models,
        training_set: dict[str, Any],
        features: LazyFrame,
        **made: dict[str, Any],
    ) -> dg.Output[Any]:
        from ml_assets.core import learning
        from ml_assets.core.folds import make_folds, rows_before_holdout

        manifest, history = opened(pipeline, store, training_set, features)
        window = pipeline.table.window(manifest.as_of)
        names = list(pipeline.config.named_models)
        recipes = {
            name: recipe_of(pipeline, name, window.end - window.start, tuned_of(made.get("tuning"), name))
            for name in names
        }
        iterations = {name: int(models.load(made[name]["bundle"]).facts["iterations"]) for name in names}
        rows = rows_before_holdout(history, manifest.split)
        divided = make_folds(rows, manifest.split, folds, min_rows=pipeline.config.model.min_rows)
        predictions = learning.out_of_fold(recipes, iterations, divided)
        losses = learning.mean_losses(predictions, names, metric=pipeline.config.metric, alpha=pipeline.alpha)
        [staged] = store.stage(predictions.lazy())
        shown = {f"loss_{name}": loss for name, loss in losses.items()}
        read = made_from(store, {pipeline.key("features"): list(manifest.partitions)})
        return table_output(staged, {**shown, **read})

    return out_of_fold_as_of


def ensemble(pipeline: Pipeline, told: Ensemble) -> dg.AssetsDefinition:
    """`<p>/ensemble`: the models as one, weighted by what they say of rows they have not learnt from."""
    key = pipeline.key(ENSEMBLE)

    @dg.asset(
        key=key,
        ins={
            "training_set": dg.AssetIn(key=pipeline.key("training_set")),
            "features": features_to_learn_from(pipeline),
            "out_of_fold": dg.AssetIn(key=pipeline.key("out_of_fold")),
            **_members(pipeline),
        },
        description=f"All models as one, by {told.method} with weights of at least 0; a candidate like any other.",
        group_name="training",
        kinds={"lightgbm"},
        partitions_def=pipeline.table.partitions,
        io_manager_key="records",
        check_specs=[loads_back_spec(key)],
    )
    def ensemble_as_of(
        context: dg.AssetExecutionContext,
        store: Store,
        models: Models,
        tracking: Tracking,
        training_set: dict[str, Any],
        features: LazyFrame,
        out_of_fold: LazyFrame,
        **members: dict[str, Any],
    ) -> Iterator[dg.Output[Any] | dg.AssetCheckResult]:
        from ml_assets.core.combining import combine
        from ml_assets.core.tracked import Entry, TrackedBundle

        manifest, history = opened(pipeline, store, training_set, features)
        bundle, found, learnt = combine(
            {name: models.load(members[name]["bundle"]) for name in pipeline.config.named_models},
            pipeline.config.specs,
            out_of_fold.collect(),
            method=told.method,
            metric=pipeline.config.metric,
            manifest=manifest,
            history=history,
        )
        bundle = watchable(pipeline, bundle, learnt, manifest, history)
        sha256, loss = models.save(bundle), pipeline.policy.loss(found.together)
        shown = {f"weight_{name}": weight for name, weight in found.weights.items()}
        entry = Entry(
            params={"method": told.method, "members": {n: r["bundle"] for n, r in members.items()}},
            metrics={**shown, "loss": loss},
            bundle=TrackedBundle(models.root, sha256, register=False),
        )
        tracked = track(pipeline, tracking, context, ENSEMBLE, entry)
        record = {"bundle": sha256, "as_of": manifest.as_of, "model": ENSEMBLE, "loss": loss}
        yield record_output(record, {"bundle": sha256, "loss": loss, **shown, **tracked})
        yield loads_back(key, models.load(sha256))

    return ensemble_as_of


def candidate(pipeline: Pipeline) -> dg.AssetsDefinition:
    """`<p>/candidate`: the best of the models, the ensemble among them."""
    combined = {ENSEMBLE: dg.AssetIn(key=pipeline.key(ENSEMBLE))} if pipeline.config.ensemble else {}

    @dg.asset(
        key=pipeline.key("candidate"),
        ins={"out_of_fold": dg.AssetIn(key=pipeline.key("out_of_fold")), **_members(pipeline), **combined},
        description="The model with the least loss on rows before the holdout that none had learnt from.",
        group_name="training",
        kinds={"json"},
        partitions_def=pipeline.table.partitions,
        io_manager_key="records",
    )
    def candidate_as_of(
        context: dg.AssetExecutionContext,
        models: Models,
        tracking: Tracking,
        out_of_fold: LazyFrame,
        **made: dict[str, Any],
    ) -> dg.Output[Any]:
        from ml_assets.core.learning import mean_losses
        from ml_assets.core.tracked import Entry, TrackedBundle

        names = list(pipeline.config.named_models)
        losses = mean_losses(out_of_fold.collect(), names, metric=pipeline.config.metric, alpha=pipeline.alpha)
        if ENSEMBLE in made:
            losses[ENSEMBLE] = made[ENSEMBLE]["loss"]
        best = min(losses, key=lambda name: losses[name])
        sha256 = made[best]["bundle"]
        entry = Entry(
            params={"model": best}, metrics={f"loss_{n}": v for n, v in losses.items()},
            bundle=TrackedBundle(models.root, sha256),
        )  # fmt: skip
        tracked = track(pipeline, tracking, context, "candidate", entry)
        return record_output(
            {"bundle": sha256, "as_of": made[best]["as_of"], "model": best},
            {"bundle": sha256, "model": best, "compared": table_of(_ranked(losses)), **tracked},
        )

    return candidate_as_of


def _ranked(losses: Mapping[str, float]) -> list[dict[str, Any]]:
    return [{"model": name, "loss": losses[name]} for name in sorted(losses, key=lambda name: losses[name])]
