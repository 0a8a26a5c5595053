"""Run the benchmarks and print their tables: `make bench`, `make bench ARGS="--rows 100000 --repetitions 1"`."""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks import (
    drift_cost,
    drift_power,
    learning,
    learning_data,
    loading,
    looks,
    month,
    orchestration,
    rollouts,
    serving,
    soak,
)
from benchmarks.sections import SECTIONS, report

WHOLE = 1_000_000
"""Rows from which on the sections that simulate many streams or rollouts take all of them."""
ROLLOUTS = 2_000
MOST_DRIFT_REPETITIONS = 3
"""Evidently takes four minutes for one."""
LEARNT_ROWS = 10_000
"""Trips a month of what is learnt from: a year and a month of them make 120,000."""


Options = argparse.Namespace
ALONE: dict[str, tuple[str, Callable[[Options], str]]] = {
    "drift-cost": (
        "A drift report", lambda o: drift_cost.main(o.rows, min(o.repetitions, MOST_DRIFT_REPETITIONS)),
    ),
    "drift-power": ("Power of drift's verdict", lambda o: drift_power.main(quick=o.rows < WHOLE)),
    "orchestration": ("Orchestration", lambda _: orchestration.main()),
    "serving": ("Serving", lambda o: serving.main(o.repetitions)),
    "soak": ("Serving for minutes with swaps", lambda o: soak.main(o.minutes)),
    "looks": ("A look at a rollout", lambda o: looks.main(min(o.rows, WHOLE))),
    "rollouts": (
        "Simulated rollouts", lambda o: rollouts.main(ROLLOUTS if o.rows >= WHOLE else ROLLOUTS // 20),
    ),
}  # fmt: skip
"""Sections that make what they need by themselves: title, and what measures."""
EVERY = ("loading", *SECTIONS, *ALONE, *learning.SECTIONS)
ONLY_NAMED = ("tuning", "drift-power", "rollouts")
"""Sections that take so long that they only run when named."""


def main() -> None:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000_000, help="rows of the simulated month (3,000,000)")
    parser.add_argument("--repetitions", type=int, default=5, help="interleaved runs of each contender (5)")
    parser.add_argument(
        "--features", type=Path, help="stored feature partitions YYYY-MM.parquet to train and tune on, too"
    )
    parser.add_argument(
        "--only",
        choices=EVERY,
        action="append",
        help="a section; may be given more than once; `tuning`, which takes hours, `rollouts`, an hour and a half, and "
        "`drift-power`, half an hour, only run when named; with fewer than 1,000,000 rows, `drift-power` takes a "
        "twentieth of its streams, and `rollouts` of its runs",
    )
    parser.add_argument("--minutes", type=float, default=10, help="how long the soak lasts (10)")
    options = parser.parse_args()
    wanted = options.only or [name for name in EVERY if name not in ONLY_NAMED]
    libraries = ", ".join(f"{name} {version(name)}" for name in ("polars", "pandas", "pyarrow", "pandera", "duckdb"))
    say(
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {libraries}. Medians of {options.repetitions} "
        f"interleaved runs; ratios are to ml_assets, except for loading."
    )
    if "loading" in wanted:
        say(f"## Loading the code location\n\n{loading.main(options.repetitions)}")
    if sections := [SECTIONS[name] for name in SECTIONS if name in wanted]:
        with tempfile.TemporaryDirectory(prefix="ml_assets_bench_") as scratch:
            folder = Path(scratch)
            month.make(folder, options.rows)
            say(f"# A simulated month of {options.rows:,} rows, {month.described()}")
            for section in sections:
                say(report(section, folder, options.repetitions))
    for name, (title, measure) in ALONE.items():
        if name in wanted:
            say(f"## {title}\n\n{measure(options)}")
    if learnt := [learning.SECTIONS[name] for name in learning.SECTIONS if name in wanted]:
        _learn(learnt, options.features, options.repetitions)


def _learn(sections: Sequence[Callable[[Path, int], str]], features: Path | None, repetitions: int) -> None:
    """Those that learn, on simulated trips and, where there are any, on stored features."""
    for kind, given in {"simulated": None, **({} if features is None else {"real": features})}.items():
        with tempfile.TemporaryDirectory(prefix="ml_assets_bench_") as scratch:
            folder = Path(scratch)
            learning_data.make(folder, LEARNT_ROWS, given)
            say(f"## Training and tuning on {kind} trips, one thread\n\n{learning_data.described(folder)}.")
            for one in sections:
                say(one(folder, repetitions))


def say(text: str) -> None:
    """Print a block of Markdown at once, since the next one takes minutes."""
    sys.stdout.write(text + "\n\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
