"""Group `release`: the pointer to the bundle that answers."""

from typing import Any

import dagster as dg

from ml_assets.assets.metadata import record_output
from ml_assets.core.errors import ReleaseRefused
from ml_assets.core.promotion import Decision, decide
from ml_assets.core.releases import Champion, live
from ml_assets.problem import Pipeline
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.models import Models
from ml_assets.resources.storage import Store

REASON_TAG = "ml_assets/reason"
BY_HAND = "asked for by a person"


def champion(pipeline: Pipeline) -> dg.AssetsDefinition:
    """`<p>/champion`: what scoring takes as input, read from the ledger."""
    key = dg.AssetKey([pipeline.name, "champion"])

    @dg.asset(
        key=key,
        deps=[[pipeline.name, "evaluation"]],
        description="The released bundle. In a run for an as-of partition its candidate is decided on first.",
        group_name="release",
        kinds={"json"},
        io_manager_key="records",
    )
    def champion_now(
        context: dg.AssetExecutionContext, store: Store, models: Models, ledger: Ledger
    ) -> dg.Output[Any]:
        as_of = context.run.tags.get("dagster/partition")
        decision = None
        if as_of is not None:
            report = store.record(dg.AssetKey([pipeline.name, "evaluation"]), as_of)
            decision = record_decision(pipeline, ledger, models, report, context.run.tags.get(REASON_TAG, BY_HAND))
        now = live(ledger.events(pipeline.name))
        if now is None:
            raise ReleaseRefused(
                f"champion of {pipeline.name}",
                found="no released bundle" if decision is None else list(decision.reasons),
                expected="a candidate that beats the naive baseline",
                cure=f"run the job {pipeline.name}_train for a partition with enough history, or improve the features",
            )
        models.load(now.bundle)
        return record_output(now.to_json(), {"bundle": now.bundle, "as_of": now.as_of, **_shown(decision)})

    return champion_now
