"""Stores, a DVC folder; for the tests of tracking a real MLflow database, made once and copied, and a real bundle."""

import json
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ml_assets.core.assignment import PartCounts
from ml_assets.core.features import Feature
from ml_assets.core.manifest import Manifest
from ml_assets.core.time_split import TimeRange, TimeSplit
from ml_assets.resources.storage import Store
from ml_assets_tests.resources.dvc_bench import Bench

SCRIPT = Path(__file__).with_name("tracking_processes.py")
REPOSITORY = SCRIPT.parents[2]
FEATURES = [
    Feature("zone", pl.col("zone"), kind="category"),
    Feature("miles", pl.col("miles"), kind="number", unit="miles"),
    Feature("hour", pl.col("hour"), kind="number", unit="hours"),
]
SPLIT = TimeSplit(
    TimeRange(datetime(2018, 1, 1), datetime(2018, 3, 1)),
    TimeRange(datetime(2018, 3, 1), datetime(2018, 3, 15)),
    TimeRange(datetime(2018, 3, 15), datetime(2018, 4, 1)),
    datetime(2018, 4, 1),
)


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    """In a folder, and in a bucket."""
    if request.param == "local":
        return Store(root=str(tmp_path / "store"))
    return Store(root=f"memory://{tmp_path.name}")


@pytest.fixture
def bench(tmp_path):
    """Partitions, and DVC beside them."""
    return Bench(tmp_path)


def rides(rows: int, seed: int) -> pl.DataFrame:
    """Trips whose minutes depend on a category, on a number with gaps, and on whole hours."""
    rng = np.random.default_rng(seed)
    zone, miles, hour = rng.integers(0, 12, rows), rng.gamma(2, 2, rows), rng.integers(0, 24, rows)
    minutes = 3 + 4 * miles + 2 * (zone % 5) + np.where((hour > 7) & (hour < 10), 6, 0) + rng.exponential(2, rows)
    every = pl.int_range(pl.len())
    return pl.DataFrame(
        {"zone": [f"z{z}" for z in zone], "miles": miles, "hour": hour.astype(float), "label": minutes}
    ).with_columns(
        miles=pl.when(every % 20 == 0).then(None).otherwise("miles"),
        zone=pl.when(every % 33 == 0).then(None).otherwise("zone"),
    )


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """Root and SHA-256 of a bundle of trees that use all three features."""
    from ml_assets.core.bundle import Bundle
    from ml_assets.core.models.kinds import fit_model
    from ml_assets.core.models.spec import ModelSpec
    from ml_assets.core.parameters import ModelParams
    from ml_assets.resources.bundle_files import save

    train = rides(800, 1)
    spec = ModelSpec("model", "lightgbm", "regression", ModelParams(trees=30, leaves=7, min_rows_per_leaf=10))
    rows = PartCounts(rows={"train": 800, "validation": 200, "holdout": 1}, immature={})
    made = Bundle.of(
        fit_model(spec, train, rides(200, 2), features=FEATURES, seed=0, threads=1),
        pipeline="trip_duration",
        label={"name": "trip_minutes", "unit": "minutes", "task": "regression"},
        spec=spec,
        seed=0,
        manifest=Manifest("2018-03", {"2018-03": "ab" * 32}, SPLIT, rows),
        train=train,
        learning={"window": None, "half_life": None, "rows": 800, "refit": False},
    )
    root = tmp_path_factory.mktemp("models")
    save(made, root)
    return str(root), made.sha256


@pytest.fixture(scope="session")
def fresh_database(tmp_path_factory):
    """An empty MLflow database."""
    from ml_assets.resources.tracking import MlflowTracker

    folder = tmp_path_factory.mktemp("mlflow")
    file = folder / "mlflow.db"
    with MlflowTracker(f"sqlite:///{file}", "", folder, 5, "").opened():
        pass
    return file


@pytest.fixture
def data(tmp_path, fresh_database):
    """A data folder with an MLflow database that has its tables."""
    shutil.copy(fresh_database, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture(scope="session")
def processes(tmp_path_factory):
    """Run cases of `tracking_processes.py`; the exit codes of each one's children."""

    def run(cases: list[dict]) -> list[list[int]]:
        file = tmp_path_factory.mktemp("cases") / "cases.json"
        file.write_text(json.dumps(cases))
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(SCRIPT), str(file)],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        # Nothing is printed, also where the database is made.
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    return run
