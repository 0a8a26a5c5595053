"""Group `data`: a table's raw partitions, its validated rows and its quarantined ones."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from ml_assets.assets.automation import FOLLOWS_ITS_INPUTS
from ml_assets.assets.frames import LazyFrame
from ml_assets.assets.metadata import frame_preview, table_output
from ml_assets.problem import Table
from ml_assets.resources.reports import Reports
from ml_assets.resources.sources.interface import make_source
from ml_assets.resources.storage import Store, row_count, staged


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
    """`<table>/validated` and `<table>/quarantine`: every raw row is in exactly one of them."""
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
        check_specs=[
            dg.AssetCheckSpec(
                "rows",
                asset=checked,
                description="Every raw row is accounted for, and some keep the contract.",
            )
        ],
        partitions_def=table.partitions,
    )
    def validated_partition(
        context: dg.AssetExecutionContext, store: Store, reports: Reports, raw: LazyFrame
    ) -> Iterator[dg.Output[Any] | dg.AssetCheckResult]:
        from ml_assets.core.pictures import quarantine_reasons
        from ml_assets.core.validation import judge, rule_counts, split

        window = table.window(context.partition_key)
        judged = judge(raw, table.contract, event_time=table.config.event_time, window=window)
        good, bad = store.stage(*split(judged))
        counts = rule_counts(bad.scan())
        picture = reports.picture(checked, window.key, "quarantine", quarantine_reasons(counts, good.rows + bad.rows))
        yield table_output(good, picture, contract=table.contract, output_name="validated")
        yield table_output(
            bad,
            {"rows_by_rule": counts, "sample": frame_preview(bad.scan())},
            contract=table.contract,
            output_name="quarantine",
        )
        yield _rows_check(checked, good.rows, bad.rows, row_count(raw))

    return validated_partition


def _rows_check(key: dg.AssetKey, good: int, bad: int, found: int) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name="rows",
        asset_key=key,
        passed=good + bad == found and good > 0,
        metadata={
            "rows_raw": found,
            "rows_validated": good,
            "rows_quarantined": bad,
            "share_quarantined": bad / max(found, 1),
        },
    )
