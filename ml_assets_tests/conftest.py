"""Fixtures and options for every test."""

import hashlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
import yaml

from ml_assets import components, problem
from ml_assets.assets.release import decide_on
from ml_assets.config.pipeline import PipelineConfig
from ml_assets.config.table import TableConfig
from ml_assets.core.errors import BundleError
from ml_assets.definitions import resources
from ml_assets.problem import Pipeline, Table
from ml_assets.releasing import ReleaseDesk
from ml_assets.replay import Replay
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.models import Models
from ml_assets.resources.storage import Store
from ml_assets_tests.instances import keep_connections
from ml_assets_tests.paper import leave_blank

REPOSITORY = Path(__file__).resolve().parents[1]


ALLOWED_SKIPS = ("real taxi trips", "may not mount")
"""What a machine may lack: real data, and the right to mount a disk."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--strict-skips", action="store_true", help=f"A skipped test fails, except for {ALLOWED_SKIPS}.")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    is_allowed = any(reason in str(report.longrepr) for reason in ALLOWED_SKIPS)
    if item.config.getoption("--strict-skips") and report.skipped and not is_allowed:
        report.outcome = "failed"


def pytest_collection_modifyitems(items):
    """The files of the longest proofs come first, so that no processor waits for one at the end."""
    marks = {item: item.get_closest_marker("slow") for item in items}
    longest: dict[Path, float] = {}
    for item, mark in marks.items():
        longest[item.path] = max(longest.get(item.path, 0), mark.kwargs.get("seconds", 0) if mark else 0)
    items.sort(key=lambda item: -longest[item.path])


@pytest.fixture(scope="session")
def tlc() -> Path:
    """The folder of real taxi trips; tests that need it are skipped without it."""
    folder = Path(os.environ.get("ML_ASSETS_TLC") or REPOSITORY.parent / "shared/data/tlc")
    if not folder.is_dir():
        pytest.skip(f"real taxi trips are not at {folder}; set ML_ASSETS_TLC to a folder of TLC files")
    return folder


SCHEMA = """
from datetime import datetime
import pandera.polars as pa
class Row(pa.DataFrameModel):
    happened_at: datetime
    paid_at: datetime
    price_usd: float
"""


class Project:
    """A project of one folder in a package of its own."""

    def __init__(self, root: Path, package: str) -> None:
        self.root = root
        self.folder = root / package / "defs" / "prices"
        self.folder.mkdir(parents=True)
        (root / package / "__init__.py").write_text("")
        (root / "pyproject.toml").write_text(
            f'[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "{package}"\n'
            'registry_modules = ["ml_assets.components"]\n'
        )
        (self.folder / "schema.py").write_text(SCHEMA)
        (self.folder / "features.py").write_text("FEATURES = []\n")

    def write(self, *documents: dict) -> None:
        (self.folder / "defs.yaml").write_text("---\n".join(yaml.safe_dump(d) for d in documents))

    def load(self, *documents: dict) -> dg.Definitions:
        self.write(*documents)
        loaded = dg.load_from_defs_folder(path_within_project=self.root)
        return dg.Definitions.merge(loaded, dg.Definitions(resources=resources()))

    def complaint(self, *documents: dict) -> str:
        """Everything that is said when loading fails."""
        with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps; the text is what counts
            self.load(*documents)
        said, error = [], caught.value
        while error is not None:
            said.append(str(error))
            error = error.__cause__ or error.__context__
        return "\n".join(said)


@contextmanager
def project_in(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A new project that can be imported, and is forgotten afterwards."""
    package = f"project_{uuid.uuid4().hex}"
    monkeypatch.syspath_prepend(str(root))
    yield Project(root, package)
    for name in [m for m in sys.modules if m.split(".")[0] == package]:
        del sys.modules[name]


@pytest.fixture
def project(tmp_path, monkeypatch):
    with project_in(tmp_path, monkeypatch) as found:
        yield found


