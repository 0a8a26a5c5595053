"""Partitions kept by DVC: versioned once, brought back to the byte, and refused where that can't be."""

import errno
import json
import os
import shutil
import stat
from pathlib import Path

import pytest
from upath import UPath

from ml_assets.core.errors import PartitionMissing, VersioningError
from ml_assets.resources import versioning
from ml_assets.resources.dvc_folder import DvcFolder
from ml_assets.resources.versioning import Pointer
from ml_assets_tests.resources.dvc_bench import (
    THREE,
    A,
    B,
    Bench,
    C,
    content,
    files_of,
    needs_dvc,
    pointer,
    sha256,
    silent,
)


@pytest.fixture(scope="module")
def versioned_once(tmp_path_factory):
    """Three partitions, one of them in an object store, versioned and pushed."""
    bench = Bench(tmp_path_factory.mktemp("versioned"))
    files = bench.stored(THREE) | {B: UPath("memory://versioned/2019-02.parquet")}
    files[B].write_bytes(THREE[B])
    said = []
    pointers = bench.versions().add(files, {k: sha256(v) for k, v in THREE.items()}, said.append)
    return bench, pointers, said, bench.calls()


@pytest.fixture
def versioned(versioned_once, tmp_path):
    """A copy of that, to change."""
    shutil.copytree(versioned_once[0].base, tmp_path / "copy")
    bench = Bench(tmp_path / "copy")
    bench.calls()
    (bench.root / "pushed.txt").write_text(str(bench.remote))
    return bench


@needs_dvc
def test_adding_takes_one_call_and_one_push_and_returns_what_dvc_knows_the_files_by(versioned_once):
    bench, pointers, said, calls = versioned_once
    assert pointers == {key: pointer(data) for key, data in THREE.items()}
    assert list(pointers) == list(THREE)
    assert calls == ["add", "push"]
    assert said == ["versioning 3 of 3 files with DVC", f"pushing to {bench.remote}"]
    assert all(bench.on_remote(data).read_bytes() == data for data in THREE.values())


@needs_dvc
def test_there_is_one_copy_in_the_cache_and_only_pointers_in_the_workspace(versioned_once):
    bench = versioned_once[0]
    assert files_of(bench.root, ".parquet") == []
    assert files_of(bench.root, ".dvc") == sorted(f"{k}/{sha256(v)}.parquet.dvc" for k, v in THREE.items())
    assert len(files_of(bench.root / ".dvc" / "cache", "")) == 3
    kept = [bench.store / f"{key}.parquet" for key in (A, C)]
    assert all(stat.S_IMODE(path.stat().st_mode) & stat.S_IWUSR and path.stat().st_nlink == 1 for path in kept)


@needs_dvc
def test_dvc_is_told_not_to_call_home_and_the_remote_is_nobody_elses_to_read(versioned_once):
    root = versioned_once[0].root
    assert "analytics = false" in (root / ".dvc" / "config").read_text()
    assert "check_update = false" in (root / ".dvc" / "config").read_text()
    assert stat.S_IMODE((root / ".dvc" / "config.local").stat().st_mode) == 0o600


@needs_dvc
def test_nothing_new_is_no_call(versioned):
    assert versioned.add(THREE) == {key: pointer(data) for key, data in THREE.items()}
    assert versioned.calls() == []
    assert versioned.restored(THREE) == THREE
    assert versioned.calls() == []


@needs_dvc
def test_both_contents_of_an_overwritten_partition_come_back(versioned):
    later = {A: content("later"), B: THREE[B]}
    said = []
    assert versioned.add(later, tell=said.append) == {key: pointer(data) for key, data in later.items()}
    assert versioned.calls() == ["add", "push"]
    assert said[0] == "versioning 1 of 2 files with DVC"
    assert versioned.restored(THREE) == THREE
    assert versioned.restored(later) == later
    versioned.add(THREE | later)
    assert versioned.calls() == []


@needs_dvc
def test_another_machine_restores_from_the_remote_in_one_call(versioned):
    shutil.rmtree(versioned.root)
    said = []
    assert versioned.restored(THREE, said.append) == THREE
    assert versioned.calls() == ["fetch"]
    assert said == [f"fetching 3 files from {versioned.remote}"]
    assert versioned.add(THREE) == {key: pointer(data) for key, data in THREE.items()}
    assert versioned.calls() == ["push"]  # nothing to add; that all is on the remote is not known here yet


@needs_dvc
def test_a_damaged_object_in_the_cache_is_fetched_again(versioned):
    versioned.damage(versioned.cached(THREE[A]))
    versioned.damage(versioned.cached(THREE[B]), b"short")
    said = []
    assert versioned.restored(THREE, said.append) == THREE
    assert f"damaged in DVC's cache, fetching again: {A}" in said
    assert versioned.calls() == ["fetch", "fetch"]
    assert versioned.cached(THREE[A]).read_bytes() == THREE[A]


