"""Who finds a shift, at the same false-alarm rate: `python -m benchmarks --only drift-power`.

Streams are those of `drift_streams`. A contender gives each partition one score, more being more drift; its threshold
is set by its own streams without drift, so that all raise as many false alarms. That is kinder to the others than
life: their defaults (0.1 and half of the columns; three standard deviations) keep no rate, and a training window has
no thousand partitions to learn one from. Ours are set in the same way, and its configured rate is listed beside. How
often seasons alone raise an alarm is in `drift_seasons`.
"""

import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.drift_streams import SCORES, SHIFTS, Cell, cells
from benchmarks.measure import BENCH_DRIFT_PYTHON
from benchmarks.sections import OURS, Contender, measure

RATES = (0.01, 0.05)
FEWEST_ABOVE = 3
"""Streams without drift above a threshold, below which the threshold is luck: no such rate is listed."""
CONTENDERS = {
    OURS: Contender("ours_drift", "power"),
    "Evidently": Contender("evidently_drift", "power", BENCH_DRIFT_PYTHON),
    "NannyML": Contender("nannyml_drift", "power", BENCH_DRIFT_PYTHON),
}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
Scores = Mapping[str, Mapping[str, list[float]]]


def main(quick: bool) -> str:
    """Run all contenders and return the tables; `quick`: a twentieth of the streams."""
    with tempfile.TemporaryDirectory(prefix="ml_assets_bench_") as scratch:
        folder = Path(scratch)
        if quick:
            (folder / "quick").touch()
        found = {}
        for name, contender in CONTENDERS.items():
            measure(contender, folder, folder, ONE_THREAD)
            found[name] = json.loads((folder / SCORES).read_text())
        return as_markdown(found, cells(folder))


def power(scores: Mapping[str, list[float]], shift: float, rate: float) -> float:
    """Share of shifted streams above the threshold that streams without drift exceed at a rate."""
    calm = np.sort(scores["0.0"])
    threshold = calm[-1 - math.floor(rate * calm.size)]
    return float(np.mean(np.array(scores[str(shift)]) > threshold))


def as_markdown(found: Mapping[str, Scores], run: tuple[Cell, ...]) -> str:
    """Power of each contender in each cell, and what our configured rate gives."""
    lines = [
        "| rows | features | rate | shift, deviations | " + " | ".join(found) + " | ml_assets as configured |",
        "|---|---|---|---|" + "---|" * (len(found) + 1),
    ]
    for cell in run:
        for rate in RATES:
            if rate * cell.calm < FEWEST_ABOVE:
                continue
            configured = {s: _below(found[OURS][cell.name][str(s)], rate) for s in SHIFTS}
            for shift in SHIFTS[1:]:
                each = [f"{power(found[who][cell.name], shift, rate):.3f}" for who in found]
                told: list[Any] = [f"{cell.rows:,}", len(cell.features), rate, shift, *each, f"{configured[shift]:.3f}"]
                lines.append("| " + " | ".join(map(str, told)) + " |")
            lines.append(
                f"| {cell.rows:,} | {len(cell.features)} | {rate} | none | " + "as asked | " * len(found)
                + f"{configured[0.0]:.4f} |"
            )  # fmt: skip
    return "\n".join(lines)


def _below(scores: list[float], rate: float) -> float:
    return float(np.mean(-np.array(scores) <= rate))
