"""Run contenders in processes of their own, interleaved, and compare medians."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """One run of a contender, whole process: wall and CPU seconds, peak memory in MB, what it printed."""

    wall: float
    cpu: float
    peak_mb: float
    printed: str


def run(command: Sequence[str], env: Mapping[str, str] | None = None) -> Run:
    """Run one contender in a process of its own."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", _WATCH, *command],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    )
    printed, _ = process.communicate()
    wall = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed")
    *lines, usage = printed.splitlines()
    cpu, peak_mb = json.loads(usage)
    return Run(wall, cpu, peak_mb, "\n".join(lines))


# Peak memory of children is only known to the process that waited for them.
_WATCH = """
import json, resource, subprocess, sys
code = subprocess.call([sys.executable, *sys.argv[1:]])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
sys.exit(code)
"""


def compare(contenders: Mapping[str, Sequence[str]], repetitions: int) -> dict[str, list[Run]]:
    """Every contender `repetitions` times, interleaved, so that the machine's moods hit all alike."""
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for _ in range(repetitions):
        for name, command in contenders.items():
            runs[name].append(run(command))
    return runs


def table(runs: Mapping[str, Sequence[Run]], base: str) -> str:
    """Medians, as ratios to the contender `base` and as they were."""

    def median(name: str, what: str) -> float:
        return statistics.median(getattr(r, what) for r in runs[name])

    lines = [
        "| contender | wall | CPU | memory | wall s | CPU s | peak MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in runs:
        ratios = [median(name, w) / median(base, w) for w in ("wall", "cpu", "peak_mb")]
        figures = [median(name, w) for w in ("wall", "cpu", "peak_mb")]
        lines.append(
            f"| {name} | "
            + " | ".join(f"{r:.2f}" for r in ratios)
            + f" | {figures[0]:.2f} | {figures[1]:.2f} | {figures[2]:.0f} |"
        )
    return "\n".join(lines)