ROWS = 1500
TABLE = {
    "type": "ml_assets.components.Table",
    "attributes": {
        "name": "rides",
        "source": {"kind": "simulated", "rows": ROWS},
        "partitions": {"cadence": "monthly", "start": "2018-01-01", "end": "2018-09-01"},
        "event_time": "pickup_at",
        "schema": "schema:Trip",
    },
}
PIPELINE = {
    "type": "ml_assets.components.Pipeline",
    "attributes": {
        "name": "duration",
        "table": "rides",
        "label": {"column": "trip_minutes", "known_at": "dropoff_at"},
        "features": "features:FEATURES",
        "model": {"window": 3, "threads": 1, "params": {"trees": 30}},
        "evaluation": {"slices": ["passengers"], "min_labels": 300, "non_inferiority": 0.5},
        "retraining": {
            "on_drift": None,
            "on_performance": None,
            "on_stale": None,
            "schedule": "0 0 1 1,4,7,10 *",
        },
        "versioning": "off",
        "trackers": [],
    },
}


def changed(document: dict, **attributes: object) -> dict:
    return {**document, "attributes": {**document["attributes"], **attributes}}


def copy_trips_code(folder: Path) -> None:
    """The schema and the features that small projects share with those that ship."""
    shutil.copy(REPOSITORY / "ml_assets/defs/trips/schema.py", folder)
    shutil.copy(REPOSITORY / "ml_assets/defs/trip_duration/features.py", folder)


@pytest.fixture(scope="session")
def write_project():
    """Write a world's project into a folder, for a process of its own: `(root, package, **attributes) -> root`."""

    def write(root: Path, package: str, **attributes: object) -> Path:
        project = Project(root, package)
        copy_trips_code(project.folder)
        project.write(TABLE, changed(PIPELINE, **attributes))
        return root

    return write


@pytest.fixture(scope="session")
def small_pipeline(tmp_path_factory) -> Pipeline:
    """A world's pipeline, for what asks for no more of it than its name and its partitions."""
    folder = tmp_path_factory.mktemp("small")
    table = Table("rides", TableConfig.model_validate(TABLE["attributes"]), folder)
    return Pipeline("duration", PipelineConfig.model_validate(PIPELINE["attributes"]), folder, table)


class World:
    """A project with small simulated months, a data folder and an instance."""

    table, pipeline, rows = TABLE, PIPELINE, ROWS
    untrained = changed(PIPELINE, model={"window": 60})
    changed = staticmethod(changed)

    def __init__(self, project, instance: dg.DagsterInstance) -> None:
        self.project, self.instance = project, instance

    def replay(
        self, last: str | None = None, table: dict = TABLE, pipeline: dict = PIPELINE, first: str | None = None
    ) -> Replay:
        definitions = self.project.load(table, pipeline)
        tree = dg.ComponentTree.for_project(self.project.root)
        [component] = tree.get_all_components(components.Pipeline)
        return Replay(component.on_its_table(tree), definitions, self.instance, first, last)


@pytest.fixture
def paper(monkeypatch) -> None:
    """What becomes of pictures in a world; tests that look at them, or have some of their own, have another paper."""
    leave_blank(monkeypatch)


