"""Bundles on disk and in an object store, through the resource that assets use."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from upath import UPath

from ml_assets.core.bundle import FORMAT, Bundle
from ml_assets.core.errors import BundleError
from ml_assets.core.features import Feature
from ml_assets.core.models.kinds import fit_model
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.parameters import ModelParams
from ml_assets.resources.models import Models

RNG = np.random.default_rng(0)
ROWS = pl.DataFrame({"miles": RNG.gamma(2, 2, 300)}).with_columns(label=4 * pl.col("miles") + 3)
FRAME = ROWS.select("miles").head(20)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    spec = ModelSpec("model", "lightgbm", "regression", ModelParams(trees=5, min_rows_per_leaf=10))
    features = [Feature("miles", pl.col("miles"), kind="number")]
    fit = fit_model(spec, ROWS, ROWS.head(100), features=features, seed=0, threads=1)
    facts = {"format": FORMAT, "features": [s.to_json() for s in fit.specs], "model": fit.model.facts()}
    files = {**fit.model.files(), "zz.bin": b"last by name"}
    scores = Bundle(facts, files).predict(FRAME[:2]).tolist()
    return Bundle({**facts, "golden": {"rows": [list(r) for r in FRAME[:2].iter_rows()], "scores": scores}}, files)


@pytest.fixture(params=["local", "memory"])
def models(request, tmp_path) -> Models:
    root = tmp_path / "new" / "models" if request.param == "local" else f"memory://{tmp_path.name}/models"
    return Models(root=str(root))


def test_what_is_saved_is_loaded_and_scores_the_same(models, bundle):
    sha256 = models.save(bundle)
    assert sha256 == bundle.sha256
    loaded = models.load(sha256)
    np.testing.assert_array_equal(loaded.predict(FRAME), bundle.predict(FRAME))
    assert np.unique(loaded.predict(FRAME)).size > 3
    assert models.load(sha256) is loaded, "kept in memory"
    files = (p for p in UPath(models.root).rglob("*") if p.is_file())
    assert sorted(p.name for p in files) == ["manifest.json", "model.txt", "zz.bin"]


def test_saving_again_changes_nothing(models, bundle):
    assert models.save(bundle) == models.save(bundle)
    assert [p.name for p in UPath(models.root).iterdir()] == [bundle.sha256]


def test_a_bundle_that_is_not_there(models, bundle):
    with pytest.raises(BundleError, match="No such file"):
        models.load(bundle.sha256)
    models.save(bundle)
    assert models.load(bundle.sha256).sha256 == bundle.sha256, "that it was missing is not remembered"


def test_damage_is_refused(models, bundle):
    models.save(bundle)
    text = UPath(models.root) / bundle.sha256 / "model.txt"
    text.write_bytes(text.read_bytes()[:-1])
    with pytest.raises(BundleError, match="SHA-256"):
        models.load(bundle.sha256)
    text.unlink()
    with pytest.raises(BundleError, match="No such file"):
        models.load(bundle.sha256)


def test_what_the_manifest_does_not_list_is_refused(models, bundle):
    folder = UPath(models.root) / models.save(bundle)
    (folder / "more.txt").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"more\.txt, which its manifest does not list"):
        models.load(bundle.sha256)


def test_a_bundle_by_the_beginning_of_its_hash(models, bundle):
    models.save(bundle)
    assert models.named(bundle.sha256[:8].upper()).sha256 == bundle.sha256
    for version in (bundle.sha256[:5], "0" * 12):
        with pytest.raises(BundleError, match="bundles in"):
            models.named(version)


@pytest.mark.parametrize("whole", [0, 1, 2])
def test_a_copy_to_a_bucket_that_was_cut_short_is_no_bundle(bundle, tmp_path, monkeypatch, whole):
    """After none, one, or both of the files; the manifest is the last to be written."""
    from fsspec.implementations.memory import MemoryFileSystem

    models, pipe, written = Models(root=f"memory://{tmp_path.name}/models"), MemoryFileSystem.pipe_file, []

    def cut_short(self, path, *args, **kwargs):
        if len(written) == whole:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        return pipe(self, path, *args, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", cut_short)
    with pytest.raises(OSError, match="No space left"):
        models.save(bundle)
    monkeypatch.undo()
    assert len(written) == whole
    with pytest.raises(BundleError, match=r"manifest\.json.*nothing was saved here, or only a part of it"):
        models.load(bundle.sha256)
    with pytest.raises(BundleError, match="0 bundles"):
        models.named(bundle.sha256)
    assert models.load(models.save(bundle)).sha256 == bundle.sha256


def test_damage_in_a_bucket_is_repaired_by_saving_again(models, bundle):
    folder = UPath(models.root) / models.save(bundle)
    (folder / "zz.bin").write_bytes(b"other")
    assert models.save(bundle) == bundle.sha256
    assert models.load(bundle.sha256).files == bundle.files


def test_a_bundle_of_another_root_is_not_taken(models, bundle, tmp_path):
    models.save(bundle)
    models.load(bundle.sha256)
    with pytest.raises(BundleError):
        Models(root=str(tmp_path / "elsewhere")).load(bundle.sha256)


SCRIPT = """
import sys
import polars as pl
from ml_assets.resources.models import Models
frame = pl.read_parquet(sys.argv[3])
print(Models(root=sys.argv[1]).load(sys.argv[2]).predict(frame).tolist())
"""


def test_another_process_scores_the_same_to_the_bit(bundle, tmp_path):
    models = Models(root=str(tmp_path / "models"))
    FRAME.write_parquet(tmp_path / "frame.parquet")
    arguments = [models.root, models.save(bundle), str(tmp_path / "frame.parquet")]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True,
        cwd=Path(__file__).resolve().parents[2], env={**os.environ, "OMP_NUM_THREADS": "2"},
    )  # fmt: skip
    assert done.stdout.strip() == str(bundle.predict(FRAME).tolist())
