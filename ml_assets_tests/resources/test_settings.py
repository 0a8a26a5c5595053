"""Where everything is: one variable moves all, each of the others one root alone."""

from pathlib import Path

import pytest

from ml_assets.resources.settings import REPOSITORY, settings, source_for
from ml_assets.resources.sources.interface import FilesSourceConfig, SimulatedSourceConfig, SqlSourceConfig

VARIABLES = {
    "store": "ML_ASSETS_STORE",
    "models": "ML_ASSETS_MODELS",
    "reports": "ML_ASSETS_REPORTS",
    "predictions": "ML_ASSETS_PREDICTIONS",
    "ledger": "ML_ASSETS_LEDGER",
}
SIMULATED = SimulatedSourceConfig(kind="simulated", rows=10)


@pytest.fixture(autouse=True)
def _unset(monkeypatch):
    for variable in ("ML_ASSETS_DATA", "ML_ASSETS_SOURCE", *VARIABLES.values()):
        monkeypatch.delenv(variable, raising=False)


def test_the_default_is_in_the_repository():
    assert settings().data == REPOSITORY / "data"
    assert settings().store == str(REPOSITORY / "data/store")
    assert (REPOSITORY / "pyproject.toml").is_file()


def test_one_variable_moves_all(monkeypatch, tmp_path):
    before = settings()
    monkeypatch.setenv("ML_ASSETS_DATA", str(tmp_path))
    after = settings()
    assert after.data == tmp_path
    assert after.dagster_home == tmp_path / "dagster"
    for name in VARIABLES:
        assert getattr(after, name) == getattr(before, name).replace(str(REPOSITORY / "data"), str(tmp_path)), name
        assert str(tmp_path) in getattr(after, name)
    assert after.ledger == f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.mark.parametrize("moved", VARIABLES)
def test_each_other_one_moves_one_root_alone(monkeypatch, moved):
    before = vars(settings())
    elsewhere = {"ledger": "postgresql://db/ledger"}.get(moved, f"s3://bucket/{moved}")
    monkeypatch.setenv(VARIABLES[moved], elsewhere)
    assert vars(settings()) == {**before, moved: elsewhere}


def test_an_empty_variable_is_none(monkeypatch):
    before = settings()
    for variable in ("ML_ASSETS_DATA", "ML_ASSETS_SOURCE", *VARIABLES.values()):
        monkeypatch.setenv(variable, "")
    assert settings() == before
    assert source_for(SIMULATED) == SIMULATED


def test_local_folders_are_in_full(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ML_ASSETS_DATA", "~/data")
    monkeypatch.setenv("ML_ASSETS_STORE", "store")
    monkeypatch.setenv("ML_ASSETS_MODELS", f"file://{tmp_path}/models")
    found = settings()
    assert (found.data, found.store) == (tmp_path / "home/data", str(tmp_path / "store"))
    assert found.models == str(tmp_path / "models")


def test_simulated_sources_are_replaced_by_a_folder_of_files(monkeypatch, tmp_path):
    assert source_for(SIMULATED) == SIMULATED
    monkeypatch.setenv("ML_ASSETS_SOURCE", "simulated")
    assert source_for(SIMULATED) == SIMULATED
    monkeypatch.setenv("ML_ASSETS_SOURCE", str(tmp_path))
    replaced = source_for(SIMULATED)
    assert isinstance(replaced, FilesSourceConfig)
    assert Path(replaced.path) == tmp_path / "yellow_tripdata_{year}-{month}.parquet"


@pytest.mark.parametrize(
    "configured",
    [
        FilesSourceConfig(kind="files", path="a-{year}-{month}.csv"),
        SqlSourceConfig(
            kind="sql", url="sqlite:///a.db", query="select * from a where t >= :start and t < :end order by t, id"
        ),
    ],
)
def test_no_other_source_is_replaced(monkeypatch, tmp_path, configured):
    monkeypatch.setenv("ML_ASSETS_SOURCE", str(tmp_path))
    assert source_for(configured) is configured
