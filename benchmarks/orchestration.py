"""What happens by itself, and how long it takes: `python -m benchmarks --only orchestration`.

Sensors' looks over a thousand partitions (`ticks`); then a real `dagster dev` on a small project (`small_project`):
from a file landing to its drift verdict, and from a drifted verdict to the start of the retraining's run.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import ticks
from benchmarks.dagster_dev import OVER, DagsterDev
from benchmarks.small_project import SmallProject

ROWS = 3000
LANDINGS = ("2018-04", "2018-05", "2018-06", "2018-07", "2018-08")
DRIFTED = ("2018-04", "2018-05", "2018-06")
PAUSES = (0, 18, 6, 24, 12)
"""Seconds before each landing: otherwise all would fall into the same part of the sensors' half minutes."""

RETRAINING = {
    "on_drift": {"k": 1, "n": 1}, "on_performance": None, "on_stale": None, "cooldown": 0, "attribution": 0,
    "budget": {"runs": 100, "per": 1, "reserve": 0},
}  # fmt: skip
"""One drifted report is enough, again and again."""

SHIFTED = 0.5
"""Share of trips that start at the airports."""

NEVER_ENOUGH = 100_000_000
"""Labels without which no candidate is released: the champion stays, and every file is drift to it."""

SECONDS = 600
"""After which what is waited for is given up."""


def main(rows: int = ROWS) -> str:
    """Measure all three, and return the tables."""
    parts = []
    for measure in (looks, landings, retrainings):
        with tempfile.TemporaryDirectory(prefix="ml_assets_bench_") as scratch:
            parts.append(measure(Path(scratch), rows))
    return "\n\n".join(parts)


def looks(root: Path, rows: int) -> str:  # noqa: ARG001 - the log's partitions count, not their rows
    """One look of each sensor over a thousand partitions."""
    return f"### A look of each sensor\n\n{ticks.main(root)}"


def landings(root: Path, rows: int) -> str:
    """From a file landing to its drift verdict, with every interval as it is by default."""
    project = SmallProject(root, rows)
    project.make_history()
    spans = []
    with DagsterDev(project.command, project.environment, root / "dev.log", cwd=project.home) as dev:
        dev.wait(SECONDS, dev.location)
        for month, pause in zip(LANDINGS, PAUSES, strict=True):
            time.sleep(pause)
            spans.append(followed(dev, project, month))
            say(f"{month}: {spans[-1]}")
    return (
        f"### From a file landing to its drift verdict\n\n{len(LANDINGS)} files of {rows:,} trips, renamed into the "
        f"folder one after the other, `dagster dev` with its defaults on {os.cpu_count()} cores, load of the machine "
        f"{os.getloadavg()[0]:.1f}.\n\n{as_table(spans)}"
    )


def followed(dev: DagsterDev, project: SmallProject, month: str) -> dict[str, float]:
    """Seconds of each part of the way of one file."""
    landed = project.land(month)
    verdict = dev.wait(SECONDS, lambda: next(iter(dev.made("duration/drift", month)), None), every=0.5)
    judged = float(verdict["timestamp"]) / 1000
    runs = {run["runId"]: run for run in idle(dev)}
    ingestion = next(r for r in runs.values() if r["jobName"] == "rides_ingest" and of(r, month))
    judging = runs[verdict["runId"]]
    return {
        "the source is looked at": ingestion["creationTime"] - landed,
        "ingestion: queue and start of its process": ingestion["startTime"] - ingestion["creationTime"],
        "ingestion: raw, validated, checks": ingestion["endTime"] - ingestion["startTime"],
        "automation looks": judging["creationTime"] - ingestion["endTime"],
        "the rest: queue and start of its process": judging["startTime"] - judging["creationTime"],
        "the rest: features, predictions, drift": judged - judging["startTime"],
        "all": judged - landed,
    }


def retrainings(root: Path, rows: int) -> str:
    """From a drifted verdict to the start of the run that retrains for it, by the sensor `duration_retraining`."""
    from ml_assets.resources.sources.injections import ZoneShiftConfig

    project = SmallProject(root, rows, pipeline={"retraining": RETRAINING})
    project.make_history()
    project.rewrite(pipeline={"evaluation": {"min_labels": NEVER_ENOUGH}})
    spans = []
    with DagsterDev(project.command, project.environment, root / "dev.log", cwd=project.home) as dev:
        dev.wait(SECONDS, dev.location)
        for month, pause in zip(DRIFTED, PAUSES, strict=False):
            time.sleep(pause)
            shift = ZoneShiftConfig(kind="zone_shift", start=month, share=SHIFTED)
            spans.append(retrained(dev, project, month, [shift]))
            say(f"{month}: {spans[-1]}")
    return (
        f"### From a drifted verdict to the retraining's run\n\n{len(DRIFTED)} files of {rows:,} trips, "
        f"{SHIFTED:.0%} of them from the airports; one drifted report is enough. Load of the machine "
        f"{os.getloadavg()[0]:.1f}.\n\n{as_table(spans)}"
    )


def retrained(dev: DagsterDev, project: SmallProject, month: str, injections: Sequence[Any]) -> dict[str, float]:
    """Seconds of each part of the way from the verdict to the training.

    Raises:
        RuntimeError: the file was not found to have drifted, so there is nothing to measure.
    """
    project.land(month, injections=injections)
    verdict = dev.wait(SECONDS, lambda: next(iter(dev.made("duration/drift", month)), None), every=0.5)
    if verdict["texts"]["verdict"] != "drifted":
        raise RuntimeError(f"{month} is {verdict['texts']['verdict']}; expected: drifted")
    training = dev.wait(SECONDS, lambda: started_training(dev, month), every=0.5)
    idle(dev)
    judged = float(verdict["timestamp"]) / 1000
    return {
        "the sensor looks and decides": training["creationTime"] - judged,
        "queue and start of its process": training["startTime"] - training["creationTime"],
        "all": training["startTime"] - judged,
    }


def started_training(dev: DagsterDev, month: str) -> dict[str, Any] | None:
    """The run that the sensor asked for as of a month, once it has started."""
    return next(
        (r for r in dev.runs_of(month) if r["jobName"] == "duration_train" and r["startTime"] and sensed(r)), None
    )


def sensed(run: Mapping[str, Any]) -> bool:
    """Whether the retraining sensor asked for a run."""
    return run["tags"].get("dagster/sensor_name") == "duration_retraining"


def of(run: Mapping[str, Any], month: str) -> bool:
    """Whether a run is of a partition."""
    return run["tags"].get("dagster/partition") == month


def idle(dev: DagsterDev) -> list[dict[str, Any]]:
    """All runs, once none is going on any more."""

    def over() -> list[dict[str, Any]] | None:
        runs = dev.runs()
        return runs if all(run["status"] in OVER for run in runs) else None

    return dev.wait(SECONDS, over)


def as_table(spans: Sequence[Mapping[str, float]]) -> str:
    """Median, least and most seconds of each part."""
    lines = ["| part | median s | least | most |", "|---|---|---|---|"]
    for name in spans[0]:
        seconds = [span[name] for span in spans]
        lines.append(f"| {name} | {statistics.median(seconds):.1f} | {min(seconds):.1f} | {max(seconds):.1f} |")
    return "\n".join(lines)


def say(text: str) -> None:
    """Progress for whoever watches."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()
