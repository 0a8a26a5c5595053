"""Group `release`: the decision on a candidate, and the pointer to the bundle that answers."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from ml_assets.assets.metadata import record_output
from ml_assets.core.errors import BundleError, ReleaseRefused
from ml_assets.core.promotion import Decision, decide
from ml_assets.core.releases import already_decided, live, release_facts
from ml_assets.problem import Pipeline
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.models import Models
from ml_assets.resources.storage import Store

REASON_TAG = "ml_assets/reason"
BY_HAND = "asked for by a person"


def champion(pipeline: Pipeline) -> dg.AssetsDefinition:
    """`<p>/champion`: what scoring takes as input, read from the ledger."""
    key = pipeline.key("champion")

    @dg.asset(
        key=key,
        deps=[pipeline.key("evaluation")],
        description="The released bundle. In a run for an as-of partition, that candidate is decided on first.",
        group_name="release",
        kinds={"json"},
        io_manager_key="records",
        check_specs=[dg.AssetCheckSpec("bundle_intact", asset=key, description="The bundle's files have its hash.")],
    )
    def champion_now(
        context: dg.AssetExecutionContext, store: Store, models: Models, ledger: Ledger
    ) -> Iterator[dg.Output[Any] | dg.AssetCheckResult]:
        as_of = context.run.tags.get("dagster/partition")
        reason = context.run.tags.get(REASON_TAG, BY_HAND)
        decision = decide_on(pipeline, as_of, reason, store, ledger) if as_of else None
        now = live(ledger.events(pipeline.name))
        if now is None:
            raise ReleaseRefused(
                f"champion of {pipeline.name}",
                found=list(decision.reasons) if decision else "no released bundle",
                expected="a candidate that beats the naive baseline",
                cure=f"run {pipeline.name}_train for a partition with enough history, or improve the features",
            )
        shown = {"decision": decision.verdict, "reasons": list(decision.reasons)} if decision else {}
        yield record_output(now.to_json(), {"bundle": now.bundle, "as_of": now.as_of, **shown})
        yield bundle_intact(key, models, now.bundle)

    return champion_now


def bundle_intact(key: dg.AssetKey, models: Models, sha256: str) -> dg.AssetCheckResult:
    """Whether the released bundle can be loaded as it was saved; scoring refuses it otherwise."""
    try:
        models.load(sha256)
    except BundleError as e:
        return dg.AssetCheckResult(check_name="bundle_intact", asset_key=key, passed=False, metadata={"found": str(e)})
    return dg.AssetCheckResult(check_name="bundle_intact", asset_key=key, passed=True, metadata={"bundle": sha256})


def decide_on(pipeline: Pipeline, as_of: str, reason: str, store: Store, ledger: Ledger) -> Decision:
    """Decide on the candidate of an as-of partition, and record it once."""
    report = store.record(pipeline.key("evaluation"), as_of)
    if report is None:
        raise ReleaseRefused(
            f"candidate of {pipeline.name} as of {as_of}",
            found="no evaluation",
            expected="an evaluation on rows that no model has seen",
            cure=f"run the job {pipeline.name}_train for {as_of}",
        )
    events = ledger.events(pipeline.name)
    metric = pipeline.config.evaluation.metric
    decision = decide(
        metric=metric,
        candidate=report["metrics"]["candidate"][metric],
        naive=report["metrics"]["naive"][metric],
        margin=pipeline.config.evaluation.margin,
        scores_from=report["scores_from"],
        champion=live(events),
    )
    kind = "released" if decision.verdict == "promote" else "rejected"
    if not already_decided(events, kind, report["bundle"]):
        ledger.append(pipeline.name, kind, release_facts(report, metric, reason, decision.reasons), after=len(events))
    return decision
