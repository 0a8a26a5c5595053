"""Group `training`: the search for parameters and for what to learn from, as a study per model."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets.assets.frames import LazyFrame
from ml_assets.assets.metadata import record_output, table_of
from ml_assets.assets.tracked import track
from ml_assets.assets.training import recipe_of
from ml_assets.assets.training_set import features_to_learn_from, opened
from ml_assets.config.model import Tuning
from ml_assets.core.releases import champion_at_training
from ml_assets.problem import Pipeline
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.models import Models
from ml_assets.resources.reports import Reports
from ml_assets.resources.storage import Store
from ml_assets.resources.studies import Studies
from ml_assets.resources.tracking import Tracking

if TYPE_CHECKING:
    from ml_assets.core.manifest import Manifest
    from ml_assets.core.search_space import SearchSpace
    from ml_assets.core.trials import Settled, TrialRecord, Tuned

SHOWN_EVERY_SECONDS = 20.0
"""How often a running study shows its picture."""
SHOWN_TRIALS = 10


def tuning(pipeline: Pipeline, told: Tuning) -> dg.AssetsDefinition:
    """`<p>/tuning`: the studies of an as-of partition, and their winners."""
    key = pipeline.key("tuning")

    @dg.asset(
        key=key,
        ins={
            "training_set": dg.AssetIn(key=pipeline.key("training_set")),
            "features": features_to_learn_from(pipeline),
        },
        description=f"Up to {told.trials} trials for each model of kind lightgbm, judged on {told.folds} blocks of "
        "rows before the holdout; a study that was killed goes on where it was.",
        group_name="training",
        kinds={"optuna"},
        partitions_def=pipeline.table.partitions,
        io_manager_key="records",
    )
    def tuning_as_of(
        context: dg.AssetExecutionContext,
        store: Store,
        models: Models,
        ledger: Ledger,
        studies: Studies,
        reports: Reports,
        tracking: Tracking,
        training_set: dict[str, Any],
        features: LazyFrame,
    ) -> dg.Output[Any]:
        from ml_assets.core.trials import Tuned

        manifest, history = opened(pipeline, store, training_set, features)
        start = pipeline.table.window(manifest.as_of).start
        champion = champion_at_training(ledger.events(pipeline.name), manifest.as_of, start)
        before = (models.load(champion.bundle).facts["tuning"] or {}) if champion else {}
        names = [name for name, spec in pipeline.config.specs.items() if spec.kind == "lightgbm"]
        best = before if told.warm_start else {}
        found: dict[str, Settled] = {}
        if champion and training_set["plan"]["how"] == "refit":
            found |= refits(champion.bundle, before, names)
        for name in names:
            if name in found:
                continue
            found[name] = tuned(
                pipeline,
                name,
                told,
                manifest,
                history,
                studies,
                warm_start=best.get(name, {}).get("best", []),
                timeout_seconds=None if told.timeout_seconds is None else told.timeout_seconds / len(names),
                show=shown_while_running(context, reports, key, name, pipeline.config.metric),
            )
        studied = {name: one for name, one in found.items() if isinstance(one, Tuned)}
        drawn = {
            f"{name}_{what}": png
            for name, one in studied.items()
            for what, png in pictures_of(one, pipeline.config.search_space(name)).items()
        }
        return record_output(
            {"as_of": manifest.as_of, "models": {name: one.to_json() for name, one in found.items()}},
            {
                **{k: v for name, one in found.items() for k, v in told_of(name, one).items()},
                **{k: v for n, png in drawn.items() for k, v in reports.picture(key, manifest.as_of, n, png).items()},
                **track(pipeline, tracking, context, "tuning", entry_of(found, drawn)),
            },
        )

    return tuning_as_of


def refits(champion: str, facts: Mapping[str, Any], names: Sequence[str]) -> "dict[str, Settled]":
    """The champion's parameters for the models whose bundle tells of them; the others have to be studied."""
    from ml_assets.core.trials import Refit

    taken = {name: Refit.of(champion, facts.get(name, {})) for name in names}
    return {name: one for name, one in taken.items() if one is not None}


