"""What is loaded is what its hash says, works in a process of its own, and scores as recorded."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ml_assets.core.errors import BundleError
from ml_assets.resources.bundle_files import save
from ml_assets.resources.model_folder import ModelFolder
from ml_assets.serving import loading, trial
from ml_assets.serving.loading import Loader, require_smoke
from ml_assets_tests.core.test_bundle import made


@pytest.fixture(scope="module")
def bundle():
    return made(pipeline="rides")


@pytest.fixture
def loader(tmp_path, bundle):
    save(bundle, tmp_path / "models")
    return Loader(ModelFolder(str(tmp_path / "models")), tmp_path / "tried")


@pytest.fixture
def here(monkeypatch):
    """Trials in this process, and how many there were."""
    tried = []

    def run(command, **_):
        tried.append(command)
        code = trial.main(*command[3:])
        return subprocess.CompletedProcess(command, code, "", "no")

    monkeypatch.setattr(loading.subprocess, "run", run)
    return tried


def test_it_is_tried_once_per_machine(loader, bundle, here):
    for _ in range(3):
        assert loader.load("rides", bundle.sha256).version == bundle.sha256
    [command] = here
    assert command == [sys.executable, "-m", "ml_assets.serving.trial", loader.models.root, bundle.sha256]


def test_another_version_of_a_runtime_is_another_machine(loader, bundle, here, monkeypatch):
    loader.load("rides", bundle.sha256)
    real = loading.version
    monkeypatch.setattr(loading, "version", lambda name: "9.9" if name == "lightgbm" else real(name))
    loader.load("rides", bundle.sha256)
    assert len(here) == 2


def test_a_trial_in_a_process_of_its_own(loader, bundle):
    assert loader.load("rides", bundle.sha256).predict({"zone": ["z1"], "miles": [1.0], "hour": [2.0]}, 1)


@pytest.mark.parametrize(
    ("code", "found"),
    [("import os; os.abort()", "ended by signal 6"), ("import time; time.sleep(60)", "still loading after"),
     ("raise SystemExit('no such leaf')", "no such leaf")],
)  # fmt: skip
def test_what_ends_hangs_or_fails_in_the_trial_is_refused_and_tried_again(loader, bundle, monkeypatch, code, found):
    real = subprocess.run
    monkeypatch.setattr(loading.subprocess, "run", lambda command, **given: real([sys.executable, "-c", code], **given))
    for _ in range(2):
        with pytest.raises(BundleError, match=found):
            replace(loader, trial_seconds=1.0).load("rides", bundle.sha256)
    assert list(loader.tried.glob("*.py*")) == []


def test_damaged_bytes_are_refused_before_anything_parses_them(loader, bundle, here, monkeypatch):
    file = Path(loader.models.root) / bundle.sha256 / "model.txt"
    file.write_bytes(file.read_bytes()[:-100])
    monkeypatch.setattr("ml_assets.core.models.lightgbm_library.Trees.__init__", lambda *_: pytest.fail("parsed"))
    with pytest.raises(BundleError):
        loader.load("rides", bundle.sha256)
    with pytest.raises(BundleError, match="SHA-256"):
        replace(loader, tried=None).models.read(bundle.sha256)


def test_a_model_that_scores_its_golden_rows_otherwise_is_refused(loader, bundle, here):
    golden = bundle.facts["golden"]
    other = replace(bundle, facts={**bundle.facts, "golden": {**golden, "scores": [1.0, *golden["scores"][1:]]}})
    save(other, Path(loader.models.root))
    with pytest.raises(BundleError):
        loader.load("rides", other.sha256)


def test_the_path_that_serves_is_asked_for_its_golden_rows(loader, bundle, here):
    model = loader.load("rides", bundle.sha256)
    require_smoke(model)
    real = model.scorer.scores
    model.scorer.scores = lambda columns, rows: [score + 1e-9 for score in real(columns, rows)]
    with pytest.raises(BundleError, match="one by one"):
        require_smoke(model)
    assert not model.answers()


def test_another_pipelines_bundle_is_refused(loader, bundle, here):
    with pytest.raises(BundleError, match="a model of the pipeline rides"):
        loader.load("tips", bundle.sha256)


def test_a_bundle_that_is_not_there(loader, here):
    with pytest.raises(BundleError):
        loader.load("rides", "f" * 64)


def test_the_trial_says_why(loader, bundle, capsys):
    assert trial.main(loader.models.root, bundle.sha256) == 0
    assert trial.main(loader.models.root, "f" * 64) == 1
    assert "No such file" in capsys.readouterr().err
