"""Who meets whom over which step, and how a meeting is run: agreement on what was written comes before any figure."""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import agreement
from benchmarks.measure import BENCH_PYTHON, Run, compare, median, run, table

OURS, FLOOR = "ml_assets", "floor: pyarrow reads and writes"


@dataclass(frozen=True)
class Contender:
    """A step of a module of `contenders`.

    Args:
        module: its name there.
        step: a key of its `STEPS`.
        python: the interpreter that has its libraries.
    """

    module: str
    step: str
    python: str = sys.executable


@dataclass(frozen=True)
class Section:
    """Contenders that do the same work.

    Args:
        title: a line.
        text: what the work is, and the aim.
        contenders: by name; ml_assets first, the floor last.
    """

    title: str
    text: str
    contenders: dict[str, Contender]


SECTIONS = {
    "ingest": Section(
        "Ingest: a published Parquet file into the raw partition",
        "ml_assets also types the columns for the contract, writes checksums of pages and the SHA-256 of the source.",
        {
            OURS: Contender("ours", "ingest"),
            "pandas": Contender("pandas_by_hand", "ingest"),
            FLOOR: Contender("floor", "ingest"),
        },
    ),
    "validation": Section(
        "Validation and quarantine: a raw partition into valid rows, and broken ones with the names of their rules",
        "The rules are those of `ml_assets/defs/trips/schema.py`, the unique key included. All find the same rows, "
        "and the same rules broken by each.",
        {
            OURS: Contender("ours", "validate"),
            "pandera on pandas, lazy=True": Contender("pandera_pandas", "validate"),
            "pandera on Polars as it is": Contender("pandera_polars", "validate"),
            "Great Expectations on pandas": Contender("gx", "validate", BENCH_PYTHON),
            "pandas masks by hand": Contender("pandas_by_hand", "validate"),
            "DuckDB SQL": Contender("duckdb_sql", "validate"),
            FLOOR: Contender("floor", "validate"),
        },
    ),
    "history": Section(
        "History features: mean speed out of the pick-up zone in 60 minutes, trips started there in 30",
        "From the validated partition to a file of three columns. The floor reads the columns that are needed and "
        "writes as many as the result has.",
        {
            OURS: Contender("ours", "history"),
            "pandas groupby.rolling": Contender("pandas_history", "history by rolling"),
            "pandas merge_asof": Contender("pandas_history", "history by merge_asof"),
            "DuckDB ASOF join": Contender("duckdb_sql", "history"),
            FLOOR: Contender("floor", "history"),
        },
    ),
    "path": Section(
        "The whole path: raw to validated and quarantine, and those to features, history among them",
        "Aim: within 4 times the floor, which reads raw and the features and writes validated and the features.",
        {
            OURS: Contender("ours", "path"),
            "pandas by hand": Contender("pandas_path", "path"),
            FLOOR: Contender("floor", "path"),
        },
    ),
}


def report(section: Section, month: Path, repetitions: int) -> str:
    """Run a section on the files of a month and return its text and table.

    Raises:
        RuntimeError: contenders found different rows, or one failed.
    """
    meeting = _Meeting(month)
    runs = compare({name: meeting.turn(name, one) for name, one in section.contenders.items()}, repetitions)
    ratio = median(runs[OURS], "wall") / median(runs[FLOOR], "wall")
    return "\n\n".join(
        [
            f"## {section.title}",
            section.text,
            f"Found by all: {agreement.in_words(meeting.expected)}.",
            table(runs, base=OURS),
            f"ml_assets takes {ratio:.2f} times the floor.",
        ]
    )


class _Meeting:
    """Contenders on one month, and what the first of them has written."""

    def __init__(self, month: Path) -> None:
        self.month = month
        self.expected: dict[str, agreement.Written] = {}

    def turn(self, name: str, contender: Contender) -> Callable[[], Run]:
        def take() -> Run:
            with tempfile.TemporaryDirectory(dir=self.month) as out:
                done = measure(contender, self.month, Path(out))
                if name != FLOOR:
                    self._compare(name, Path(out))
            sys.stderr.write(f"{name}: {done.wall:.2f} s, {done.peak_mb:.0f} MB\n")
            return done

        return take

    def _compare(self, name: str, out: Path) -> None:
        written = {file.name: agreement.read(file) for file in sorted(out.glob("*.parquet"))}
        self.expected = self.expected or written
        if written.keys() != self.expected.keys():
            raise RuntimeError(f"{name} wrote {sorted(written)} in place of {sorted(self.expected)}")
        found = [
            f"{file}, {what}" for file in written for what in agreement.differences(self.expected[file], written[file])
        ]
        if found:
            raise RuntimeError("\n  ".join([f"{name} found other rows than {OURS}:", *found]))


def measure(contender: Contender, month: Path, out: Path, env: Mapping[str, str] | None = None) -> Run:
    """Run a step in a process of its own; wall and CPU are those of the work alone."""
    if shutil.which(contender.python) is None:
        raise RuntimeError(f"no {contender.python}: call `make bench`, which makes it")
    done = run(
        ["-m", "benchmarks.step", contender.module, contender.step, str(month), str(out)],
        env={"GX_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1", **(env or {})},
        python=contender.python,
    )
    wall, cpu = json.loads(done.printed.splitlines()[-1])
    return replace(done, wall=wall, cpu=cpu)
