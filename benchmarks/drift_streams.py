"""Streams of partitions with a known truth: a training window, partitions without drift, and shifted ones.

Made anew from a seed by each contender, so that all see the same rows. Without imports of anything but NumPy, since
contenders in other environments read it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

PARTITIONS = 12
SHIFTS = (0.0, 0.1, 0.2, 0.5)
"""Of the mean of `miles`, in standard deviations; 0 is no drift."""
IMPORTANCES = {"miles": 0.5, "zone": 0.2, "speed": 0.15, "start": 0.1, "load": 0.05}
"""What the champion would say of its features; the mean of `miles` is what shifts."""
SCORES = "scores.json"


@dataclass(frozen=True)
class Cell:
    """Streams of one size.

    Args:
        rows: of a partition.
        features: those of `IMPORTANCES` that there are.
        calm: streams without drift.
        shifted: streams with each shift.
    """

    rows: int
    features: tuple[str, ...]
    calm: int
    shifted: int

    @property
    def name(self) -> str:
        """What it is called in files."""
        return f"{self.rows} rows, {len(self.features)} features"

    def streams(self, shift: float) -> int:
        """How many."""
        return self.shifted if shift else self.calm


ALL, ONE = tuple(IMPORTANCES), ("miles",)
CELLS = (
    Cell(1_000, ALL, 2000, 500), Cell(1_000, ONE, 2000, 500), Cell(10_000, ALL, 200, 100), Cell(10_000, ONE, 200, 100),
    Cell(100_000, ALL, 60, 20), Cell(100_000, ONE, 60, 20),
)  # fmt: skip
Rows = dict[str, npt.NDArray[np.generic]]


def rows_of(rng: np.random.Generator, rows: int, features: tuple[str, ...], shift: float = 0.0) -> Rows:
    """Rows, with the mean of `miles` shifted."""
    common = rng.standard_normal(rows)
    made: Rows = {
        "miles": rng.standard_normal(rows) + shift,
        "speed": rng.exponential(12, rows),
        "start": rng.uniform(0, 24, rows),
        "load": 0.6 * common + 0.8 * rng.standard_normal(rows),
        "zone": np.char.add("z", np.minimum(rng.geometric(0.1, rows), 40).astype(str)),
    }
    return {name: made[name] for name in IMPORTANCES if name in features}


def streams(cell: Cell, shift: float) -> Iterator[tuple[Rows, Rows]]:
    """Training window `[partitions x rows]` and the partition after it, of each stream."""
    for seed in range(cell.streams(shift)):
        rng = np.random.default_rng([cell.rows, len(cell.features), round(100 * shift), seed])
        yield rows_of(rng, PARTITIONS * cell.rows, cell.features), rows_of(rng, cell.rows, cell.features, shift)


def cells(folder: Path) -> tuple[Cell, ...]:
    """Those to run: a file `quick` in the folder asks for a twentieth of the streams."""
    if not (folder / "quick").exists():
        return CELLS
    return tuple(Cell(c.rows, c.features, max(c.calm // 20, 10), max(c.shifted // 20, 2)) for c in CELLS)
