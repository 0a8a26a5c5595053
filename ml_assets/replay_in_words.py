"""What the command line says about the steps of a replay; what it does is in `replay`."""

from ml_assets.core.releases import decisions
from ml_assets.replay import Replay, Step

SHOWN_FEATURES = 3


def in_words(replay: Replay, step: Step) -> str:
    """One line for people about what a step did."""
    if step.what == "train":
        told = decisions(replay.ledger.events(replay.pipeline.name))[-1].facts
        why = f"{step.partition}  trained, since {told['reason']}"
        return f"{why}\n{step.partition}  {told['verdict']} {told['bundle'][:12]}: {told['reasons'][0]}"
    if step.what == "refresh":
        return f"{step.partition}  measured again, more labels are known{_errors(replay, step.partition)}"
    if step.what == "judge":
        return f"{step.partition}  judged again{_errors(replay, step.partition)}{_drift(replay, step.partition)}"
    rows = {noun: replay.store.rows(replay.pipeline.key(noun), step.partition) for noun in ("raw", "quarantine")}
    line = f"{step.partition}  {rows['raw']:>9,} rows  {rows['quarantine']:>7,} quarantined"
    if step.what == "land":
        return line
    return line + _errors(replay, step.partition) + _drift(replay, step.partition)


def _errors(replay: Replay, partition: str) -> str:
    """Realised errors of a partition, and what is expected of it where labels are missing."""
    performance = replay.store.record(replay.pipeline.key("performance"), partition)
    metric = replay.pipeline.config.metric
    if performance and not performance["metrics"] and performance.get("expected"):
        return f"  {metric}: no label known yet, estimated {performance['expected']['estimate']:.3f}"
    if not performance or not performance["metrics"]:
        return ""
    figures = (f"{who.replace('_', ' ')} {of[metric]:.3f}" for who, of in performance["metrics"].items())
    return f"  {metric}: {', '.join(figures)}"


def _drift(replay: Replay, partition: str) -> str:
    """The verdict of a partition, and in what it has drifted."""
    record = replay.store.record(replay.pipeline.key("drift"), partition)
    if record is None:
        return ""
    named = ", ".join(record["drifted_features"][:SHOWN_FEATURES]) if record["verdict"] == "drifted" else ""
    return f"  drift: {record['verdict'].replace('_', ' ')}" + (f" in {named}" if named else "")
