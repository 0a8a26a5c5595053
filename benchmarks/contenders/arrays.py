"""The arrays that contenders which are not ml_assets learn from, and how they say what came of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.files import ARRAYS, ERRORS, FACTS, RESULT, SECONDS

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Arrays:
    """Matrices `[rows, features]` with categories as codes, and labels `[rows]`."""

    train_x: Floats
    train_y: Floats
    validation_x: Floats
    validation_y: Floats
    later_x: Floats
    later_y: Floats
    names: list[str]
    categories: list[int]
    seconds: float
    """What ml_assets took for the same; 0 where that does not matter."""


def read(folder: Path) -> Arrays:
    """Those of `benchmarks.learning_data`."""
    facts = json.loads((folder / FACTS).read_text())
    seconds = folder / SECONDS
    with np.load(folder / ARRAYS) as arrays:
        return Arrays(
            **arrays,
            names=facts["names"],
            categories=facts["categories"],
            seconds=json.loads(seconds.read_text()) if seconds.exists() else 0.0,
        )


def tell(out: Path, **told: Any) -> None:
    """Write down what came of it."""
    (out / RESULT).write_text(json.dumps(told))


def mae(arrays: Arrays, scores: Floats, out: Path) -> float:
    """Mean absolute error on the later rows; the error of each row is kept beside, to be compared row by row."""
    errors = np.abs(arrays.later_y - scores)
    np.save(out / ERRORS, errors)
    return float(errors.mean())
