"""Run contenders in processes of their own, interleaved, and compare medians.

What contenders do is in `contenders`, which of them meet is in the sections named in `__main__`.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

BENCH_PYTHON = ".venv-bench/bin/python"
"""Of contenders that the project does not depend on; made by `make bench`."""
BENCH_DRIFT_PYTHON = ".venv-bench-drift/bin/python"
"""Of those among them that watch drift."""
BENCH_SERVING_PYTHON = ".venv-bench-serving/bin/python"
BENCH_MLSERVER_PYTHON = ".venv-bench-mlserver/bin/python"
"""Of those among them that serve models."""


@dataclass(frozen=True)
class Run:
    """One run of a contender: wall and CPU seconds, peak memory of the process in MB, what it printed.

    Of a step (see `step`), wall and CPU are those of the work, without starting Python and importing; otherwise
    of the whole process. `process_wall` is always the latter.
    """

    wall: float
    cpu: float
    peak_mb: float
    printed: str
    process_wall: float


def run(command: Sequence[str], env: Mapping[str, str] | None = None, python: str = sys.executable) -> Run:
    """Run one contender in a process of its own."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", _WATCH, python, *command],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    )
    printed, _ = process.communicate()
    wall = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"{' '.join([python, *command])} failed")
    *lines, usage = printed.splitlines()
    cpu, peak_mb = json.loads(usage)
    return Run(wall, cpu, peak_mb, "\n".join(lines), wall)


# Peak memory of children is only known to the process that waited for them.
_WATCH = """
import json, resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
sys.exit(code)
"""


def compare(contenders: Mapping[str, Callable[[], Run]], repetitions: int) -> dict[str, list[Run]]:
    """Every contender `repetitions` times, interleaved, so that the machine's moods hit all alike."""
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for _ in range(repetitions):
        for name, contender in contenders.items():
            os.sync()  # nobody pays for what the one before has left to be written
            runs[name].append(contender())
    return runs


def median(runs: Sequence[Run], what: str) -> float:
    """Median of one figure, `wall`, `cpu`, `peak_mb` or `process_wall`."""
    return float(statistics.median(getattr(one, what) for one in runs))


def table(runs: Mapping[str, Sequence[Run]], base: str) -> str:
    """Medians, as ratios to the contender `base` and as they were."""
    figures = ("wall", "cpu", "peak_mb")
    lines = [
        "| contender | wall | CPU | memory | wall s | CPU s | peak MB | whole process s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, of in runs.items():
        ratios = [f"{median(of, figure) / median(runs[base], figure):.2f}" for figure in figures]
        measured = [f"{median(of, 'wall'):.2f}", f"{median(of, 'cpu'):.2f}", f"{median(of, 'peak_mb'):.0f}"]
        lines.append("| " + " | ".join([name, *ratios, *measured, f"{median(of, 'process_wall'):.2f}"]) + " |")
    return "\n".join(lines)