def tuned(
    pipeline: Pipeline,
    name: str,
    told: Tuning,
    manifest: "Manifest",
    history: Mapping[str, LazyFrame],
    studies: Studies,
    *,
    warm_start: list[dict[str, Any]],
    timeout_seconds: float | None,
    show: "Callable[[list[TrialRecord], int, str], None]",
) -> "Tuned":
    """The study of one model: as it was left, and on from there."""
    from ml_assets.core.folds import make_folds, rows_before_holdout
    from ml_assets.core.pruning import Pruning
    from ml_assets.core.trial_scoring import TuningPlan
    from ml_assets.core.tuning import records, study_name, tune

    window, config = pipeline.table.window(manifest.as_of), pipeline.config
    recipe = recipe_of(pipeline, name, window.end - window.start)
    rows = rows_before_holdout(history, manifest.split)
    plan = TuningPlan(
        folds=make_folds(rows, manifest.split, told.folds, min_rows=config.model.min_rows),
        space=pipeline.config.search_space(name),
        features=recipe.features,
        task=recipe.spec.task,
        classes=recipe.spec.classes,
        metric=config.metric,
        length=recipe.length,
        seed=recipe.seed,
        alpha=recipe.spec.alpha,
        pruning=Pruning() if told.pruning else None,
    )
    study = studies.open(study_name(f"{pipeline.name} {name}", plan, manifest, warm_start))
    done = records(study)

    def on_trial(trial: "TrialRecord", of: int, best: "TrialRecord | None") -> None:
        done.append(trial)
        value = "none" if best is None or best.value is None else f"{best.value:.5g} of trial {best.number}"
        score = trial.state if trial.value is None else f"{trial.value:.5g}"
        show(done, of, f"{name}: trial {trial.number + 1} of {of}: {score}; best {value}; {dict(trial.params)}")

    return tune(
        study,
        plan,
        trials=told.trials,
        threads=recipe.threads,
        clock=time.monotonic,
        timeout_seconds=timeout_seconds,
        warm_start=warm_start,
        on_trial=on_trial,
    )


def shown_while_running(
    context: dg.AssetExecutionContext, reports: Reports, key: dg.AssetKey, name: str, metric: str
) -> "Callable[[list[TrialRecord], int, str], None]":
    """Tells of each trial in the log, and shows the study so far on the asset's page every now and then."""
    last = time.monotonic()

    def show(done: "list[TrialRecord]", of: int, text: str) -> None:
        from ml_assets.core.study_pictures import optimisation_history

        nonlocal last
        context.log.info(text)
        if time.monotonic() - last < SHOWN_EVERY_SECONDS:
            return
        last = time.monotonic()
        picture = reports.picture(
            key, context.partition_key, f"{name}_so_far", optimisation_history(done, metric=metric)
        )
        context.log_event(
            dg.AssetObservation(
                key,
                partition=context.partition_key,
                description=text,
                metadata={"trials": len(done), "of": of, **picture},
            )
        )

    return show


def told_of(name: str, found: "Settled") -> dict[str, Any]:
    """What the asset's page says of a study in numbers, or of the parameters that were taken over."""
    from ml_assets.core.trials import Refit

    if isinstance(found, Refit):
        taken = {"params": found.params.to_json(), "recency": found.recency.to_json()}
        return {f"{name}_refit_of": found.champion, f"{name}_parameters": taken}
    untuned = found.trials[0]
    best = [
        {"trial": t.number, "origin": t.origin, "loss": t.value, "trees": t.trees, **t.params}
        for t in found.ranked[:SHOWN_TRIALS]
    ]
    return {
        f"{name}_best": table_of(
            [{k: v if isinstance(v, str) or v is None else f"{v:.5g}" for k, v in t.items()} for t in best]
        ),
        f"{name}_loss": found.best.value,
        **({} if untuned.value is None else {f"{name}_loss_untuned": untuned.value}),
        f"{name}_trials": len(found.trials),
        f"{name}_pruned": sum(t.state == "pruned" for t in found.trials),
        f"{name}_ended_by": found.ended_by,
        f"{name}_study": found.study,
    }


def pictures_of(found: "Tuned", space: "SearchSpace") -> dict[str, bytes]:
    """The study as pictures."""
    from ml_assets.core.study_pictures import optimisation_history, slices

    return {
        "history": optimisation_history(found.trials, metric=found.metric),
        "parameters": slices(found.trials, space, metric=found.metric),
    }


def entry_of(found: "Mapping[str, Settled]", pictures: Mapping[str, bytes]) -> Any:
    """What the studies tell the trackers: each trial is a run of its own below the training's."""
    from ml_assets.core.tracked import Entry, Trial
    from ml_assets.core.trials import Refit

    several = len(found) > 1
    trials: list[Trial] = []
    metrics: dict[str, float] = {}
    params: dict[str, Any] = {}
    for name, one in found.items():
        if isinstance(one, Refit):
            params[name] = {"refit_of": one.champion, **one.params.to_json(), **one.recency.to_json()}
            continue
        params[name] = {"study": one.study, "ended_by": one.ended_by, **one.best.params}
        metrics[f"{name} loss"] = one.best.value or 0.0
        trials += [
            Trial(len(trials) + i, {"model": name, **t.params} if several else t.params, t.value, t.state)
            for i, t in enumerate(one.trials)
        ]
    return Entry(
        params=params,
        metrics=metrics,
        pictures=pictures,
        trials=tuple(trials),
    )
