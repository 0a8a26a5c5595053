"""Training and tuning against the libraries they are made of: who meets whom, what is compared, what is listed.

The rows are those of `learning_data`. Contenders agree on no file that could be compared; they are judged by the
error of their models on rows later than all that any of them has seen.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.files import ERRORS, GROWN, RESULT, SECONDS
from benchmarks.measure import BENCH_PYTHON, Run, compare, median, table
from benchmarks.sections import OURS, Contender, measure
from ml_assets.core.bootstrap import Interval, paired_bootstrap

ONE_THREAD = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
BAR = 1.1
ALONE, STOPPED, STEPWISE, PLAIN, AUTOML = (
    "lightgbm.train, as many trees",
    "lightgbm.train, stopped early by its own metric",
    "Optuna's LightGBMTuner, as much time",
    "Optuna with LightGBMPruningCallback, 30 trials",
    "FLAML, as much time",
)
TRAINING = {
    OURS: Contender("ours_learning", "train"),
    ALONE: Contender("lightgbm_alone", "train"),
    STOPPED: Contender("lightgbm_alone", "train and stop"),
}
TUNING = {
    OURS: Contender("ours_learning", "tune"),
    STEPWISE: Contender("optuna_tuner", "stepwise", BENCH_PYTHON),
    PLAIN: Contender("optuna_tuner", "plain", BENCH_PYTHON),
    AUTOML: Contender("flaml_automl", "automl", BENCH_PYTHON),
}
LISTED = Contender("ours_learning", "outside")


@dataclass
class Meeting:
    """Contenders on one folder of `learning_data`, and what came of each run."""

    folder: Path
    results: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    errors: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    """Contender -> absolute errors on the later rows, the same rows in the same order, of its last run."""

    def run(self, contenders: Mapping[str, Contender], repetitions: int) -> dict[str, list[Run]]:
        """All of them, in turn."""
        return compare({name: self._turn(name, one) for name, one in contenders.items()}, repetitions)

    def _turn(self, name: str, contender: Contender) -> Callable[[], Run]:
        def take() -> Run:
            with tempfile.TemporaryDirectory(dir=self.folder) as out:
                done = measure(contender, self.folder, Path(out), ONE_THREAD)
                result = json.loads((Path(out) / RESULT).read_text())
                if (errors := Path(out) / ERRORS).exists():
                    self.errors[name] = np.load(errors)
            if name == OURS:
                # What the others are given: as many trees, as much time.
                (self.folder / GROWN).write_text(json.dumps(result.get("grown")))
                (self.folder / SECONDS).write_text(json.dumps(done.wall))
            self.results.setdefault(name, []).append(result)
            sys.stderr.write(f"{name}: {done.wall:.2f} s, {done.cpu:.2f} s of CPU, {json.dumps(result)}\n")
            return done

        return take


def training(folder: Path, repetitions: int) -> str:
    """One model, and what a training does beside it."""
    meeting = Meeting(folder)
    runs = meeting.run(TRAINING, repetitions)
    meeting.run({"beside": LISTED}, repetitions)
    ratio = median(runs[OURS], "cpu") / median(runs[ALONE], "cpu")
    return "\n\n".join(
        [
            "### One model with the default parameters",
            "ml_assets learns vocabularies, encodes and bins the rows, grows "
            f"{meeting.results[OURS][0]['grown']} trees, "
            "follows the losses of training and validation rows, and serializes the model. LightGBM alone gets the "
            "finished matrix.",
            table(runs, base=OURS),
            f"ml_assets takes {ratio:.2f} times the CPU seconds of {ALONE} (aim: {BAR}).",
            "What a training of the pipeline does beside it, once each (medians):",
            seconds_of([result["seconds"] for result in meeting.results["beside"]]),
        ]
    )


def tuning(folder: Path, repetitions: int) -> str:
    """A study of 30 trials, and the model of its winner."""
    meeting = Meeting(folder)
    runs = meeting.run(TUNING, repetitions)
    return "\n\n".join(
        [
            "### A study of 30 trials, and the model of its winner",
            "From rows to the winner's model. Trials of ml_assets are judged on two blocks of rows before the "
            "holdout, others on the newest of these.",
            table(runs, base=OURS),
            errors_of(meeting.results, meeting.errors),
        ]
    )


SECTIONS = {"training": training, "tuning": tuning}


def seconds_of(told: Sequence[Mapping[str, float]]) -> str:
    """Medians, a row for each step."""
    rows = [f"| {step} | {statistics.median(one[step] for one in told):.2f} |" for step in told[0]]
    return "\n".join(["| step | seconds |", "|---|---|", *rows])


def errors_of(results: Mapping[str, Sequence[Mapping[str, Any]]], errors: Mapping[str, npt.NDArray[np.float64]]) -> str:
    """Errors on later rows, the best first, with what each has more than ml_assets, paired by row."""
    base = statistics.median(one["mae"] for one in results[OURS])
    rows = []
    for name, told in results.items():
        mae = statistics.median(one["mae"] for one in told)
        trials = statistics.median(one["trials"] for one in told)
        more = "" if name == OURS else in_words(paired_bootstrap(errors[name], errors[OURS], seed=0))
        rows.append((mae, f"| {name} | {mae:.4f} | {mae / base:.4f} | {more} | {trials:.0f} |"))
    lines = [line for _, line in sorted(rows)]
    head = "| contender | MAE on later rows, minutes | ratio | more than ml_assets, 95 % interval | trials |"
    return "\n".join([head, "|---|---|---|---|---|", *lines])


def in_words(more: Interval) -> str:
    """A difference with its interval."""
    return f"{more.estimate:+.4f} ({more.low:+.4f} to {more.high:+.4f})"
