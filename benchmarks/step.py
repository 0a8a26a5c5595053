"""One contender, one step, in the process that runs it: `python -m benchmarks.step CONTENDER STEP MONTH OUT`.

Importing libraries and loading what is declared (rules, schemas, suites) happens before the clock starts: a
process that works on many partitions pays for it once. So does what a step's `BEFORE` reads, where rows in memory are
what the work starts from. The last line printed is the seconds of the work, wall
and CPU.
"""

import importlib
import json
import sys
import time
from pathlib import Path


def main(contender: str, step: str, month: str, out: str) -> None:
    """Run it.

    Args:
        contender: a module of `benchmarks.contenders`.
        step: a key of its `STEPS`.
        month: folder of the month, see `benchmarks.month`.
        out: folder for what the step writes.
    """
    module = importlib.import_module(f"benchmarks.contenders.{contender}")
    work, read = module.STEPS[step], getattr(module, "BEFORE", {}).get(step, Path)
    given = read(Path(month))
    wall, cpu = time.perf_counter(), time.process_time()
    work(given, Path(out))
    sys.stdout.write(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
