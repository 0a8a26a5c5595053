"""Dagster's home: this repository's dagster.yaml with its folder in full, and an instance on it."""

import os

import dagster as dg
import pytest
import yaml

from ml_assets.core.errors import ConfigError
from ml_assets.resources.home import instance, prepare_home
from ml_assets.resources.settings import REPOSITORY


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ML_ASSETS_DATA", str(tmp_path / "a folder: with 'odd' #letters"))
    monkeypatch.setenv("DAGSTER_HOME", "")
    return tmp_path / "a folder: with 'odd' #letters" / "dagster"


def test_the_repositorys_settings_with_the_folder_in_full(home):
    prepare_home()
    assert os.environ["DAGSTER_HOME"] == str(home)
    ours = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())
    theirs = yaml.safe_load((home / "dagster.yaml").read_text())
    for storage in ("run_storage", "event_log_storage", "schedule_storage"):
        assert theirs[storage]["config"]["base_dir"] == str(home)
        assert ours[storage]["config"].pop("base_dir") == "data/dagster"
        del theirs[storage]["config"]["base_dir"]
    assert theirs == ours
    assert [p.name for p in home.iterdir()] == ["dagster.yaml"]


def test_a_second_call_changes_nothing(home):
    prepare_home()
    before = (home / "dagster.yaml").stat()
    prepare_home()
    after = (home / "dagster.yaml").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_an_old_copy_is_renewed(home):
    prepare_home()
    expected = (home / "dagster.yaml").read_text()
    (home / "dagster.yaml").write_text("telemetry: {enabled: true}\n")
    prepare_home()
    assert (home / "dagster.yaml").read_text() == expected


@pytest.mark.parametrize("name", ["data [1]", "data*", "what?"])
def test_a_folder_that_dagster_would_take_for_a_pattern_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setenv("ML_ASSETS_DATA", str(tmp_path / name))
    monkeypatch.setenv("DAGSTER_HOME", "")
    with pytest.raises(ConfigError, match="data folder"):
        prepare_home()
    assert list(tmp_path.iterdir()) == []
    assert os.environ["DAGSTER_HOME"] == ""


def test_runs_are_kept_from_one_instance_to_the_next(home):
    @dg.asset
    def one() -> int:
        return 1

    with instance() as first:
        assert dg.materialize([one], instance=first, resources={"io_manager": dg.mem_io_manager}).success
        assert first.telemetry_enabled is False
    with instance() as second:
        assert second.get_latest_materialization_event(dg.AssetKey("one")) is not None
    assert {p.name for p in home.iterdir() if p.suffix == ".db"} >= {"runs.db", "event_log.db", "schedules.db"}
