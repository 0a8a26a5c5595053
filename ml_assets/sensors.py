"""The sensors: what starts runs without a person, and what is done when a run is over."""

from collections.abc import Mapping
from dataclasses import replace

import dagster as dg
from dagster._core.storage.tags import RUN_KEY_TAG

from ml_assets.assets.monitoring import TREND_PARTITIONS, landed, refresh_times
from ml_assets.core.decision_record import sha256_of
from ml_assets.observing import Observer, by_former_bounds
from ml_assets.problem import Pipeline
from ml_assets.resources.clock import Clock
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.materializations import Made, latest
from ml_assets.resources.storage import Store
from ml_assets.resources.tracking import Tracking
from ml_assets.resources.tracking_context import REASON_TAG

OVER = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
MINIMUM_INTERVAL_SECONDS = 30
AUTOMATION_INTERVAL_SECONDS = 10
"""Shorter than of the sensors that ask for ingestion, or what those start would always have to wait for a look."""
MOST_REQUESTS = 100
"""Of one look, as of `core.landing`."""


def automation() -> dg.AutomationConditionSensorDefinition:
    """Lets every asset with an automation condition follow its inputs; running from the start."""
    return dg.AutomationConditionSensorDefinition(
        "data_side",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=AUTOMATION_INTERVAL_SECONDS,
        description="New rows are validated, featurised, scored and measured as soon as they are there.",
    )


def late_labels(pipeline: Pipeline) -> dg.SensorDefinition:
    """Measure partitions again when a newer one has landed by whose end enough more of their labels are known.

    A declarative condition can't tell: it would have to look into records, or make every partition depend on all.
    """
    key = pipeline.key("performance")

    @dg.sensor(
        name=f"{pipeline.name}_late_labels",
        target=dg.AssetSelection.assets(key),
        description="Partitions are measured again as their labels become known.",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=MINIMUM_INTERVAL_SECONDS,
    )
    def late(context: dg.SensorEvaluationContext, store: Store) -> dg.SensorResult | dg.SkipReason:
        from ml_assets.core.maturity import due

        newest = landed(pipeline, store)
        if newest is None:
            return dg.SkipReason(f"nothing of {pipeline.table.name} has landed yet")
        told = refresh_times(latest(context.instance, key))
        asked = due(told, newest.end)
        if not asked:
            waiting = sum(at is not None for at in told.values())
            return dg.SkipReason(
                f"{len(told)} partitions are measured, {waiting} of which wait for labels known after {newest.end}"
            )
        keys = {partition: f"{pipeline.name}/late_labels/{partition}/{newest.key}" for partition in sorted(asked)}
        new = _not_asked(context.instance, keys)
        if not new:
            return dg.SkipReason(f"{len(asked)} partitions are to be measured again, and are asked for already")
        return dg.SensorResult([dg.RunRequest(key, partition_key=p) for p, key in new.items()][:MOST_REQUESTS])

    return late


def _not_asked(instance: dg.DagsterInstance, keys: Mapping[str, str]) -> dict[str, str]:
    """Of partitions and their run keys, those without a run.

    What was asked for is due until its run has ended, and for ever if that failed: it must not take all places.
    """
    runs = instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: list(keys.values())})) if keys else []
    known = {run.tags[RUN_KEY_TAG] for run in runs}
    return {partition: key for partition, key in keys.items() if key not in known}


