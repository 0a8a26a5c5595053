"""The model that all servers serve, the rows they are asked for, and a data folder in which it is champion."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.serving_files import EXPECTED, FEATURES, MODEL, ROWS, TEXT
from ml_assets.core.assignment import PartCounts
from ml_assets.core.bundle import Bundle
from ml_assets.core.features import LABEL, Feature
from ml_assets.core.manifest import Manifest
from ml_assets.core.models.kinds import fit_model
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.models.trees_model import FILE
from ml_assets.core.parameters import ModelParams
from ml_assets.core.releases import RELEASED, ROLLOUT_BEGUN
from ml_assets.core.rollout.recorded import begun_facts, next_id
from ml_assets.core.rollout.rules import Rules
from ml_assets.core.rollout.state import State, Transition
from ml_assets.core.time_split import TimeRange, TimeSplit
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.models import Models

TREES, LEAVES = 500, 63
ROWS_LEARNT, ROWS_ASKED = 20_000, 512
DATA = "data"
"""Folder that `ML_ASSETS_DATA` names: bundles and a ledger in which one is released."""
SHADOWED = "shadowed"
"""The same, with another one in its shadow."""


def make(folder: Path) -> None:
    """Fill the folder with the model's text, rows, what it predicts for them, and the data folder."""
    bundle = train()
    (folder / TEXT).write_bytes(bundle.files[FILE])
    asked = _rows(ROWS_ASKED, seed=1).drop(LABEL)
    (folder / ROWS).write_text(json.dumps([list(row) for row in asked.iter_rows()]))
    (folder / EXPECTED).write_text(json.dumps(bundle.predict(asked).tolist()))
    for name in (DATA, SHADOWED):
        _release(bundle, folder / name)
    _shadow(bundle, folder / SHADOWED)


def make_several(folder: Path, trees: int = TREES) -> tuple[list[str], list[list[float]]]:
    """Fill the folder with rows and a data folder of three bundles, the first of which is released.

    Returns:
        SHA-256 of each, and what each predicts for the rows; what the first does is also in the folder.
    """
    asked = _rows(ROWS_ASKED, seed=1).drop(LABEL)
    bundles = [train(seed, trees) for seed in range(3)]
    expected = [bundle.predict(asked).tolist() for bundle in bundles]
    (folder / ROWS).write_text(json.dumps([list(row) for row in asked.iter_rows()]))
    (folder / EXPECTED).write_text(json.dumps(expected[0]))
    _release(bundles[0], folder / DATA)
    for bundle in bundles[1:]:
        Models(root=str(folder / DATA / "models")).save(bundle)
    return [bundle.sha256 for bundle in bundles], expected


def _release(bundle: Bundle, data: Path) -> None:
    data.mkdir()
    Models(root=str(data / "models")).save(bundle)
    facts = {
        "bundle": bundle.sha256,
        "as_of": bundle.as_of,
        "as_of_end": "2018-04-01T00:00:00",
        "scores_from": "2018-04-01T00:00:00",
        "record": None,
        "forced": True,
        "by": "benchmark",
        "reason": "to be measured",
    }
    Ledger(url=f"sqlite:///{data / 'ledger.db'}").append(MODEL, RELEASED, facts, after=0)


def _shadow(champion: Bundle, data: Path) -> None:
    """Begin a rollout whose candidate, as large as the champion, is scored beside."""
    candidate, now = train(seed=2), datetime.now(UTC)
    Models(root=str(data / "models")).save(candidate)
    begun = Transition("advance", State("shadow", 0, 0, now, now), ("to be measured",))
    record = {"as_of": candidate.as_of, "sha256": None}
    rules = Rules(strategy="shadow", steps=(0,)).to_json()
    ledger = Ledger(url=f"sqlite:///{data / 'ledger.db'}")
    name = next_id(ledger.events(MODEL), candidate.sha256)
    facts = begun_facts(name, champion.sha256, candidate.sha256, record, rules, begun, "benchmark")
    ledger.append(MODEL, ROLLOUT_BEGUN, facts, after=1)


def train(seed: int = 0, trees: int = TREES) -> Bundle:
    """A bundle of so many trees of `LEAVES` leaves each, over all features.

    Raises:
        RuntimeError: it has fewer.
    """
    rows = _rows(ROWS_LEARNT, seed)
    params = ModelParams(trees=trees, leaves=LEAVES, min_rows_per_leaf=20, objective="l2", early_stopping_rounds=0)
    spec = ModelSpec("model", "lightgbm", "regression", params)
    features = [Feature(name, pl.col(name), kind="number") for name in FEATURES]
    split = TimeSplit(
        TimeRange(datetime(2018, 1, 1), datetime(2018, 3, 1)),
        TimeRange(datetime(2018, 3, 1), datetime(2018, 3, 15)),
        TimeRange(datetime(2018, 3, 15), datetime(2018, 4, 1)),
        datetime(2018, 4, 1),
    )
    fit = fit_model(spec, rows, None, features=features, seed=seed, threads=1)
    grown = fit.model.files()[FILE].decode()
    found = (grown.count("Tree="), grown.count(f"num_leaves={LEAVES}\n"))
    if found != (trees, trees):
        raise RuntimeError(f"{found[0]} trees, {found[1]} of them with {LEAVES} leaves, in place of {trees} of both")
    return Bundle.of(
        fit,
        pipeline=MODEL,
        label={"name": "y", "unit": "minutes", "task": "regression"},
        spec=spec,
        seed=seed,
        manifest=Manifest("2018-03", {"2018-03": "0" * 64}, split, PartCounts({"train": ROWS_LEARNT}, {})),
        train=rows,
        learning={"window": None, "half_life": None, "rows": ROWS_LEARNT, "refit": False},
    )


def _rows(rows: int, seed: int) -> pl.DataFrame:
    """Numbers, some of them whole, and a label that depends on all of them."""
    rng = np.random.default_rng(seed)
    values = rng.gamma(2.0, 2.0, (rows, len(FEATURES)))
    values[:, ::3] = np.floor(values[:, ::3])
    waves = np.sin(values * np.linspace(0.2, 2.0, len(FEATURES))).sum(axis=1)
    label = 10 + waves + values[:, 0] * values[:, 1] / 4 + rng.normal(0, 0.5, rows)
    return pl.DataFrame({**dict(zip(FEATURES, values.T, strict=True)), LABEL: label})
