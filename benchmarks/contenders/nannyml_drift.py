"""NannyML: its univariate calculator with default methods. Runs in an environment of its own, see
`requirements-drift.in`."""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

warnings.filterwarnings("ignore")

import pandas as pd  # noqa: E402 - after the filter: it warns of what NannyML imports
from nannyml import UnivariateDriftCalculator  # noqa: E402
from nannyml.chunk import SizeBasedChunker  # noqa: E402
from nannyml.drift.univariate.methods import FeatureType, MethodFactory  # noqa: E402
from nannyml.thresholds import StandardDeviationThreshold  # noqa: E402

from benchmarks.drift_files import CATEGORIES, CURRENT, FEATURES, REFERENCE, ROWS  # noqa: E402
from benchmarks.drift_streams import SCORES, SHIFTS, Rows, cells, streams  # noqa: E402


@dataclass(frozen=True)
class Fitted:
    """A calculator that has seen the reference, and the folder."""

    calculator: UnivariateDriftCalculator
    folder: Path


def fit(folder: Path) -> Fitted:
    """Read the reference and fit, in as many chunks as a year has months."""
    reference = pd.read_parquet(folder / REFERENCE, columns=list(FEATURES))
    rows = json.loads((folder / ROWS).read_text())
    return Fitted(_calculator(list(FEATURES), CATEGORIES, rows // 12).fit(reference), folder)


def calculate(fitted: Fitted, out: Path) -> None:
    """From the partition's file to the results."""
    current = pd.read_parquet(fitted.folder / CURRENT, columns=list(FEATURES))
    fitted.calculator.calculate(current).to_df().to_csv(out / "report.csv")


def cost(folder: Path, out: Path) -> None:
    """From two files to the results."""
    calculate(fit(folder), out)


def power(folder: Path, out: Path) -> None:
    """The largest of the columns' distances, in standard deviations above the mean of the reference's chunks, of each
    stream; 3 is the default threshold."""
    found: dict[str, dict[str, list[float]]] = {}
    for cell in cells(folder):
        found[cell.name] = {}
        for shift in SHIFTS:
            scores = []
            for reference, current in streams(cell, shift):
                scores.append(max(_scores(reference, current, cell.rows).values()))
                if len(scores) == 1 and cell.rows == min(c.rows for c in cells(folder)):
                    _require_same(reference, current, cell.rows)
            found[cell.name][str(shift)] = scores
    (out / SCORES).write_text(json.dumps(found))


def _scores(reference: Rows, current: Rows, rows: int) -> dict[str, float]:
    found = {}
    for name, (mean, deviation, distance) in _distances(reference, current, rows).items():
        found[name] = (distance - mean) / deviation
    return found


def _distances(reference: Rows, current: Rows, rows: int) -> dict[str, tuple[float, float, float]]:
    """What the calculator does with each column, without the frames around it."""
    found = {}
    for name, values in reference.items():
        kind = FeatureType.CATEGORICAL if name == "zone" else FeatureType.CONTINUOUS
        method = MethodFactory.create(
            key="jensen_shannon",
            feature_type=kind,
            chunker=SizeBasedChunker(rows),
            threshold=StandardDeviationThreshold(),
            computation_params={},
        )
        before = pd.Series(values)
        method._fit(before)
        chunks = pd.Series([method._calculate(before.iloc[i : i + rows]) for i in range(0, len(before), rows)])
        found[name] = (chunks.mean(), chunks.std(ddof=0), float(method._calculate(pd.Series(current[name]))))
    return found


def _require_same(reference: Rows, current: Rows, rows: int) -> None:
    categories = tuple(n for n in reference if n == "zone")
    calculator = _calculator(list(reference), categories, rows).fit(pd.DataFrame(reference))
    told = calculator.calculate(pd.DataFrame(current)).filter(period="analysis").to_df()
    wrong = []
    for name, (mean, deviation, distance) in _distances(reference, current, rows).items():
        column = told[(name, "jensen_shannon")]
        theirs = (float(column["value"].iloc[0]), float(column["upper_threshold"].iloc[0]))
        if abs(theirs[0] - distance) > 1e-9 or abs(theirs[1] - min(mean + 3 * deviation, 1)) > 1e-9:
            wrong.append(f"{name}: {theirs}, not {(distance, mean + 3 * deviation)}")
    if wrong:
        raise RuntimeError(f"the calculator of NannyML gives other distances than its methods: {wrong}")


def _calculator(columns: list[str], categories: tuple[str, ...], rows: int) -> UnivariateDriftCalculator:
    return UnivariateDriftCalculator(
        column_names=columns, treat_as_categorical=list(categories), chunker=SizeBasedChunker(rows)
    )


STEPS = {"cost": cost, "calculate": calculate, "power": power}
BEFORE = {"calculate": fit}
