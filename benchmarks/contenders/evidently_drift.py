"""Evidently: its preset with default tests. Runs in an environment of its own, see `requirements-drift.in`."""

import json
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import pandas as pd  # noqa: E402 - after the filter: it warns of what Evidently imports
from evidently import DataDefinition, Dataset, Report  # noqa: E402
from evidently.legacy.calculations.stattests.registry import _get_default_stattest  # noqa: E402
from evidently.legacy.core import ColumnType  # noqa: E402
from evidently.presets import DataDriftPreset  # noqa: E402

from benchmarks.drift_files import CATEGORIES, CURRENT, FEATURES, REFERENCE  # noqa: E402
from benchmarks.drift_streams import SCORES, SHIFTS, Rows, cells, streams  # noqa: E402


def cost(folder: Path, out: Path) -> None:
    """From two files to the report."""
    frames = [pd.read_parquet(folder / name, columns=list(FEATURES)) for name in (REFERENCE, CURRENT)]
    (out / "report.json").write_text(_report(*frames, CATEGORIES))


def power(folder: Path, out: Path) -> None:
    """The largest of the columns' scores, as multiples of the default threshold of their tests, of each stream."""
    found: dict[str, dict[str, list[float]]] = {}
    for cell in cells(folder):
        found[cell.name] = {}
        for shift in SHIFTS:
            scores = []
            for reference, current in streams(cell, shift):
                each = _scores(reference, current)
                if not scores and cell.rows == min(c.rows for c in cells(folder)):
                    _require_same(reference, current, each)
                scores.append(max(each.values()))
            found[cell.name][str(shift)] = scores
    (out / SCORES).write_text(json.dumps(found))


def _scores(reference: Rows, current: Rows) -> dict[str, float]:
    """What the preset does with each column, without the report around it, which takes most of the time."""
    found = {}
    for name, rows in reference.items():
        kind = ColumnType.Categorical if name == "zone" else ColumnType.Numerical
        before, now = pd.Series(rows), pd.Series(current[name])
        test = _get_default_stattest(before, now, kind)
        score, _ = test.func(before, now, kind, test.default_threshold)
        found[name] = float(score) / test.default_threshold
    return found


def _report(reference: pd.DataFrame, current: pd.DataFrame, categories: tuple[str, ...]) -> str:
    numbers = [name for name in reference.columns if name not in categories]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=list(categories))
    data = [Dataset.from_pandas(frame, data_definition=definition) for frame in (current, reference)]
    return str(Report([DataDriftPreset()]).run(*data).json())


def _require_same(reference: Rows, current: Rows, scores: dict[str, float]) -> None:
    frames = [pd.DataFrame(rows) for rows in (reference, current)]
    told = json.loads(_report(*frames, tuple(n for n in reference if n == "zone")))
    values = {m["config"]["column"]: m["value"] for m in told["metrics"] if "column" in m.get("config", {})}
    wrong = [f"{n}: {values.get(n)}, not {s / 10}" for n, s in scores.items() if abs(values.get(n, 9) - s / 10) > 1e-9]
    if wrong:
        raise RuntimeError(f"the preset of Evidently gives other scores than its tests: {wrong}")


STEPS = {"cost": cost, "power": power}
