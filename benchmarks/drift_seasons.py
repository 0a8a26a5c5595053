"""False alarms of one test where partitions differ by more than chance: `python -m benchmarks.drift_seasons`.

Seasons of a size that twelve partitions can't tell from chance are where an honest prior must err: here is by how much.
"""

import argparse

import numpy as np

from ml_assets.core.drift.between_partitions import ScoreModel

SIZES = (0.0, 0.5, 1.0, 1.5, 2.0, 4.0, 20.0)
"""Deviation of seasons, in deviations by chance."""
RATES = (0.01, 0.05)
PARTITIONS = (4, 6, 12, 24)


def false_alarms(size: float, partitions: int, seasonal: float, draws: int) -> list[float]:
    """Share of partitions without drift whose p-value is at most each of `RATES`."""
    rng = np.random.default_rng([round(10 * size), partitions])
    scores = rng.normal(0, np.hypot(1, size), (draws, partitions + 1))
    by_chance = np.ones(partitions)
    p = np.array([ScoreModel(1.0, s[:-1], by_chance).p(float(s[-1]), seasonal) for s in scores])
    return [float((p <= rate).mean()) for rate in RATES]


def as_markdown(draws: int) -> str:
    """For tables that have no other seasons (0.1), of which nothing is known (0.5), and that have many (0.9)."""
    lines = [
        "| partitions | seasons elsewhere | rate | " + " | ".join(f"{s:g}" for s in SIZES) + " |",
        "|---|---|---|" + "---|" * len(SIZES),
    ]
    for partitions in PARTITIONS:
        for seasonal in (0.1, 0.5, 0.9):
            found = np.array([false_alarms(size, partitions, seasonal, draws) for size in SIZES])
            for rate, row in zip(RATES, found.T, strict=True):
                lines.append(f"| {partitions} | {seasonal} | {rate} | " + " | ".join(f"{f:.3f}" for f in row) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=10_000, help="Training windows of each kind.")
    print(as_markdown(parser.parse_args().draws))
