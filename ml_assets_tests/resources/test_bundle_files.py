"""Bundles on disk: whole or not there, never overwritten, and nothing damaged reaches LightGBM."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ml_assets.core.bundle import Bundle
from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.errors import BundleError
from ml_assets.core.features import Feature
from ml_assets.core.parameters import ModelParams
from ml_assets.core.training import train_lightgbm
from ml_assets.resources import bundle_files
from ml_assets.resources.bundle_files import load, save

ROWS = pl.DataFrame({"miles": np.arange(300) / 10}).with_columns(label=pl.col("miles") ** 1.1)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    trained = train_lightgbm(
        ROWS,
        ROWS,
        features=[Feature("miles", pl.col("miles"), kind="number")],
        params=ModelParams(trees=10, leaves=5),
        seed=0,
        threads=1,
    )
    specs = [FeatureSpec("miles", "number", None).to_json()]
    golden = {"rows": [[1.0], [2.5], [None]]}
    facts = {"format": bundle_files.FORMAT, "features": specs, "naive": 1.0, "golden": {"rows": [], "scores": []}}
    scores = Bundle(facts, trained.text).predict(
        pl.DataFrame(golden["rows"], schema={"miles": pl.Float64}, orient="row")
    )
    return Bundle({**facts, "golden": {**golden, "scores": scores.tolist()}}, trained.text)


def test_the_same_scores_to_the_bit_after_saving_and_loading(bundle, tmp_path):
    folder = save(bundle, tmp_path)
    assert folder == tmp_path / bundle.sha256
    assert hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest() == bundle.sha256
    back = load(tmp_path, bundle.sha256)
    assert back.sha256 == bundle.sha256
    frame = ROWS.select("miles")
    np.testing.assert_array_equal(back.predict(frame), bundle.predict(frame))
    assert len(np.unique(back.predict(frame))) > 10


def test_saving_again_changes_nothing(bundle, tmp_path):
    before = {p: p.stat().st_mtime_ns for p in save(bundle, tmp_path).iterdir()}
    assert {p: p.stat().st_mtime_ns for p in save(bundle, tmp_path).iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == [bundle.sha256]


def test_a_saver_that_is_killed_leaves_no_bundle(bundle, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        # A killed process neither renames nor cleans up.
        patched.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            save(bundle, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(BundleError, match="No such file"):
        load(tmp_path, bundle.sha256)
    save(bundle, tmp_path)
    load(tmp_path, bundle.sha256)


def test_two_savers_at_once(bundle, tmp_path, monkeypatch):
    rename = Path.rename

    def other_first(scratch: Path, target: Path) -> Path:
        shutil.copytree(scratch, target)
        return rename(scratch, target)

    monkeypatch.setattr(Path, "rename", other_first)
    save(bundle, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [bundle.sha256]
    load(tmp_path, bundle.sha256)


@pytest.mark.parametrize("name", ["manifest.json", "model.txt"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "remove"])
def test_damage_is_found_before_the_text_is_parsed(bundle, tmp_path, monkeypatch, name, damage):
    file = save(bundle, tmp_path) / name
    content = file.read_bytes()
    middle = len(content) // 2
    if damage == "remove":
        file.unlink()
    else:
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        file.write_bytes({"flip": flipped, "cut": content[:middle], "empty": b""}[damage])
    monkeypatch.setattr("lightgbm.Booster", lambda **_: pytest.fail("a damaged text was parsed"))
    with pytest.raises(BundleError, match=name):
        load(tmp_path, bundle.sha256)


def test_another_bundle_under_its_name(bundle, tmp_path):
    folder = save(bundle, tmp_path).rename(tmp_path / ("0" * 64))
    with pytest.raises(BundleError, match="SHA-256"):
        load(tmp_path, folder.name)


def test_another_format_is_refused(bundle, tmp_path):
    newer = Bundle({**bundle.facts, "format": 99}, bundle.model_text)
    save(newer, tmp_path)
    with pytest.raises(BundleError, match="format 99"):
        load(tmp_path, newer.sha256)


def test_golden_rows_are_compared(bundle, tmp_path):
    golden = {**bundle.facts["golden"], "scores": [0.0, 0.0, 0.0]}
    wrong = Bundle({**bundle.facts, "golden": golden}, bundle.model_text)
    save(wrong, tmp_path)
    with pytest.raises(BundleError, match="golden rows"):
        load(tmp_path, wrong.sha256)


def test_no_pickle_and_no_place_in_it(bundle, tmp_path):
    folder = save(bundle, tmp_path)
    assert sorted(p.name for p in folder.iterdir()) == ["manifest.json", "model.txt"]
    assert json.loads((folder / "manifest.json").read_text())["files"].keys() == {"model.txt"}
    assert str(tmp_path).encode() not in b"".join(p.read_bytes() for p in folder.iterdir())
