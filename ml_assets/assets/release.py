"""Group `release`: the decision on a candidate, and the pointer to the bundle that answers."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import dagster as dg

from ml_assets import retraining
from ml_assets.assets.metadata import record_output, table_of, versioned
from ml_assets.assets.tracked import track
from ml_assets.core.errors import BundleError, ReleaseRefused
from ml_assets.core.releases import decision_as_of, decisions, live, settled
from ml_assets.problem import Pipeline
from ml_assets.releasing import ReleaseDesk
from ml_assets.resources.clock import Clock
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.models import Models
from ml_assets.resources.storage import Store
from ml_assets.resources.tracking import Tracking
from ml_assets.resources.tracking_context import REASON_TAG
from ml_assets.retraining import CAUSE_TAG
from ml_assets.rolling_out import NO_TRAFFIC_TAG, RolloutDesk

BY_HAND = "asked for by a person"


def decision(pipeline: Pipeline) -> dg.AssetsDefinition:
    """`<p>/decision`: whether a candidate may be released, and why."""

    @dg.asset(
        key=pipeline.key("decision"),
        ins={"evaluation": dg.AssetIn(key=pipeline.key("evaluation"))},
        description="Promote, reject or undecided, with every check in words and numbers; recorded in the ledger. "
        "Nothing is released without one.",
        group_name="release",
        kinds={"json"},
        partitions_def=pipeline.table.partitions,
        io_manager_key="records",
    )
    def decision_as_of_partition(
        context: dg.AssetExecutionContext,
        store: Store,
        models: Models,
        ledger: Ledger,
        tracking: Tracking,
        evaluation: dict[str, Any],
    ) -> dg.Output[Any]:
        from ml_assets.core.tracked import Entry

        desk = ReleaseDesk(pipeline, store, models, ledger)
        # What is live was decided on before; compared with itself, it could only be no better.
        record = desk.standing_record(evaluation["bundle"])
        if record is None:
            record = decide_on(
                desk, evaluation, context.run.tags.get(REASON_TAG, BY_HAND), context.run.tags.get(CAUSE_TAG)
            )
        else:
            retraining.end(ledger, context.run, "rejected", "the candidate is the champion itself")
        shown = {
            "verdict": record["verdict"],
            "reasons": record["reasons"],
            "checks": table_of([{name: c[name] for name in ("name", "outcome", "words")} for c in record["checks"]]),
            "bundle": record["bundle"],
            "champion": record["champion"]["bundle"] if record["champion"] else "none",
            "labels_missing": record["labels_missing"] or 0,
        }
        entry = Entry(
            params={"verdict": record["verdict"], "policy": record["policy"], "record": record["sha256"]},
            tags={"verdict": record["verdict"]},
        )
        tracked = track(pipeline, tracking, context, "decision", entry)
        return versioned(record, dg.DataVersion(record["sha256"]), shown | tracked)

    return decision_as_of_partition


def decide_on(desk: ReleaseDesk, evaluation: dict[str, Any], reason: str, cause: str | None = None) -> dict[str, Any]:
    """Decide on the candidate of an evaluation, and record it."""
    from ml_assets.core.decision_record import freeze
    from ml_assets.core.promotion import decide

    champion, policy = desk.live(), desk.pipeline.policy
    record = freeze(desk.name, evaluation, policy, decide(evaluation, policy, champion), champion)
    desk.record_decision(record, evaluation, reason, cause)
    return record


def champion(pipeline: Pipeline) -> dg.AssetsDefinition:
    """`<p>/champion`: what scoring takes as input, read from the ledger."""
    key = pipeline.key("champion")

    @dg.asset(
        key=key,
        deps=[pipeline.key("decision")],
        description="The released bundle. In a run for an as-of partition, its candidate is released first if the "
        "decision on it is `promote`, or its rollout begins.",
        group_name="release",
        kinds={"json"},
        io_manager_key="records",
        check_specs=[dg.AssetCheckSpec("bundle_intact", asset=key, description="The bundle's files have its hash.")],
    )
    def champion_now(
        context: dg.AssetExecutionContext,
        store: Store,
        models: Models,
        ledger: Ledger,
        tracking: Tracking,
        clock: Clock,
    ) -> Iterator[dg.Output[Any] | dg.AssetCheckResult]:
        desk = ReleaseDesk(pipeline, store, models, ledger)
        as_of = context.run.tags.get("dagster/partition")
        if as_of:
            reason = context.run.tags.get(REASON_TAG, BY_HAND)
            by, at_once = f"run {context.run.run_id}", NO_TRAFFIC_TAG in context.run.tags
            carry_out(desk, as_of, by=by, reason=reason, now=clock.now(), at_once=at_once)
        now, told = desk.live(), decisions(desk.events())
        shown = {"decision": told[-1].facts["verdict"], "reasons": told[-1].facts["reasons"]} if told else {}
        if now is None:
            # A record, and not a failure: that nothing is fit to be released yet is an outcome of a training.
            yield record_output({"bundle": None}, {"bundle": "none: nothing is released", **shown})
            yield nothing_released(key, pipeline.name)
            return
        tracked = mirror(pipeline, tracking, context, as_of, now.bundle)
        yield record_output(now.to_json(), {"bundle": now.bundle, "as_of": now.as_of, **shown, **tracked})
        yield bundle_intact(key, models, now.bundle)

    return champion_now


def carry_out(desk: ReleaseDesk, as_of: str, *, by: str, reason: str, now: datetime, at_once: bool = False) -> None:
    """Release the candidate of an as-of partition, or begin its rollout, if that was decided and is not done yet.

    The first release ever is direct: there is nobody to answer meanwhile.

    Args:
        desk: of the pipeline.
        as_of: key of the partition.
        by: who does it.
        reason: why.
        now: time, aware.
        at_once: nothing is rolled out: where history is replayed there are no requests to judge by.
    """
    events = desk.events()
    decided = decision_as_of(events, as_of)
    if decided is None:
        raise ReleaseRefused(
            f"candidate of {desk.name} as of {as_of}",
            found="no decision on it",
            expected="a decision that rests on an evaluation on rows that no model has seen",
            cure=f"run the job {desk.name}_train for {as_of}",
        )
    if settled(events, as_of):
        return
    rollouts = RolloutDesk(desk)
    rules, champion = rollouts.rules(), live(events)
    if at_once or rules is None or champion is None or champion.bundle == decided.facts["bundle"]:
        desk.release(decided.facts["bundle"], by=by, reason=reason)
    else:
        rollouts.begin(decided, rules, by=by, reason=reason, now=now)


def mirror(
    pipeline: Pipeline, tracking: Tracking, context: dg.AssetExecutionContext, as_of: str | None, bundle: str
) -> dict[str, dg.MetadataValue]:
    """Point the trackers' alias `champion` to the live bundle, as a step of a training or by itself."""
    from ml_assets.core.tracked import Entry

    if as_of:
        return track(pipeline, tracking, context, "champion", Entry(champion=bundle), as_of=as_of)
    if pipeline.config.trackers:
        tracking.of(pipeline.config.trackers).alias(pipeline.name, bundle, context.log.warning)
    return {}


def nothing_released(key: dg.AssetKey, name: str) -> dg.AssetCheckResult:
    """That there is no champion is no fault of a bundle, and is told."""
    return dg.AssetCheckResult(
        check_name="bundle_intact",
        asset_key=key,
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "found": "nothing is released: no candidate surely beats the naive baseline yet",
            "cure": f"run {name}_train for a partition with enough history, or improve the features",
        },
    )


def bundle_intact(key: dg.AssetKey, models: Models, sha256: str) -> dg.AssetCheckResult:
    """Whether the released bundle can be loaded as it was saved; scoring refuses it otherwise."""
    try:
        models.load(sha256)
    except BundleError as e:
        return dg.AssetCheckResult(check_name="bundle_intact", asset_key=key, passed=False, metadata={"found": str(e)})
    return dg.AssetCheckResult(check_name="bundle_intact", asset_key=key, passed=True, metadata={"bundle": sha256})