def gaps(pipeline: Pipeline) -> dg.SensorDefinition:
    """Make features of what automation holds back, since a partition that they look back at never came.

    Scores, error and drift follow them by themselves. For a pipeline that retrains by itself its own sensor does this.
    """
    key = pipeline.key("features")

    @dg.sensor(
        name=f"{pipeline.name}_gaps",
        target=dg.AssetSelection.assets(key),
        description="Features are made without a partition that they look back at, once it had its time to come.",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=MINIMUM_INTERVAL_SECONDS,
    )
    def gap(context: dg.SensorEvaluationContext, ledger: Ledger, clock: Clock) -> dg.SensorResult | dg.SkipReason:
        observer = Observer(pipeline, context.instance, clock)
        observed = observer.observed(ledger.events(pipeline.name))
        found = observer.held_up(replace(observed, tenures=()))  # as if none: nobody else asks for them here
        keys = {f.subject: f"{pipeline.name}/gaps/{f.subject}/{f.numbers['validated']}" for f in found}
        new, told = _not_asked(context.instance, keys), {f.subject: f.words for f in found}
        if not new:
            asked = f"; {len(found)} are asked for already" if found else ""
            return dg.SkipReason(f"no partition waits in vain for rows of one before it{asked}")
        requests = [dg.RunRequest(key, partition_key=p, tags={REASON_TAG: told[p]}) for p, key in new.items()]
        return dg.SensorResult(requests[:MOST_REQUESTS])

    return gap


def new_bounds(pipeline: Pipeline) -> dg.SensorDefinition:
    """Measure and judge the newest partitions again where the YAML has set other bounds since.

    As far back as pictures and evidence look; older ones stay as they are, and the UI shows them as outdated. A
    declarative condition would ask for all of them at once.
    """
    nouns = ("performance", "drift")

    @dg.sensor(
        name=f"{pipeline.name}_new_bounds",
        target=dg.AssetSelection.assets(*(pipeline.key(noun) for noun in nouns)),
        description="Partitions are judged again by the bounds that the YAML has set since.",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=MINIMUM_INTERVAL_SECONDS,
    )
    def judged(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        made = {noun: latest(context.instance, pipeline.key(noun)) for noun in nouns}
        former = _by_former_bounds(pipeline, made)
        new = _not_asked(
            context.instance, {p: f"{pipeline.name}/new_bounds/{p}/{key}" for p, (_, key) in former.items()}
        )
        if not new:
            asked = f"; {len(former)} partitions are asked for already" if former else ""
            return dg.SkipReason(f"the newest partitions were judged by the bounds of the YAML{asked}")
        return dg.SensorResult(
            [
                dg.RunRequest(
                    key,
                    partition_key=partition,
                    asset_selection=[pipeline.key(noun) for noun in former[partition][0]],
                    tags={REASON_TAG: f"{partition}: the YAML has set other bounds since"},
                )
                for partition, key in new.items()
            ]
        )

    return judged


def _by_former_bounds(
    pipeline: Pipeline, made: Mapping[str, Mapping[str, Made]]
) -> dict[str, tuple[tuple[str, ...], str]]:
    """Of the newest partitions: nouns that were made by former bounds, and a digest of what is to replace what."""
    found = {}
    partitions = sorted({key for of in made.values() for key in of})
    for key in partitions[-max(TREND_PARTITIONS, pipeline.looked_back_at) :]:
        old = {noun: of[key] for noun, of in made.items() if key in of and by_former_bounds(pipeline, noun, of[key])}
        if old:
            # By when it was made, too: the same bounds may be set again.
            told = {noun: [pipeline.bounds_versions[noun], one.timestamp] for noun, one in old.items()}
            found[key] = tuple(old), sha256_of(told)
    return found


def tracking_ends() -> list[dg.SensorDefinition]:
    """End what the tracker shows as running when its run is over, whoever started it and however it ended."""
    return [_tracking_ends(status) for status in OVER]


def _tracking_ends(status: dg.DagsterRunStatus) -> dg.SensorDefinition:
    @dg.run_status_sensor(
        run_status=status,
        name=f"tracking_ends_on_{status.value.lower()}",
        description="Runs that the tracker shows as running and whose run is over get its status.",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=MINIMUM_INTERVAL_SECONDS,
    )
    def ends(context: dg.RunStatusSensorContext, tracking: Tracking) -> dg.SkipReason:
        ended = tracking.settle(context.instance, context.log.warning)
        return dg.SkipReason(f"{len(ended)} tracked runs were ended")

    return ends
