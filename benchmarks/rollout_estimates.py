"""How a rollout ends whose labels come after its end, so that of losses only what estimators expect is known.

The estimators are real ones, each fitted on a holdout of its own; requests and steps are those of `rollout_simulation`.
One feature tells a part of how large a loss is. A candidate that passed the gate may be worse where its holdout had few
rows and traffic has many: the far trips. Where the label makes something else of the same features than it did, losses
grow and no feature tells.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl

from benchmarks.gate_simulation import MEAN_MINUTES, SPREAD
from benchmarks.rollout_cells import Cell
from benchmarks.rollout_drawn import Floats, Truth
from benchmarks.rollout_simulation import Plan, rules_of, simulate
from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.loss_model import LossModel

MILES = FeatureSpec("miles", "number", None)
BANDS, FAR = 40, 8
"""Values of the feature, and how many of them are far."""
FAR_IN_HOLDOUT, FAR_IN_TRAFFIC = 0.1, 0.4
TOLD = 0.5
"""Standard deviation of the logarithm of a loss that the feature explains; of `SPREAD` in all."""
ESTIMATORS = 200
"""Of either model, from as many holdouts; each rollout draws one of each."""
NEVER = 10**9


@dataclass(frozen=True)
class Estimated:
    """What a candidate truly is.

    Args:
        higher: loss above the champion's in traffic, as a share, all of it on far trips.
        unseen: likewise, on all trips, that no feature tells.
        holdout: rows that an estimator is fitted on.
    """

    higher: float = 0.0
    unseen: float = 0.0
    holdout: int = 3_300


TRUTHS = {
    "equal": Estimated(),
    "equal, estimators of 500 rows": Estimated(holdout=500),
    "at the limit: +10 %": Estimated(0.1),
    "at the limit: +10 %, estimators of 500 rows": Estimated(0.1, holdout=500),
    "+30 %": Estimated(0.3),
    "+30 %, estimators of 20,000 rows": Estimated(0.3, holdout=20_000),
    "+50 %": Estimated(0.5),
    "+100 %": Estimated(1.0),
    "+100 %, estimators of 500 rows": Estimated(1.0, holdout=500),
    "+100 %, and no feature tells": Estimated(unseen=1.0),
}
PLAN = "`shadow`, no labels"
ROLLOUT = Plan(rules_of(strategy="shadow", guardrails={}), late=NEVER)
"""The shortest plan: more requests would not make an estimator surer, and what is released is the same."""


def by_band(higher: float = 0.0) -> Floats:
    """Mean loss of each value of the feature, `[BANDS]`; higher on far trips so that all of the traffic's is."""
    place = (np.arange(BANDS) + 0.5) / BANDS - 0.5
    level = MEAN_MINUTES * np.exp(TOLD * np.sqrt(12) * place - TOLD**2 / 2)
    traffic = shares(FAR_IN_TRAFFIC) * level
    factor = 1 + higher * traffic.sum() / traffic[-FAR:].sum()
    return np.where(np.arange(BANDS) >= BANDS - FAR, factor, 1.0) * level


def shares(far: float) -> Floats:
    """How probable each value of the feature is, `[BANDS]`, where a share of the trips is far."""
    return np.where(np.arange(BANDS) >= BANDS - FAR, far / FAR, (1 - far) / (BANDS - FAR))


@lru_cache
def estimators(higher: float, holdout: int, seed: int) -> Floats:
    """What real estimators expect at each value of the feature, each fitted on another holdout.

    Returns:
        `[ESTIMATORS, blocks, BANDS]`.
    """
    rng, rest = np.random.default_rng([seed, holdout]), np.sqrt(SPREAD**2 - TOLD**2)
    mean, bands = by_band(higher) / np.exp(rest**2 / 2), pl.Series(MILES.name, np.arange(BANDS, dtype=float))
    told = []
    for i in range(ESTIMATORS):
        band = rng.choice(BANDS, holdout, p=shares(FAR_IN_HOLDOUT))
        loss = mean[band] * np.exp(rest * rng.standard_normal(holdout))
        frame = pl.DataFrame({MILES.name: band.astype(float)})
        fitted = LossModel.fit(frame, band / BANDS, loss, [MILES], metric="mae", seed=i, threads=1)
        expected = fitted.expected(bands.to_frame(), np.arange(BANDS) / BANDS, [MILES], threads=1)
        told.append(expected.by_block)
    return np.stack(told)


def drawn(truth: Estimated, rng: np.random.Generator) -> tuple[Truth, Plan]:
    """A rollout to simulate: with one estimator of each model."""
    champion = estimators(0.0, truth.holdout, 0)[rng.integers(ESTIMATORS)]
    candidate = estimators(truth.higher, truth.holdout, 1)[rng.integers(ESTIMATORS)]

    def expects(draws: np.random.Generator, requests: int) -> tuple[Floats, Floats]:
        band = draws.choice(BANDS, requests, p=shares(FAR_IN_TRAFFIC))
        return champion[:, band], candidate[:, band]

    return Truth(loss=1 + truth.higher + truth.unseen, expects=expects), ROLLOUT


def cell(truth: str, runs: int, seed: int = 0) -> Cell:
    """Simulate a cell."""
    rng = np.random.default_rng([seed, list(TRUTHS).index(truth), 2])
    return Cell(PLAN, truth, tuple(simulate(*drawn(TRUTHS[truth], rng), rng) for _ in range(runs)))


def every_cell(runs: int) -> Iterator[Cell]:
    """All truths."""
    for truth in TRUTHS:
        yield cell(truth, runs)