@needs_dvc
def test_what_is_damaged_everywhere_is_refused_and_leaves_nothing(versioned):
    versioned.damage(versioned.cached(THREE[A]))
    versioned.damage(versioned.on_remote(THREE[A]))
    damaged = versioned.on_remote(THREE[A]).read_bytes()
    with pytest.raises(VersioningError) as refused:
        versioned.restored(THREE)
    for fact in (A, sha256(damaged), sha256(THREE[A]), "versions from"):
        assert fact in str(refused.value)
    assert B not in str(refused.value)
    assert files_of(versioned.base / "restored", "") == sorted(f"{key}.parquet" for key in (B, C))
    assert not versioned.cached(THREE[A]).exists()


@needs_dvc
def test_what_is_nowhere_is_named(versioned):
    versioned.cached(THREE[A]).unlink()
    versioned.on_remote(THREE[A]).unlink()
    with pytest.raises(VersioningError, match="neither in the cache nor on the remote") as refused:
        versioned.restored(THREE)
    assert refused.value.found == [f"{A} (MD5 {pointer(THREE[A]).md5}) is neither in the cache nor on the remote"]
    assert len(files_of(versioned.root, ".dvc")) == 2


@needs_dvc
def test_another_remote_gets_everything_that_was_versioned(versioned):
    elsewhere = versioned.base / "it's another # remote, %20"
    new = {A: content("new")}
    versioned.add(new, versioned.versions(remote=f"file://{elsewhere}"))
    assert versioned.calls() == ["add", "push"]
    assert all(versioned.on_remote(data, elsewhere).read_bytes() == data for data in [*THREE.values(), new[A]])


@needs_dvc
def test_a_push_that_failed_is_made_up_for(versioned):
    remote = "s3://bucket/x"  # one that only DVC can look at
    (versioned.root / "pushed.txt").write_text(remote)
    counting = f'echo "$2" >> "{versioned.calls_file}"; [ $2 = push ] && exit 1; exec $DVC "$@"'
    new = {A: content("new")}
    versioned.add(THREE, versioned.versions(counting, remote=remote))
    assert versioned.calls() == []
    for expected in (["add", "push"], ["push"]):
        with pytest.raises(VersioningError, match="dvc push"):
            versioned.add(new, versioned.versions(counting, remote=remote))
        assert versioned.calls() == expected


@needs_dvc
def test_what_the_remote_or_the_cache_has_lost_is_versioned_again(versioned):
    versioned.on_remote(THREE[A]).unlink()
    versioned.add(THREE)
    assert versioned.calls() == ["push"]
    assert versioned.on_remote(THREE[A]).read_bytes() == THREE[A]

    versioned.cached(THREE[B]).unlink()
    versioned.add(THREE)
    assert versioned.calls() == ["add", "push"]
    assert versioned.cached(THREE[B]).read_bytes() == THREE[B]


@needs_dvc
def test_what_killed_processes_left_hinders_nobody(versioned):
    """Each of these alone makes dvc fail, or would stay for ever."""
    root = versioned.root
    (root / ".dvc" / "tmp" / "rwlock").write_text('{"rea')
    database = DvcFolder(root, "").scratch / "repo" / "cache.db"
    database.write_text("not a database")
    half_pointer = root / B / f"{sha256(THREE[B])}.parquet.dvc"
    half_pointer.write_text("outs:\n- md5: 4baf99888b33")
    half_file = root / A / f"{sha256(b'?')}.parquet"
    half_file.write_bytes(b"half")
    old, young = root / ".dvc" / "cache" / ".old.tmp", root / ".dvc" / "cache" / ".young.tmp"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    versioned.damage(versioned.cached(THREE[B]))

    assert versioned.add({B: THREE[B]}) == {B: pointer(THREE[B])}
    assert versioned.cached(THREE[B]).read_bytes() == THREE[B]
    assert [p.exists() for p in (database, half_file, old, young)] == [False, False, False, True]


@pytest.mark.parametrize("problem", ["missing", "not executable", "no program", "interpreter gone"])
def test_without_dvc_it_is_said_what_to_do(bench, problem):
    command = bench.base / "dvc"
    if problem != "missing":
        command.write_text("#!/nowhere/python\n" if problem == "interpreter gone" else "?")
    if problem in ("no program", "interpreter gone"):
        command.chmod(0o755)
    with pytest.raises(VersioningError, match="can't be started") as refused:
        bench.add(THREE, bench.versions(command=str(command)))
    assert all(way in refused.value.cure for way in ("make setup", "versioning: off", "ML_ASSETS_DVC"))
    assert files_of(bench.root, ".parquet") == []


