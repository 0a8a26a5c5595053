"""Group `evaluation`: candidate, champion and baselines on the same rows, which no model has seen."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets.assets.frames import LazyFrame
from ml_assets.assets.metadata import record_output, table_of
from ml_assets.assets.tracked import track
from ml_assets.assets.training_set import features_to_learn_from, opened
from ml_assets.core.releases import Champion, live
from ml_assets.problem import Pipeline
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.models import Models
from ml_assets.resources.reports import Reports
from ml_assets.resources.storage import Store
from ml_assets.resources.tracking import Tracking

if TYPE_CHECKING:
    from ml_assets.core.manifest import Manifest


def evaluation(pipeline: Pipeline) -> dg.AssetsDefinition:
    """`<p>/evaluation`: the report on a candidate."""
    key = pipeline.key("evaluation")

    @dg.asset(
        key=key,
        ins={
            "training_set": dg.AssetIn(key=pipeline.key("training_set")),
            "candidate": dg.AssetIn(key=pipeline.key("candidate")),
            "features": features_to_learn_from(pipeline),
        },
        description="The candidate beside the champion and the baselines, on the same holdout rows: metrics with "
        "intervals, slices, calibration, what the scores come from, and the validation checklist.",
        group_name="evaluation",
        kinds={"json"},
        partitions_def=pipeline.table.partitions,
        io_manager_key="records",
        check_specs=[
            dg.AssetCheckSpec(
                "beats_naive", asset=key, description="The candidate surely beats the naive baselines by the margin."
            ),
            dg.AssetCheckSpec(
                "checklist", asset=key, description="No item of the validation checklist fails; it informs, the "
                "decision gates."
            ),
        ],
    )  # fmt: skip
    def evaluation_as_of(
        context: dg.AssetExecutionContext,
        store: Store,
        models: Models,
        ledger: Ledger,
        reports: Reports,
        tracking: Tracking,
        training_set: dict[str, Any],
        candidate: dict[str, Any],
        features: LazyFrame,
    ) -> Iterator[dg.Output[Any] | dg.AssetCheckResult]:
        from ml_assets.core.evaluation_page import render
        from ml_assets.core.promotion_checks import beats_naive

        manifest, history = opened(pipeline, store, training_set, features)
        champion = live(ledger.events(pipeline.name))
        record, pictures = judged(pipeline, manifest, history, models, candidate["bundle"], champion)
        page = reports.page(
            pipeline.name, f"evaluation/{manifest.as_of}/report.html", render(record, pictures).encode()
        )
        entry = entry_of(record, pictures, page)
        yield record_output(
            record,
            {
                **{f"{record['metric']}_{who}": of[record["metric"]] for who, of in record["metrics"].items()},
                "rows": record["rows"],
                "report": dg.MetadataValue.path(page),
                "checklist": table_of(record["checklist"]),
                **{
                    k: v
                    for name, png in pictures.items()
                    for k, v in reports.picture(key, manifest.as_of, name, png).items()
                },
                **track(pipeline, tracking, context, "evaluation", entry),
            },
        )
        beaten = beats_naive(record, pipeline.policy)
        yield dg.AssetCheckResult(
            check_name="beats_naive", asset_key=key, passed=beaten.outcome == "passed", metadata={"found": beaten.words}
        )
        failed = [i for i in record["checklist"] if i["passed"] is False]
        yield dg.AssetCheckResult(
            check_name="checklist",
            asset_key=key,
            passed=not failed,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={i["item"]: i["evidence"] for i in failed},
        )

    return evaluation_as_of


def judged(
    pipeline: Pipeline,
    manifest: "Manifest",
    history: Mapping[str, LazyFrame],
    models: Models,
    sha256: str,
    champion: Champion | None,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The evaluation record of a bundle with its checklist, and its pictures."""
    from ml_assets.core.baselines import fit_baselines
    from ml_assets.core.checklist import checklist
    from ml_assets.core.evaluation import evaluate, evaluation_record
    from ml_assets.core.evaluation_pictures import pictures_of
    from ml_assets.core.explanation import explain
    from ml_assets.core.feature_gaps import gaps_of, mean_losses
    from ml_assets.core.manifest import Manifest
    from ml_assets.core.scoring import contenders_on

    config = pipeline.config
    seed, threads = config.model.seed, config.model.threads
    rows = {part: manifest.rows(history, part) for part in ("train", "validation", "holdout")}
    bundle, spec = models.load(sha256), next(iter(config.specs.values()))
    live_bundle = models.load(champion.bundle) if champion else None
    learnt_holdout = live_bundle is not None and not manifest.split.may_judge(
        Manifest.from_json(live_bundle.facts["training"]).split
    )
    holdout, alpha = rows["holdout"], spec.alpha
    contenders = contenders_on(
        holdout, candidate=bundle, champion=None if learnt_holdout else live_bundle, threads=threads
    )
    baselines = fit_baselines(
        rows["train"],
        rows["validation"],
        task=spec.task,
        metric=config.metric,
        classes=spec.classes,
        alpha=alpha,
        by=config.evaluation.baselines.by,
        features=pipeline.features if config.evaluation.baselines.linear else (),
        seed=seed,
        threads=threads,
    )
    contenders |= {who: baseline.scores(holdout) for who, baseline in baselines.items()}
    label = holdout["label"].to_numpy()
    told = evaluate(
        holdout,
        contenders,
        task=config.label.task,
        metric=config.metric,
        alpha=alpha,
        slices=config.evaluation.slices,
        costs=pipeline.costs,
        seed=seed,
    )
    explained = explain(
        bundle.model, bundle.specs, holdout, label, metric=config.metric, alpha=alpha, seed=seed, threads=threads
    )
    record = evaluation_record(
        told,
        bundle,
        manifest,
        unit=pipeline.metric_unit,
        champion=champion,
        champion_learnt_holdout=learnt_holdout,
        explanation=explained,
    )

    def scores(some: Any) -> Any:
        return bundle.predict(bundle.feature_frame(some), threads=threads)

    learnt = {part: rows[part] for part in ("train", "validation")}
    losses = mean_losses(scores, learnt, metric=config.metric, alpha=alpha, seed=seed)
    gaps = gaps_of(rows["train"], holdout, bundle.specs)
    items = checklist(record, bundle, manifest, pipeline.policy, gaps=gaps, part_losses=losses)
    record["checklist"] = [item.to_json() for item in items]
    pictures = pictures_of(
        record, label, contenders, name=config.label.column, unit=pipeline.label_unit, explanation=explained
    )
    return record, pictures


def entry_of(record: dict[str, Any], pictures: Mapping[str, bytes], page: str) -> Any:
    """What an evaluation tells the trackers."""
    import json

    from upath import UPath

    from ml_assets.core.tracked import Entry

    return Entry(
        params={"metric": record["metric"], "holdout": record["holdout"]},
        metrics={f"{who}_{metric}": v for who, of in record["metrics"].items() for metric, v in of.items()},
        pictures=pictures,
        files={
            "report.html": UPath(page).read_bytes(),
            "evaluation.json": json.dumps(record, indent=1, sort_keys=True).encode(),
        },
    )
