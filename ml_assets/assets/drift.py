"""Group `monitoring`: how far a partition is from what its champion was trained on.

What drift is and how it is judged is in `core.drift`; how right the scores were is in `monitoring`.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets.assets.automation import FOLLOWS_ITS_INPUTS
from ml_assets.assets.frames import LazyFrame
from ml_assets.assets.metadata import made_from, record_output, table_of
from ml_assets.assets.monitoring import TREND_PARTITIONS, known_by
from ml_assets.assets.partitioned_checks import partitioned_check
from ml_assets.observing import BOUNDS_VERSION
from ml_assets.partitions import windows_through
from ml_assets.problem import Pipeline
from ml_assets.resources.models import Models
from ml_assets.resources.reports import Reports
from ml_assets.resources.storage import Store

if TYPE_CHECKING:
    from ml_assets.core.drift.watched import JudgedPartition

NOT_DRIFTED = "not_drifted"


def drift(pipeline: Pipeline) -> dg.AssetsDefinition:
    """`<p>/drift`: a partition beside the reference profile of the champion that scored it."""
    key = pipeline.key("drift")

    @dg.asset(
        key=key,
        ins={
            "features": dg.AssetIn(key=pipeline.key("features")),
            "predictions": dg.AssetIn(key=pipeline.key("predictions")),
        },
        description="How far features, predictions and labels are from what the champion that scored the partition was "
        "trained on: stable, drifted, or not enough rows to tell.",
        group_name="monitoring",
        kinds={"json"},
        partitions_def=pipeline.table.partitions,
        automation_condition=FOLLOWS_ITS_INPUTS,
        code_version=pipeline.bounds_versions["drift"],
        io_manager_key="records",
        check_specs=[not_drifted_spec(pipeline)],
    )
    def drift_partition(
        context: dg.AssetExecutionContext,
        store: Store,
        models: Models,
        reports: Reports,
        features: LazyFrame,
        predictions: LazyFrame,
    ) -> Iterator[dg.Output[Any] | dg.AssetCheckResult]:
        from ml_assets.core.drift.watched import DriftWatch

        window = pipeline.table.window(context.partition_key)
        watch = DriftWatch(models.load, pipeline.config.monitoring.drift.policy())
        texts = store.text_counter(pipeline.key("features"), window.key)
        judged = watch.judge(features, predictions, window.key, known_by(pipeline, store, window), texts)
        drawn = pictures(pipeline, store, judged)
        shown = {k: v for n, png in drawn.items() for k, v in reports.picture(key, window.key, n, png).items()}
        read = made_from(store, {pipeline.key(noun): [window.key] for noun in ("features", "predictions")})
        bounds = {BOUNDS_VERSION: pipeline.bounds_versions["drift"]}
        yield record_output(judged.record | read, {**told(judged.record), **shown, **bounds, **read})
        yield not_drifted(key, judged.record)

    return drift_partition


def told(record: Mapping[str, Any]) -> dict[str, Any]:
    """What the asset's page shows of a record; the rest is in the record."""
    names = ("verdict", "words", "champion", "magnitude", "rows")
    shown = {name: record[name] for name in names if record[name] is not None}
    if record["p"] is not None:
        shown["p"] = f"{record['p']:.2g}"  # a number would be rounded to 0
    if record["domain_classifier"] is not None:
        shown["domain_classifier"] = record["domain_classifier"]
    if record["columns"]:
        ranked = sorted(record["columns"], key=lambda c: -c["weight"])
        shown["columns"] = table_of([_row(c) for c in ranked])
    return shown


def _row(column: Mapping[str, Any]) -> dict[str, Any]:
    wanted = ("distance", "threshold", "psi", "weight", "adjusted_p")
    return {
        "column": column["name"],
        "drifted": column["drifted"],
        **{name: float(f"{column[name]:.4g}") for name in wanted},
        "missing": round(column["missing"][1], 4),
        "unseen": round(column["unseen"], 4),
    }


def not_drifted_spec(pipeline: Pipeline) -> dg.AssetCheckSpec:
    """The check of a partition's drift."""
    return partitioned_check(
        NOT_DRIFTED,
        pipeline.key("drift"),
        pipeline.table.partitions,
        "The partition is like what its champion was trained on; too few rows to tell is no pass.",
    )


def not_drifted(key: dg.AssetKey, record: Mapping[str, Any]) -> dg.AssetCheckResult:
    """Whether a partition was found stable; a warning, since what follows from drift is decided elsewhere."""
    return dg.AssetCheckResult(
        check_name=NOT_DRIFTED,
        asset_key=key,
        passed=record["verdict"] == "stable",
        severity=dg.AssetCheckSeverity.WARN,
        description=record["words"],
        metadata={
            "verdict": record["verdict"],
            "found": record["words"],
            "drifted_features": record["drifted_features"],
            "champion": record["champion"] or "none",
        },
    )


def pictures(pipeline: Pipeline, store: Store, judged: "JudgedPartition") -> dict[str, bytes]:
    """Both distributions of each column, and its distance over the last partitions beside its threshold."""
    from ml_assets.core.drift.pictures import MOST_PANELS, Judgement, distances_over_time, distributions

    if not judged.pairs:
        return {}
    record = judged.record
    first = [*record["drivers"], *(p.drift.name for p in sorted(judged.pairs, key=lambda pair: -pair.drift.weight))]
    shown = list(dict.fromkeys(first))[:MOST_PANELS]
    windows = windows_through(pipeline.table.partitions, record["partition"], TREND_PARTITIONS)
    earlier = [store.record(pipeline.key("drift"), w.key) for w in windows[:-1]]
    lines: dict[str, list[Judgement]] = {name: [] for name in shown}
    for said in (*(r for r in earlier if r is not None), record):
        for c in (c for c in said["columns"] if c["name"] in lines):
            lines[c["name"]].append(Judgement(said["partition"], c["distance"], c["threshold"], c["drifted"]))
    return {
        "distributions": distributions([p for p in judged.pairs if p.drift.name in lines], record["partition"]),
        "trend": distances_over_time(lines),
    }