def test_what_a_failing_dvc_said_is_shown_without_secrets(bench, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    remote = "webdavs://me:hunter2@host/x?token=ab12"
    said = """for i in $(seq 20); do echo "line $i" >&2; done
        echo "PYTHONPATH=$PYTHONPATH ANALYTICS=$DVC_NO_ANALYTICS" >&2
        echo "ERROR: no access for hunter2 to webdavs://me:hunter2@host/x?token=ab12" >&2
        echo "Having any troubles? Hit us up" >&2
        exit 3"""
    with pytest.raises(VersioningError) as failed:
        bench.add(THREE, bench.versions(said, remote=remote))
    message = str(failed.value)
    assert "hunter2" not in message
    assert "ab12" not in message
    assert failed.value.found[0] == "exit code 3"
    assert failed.value.found[-2:] == [
        "PYTHONPATH= ANALYTICS=1",
        "ERROR: no access for *** to webdavs://me:***@host/x?token=***",
    ]
    assert "line 20" in message
    assert "line 1\n" not in message


def test_a_full_disk_is_named(bench, monkeypatch):
    with pytest.raises(VersioningError) as failed:
        bench.add(THREE, bench.versions("echo '[Errno 28] No space left on device' >&2; exit 255"))
    assert failed.value.cure.startswith("free disk space")

    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(versioning, "flush", full)
    with pytest.raises(VersioningError, match="no space left on the disk"):
        bench.add(THREE)
    assert files_of(bench.root, ".parquet") == []


def test_partitions_that_changed_meanwhile_are_refused(bench):
    hashes = {A: sha256(b"before"), B: sha256(THREE[B]), C: sha256(b"before")}
    with pytest.raises(VersioningError) as refused:
        bench.versions().add(bench.stored(THREE), hashes, silent)
    assert refused.value.found == [f"{k} has SHA-256 {sha256(THREE[k])}, not {hashes[k]}" for k in (A, C)]
    assert bench.calls() == []
    assert files_of(bench.root, ".parquet", ".dvc") == []


@pytest.mark.parametrize("place", ["local", "memory"])
def test_a_partition_that_is_not_there_is_named(bench, place):
    file = bench.base / "no.parquet" if place == "local" else UPath("memory://nothing/no.parquet")
    with pytest.raises(PartitionMissing, match=A):
        bench.versions().add({A: file}, {A: sha256(b"")}, silent)


def test_a_dvc_that_leaves_other_pointers_is_not_believed(bench):
    with pytest.raises(VersioningError, match="None after `dvc add`"):
        bench.add(THREE, bench.versions("exit 0"))


@pytest.mark.parametrize("key", ["", "/a", "a/../../b", "a//b", ".dvc/config", "a/.hidden", "-a", "a\nb"])
def test_keys_that_lead_elsewhere_are_refused(bench, key):
    with pytest.raises(VersioningError, match="key"):
        bench.versions().add({key: bench.base / "x"}, {key: sha256(b"")}, silent)
    with pytest.raises(VersioningError, match="key"):
        bench.versions().restore({key: (pointer(b""), sha256(b""))}, bench.base / "target", silent)


def test_damaged_records_are_refused(bench):
    with pytest.raises(VersioningError, match="64 hexadecimal"):
        bench.versions().restore({A: (pointer(b""), "../../x")}, bench.base / "target", silent)
    with pytest.raises(VersioningError, match="32 hexadecimal"):
        bench.versions().restore({A: (Pointer("../../x", 1), sha256(b""))}, bench.base / "target", silent)


def test_pointers_survive_json():
    assert Pointer.from_json(json.loads(json.dumps(pointer(b"x").to_json()))) == pointer(b"x")


def test_options_of_a_remote_stay_until_its_url_changes(bench):
    folder = DvcFolder(bench.root, "s3://bucket/x")
    folder.configure()
    local = bench.root / ".dvc" / "config.local"
    # As `dvc remote modify --local store endpointurl …` writes it: without quotes.
    local.write_text(local.read_text().replace('"s3://bucket/x"', "s3://bucket/x\n    endpointurl = http://minio"))
    local.chmod(0o644)
    folder.configure()
    assert "endpointurl" in local.read_text()
    assert stat.S_IMODE(local.stat().st_mode) == 0o600
    DvcFolder(bench.root, "s3://bucket/y").configure()
    assert "endpointurl" not in local.read_text()
    assert 's3://bucket/y"' in local.read_text()


@pytest.mark.parametrize("remote", ["a'b\"c", "a\nb", "a%(home)s"])
def test_remotes_that_dvc_would_misread_are_refused(bench, remote):
    with pytest.raises(VersioningError, match="remote of the versions"):
        DvcFolder(bench.root, remote).configure()
