"""How often the gate promotes, rejects or waits, where the truth is known: `python -m benchmarks.gate_simulation`.

Absolute errors of champion and candidate are drawn anew each time, then judged by the real bootstrap and the real
decision. They are log-normal, as those of real models are: on 48,693 real trips of 2019, three models of 2018 had a
mean error of 3.15 minutes and a standard deviation of 3.88, and two of them differed by 0.26 to 0.29 of the mean
error (standard deviation of the difference of a row). `ALIKE` fits that, `LESS_ALIKE` is a harder case: models whose
errors differ more, so that more labels are needed to tell them apart.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from ml_assets.core.bootstrap import paired_bootstrap
from ml_assets.core.measures import Floats
from ml_assets.core.policy import Policy
from ml_assets.core.promotion import decide
from ml_assets.core.releases import Champion

MEAN_MINUTES, SPREAD = 2.8, 0.96
ALIKE, LESS_ALIKE = 0.983, 0.9
"""Correlation of the logarithms of two models' errors of the same row."""
TRUTHS = {"equal": 0.0, "1 % worse": 0.01, "2 % better": -0.02}
POLICIES = {share: Policy("mae", non_inferiority=share) for share in (0.0, 0.01)}
NAIVE_MAE = 7.4
LIVE = Champion("b" * 64, "2019-01", datetime(2019, 2, 1), datetime(2019, 2, 1), 2)


@dataclass(frozen=True)
class Cell:
    """Verdicts of many decisions in one situation.

    Args:
        truth: what the candidate truly is.
        labels: mature labels of each decision.
        likeness: correlation of the logarithms of the errors.
        non_inferiority: of the policy.
        verdicts: verdict -> how often.
    """

    truth: str
    labels: int
    likeness: float
    non_inferiority: float
    verdicts: Mapping[str, int]

    def share(self, verdict: str) -> float:
        """Share of a verdict, 0 to 1."""
        return self.verdicts.get(verdict, 0) / sum(self.verdicts.values())


def losses(rng: np.random.Generator, labels: int, likeness: float, truth: float) -> tuple[Floats, Floats]:
    """Absolute errors in minutes of candidate and champion on the same rows, `[labels]` each."""
    common, one, other = rng.standard_normal((3, labels))
    shared, apart = np.sqrt(likeness) * common, np.sqrt(1 - likeness)
    mean = MEAN_MINUTES / np.exp(SPREAD**2 / 2)
    return mean * (1 + truth) * np.exp(SPREAD * (shared + apart * one)), mean * np.exp(
        SPREAD * (shared + apart * other)
    )


def evaluation(candidate: Floats, champion: Floats, seed: int) -> dict[str, Any]:
    """What an evaluation would say of them; the naive baseline, which is not what is looked at, is far behind."""
    versus = paired_bootstrap(candidate, champion, seed=seed).to_json()
    mae = {"candidate": candidate.mean(), "champion": champion.mean(), "naive": NAIVE_MAE}
    behind = float(candidate.mean()) - NAIVE_MAE
    return {
        "bundle": "c" * 64, "as_of": "2019-04", "scores_from": "2019-05-01T00:00:00", "task": "regression",
        "rows": candidate.size, "rows_immature": 0, "calibration": None, "slice_differences": {},
        "metrics": {who: {"mae": float(value)} for who, value in mae.items()},
        "differences": {"champion": versus, "naive": {"estimate": behind, "low": 1.1 * behind, "high": 0.9 * behind}},
        "champion": {"bundle": LIVE.bundle, "as_of": LIVE.as_of, "sequence": LIVE.sequence},
        "champion_learnt_holdout": False,
    }  # fmt: skip


def simulate(truth: str, labels: int, likeness: float, draws: int, seed: int = 0) -> list[Cell]:
    """Decide `draws` times on new rows, under each policy."""
    rng = np.random.default_rng([seed, labels, round(1000 * likeness), list(TRUTHS).index(truth)])
    verdicts: dict[float, Counter[str]] = {share: Counter() for share in POLICIES}
    for _ in range(draws):
        told = evaluation(*losses(rng, labels, likeness, TRUTHS[truth]), seed=0)
        for share, policy in POLICIES.items():
            verdicts[share][decide(told, policy, LIVE).verdict] += 1
    return [Cell(truth, labels, likeness, share, dict(counted)) for share, counted in verdicts.items()]


def every_situation(draws: int) -> Iterator[Cell]:
    """All truths, with many and with few labels, of models that differ as real ones do and more."""
    for likeness in (ALIKE, LESS_ALIKE):
        for labels in (50_000, 3_300):
            for truth in TRUTHS:
                yield from simulate(truth, labels, likeness, draws)


def as_markdown(cells: list[Cell]) -> str:
    """The table of the documentation."""
    lines = [
        "| errors correlate | labels | the candidate is truly | non_inferiority | promoted | rejected | undecided |",
        "|---|---|---|---|---|---|---|",
    ]
    for c in sorted(cells, key=lambda c: (-c.likeness, -c.labels, c.non_inferiority)):
        shares = " | ".join(f"{c.share(verdict):.1%}" for verdict in ("promote", "reject", "undecided"))
        lines.append(f"| {c.likeness:g} | {c.labels:,} | {c.truth} | {c.non_inferiority:g} | {shares} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000, help="Decisions in each situation.")
    print(as_markdown(list(every_situation(parser.parse_args().draws))))
