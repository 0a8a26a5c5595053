"""What is said where the system refuses to write, on a disk that is really full and one that is really read-only."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest
from upath import UPath

from ml_assets.core.bundle import Bundle
from ml_assets.core.errors import PartitionMissing, StorageError
from ml_assets.resources.bundle_files import save
from ml_assets.resources.durable import CURES, writing
from ml_assets.resources.reports import Reports
from ml_assets.resources.storage import Store
from ml_assets.resources.whole_files import publish, write_whole

KEY = dg.AssetKey(["trips", "raw"])
LARGE = bytes(2 << 20)
RANDOM = pl.LazyFrame({"a": np.random.default_rng(0).random(400_000)})


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this process may not mount a small disk: that needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


WRITES = {
    "a partition": lambda disk: Store(root=str(disk)).stage(RANDOM),
    "a record": lambda disk: write_whole(UPath(disk / "record.json"), LARGE),
    "a picture": lambda disk: Reports(root=str(disk)).picture(KEY, "2018-01", "trend", LARGE),
    "a bundle": lambda disk: save(Bundle({}, {"model.txt": LARGE}), disk / "models"),
}


def files(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file()]


@pytest.mark.parametrize("what", WRITES)
def test_a_full_disk_is_named_with_what_to_do_and_nothing_half_written_stays(disk, what):
    with pytest.raises(StorageError, match="No space left on device") as raised:
        WRITES[what](disk)
    assert raised.value.thing.startswith(f"writing {disk}/")
    assert raised.value.cure == CURES[errno.ENOSPC]
    if what != "a partition":
        assert raised.value.found[0].startswith("No space left on device: 2,097,"), "bytes that are needed"
        assert raised.value.found[0].endswith(" free")
    assert files(disk) == []


@pytest.mark.parametrize("what", WRITES)
def test_a_disk_that_is_read_only_is_told_too(disk, what):
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(StorageError, match="Read-only file system") as raised:
        WRITES[what](disk)
    assert str(disk) in raised.value.thing
    assert raised.value.cure == CURES[errno.EROFS]


def test_a_partition_that_was_there_survives_a_full_disk(disk):
    store = Store(root=str(disk))
    publish(store.stage(pl.LazyFrame({"a": [1]}))[0].path, store.path(KEY, "2018-01"))
    with pytest.raises(StorageError):
        store.stage(RANDOM)
    assert store.scan(KEY, "2018-01").collect()["a"].to_list() == [1]


@pytest.mark.parametrize("number", CURES)
def test_each_refusal_has_a_cure(tmp_path, number):
    path = tmp_path / "folder" / "file"
    with pytest.raises(StorageError, match=os.strerror(number)) as raised, writing(path, 5):
        raise OSError(number, os.strerror(number), str(path))
    assert isinstance(raised.value.__cause__, OSError)
    assert "5 bytes to write" in raised.value.found[0]


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied", "/a/source.csv"),
        PartitionMissing.at("2018-01 of trips/raw (os error 28)", "somewhere"),
        OSError(errno.EIO, "Input/output error"),
        ValueError("of the rows"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_stay_what_they_are(tmp_path, error):
    with pytest.raises(type(error)) as raised, writing(tmp_path / "file"):
        raise error
    assert raised.value is error
