"""Simulated rides with something to learn, for every task; what a model of them is compared with."""

import json
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

from ml_assets.core.features import Feature
from ml_assets.core.models.fit import Fit
from ml_assets.core.models.kinds import fit_model, read_model
from ml_assets.core.models.labels import mean_loss
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.split import UNIT
from ml_assets.core.target_encoding import TargetEncoding

LOSS = {"regression": "l1", "binary": "binary", "multiclass": "multiclass"}


def simulated(rows: int, seed: int, task: str) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    zone, vendor, hour = rng.integers(0, 60, rows), rng.integers(0, 3, rows), rng.integers(0, 24, rows)
    miles = rng.gamma(2, 2, rows)
    minutes = 3 + np.where(vendor == 1, 6, 3) * miles + 3 * (zone % 5) + rng.exponential(2, rows)
    label = {"regression": minutes, "binary": minutes > 20, "multiclass": np.digitize(minutes, [14, 26])}[task]
    frame = pl.DataFrame(
        {
            "zone": [None if z == 7 else f"z{z}" for z in zone],
            "vendor": [f"v{v}" for v in vendor],
            "miles": miles,
            "hour": hour.astype(float),
            "label": label.astype(float),
            UNIT: pl.Series(range(rows), dtype=pl.UInt64),
        }
    )
    return frame.with_columns(miles=pl.when(pl.int_range(pl.len()) % 20 == 0).then(None).otherwise("miles"))


@dataclass
class Rides:
    """A problem: rows to learn from, rows to judge by, and what is done with them in every test."""

    task: str
    train: pl.DataFrame
    validation: pl.DataFrame
    features = (
        Feature("zone", pl.col("zone"), kind="category"),
        Feature("vendor", pl.col("vendor"), kind="category"),
        Feature("miles", pl.col("miles"), kind="number", unit="miles"),
        Feature("hour", pl.col("hour"), kind="number", unit="hours"),
        TargetEncoding("mean_by_vendor_and_zone", of=("vendor", "zone")),
    )

    def spec(self, kind="linear", *, name="model", objective=None, estimator=None, per=(), min_rows=250, **params):
        return ModelSpec.read(
            name=name, kind=kind, task=self.task, classes=3 if self.task == "multiclass" else 2, objective=objective,
            estimator=estimator, params=params, per=per, min_rows=min_rows,
        )  # fmt: skip

    def fit(self, spec, *, train=None, validation=None, seed=0, threads=1, **more) -> Fit:
        return fit_model(
            spec, self.train if train is None else train, self.validation if validation is None else validation,
            features=more.pop("features", self.features), seed=seed, threads=threads, **more,
        )  # fmt: skip

    def frame(self, rows=None) -> pl.DataFrame:
        return (self.validation if rows is None else rows).select("zone", "vendor", "miles", "hour")

    def scores(self, fit: Fit, rows=None):
        return fit.model.scores(self.frame(rows), fit.specs, threads=1)

    def loss(self, scores) -> float:
        return mean_loss(LOSS[self.task], self.validation["label"].to_numpy(), scores)

    @property
    def naive(self) -> float:
        """The loss of the median, or of the base rates."""
        label, rows = self.train["label"].to_numpy(), self.validation.height
        if self.task == "regression":
            return self.loss(np.full(rows, np.median(label)))
        rates = np.bincount(label.astype(int)) / label.size
        return self.loss(np.full(rows, rates[1]) if self.task == "binary" else np.tile(rates, (rows, 1)))

    def check(self, fit: Fit, *, better_than: float = 0.7) -> None:
        """What holds for every model: it learns, reads its columns, comes back the same, and takes each row alone."""
        scores = self.scores(fit)
        assert self.loss(scores) < better_than * self.naive
        assert np.isfinite(scores).all()
        if self.task == "multiclass":
            assert scores.shape == (self.validation.height, 3)
            assert np.abs(scores.sum(axis=1) - 1).max() < 1e-12
        if self.task != "regression":
            assert ((scores >= 0) & (scores <= 1)).all()
        swapped = self.frame().rename({"miles": "hour", "hour": "miles"}).select("zone", "vendor", "miles", "hour")
        assert not np.array_equal(self.scores(fit, swapped), scores)
        facts = json.loads(json.dumps(fit.model.facts(), allow_nan=False))
        again = read_model(facts, fit.model.files())
        assert np.array_equal(again.scores(self.frame(), fit.specs, threads=2), scores)
        assert again.facts() == fit.model.facts()
        alone = [self.scores(fit, self.frame()[i]) for i in range(25)]
        assert np.array_equal(np.concatenate(alone), scores[:25])
        few = [self.scores(fit, self.frame()[i : i + 7]) for i in range(0, 35, 7)]
        assert np.array_equal(np.concatenate(few), scores[:35])
        assert np.array_equal(self.scores(fit, self.frame()[::-1])[::-1], scores)
        assert sum(fit.importances.values()) == pytest.approx(1)
        assert min(fit.importances.values()) >= 0
        assert set(fit.importances) == {f.name for f in self.features}


@pytest.fixture(scope="session", params=["regression", "binary", "multiclass"])
def rides(request) -> Rides:
    """Each task."""
    return Rides(request.param, simulated(1200, 1, request.param), simulated(300, 2, request.param))


@pytest.fixture(scope="session")
def minutes() -> Rides:
    """The regression."""
    return Rides("regression", simulated(1200, 1, "regression"), simulated(300, 2, "regression"))


@pytest.fixture(scope="session")
def classes() -> Rides:
    """Three classes."""
    return Rides("multiclass", simulated(1200, 1, "multiclass"), simulated(300, 2, "multiclass"))
