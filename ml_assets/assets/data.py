"""Group `data`: a table's raw partitions, its validated rows and its quarantined ones."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets.assets.automation import FOLLOWS_ITS_INPUTS
from ml_assets.assets.frames import LazyFrame
from ml_assets.assets.metadata import frame_preview, made_from, table_output
from ml_assets.problem import Table
from ml_assets.resources.reports import Reports
from ml_assets.resources.sources.interface import make_source
from ml_assets.resources.storage import Store, staged

if TYPE_CHECKING:
    from ml_assets.core.schema_change import SchemaChange


def raw(table: Table) -> dg.AssetsDefinition:
    """`<table>/raw`: an immutable typed copy of the source."""

    @dg.asset(
        key=[table.name, "raw"],
        description=f"Rows of {table.name} as the source gave them, typed; never changed afterwards.",
        group_name="data",
        kinds={"polars", "parquet"},
        partitions_def=table.partitions,
        metadata={"source": table.config.source.model_dump(mode="json")},
    )
    def raw_partition(context: dg.AssetExecutionContext, store: Store) -> dg.Output[Any]:
        source = make_source(table.config.source, table.folder)
        window = table.window(context.partition_key)
        fingerprint = source.fingerprint(window)
        with store.scratch() as path:
            provenance = source.fetch(
                window, path, table.contract.source_schema, optional=table.contract.optional_sources
            )
            return table_output(
                staged(path),
                {
                    "source": provenance.source,
                    "source_kind": table.config.source.kind,
                    "source_sha256": provenance.sha256,
                    "source_bytes": provenance.bytes,
                    "source_fingerprint": fingerprint,
                },
            )

    return raw_partition


def validated(table: Table) -> dg.AssetsDefinition:
    """`<table>/validated` and `<table>/quarantine`: every raw row is in exactly one of them; checked in `checks`."""
    checked = dg.AssetKey([table.name, "validated"])

    @dg.multi_asset(
        name=f"{table.name}__validated",
        ins={"raw": dg.AssetIn(key=[table.name, "raw"])},
        outs={
            "validated": dg.AssetOut(
                key=checked,
                description=f"Rows of {table.name} that keep the contract, under its names, types and units.",
                group_name="data",
                kinds={"polars", "pandera"},
                automation_condition=FOLLOWS_ITS_INPUTS,
            ),
            "quarantine": dg.AssetOut(
                key=[table.name, "quarantine"],
                description=f"Rows of {table.name} that break the contract, each with the rules it breaks.",
                group_name="data",
                kinds={"polars", "pandera"},
                automation_condition=FOLLOWS_ITS_INPUTS,
            ),
        },
        partitions_def=table.partitions,
    )
    def validated_partition(
        context: dg.AssetExecutionContext, store: Store, reports: Reports, raw: LazyFrame
    ) -> Iterator[dg.Output[Any]]:
        from ml_assets.core.pictures import quarantine_reasons
        from ml_assets.core.validation import judge, rule_counts, split

        window = table.window(context.partition_key)
        change = source_change(table, store, window.key)
        refuse(table, window.key, change, context)
        judged = judge(raw, table.contract, event_time=table.config.event_time, window=window)
        good, bad = store.stage(*split(judged))
        counts = rule_counts(bad.scan())
        picture = reports.picture(checked, window.key, "quarantine", quarantine_reasons(counts, good.rows + bad.rows))
        read = made_from(store, {table.key("raw"): [window.key]})
        shown = {"schema": change.verdict, "schema_changes": change.in_words(), "missing_values": good.nulls()}
        yield table_output(good, shown | picture | read, contract=table.contract, output_name="validated")
        yield table_output(
            bad,
            {"rows_by_rule": counts, "sample": frame_preview(bad.scan()), **read},
            contract=table.contract,
            output_name="quarantine",
        )

    return validated_partition


def source_change(table: Table, store: Store, partition: str) -> "SchemaChange":
    """What changed in the source's columns since the last of the recent partitions that is stored."""
    from ml_assets.core.schema_change import schema_change
    from ml_assets.resources.sources.describing import source_columns

    raw = table.key("raw")
    recent = table.windows_before(partition, table.config.quality.recent)
    before = next((w.key for w in reversed(recent) if store.path(raw, w.key).exists()), None)
    return schema_change(
        source_columns(store.path(raw, partition)),
        source_columns(store.path(raw, before)) if before else None,
        before,
    )


def refuse(table: Table, partition: str, change: "SchemaChange", context: dg.AssetExecutionContext) -> None:
    """Raise a ContractError if the source's columns changed in a way that `quality` refuses.

    The check `contract` is failed first: it comes after a step that succeeds, and this one won't.
    """
    from ml_assets.core.errors import ContractError
    from ml_assets.core.quality import refusals

    if found := refusals(change, table.config.quality.limits):
        evaluation = dg.AssetCheckEvaluation(
            asset_key=table.key("validated"),
            check_name="contract",
            passed=False,
            severity=dg.AssetCheckSeverity.ERROR,
            partition=partition,
            description="; ".join(found),
            metadata={"reasons": found, **change.to_json()},
        )
        # As of this run: Dagster 1.13 keeps one evaluation that is of no run for each partition, and fails on a second.
        told = dg.DagsterEvent(
            dg.DagsterEventType.ASSET_CHECK_EVALUATION.value, context.job_name, event_specific_data=evaluation
        )
        context.instance.report_dagster_event(told, context.run.run_id)
        raise ContractError(
            f"schema_changed: partition {partition} of {table.key('raw').to_user_string()}",
            found=found,
            expected=f"the columns of {change.since}",
            cure=f"correct the source, or say `ignore` there in the defs.yaml of {table.name}; what was validated "
            "before stays as it is",
        )