@pytest.fixture
def world(project, tmp_path, monkeypatch, paper):
    monkeypatch.setenv("ML_ASSETS_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("ML_ASSETS_SOURCE", raising=False)
    copy_trips_code(project.folder)
    with dg.DagsterInstance.ephemeral(str(tmp_path)) as instance:
        yield World(project, instance)


@pytest.fixture(scope="session", autouse=True)
def kept_connections() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        keep_connections(patch)
        yield


class BundlesWithoutModels(Models):
    """Bundles that are only facts, content-addressed and verified like real ones."""

    def save_facts(self, **facts: object) -> str:
        text = json.dumps(facts, sort_keys=True).encode()
        sha256 = hashlib.sha256(text).hexdigest()
        (Path(self.root) / sha256).mkdir(parents=True, exist_ok=True)
        (Path(self.root) / sha256 / "manifest.json").write_bytes(text)
        return sha256

    def load(self, sha256: str) -> SimpleNamespace:
        file = Path(self.root) / sha256 / "manifest.json"
        text = file.read_bytes() if file.exists() else b""
        if hashlib.sha256(text).hexdigest() != sha256:
            raise BundleError(f"bundle {sha256[:12]}", found="another hash", expected="its own", cure="restore it")
        facts = json.loads(text)
        return SimpleNamespace(sha256=sha256, facts=facts, as_of=facts["training"]["as_of"])


class Judged:
    """A pipeline `duration` with bundles that are only facts, and evaluations in given numbers."""

    def __init__(self, root: Path, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.store = Store(root=str(root / "store"))
        self.models = BundlesWithoutModels(root=str(root / "models"))
        self.ledger = Ledger(url=f"sqlite:///{root / 'ledger.db'}")
        self.desk = ReleaseDesk(pipeline, self.store, self.models, self.ledger)

    def bundle(self, as_of: str, name: str = "", pipeline: str = "duration") -> str:
        end = self.pipeline.table.window(as_of).end.isoformat()
        return self.models.save_facts(pipeline=pipeline, name=name, training={"as_of": as_of, "split": {"as_of": end}})

    def evaluation(self, bundle: str, **changes: object) -> dict:
        """An evaluation of 50,000 rows, 2 % better than the champion and 60 % better than the naive baseline."""
        now = self.desk.live()
        mae = {"candidate": {"mae": 2.744}, "naive": {"mae": 7.0}, "linear": {"mae": 2.0}}
        versus = {"naive": {"estimate": -4.256, "low": -4.3, "high": -4.2}}
        versus["linear"] = {"estimate": 0.744, "low": 0.7, "high": 0.8}
        if now is not None:
            mae["champion"] = {"mae": 2.8}
            versus["champion"] = {"estimate": -0.056, "low": -0.07, "high": -0.042}
        as_of = self.models.load(bundle).as_of
        told = {
            "pipeline": "duration", "bundle": bundle, "as_of": as_of, "task": "regression", "metric": "mae",
            "scores_from": self.pipeline.table.window(as_of).end.isoformat(), "rows_trained": 90_000, "rows": 50_000,
            "rows_immature": 12, "holdout": {"sha256": "ab" * 32, "start": "2018-03-21", "end": "2018-04-01"},
            "metrics": mae, "differences": versus, "slice_differences": {}, "calibration": None,
            "champion": now and {"bundle": now.bundle, "as_of": now.as_of, "sequence": now.sequence},
            "champion_learnt_holdout": False,
        }  # fmt: skip
        return {**told, **changes}

    def decide(self, bundle: str, **changes: object) -> dict:
        return decide_on(self.desk, self.evaluation(bundle, **changes), "a test")

    def make_live(self, as_of: str, name: str = "") -> str:
        """Release a new bundle after a passing decision."""
        bundle = self.bundle(as_of, name)
        assert self.decide(bundle)["verdict"] == "promote"
        self.desk.release(bundle, by="a test", reason="it passed")
        return bundle

    def kinds(self) -> list[str]:
        return [e.kind for e in self.desk.events()]


JUDGED_TABLE = {"source": {"kind": "simulated", "rows": 10}, "event_time": "pickup_at", "schema": "schema:Trip"}
JUDGED = {
    "table": "trips",
    "label": {"column": "trip_minutes", "known_at": "dropoff_at"},
    "features": "features:F",
    "evaluation": {
        "margin": 0.01,
        "non_inferiority": 0.0,
        "slice_margin": 0.05,
        "calibration_margin": 0.02,
        "min_labels": 500,
    },
    "trackers": [],
}


def judged_at(root: Path) -> Judged:
    partitions = {"cadence": "monthly", "start": "2018-01-01", "end": "2020-01-01"}
    table = Table("trips", TableConfig.model_validate({**JUDGED_TABLE, "partitions": partitions}), root)
    return Judged(root, problem.Pipeline("duration", PipelineConfig.model_validate(JUDGED), root, table))


@pytest.fixture
def judged(tmp_path) -> Judged:
    return judged_at(tmp_path)


@pytest.fixture
def station(tmp_path):
    from ml_assets_tests.station import Station

    with dg.DagsterInstance.ephemeral() as instance:
        yield Station(tmp_path, instance)


@pytest.fixture
def drifted(station):
    """Champion as of March; of the last three months two have drifted, which is enough."""
    station.land("2018-01", "2018-02", "2018-03")
    station.release()
    station.follow("2018-04")
    station.follow("2018-05", "drifted")
    station.follow("2018-06", "drifted")
    station.now = "2018-07-01T00:00:00"
    return station
