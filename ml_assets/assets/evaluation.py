"""Group `evaluation`: candidate, champion and naive baseline on the same rows, which no model has seen."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from ml_assets.assets.frames import LazyFrame
from ml_assets.assets.metadata import record_output
from ml_assets.assets.training import by_partition
from ml_assets.core.promotion import bound_of
from ml_assets.core.releases import champion_for
from ml_assets.problem import Pipeline
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.models import Models
from ml_assets.resources.reports import Reports


def evaluation(pipeline: Pipeline) -> dg.AssetsDefinition:
    """`<p>/evaluation`: the report on a candidate."""
    key = pipeline.key("evaluation")
    told = pipeline.config.evaluation

    @dg.asset(
        key=key,
        ins={
            "training_set": dg.AssetIn(key=pipeline.key("training_set")),
            "candidate": dg.AssetIn(key=pipeline.key("candidate")),
            "features": dg.AssetIn(key=pipeline.key("features"), partition_mapping=pipeline.learning_window),
        },
        description="The candidate beside the champion and the naive baseline, on the same holdout rows.",
        group_name="evaluation",
        kinds={"json"},
        partitions_def=pipeline.table.partitions,
        io_manager_key="records",
        check_specs=[
            dg.AssetCheckSpec(
                "beats_naive", asset=key, description="The candidate beats the naive baseline by the margin."
            )
        ],
    )
    def evaluation_as_of(
        context: dg.AssetExecutionContext,
        models: Models,
        ledger: Ledger,
        reports: Reports,
        training_set: dict[str, Any],
        candidate: dict[str, Any],
        features: LazyFrame,
    ) -> Iterator[dg.Output[Any] | dg.AssetCheckResult]:
        from ml_assets.core.evaluation import evaluate
        from ml_assets.core.manifest import Manifest
        from ml_assets.core.scoring import contenders_on

        manifest = Manifest.from_json(training_set)
        holdout = manifest.rows(by_partition(features, context.partition_key), "holdout")
        bundle = models.load(candidate["bundle"])
        champion = champion_for(ledger.events(pipeline.name), manifest.split.unseen_from)
        predictions = contenders_on(
            holdout,
            candidate=bundle,
            champion=models.load(champion.bundle) if champion else None,
            threads=pipeline.config.model.threads,
        )
        report = evaluate(holdout, predictions, metric=told.metric, slices=told.slices, seed=pipeline.config.model.seed)
        record = {
            **report.to_json(),
            "bundle": bundle.sha256,
            "as_of": manifest.as_of,
            "scores_from": manifest.split.as_of.isoformat(),
            "rows_trained": manifest.counts.rows["train"],
        }
        shown = {f"{told.metric}_{who}": of[told.metric] for who, of in report.metrics.items()}
        yield record_output(
            record, {**shown, "rows": report.rows, **pictures(pipeline, reports, record, holdout, predictions)}
        )
        beaten = shown[f"{told.metric}_candidate"] <= bound_of(shown[f"{told.metric}_naive"], told.margin)
        yield dg.AssetCheckResult(check_name="beats_naive", asset_key=key, passed=beaten, metadata=shown)

    return evaluation_as_of


def pictures(
    pipeline: Pipeline, reports: Reports, record: dict[str, Any], holdout: Any, predictions: dict[str, Any]
) -> dict[str, dg.MetadataValue]:
    """Residuals of the candidate, and the error by slice."""
    from ml_assets.core.pictures import error_by_slice, residuals

    key, as_of, unit = pipeline.key("evaluation"), record["as_of"], pipeline.label_unit
    label = pipeline.config.label.column
    drawn = {"residuals": residuals(holdout["label"].to_numpy(), predictions["candidate"], name=label, unit=unit)}
    metric = pipeline.config.evaluation.metric
    for column, slices in record["slices"].items():
        drawn[f"error_by_{column}"] = error_by_slice(slices, column=column, metric=metric, unit=unit)
    return {k: v for name, png in drawn.items() for k, v in reports.picture(key, as_of, name, png).items()}
