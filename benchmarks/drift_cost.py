"""What a drift report costs: `python -m benchmarks --only drift-cost`."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import drift_data
from benchmarks.measure import BENCH_DRIFT_PYTHON, Run, compare, median, table
from benchmarks.sections import OURS, Contender, measure

FLOOR = "floor: columns read and sorted"
EVIDENTLY, NANNYML, FITTED = "Evidently", "NannyML", "NannyML, fitted before"
CONTENDERS = {
    OURS: Contender("ours_drift", "cost"),
    EVIDENTLY: Contender("evidently_drift", "cost", BENCH_DRIFT_PYTHON),
    NANNYML: Contender("nannyml_drift", "cost", BENCH_DRIFT_PYTHON),
    FITTED: Contender("nannyml_drift", "calculate", BENCH_DRIFT_PYTHON),
    FLOOR: Contender("floor_drift", "cost"),
}


def main(rows: int, repetitions: int) -> str:
    """Make the files, let each contender report, and return the table."""
    with tempfile.TemporaryDirectory(prefix="ml_assets_bench_") as scratch:
        folder = Path(scratch)
        drift_data.make(folder, rows)

        def turn(contender: Contender) -> Callable[[], Run]:
            def take() -> Run:
                with tempfile.TemporaryDirectory(dir=folder) as out:
                    done = measure(contender, folder, Path(out))
                sys.stderr.write(f"{contender.module}, {contender.step}: {done.cpu:.2f} s, {done.peak_mb:.0f} MB\n")
                return done

            return take

        runs = compare({name: turn(one) for name, one in CONTENDERS.items()}, repetitions)
    faster = min((EVIDENTLY, NANNYML), key=lambda name: median(runs[name], "cpu"))
    cpu = {name: median(of, "cpu") for name, of in runs.items()}
    memory = {name: median(of, "peak_mb") for name, of in runs.items()}
    return "\n\n".join(
        [
            f"Both files have {rows:,} rows. ml_assets has the reference profile that a training left; the others read "
            f"the reference, too, and {FITTED} has done so before the clock starts.",
            table(runs, base=OURS),
            f"{faster} takes {cpu[faster] / cpu[OURS]:.0f} times the CPU seconds of ml_assets (aim: 50) and "
            f"{memory[faster] / memory[OURS]:.1f} times its memory (aim: 3); ml_assets takes "
            f"{cpu[OURS] / cpu[FLOOR]:.2f} times the CPU seconds of sorting (aim: 5).",
        ]
    )
