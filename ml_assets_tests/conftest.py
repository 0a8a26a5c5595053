"""Fixtures and options for every test."""

import os
import shutil
import sys
import uuid
from pathlib import Path

import dagster as dg
import pytest
import yaml

from ml_assets import components
from ml_assets.definitions import resources
from ml_assets.replay import Replay

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--strict-skips", action="store_true", help="A skipped test fails, except for missing real data.")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if item.config.getoption("--strict-skips") and report.skipped and "real taxi trips" not in str(report.longrepr):
        report.outcome = "failed"


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

    def load(self, *documents: dict) -> dg.Definitions:
        (self.folder / "defs.yaml").write_text("---\n".join(yaml.safe_dump(d) for d in documents))
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


@pytest.fixture
def project(tmp_path, monkeypatch):
    package = f"project_{uuid.uuid4().hex}"
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Project(tmp_path, package)
    for name in [m for m in sys.modules if m.split(".")[0] == package]:
        del sys.modules[name]


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
        "evaluation": {"slices": ["passengers"]},
        "versioning": "off",
    },
}


def changed(document: dict, **attributes: object) -> dict:
    return {**document, "attributes": {**document["attributes"], **attributes}}


class World:
    """A project with small simulated months, a data folder and an instance."""

    table, pipeline, rows = TABLE, PIPELINE, ROWS
    untrained = changed(PIPELINE, model={"window": 60})
    changed = staticmethod(changed)

    def __init__(self, project, instance: dg.DagsterInstance) -> None:
        self.project, self.instance = project, instance
        shutil.copy(REPOSITORY / "ml_assets/defs/trips/schema.py", project.folder)
        shutil.copy(REPOSITORY / "ml_assets/defs/trip_duration/features.py", project.folder)

    def replay(
        self, last: str | None = None, table: dict = TABLE, pipeline: dict = PIPELINE, first: str | None = None
    ) -> Replay:
        definitions = self.project.load(table, pipeline)
        tree = dg.ComponentTree.for_project(self.project.root)
        [component] = tree.get_all_components(components.Pipeline)
        return Replay(component.on_its_table(tree), definitions, self.instance, first, last)


@pytest.fixture
def world(project, tmp_path, monkeypatch):
    monkeypatch.setenv("ML_ASSETS_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("ML_ASSETS_SOURCE", raising=False)
    with dg.DagsterInstance.ephemeral(str(tmp_path)) as instance:
        yield World(project, instance)
