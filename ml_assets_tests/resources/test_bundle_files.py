"""Bundles as folders: named by their content, never overwritten, proven before LightGBM reads them."""

import errno
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import lightgbm
import numpy as np
import polars as pl
import pytest

from ml_assets.core.bundle import FORMAT, MANIFEST, Bundle
from ml_assets.core.errors import BundleError
from ml_assets.core.features import Feature
from ml_assets.core.models.kinds import fit_model
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.models.trees_model import FILE as MODEL
from ml_assets.core.parameters import ModelParams
from ml_assets.resources.bundle_files import ABANDONED_AFTER_SECONDS, load, save

PARAMS = ModelParams(trees=10, leaves=7, min_rows_per_leaf=10)


def rides(rows: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    zone, miles = rng.integers(0, 5, rows), rng.gamma(2, 2, rows)
    return pl.DataFrame({"zone": [f"zöne {z}" for z in zone], "miles": miles, "label": 3 + 4 * miles + zone})


FRAME = rides(50, 3).drop("label")


def made(seed: int = 1, form: int = FORMAT) -> Bundle:
    features = [Feature("zone", pl.col("zone"), kind="category"), Feature("miles", pl.col("miles"), kind="number")]
    spec = ModelSpec("model", "lightgbm", "regression", PARAMS)
    fit = fit_model(spec, rides(300, seed), rides(100, 9), features=features, seed=0, threads=1)
    facts = {"format": form, "features": [s.to_json() for s in fit.specs], "naive": 7.5, "model": fit.model.facts()}
    golden = {"rows": [list(r) for r in FRAME.head(3).iter_rows()]}
    golden["scores"] = Bundle(facts, fit.model.files()).predict(FRAME.head(3)).tolist()
    return Bundle({**facts, "golden": golden}, fit.model.files())


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return made()


@pytest.fixture
def saved(bundle, tmp_path) -> Path:
    return save(bundle, tmp_path / "models")


@pytest.fixture
def unparsed(monkeypatch):
    """LightGBM must not see a damaged text: it can crash the process."""

    def parsed(*_: object, **__: object) -> None:
        pytest.fail("LightGBM was given a text that was not proven")

    monkeypatch.setattr(lightgbm, "Booster", parsed)


def visible(root: Path) -> list[str]:
    return [p.name for p in root.iterdir() if not p.name.startswith(".")]


def test_a_folder_is_named_by_its_manifest_which_names_the_text(bundle, saved):
    assert sorted(p.name for p in saved.iterdir()) == [MANIFEST, MODEL]
    assert saved.name == bundle.sha256 == hashlib.sha256((saved / MANIFEST).read_bytes()).hexdigest()
    record = json.loads((saved / MANIFEST).read_text())
    assert record["files"] == {MODEL: hashlib.sha256((saved / MODEL).read_bytes()).hexdigest()}
    assert visible(saved.parent) == [saved.name]
    assert list(saved.parent.glob(".*")) == []
    assert saved.stat().st_mode & 0o777 == 0o755


def test_what_is_loaded_scores_the_same_to_the_bit(bundle, saved):
    loaded = load(saved.parent, saved.name)
    np.testing.assert_array_equal(loaded.predict(FRAME), bundle.predict(FRAME))
    assert np.unique(loaded.predict(FRAME)).size > 10
    assert (loaded.sha256, loaded.manifest, loaded.specs) == (bundle.sha256, bundle.manifest, bundle.specs)


def test_saving_twice_changes_nothing(bundle, saved):
    before = {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in (saved, *saved.iterdir())}
    assert save(bundle, saved.parent) == saved
    assert {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in (saved, *saved.iterdir())} == before


def test_another_bundle_is_another_folder(bundle, saved):
    other = save(made(seed=2), saved.parent)
    assert sorted(visible(saved.parent)) == sorted([saved.name, other.name])
    np.testing.assert_array_equal(load(saved.parent, saved.name).predict(FRAME), bundle.predict(FRAME))


def truncated(folder: Path) -> None:
    text = (folder / MODEL).read_bytes()
    (folder / MODEL).write_bytes(text[: len(text) // 2])


def emptied(folder: Path) -> None:
    (folder / MODEL).write_bytes(b"")


def flipped(folder: Path) -> None:
    text = bytearray((folder / MODEL).read_bytes())
    text[len(text) // 3] ^= 1
    (folder / MODEL).write_bytes(text)


def longer(folder: Path) -> None:
    with (folder / MODEL).open("ab") as f:
        f.write(b"\n")


def of_another(folder: Path) -> None:
    (folder / MODEL).write_bytes(made(seed=2).files[MODEL])


def manifest_changed(folder: Path) -> None:
    record = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**record, "naive": 7.6}, sort_keys=True, indent=1, ensure_ascii=False))


def manifest_for_a_changed_text(folder: Path) -> None:
    longer(folder)
    record = json.loads((folder / MANIFEST).read_text())
    record["files"][MODEL] = hashlib.sha256((folder / MODEL).read_bytes()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(record, sort_keys=True, indent=1, ensure_ascii=False))


def manifest_is_no_json(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(b"\xff{")


@pytest.mark.parametrize(
    ("damage", "file"),
    [
        (truncated, MODEL), (emptied, MODEL), (flipped, MODEL), (longer, MODEL), (of_another, MODEL),
        (manifest_changed, MANIFEST), (manifest_for_a_changed_text, MANIFEST), (manifest_is_no_json, MANIFEST),
    ],
)  # fmt: skip
def test_damage_is_refused_before_lightgbm_reads_it(saved, damage, file, request):
    damage(saved)
    request.getfixturevalue("unparsed")
    with pytest.raises(BundleError, match="SHA-256") as caught:
        load(saved.parent, saved.name)
    assert str(saved / file) in caught.value.thing
    assert "train again as of the same partition" in caught.value.cure


@pytest.mark.parametrize("file", [MANIFEST, MODEL])
def test_a_missing_file_is_named(saved, file, unparsed):
    (saved / file).unlink()
    with pytest.raises(BundleError, match="No such file or directory") as caught:
        load(saved.parent, saved.name)
    assert str(saved / file) in caught.value.thing


def test_a_bundle_that_is_not_there(tmp_path):
    with pytest.raises(BundleError, match="abcdef123456"):
        load(tmp_path, "abcdef123456" + "0" * 52)


def test_a_damaged_bundle_is_moved_aside_when_it_is_saved_again(bundle, saved):
    (saved / MODEL).write_bytes(b"damaged")
    assert save(bundle, saved.parent) == saved
    assert load(saved.parent, bundle.sha256).sha256 == bundle.sha256
    [aside] = saved.parent.glob(".damaged-*")
    assert (aside / bundle.sha256 / MODEL).read_bytes() == b"damaged"


def test_another_format_is_refused(tmp_path, request):
    folder = save(made(form=FORMAT + 1), tmp_path)
    request.getfixturevalue("unparsed")
    with pytest.raises(BundleError, match=f"format {FORMAT + 1}") as caught:
        load(tmp_path, folder.name)
    assert caught.value.expected == f"format {FORMAT}"


def test_format_1_is_refused_with_the_way_out(bundle, tmp_path, unparsed):
    manifest = json.dumps({"format": 1, "files": {"model.txt": "00"}}).encode()
    folder = tmp_path / hashlib.sha256(manifest).hexdigest()
    folder.mkdir()
    (folder / MANIFEST).write_bytes(manifest)
    with pytest.raises(BundleError, match="format 1") as caught:
        load(tmp_path, folder.name)
    assert "train again" in caught.value.cure


@pytest.mark.parametrize("name", ["extra.txt", ".hidden", "folder"])
def test_what_the_manifest_does_not_list_is_refused(saved, name, unparsed):
    if name == "folder":
        (saved / name).mkdir()
    else:
        (saved / name).write_text("x")
    with pytest.raises(BundleError, match="does not list") as caught:
        load(saved.parent, saved.name)
    assert caught.value.found == [f"{name}, which its manifest does not list"]


def test_a_manifest_that_lists_files_elsewhere_is_refused(bundle, saved, unparsed):
    outside = saved.parent / "outside.txt"
    outside.write_bytes(bundle.files[MODEL])
    record = json.loads(bundle.manifest)
    record["files"] = {"../outside.txt": hashlib.sha256(outside.read_bytes()).hexdigest()}
    manifest = json.dumps(record).encode()
    folder = saved.parent / hashlib.sha256(manifest).hexdigest()
    folder.mkdir()
    (folder / MANIFEST).write_bytes(manifest)
    with pytest.raises(BundleError, match="files of a bundle"):
        load(saved.parent, folder.name)


def test_any_number_of_files(bundle, tmp_path):
    files = {**bundle.files, "member_b.onnx": b"\x00\xff" * 1000, "empty.bin": b""}
    many = Bundle(bundle.facts, files)
    folder = save(many, tmp_path)
    assert sorted(p.name for p in folder.iterdir()) == sorted([MANIFEST, *files])
    assert load(tmp_path, many.sha256).files == files
    (folder / "member_b.onnx").write_bytes(b"\x00")
    with pytest.raises(BundleError, match="SHA-256"):
        load(tmp_path, many.sha256)
    (folder / "member_b.onnx").unlink()
    with pytest.raises(BundleError, match="only a part of it"):
        load(tmp_path, many.sha256)


def test_golden_rows_are_scored_when_it_is_loaded(bundle, tmp_path):
    golden = bundle.facts["golden"]
    wrong = {**golden, "scores": [s + 1e-9 for s in golden["scores"]]}
    folder = save(Bundle({**bundle.facts, "golden": wrong}, bundle.files), tmp_path)
    with pytest.raises(BundleError, match="golden rows"):
        load(tmp_path, folder.name)


def test_what_a_killed_process_left_is_no_bundle(bundle, tmp_path):
    leftover = tmp_path / ".part-abc"
    leftover.mkdir()
    (leftover / MANIFEST).write_bytes(bundle.manifest)
    with pytest.raises(BundleError):
        load(tmp_path, bundle.sha256)
    save(bundle, tmp_path)
    assert visible(tmp_path) == [bundle.sha256]
    assert load(tmp_path, bundle.sha256).sha256 == bundle.sha256


KILLED = """
import json, os, signal, sys
from pathlib import Path
from ml_assets.core.bundle import MANIFEST, Bundle
from ml_assets.resources import bundle_files
root, saved, calls = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
record = json.loads((saved / MANIFEST).read_bytes())
bundle = Bundle(record, {name: (saved / name).read_bytes() for name in record.pop("files")})
def killed_at(real):
    def call(*args):
        global calls
        calls -= 1
        if calls < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args)
    return call
bundle_files.flush, bundle_files.flush_folder = killed_at(bundle_files.flush), killed_at(bundle_files.flush_folder)
bundle_files.save(bundle, root)
"""


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_kill_minus_9_while_saving_leaves_nothing_that_is_taken_for_a_bundle(bundle, saved, tmp_path, calls):
    """Killed after the first file was written, after both were, and after their folder was, before the rename."""
    root = tmp_path / "other"
    command = [sys.executable, "-c", KILLED, str(root), str(saved), str(calls)]
    done = subprocess.run(command, check=False, timeout=60, cwd=Path(__file__).resolve().parents[2])
    assert done.returncode == -signal.SIGKILL
    assert visible(root) == []
    assert len(list(root.iterdir())) == 1
    with pytest.raises(BundleError, match="nothing was saved here, or only a part"):
        load(root, bundle.sha256)
    assert load(root, save(bundle, root).name).sha256 == bundle.sha256
    assert visible(root) == [bundle.sha256]


def test_what_killed_processes_left_is_removed_after_a_day(bundle, tmp_path):
    old, new = tmp_path / ".part-old", tmp_path / ".part-new"
    for left in (old, new):
        left.mkdir()
        (left / MODEL).write_bytes(b"half a file")
    long_ago = time.time() - ABANDONED_AFTER_SECONDS - 1
    os.utime(old, (long_ago, long_ago))
    save(bundle, tmp_path)
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize("call", ["fsync", "write", "rename"])
@pytest.mark.parametrize("done", [0, 1])
def test_a_full_disk_leaves_nothing(bundle, tmp_path, monkeypatch, call, done):
    """Full at once, or after the first of two calls."""
    where = {"fsync": (os, "fsync"), "write": (Path, "write_bytes"), "rename": (Path, "rename")}[call]
    real, left = getattr(*where), [True] * (done if call != "rename" else 0)

    def full(*args: object, **kwargs: object) -> object:
        if left:
            left.pop()
            return real(*args, **kwargs)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*where, full)
    with pytest.raises(OSError, match="No space left"):
        save(bundle, tmp_path)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
    assert load(tmp_path, save(bundle, tmp_path).name).sha256 == bundle.sha256


def test_somebody_saved_the_same_meanwhile(bundle, tmp_path, monkeypatch):
    rename = Path.rename

    def theirs_first(self: Path, target: Path) -> None:
        shutil.copytree(self, target)
        rename(self, target)

    monkeypatch.setattr(Path, "rename", theirs_first)
    folder = save(bundle, tmp_path)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == [bundle.sha256]
    assert load(tmp_path, folder.name).sha256 == bundle.sha256


def _save_often(facts: dict, files: dict, root: Path, barrier) -> None:
    for n in range(20):
        barrier.wait(timeout=60)
        save(Bundle({**facts, "naive": n}, files), root)


def test_two_processes_save_the_same_at_once(bundle, tmp_path):
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    arguments = (dict(bundle.facts), dict(bundle.files), tmp_path, barrier)
    both = [spawn.Process(target=_save_often, args=arguments) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
        assert process.exitcode == 0
    assert len(list(tmp_path.iterdir())) == 20
    for folder in tmp_path.iterdir():
        assert load(tmp_path, folder.name).sha256 == folder.name
