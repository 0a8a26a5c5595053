"""The tables of simulated rollouts in the documentation: `python -m benchmarks.rollouts`."""

import argparse
import sys
from collections.abc import Iterator

from benchmarks import rollout_cells, rollout_contests, rollout_estimates, rollout_simulation


def lines(runs: int) -> Iterator[str]:
    """The lines of three tables, each as soon as it is known, with an empty one between them.

    Args:
        runs: rollouts of each cell.
    """
    yield rollout_simulation.HEAD
    yield from map(rollout_simulation.in_line, rollout_simulation.every_cell(runs))
    for part in (rollout_contests, rollout_estimates):
        yield f"\n{rollout_cells.HEAD}"
        yield from map(rollout_cells.in_line, part.every_cell(runs))


def main(runs: int) -> str:
    """The tables of the documentation.

    Args:
        runs: rollouts of each cell.
    """
    return "\n".join(lines(runs))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000, help="Rollouts of each cell.")
    for line in lines(parser.parse_args().runs):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
