"""What a replay's data folder says of itself: the summary behind `summary.json` and `report.html`.

Read from what is stored, not from what the replay remembers. The summary's shape is in `ml_assets.core.summary`.
"""

from datetime import datetime
from typing import Any

from ml_assets.attributing import worth_told
from ml_assets.core.releases import Event, decisions, release_of
from ml_assets.core.retraining.recorded import judged
from ml_assets.core.summary import DecisionSummary, PartitionSummary, Summary, TrainingSummary, Worth
from ml_assets.core.validation import rule_counts
from ml_assets.core.windows import Window
from ml_assets.replay import Replay
from ml_assets.resources.materializations import Made, latest


def summarize(replay: Replay, seconds: float) -> Summary:
    """The summary of every partition in the replay's range."""
    pipeline = replay.pipeline
    last, events = replay.windows[-1].key, replay.ledger.events(pipeline.name)
    trained = latest(replay.instance, pipeline.key("candidate"))
    validated = latest(replay.instance, pipeline.key("validated"))
    return Summary(
        pipeline=pipeline.name,
        source=pipeline.table.config.source.kind,
        metric=pipeline.config.metric,
        unit=pipeline.metric_unit,
        label=pipeline.config.label.column,
        partitions=[_partition(replay, window, validated.get(window.key)) for window in replay.windows],
        trainings=[
            _training(e, trained, _worth(replay, events, e)) for e in decisions(events) if e.facts["as_of"] <= last
        ],
        seconds=round(seconds, 1),
        decisions=_decisions(replay),
    )


def _partition(replay: Replay, window: Window, validated: Made | None) -> PartitionSummary:
    store, pipeline = replay.store, replay.pipeline
    quarantine = store.scan(pipeline.key("quarantine"), window.key)
    performance = store.record(pipeline.key("performance"), window.key)
    metrics: dict[str, dict[str, Any]] = performance["metrics"] if performance else {}
    drift = store.record(pipeline.key("drift"), window.key)
    metric = pipeline.config.metric

    def of(contender: str) -> float | None:
        return metrics[contender][metric] if contender in metrics else None

    return PartitionSummary(
        partition=window.key,
        rows_raw=store.rows(pipeline.key("raw"), window.key),
        rows_validated=store.rows(pipeline.key("validated"), window.key),
        rows_quarantined=store.rows(pipeline.key("quarantine"), window.key),
        quarantine_reasons=rule_counts(quarantine),
        champion=performance["bundle"] if performance else None,
        metric=of("champion"),
        metric_never_retrained=of("never_retrained"),
        metric_naive=of("naive"),
        drift_verdict=drift["verdict"] if drift else None,
        drifted_features=list(drift["drifted_features"]) if drift else [],
        missing_values=dict(validated.metadata.get("missing_values") or {}) if validated else {},
        schema_changes=list(validated.metadata.get("schema_changes") or []) if validated else [],
    )


def _decisions(replay: Replay) -> list[DecisionSummary]:
    """What was decided about retraining by the end of the replay's range."""
    told = ((e, d) for e, d in judged(replay.ledger.events(replay.pipeline.name)))
    end = replay.windows[-1].end
    return [
        DecisionSummary(
            e.facts["now"],
            d.action,
            f"{d.plan.how} as of {d.plan.as_of} on {d.plan.window} partitions" if d.plan else "",
            list(d.reasons),
        )
        for e, d in told
        if datetime.fromisoformat(e.facts["now"]).replace(tzinfo=None) <= end
    ]


def _seconds(trained: Made | None) -> float | None:
    told = trained.metadata.get("training_seconds") if trained else None
    return None if told is None else float(told)


def _worth(replay: Replay, events: list[Event], decision: Event) -> Worth | None:
    """What the release that followed a decision was worth; None while nothing is known."""
    release = release_of(events, decision)
    told = worth_told(replay.pipeline, replay.store, events, release.sequence) if release else None
    if told is None or told["interval"] is None:
        return None
    return Worth(
        **told["interval"],
        rows=told["rows"],
        partitions=len(told["partitions"]),
        wanted=told["wanted"],
        closed=told["closed"],
        words=told["words"],
    )


def _training(event: Event, trained: dict[str, Made], worth: Worth | None) -> TrainingSummary:
    facts = event.facts
    return TrainingSummary(
        as_of=facts["as_of"],
        reason=facts["reason"],
        decision=facts["verdict"],
        reasons=list(facts["reasons"]),
        bundle=facts["bundle"],
        rows=facts["rows_trained"],
        seconds=_seconds(trained.get(facts["as_of"])),
        holdout_metric=facts["holdout_metric"],
        holdout_metric_naive=facts["holdout_metric_naive"],
        worth=worth,
    )
