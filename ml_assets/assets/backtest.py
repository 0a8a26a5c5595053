"""Group `monitoring`: what other retraining policies would have done on the recorded history.

How history is replayed is in `core.retraining.backtest`, what its models are in `backtest_world`.
"""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets.assets.candidates import candidate_of, inputs_told
from ml_assets.assets.metadata import made_from, record_output, table_of
from ml_assets.config.retraining import Retraining
from ml_assets.partitions import windows_through, with_a_tick
from ml_assets.problem import Pipeline
from ml_assets.resources.model_shelf import ModelShelf
from ml_assets.resources.models import Models
from ml_assets.resources.reports import Reports
from ml_assets.resources.storage import Store

if TYPE_CHECKING:
    from ml_assets.core.retraining.backtest_gate import Gate
    from ml_assets.core.retraining.backtest_models import Trainer
    from ml_assets.core.retraining.backtest_policies import ByRules
    from ml_assets.core.retraining.backtest_run import Backtested
    from ml_assets.core.retraining.backtest_scores import Scores
    from ml_assets.core.retraining.backtest_world import FirstModel
    from ml_assets.core.retraining.recorded_history import Recorded

NOUN = "retraining_backtest"
CONFIGURED = "configured"
PICTURE = "error_over_time"


def retraining_backtest(pipeline: Pipeline, told: Retraining) -> dg.AssetsDefinition:
    """`<p>/retraining_backtest`: error, cost and regret of retraining policies, and which one to take."""
    key, features_key = pipeline.key(NOUN), pipeline.key("features")

    @dg.asset(
        key=key,
        deps=[features_key],
        description="What other retraining policies would have done on the stored feature partitions: never, every n "
        "partitions, drift alone, realised error alone, the configured one; with real trainings, which are kept, and "
        "the real promotion gate. Parameters are those found for the first model (or of the YAML): where a policy "
        "asks for a search, it is a refit here.",
        group_name="monitoring",
        kinds={"json"},
        io_manager_key="records",
    )
    def backtest(context: dg.AssetExecutionContext, store: Store, models: Models, reports: Reports) -> dg.Output[Any]:
        from ml_assets.core.retraining.backtest_pictures import error_of_policies

        recorded = history(pipeline, store)
        first, done = replayed(pipeline, told, recorded, store, models, context.log.info)
        loss, unit = loss_told(pipeline)
        read = made_from(store, {features_key: list(recorded.frames)})
        begun = {"first_model": {"bundle": first.bundle, "words": first.words}}
        record = done.to_json() | {"pipeline": pipeline.name, "loss": loss, "unit": unit} | begun | read
        picture = reports.picture(key, "all", PICTURE, error_of_policies(done, loss=loss, unit=unit))
        shown = {
            "recommendation": done.report.words,
            "recommended": done.report.recommended,
            "policies": table_of(done.table()),
            "loss": f"mean {loss}" + (f", {unit}" if unit else ""),
            "replayed": f"{done.report.partitions[0]} … {done.report.partitions[-1]}",
            "first_model": first.plan.as_of,
        }
        return record_output(record, {**shown, **picture, **read})

    return backtest


def replayed(
    pipeline: Pipeline,
    told: Retraining,
    recorded: "Recorded",
    store: Store,
    models: Models,
    tell: Callable[[str], None],
) -> "tuple[FirstModel, Backtested]":
    """The model with which all policies begin, and what became of each."""
    from ml_assets.core.retraining.backtest_policies import to_compare
    from ml_assets.core.retraining.backtest_run import run
    from ml_assets.core.retraining.backtest_world import first_model, recorded_world

    shelf, gate = ModelShelf(store, models, pipeline.key(NOUN)), gate_of(pipeline, models, recorded)
    model = pipeline.config.model
    first = first_model(
        recorded, lambda as_of: trainer(pipeline, store, recorded, shelf, as_of, tell), gate, model.window
    )
    world = recorded_world(recorded, first, models.load, gate, scores_of(pipeline, models, recorded, gate))
    policies = to_compare(configured(pipeline, told, recorded), first.plan.as_of)
    return first, run(policies, recorded.partitions, world, first.plan, seed=model.seed, tell=tell)


def loss_told(pipeline: Pipeline) -> tuple[str, str]:
    """Name and unit of the loss whose mean is compared."""
    metric = pipeline.config.metric
    return ("squared error", "") if metric == "rmse" else (metric, pipeline.metric_unit)


def history(pipeline: Pipeline, store: Store) -> "Recorded":
    """The stored feature partitions, from the first to the last."""
    from ml_assets.core.retraining.recorded_history import Recorded

    key = pipeline.key("features")
    stored = sorted((pipeline.table.window(k) for k in store.partitions(key)), key=lambda w: w.start)
    every = windows_through(pipeline.table.partitions, stored[-1].key) if stored else []
    return Recorded(
        [w for w in every if w.start >= stored[0].start],
        {w.key: store.scan(key, w.key) for w in stored},
        {w.key: store.sha256(key, w.key) for w in stored},
    )


def trainer(
    pipeline: Pipeline, store: Store, recorded: "Recorded", shelf: ModelShelf, first: str, tell: Callable[[str], None]
) -> "Trainer":
    """What trains, with the parameters that were found as of the first model's partition, where there are some.

    Later studies have seen what is replayed.
    """
    from ml_assets.core.retraining.backtest_models import Trainer

    config = pipeline.config
    tuning = store.record(pipeline.key("tuning"), first) if config.tuning else None
    tell(f"parameters as of {first}: {'those that tuning found' if tuning else 'those of defs.yaml'}")
    return Trainer(
        recorded=recorded,
        fit=lambda manifest, frames: candidate_of(pipeline, manifest, frames, tuning, tell),
        split_over=config.split_over,
        min_rows=config.model.min_rows,
        told=inputs_told(pipeline, tuning),
        shelf=shelf,
        tell=tell,
    )


def gate_of(pipeline: Pipeline, models: Models, recorded: "Recorded") -> "Gate":
    """The pipeline's promotion gate."""
    from ml_assets.core.retraining.backtest_gate import Gate

    evaluation, model = pipeline.config.evaluation, pipeline.config.model
    return Gate(
        bundle=models.load,
        frames=recorded.frames,
        policy=pipeline.policy,
        slices=evaluation.slices,
        costs=pipeline.costs,
        by=evaluation.baselines.by,
        alpha=pipeline.alpha,
        seed=model.seed,
        threads=model.threads,
    )


def scores_of(pipeline: Pipeline, models: Models, recorded: "Recorded", gate: "Gate") -> "Scores":
    """The pipeline's monitoring."""
    from ml_assets.core.retraining.backtest_scores import Scores

    monitoring, model = pipeline.config.monitoring, pipeline.config.model
    return Scores(
        bundle=models.load,
        recorded=recorded,
        promise=cache(gate.promise),
        metric=pipeline.config.metric,
        drift=monitoring.drift.policy(),
        bound=monitoring.performance.bound(),
        alpha=pipeline.alpha,
        costs=pipeline.costs,
        seed=model.seed,
        threads=model.threads,
    )


def configured(pipeline: Pipeline, told: Retraining, recorded: "Recorded") -> "ByRules":
    """The policy that the section `retraining` describes."""
    from ml_assets.core.retraining.backtest_policies import ByRules

    ticks = frozenset() if told.schedule is None else with_a_tick(told.schedule, recorded.windows)
    rules = told.staleness_rules(pipeline.config.monitoring)
    return ByRules(CONFIGURED, rules, pipeline.retraining_rules, ticks)
