import errno
import os
import time

import dagster as dg
import polars as pl
import pytest

from ml_assets.resources.storage import (
    KEPT_SMALL,
    READ_OFTEN,
    Store,
    canonical_json,
    record_version,
)
from ml_assets.resources.whole_files import ABANDONED_AFTER_SECONDS, publish

KEY = dg.AssetKey(["t", "raw"])


def frame(rows: int = 1000) -> pl.LazyFrame:
    return pl.LazyFrame({"a": range(rows), "b": [str(i) for i in range(rows)]})


def test_what_is_published_comes_back_and_its_hash_is_that_of_the_file(store):
    [staged] = store.stage(frame())
    assert staged.rows == 1000
    publish(staged.path, store.path(KEY, "2018-01"))
    assert store.scan(KEY, "2018-01").collect().equals(frame().collect())
    assert store.sha256(KEY, "2018-01") == staged.sha256


def test_the_same_content_has_the_same_hash(store):
    assert store.stage(frame())[0].sha256 == store.stage(frame())[0].sha256
    assert store.stage(frame())[0].sha256 != store.stage(frame(999))[0].sha256


@pytest.mark.parametrize(("compression", "found"), [(KEPT_SMALL, "ZSTD"), (READ_OFTEN, "LZ4")])
def test_what_is_read_often_is_compressed_to_be_read_fast(tmp_path, compression, found):
    import pyarrow.parquet as pq

    [staged] = Store(root=str(tmp_path)).stage(frame(), compression=compression)
    assert pq.read_metadata(staged.path).row_group(0).column(0).compression == found
    assert staged.scan().collect().equals(frame().collect())


def test_a_failing_frame_leaves_nothing_behind(tmp_path):
    store = Store(root=str(tmp_path))
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        store.stage(frame().select("no such column"))
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_full_disk_leaves_what_was_stored(tmp_path, monkeypatch):
    store = Store(root=str(tmp_path))
    target = store.path(KEY, "2018-01")
    publish(store.stage(frame())[0].path, target)
    before = store.sha256(KEY, "2018-01")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        publish(store.stage(frame(5))[0].path, target)
    monkeypatch.undo()
    assert store.sha256(KEY, "2018-01") == before


def test_what_killed_processes_left_is_removed_after_a_day(tmp_path):
    store = Store(root=str(tmp_path))
    staging = tmp_path / ".staging"
    staging.mkdir()
    old, new = staging / "old.parquet", staging / "new.parquet"
    for path in (old, new):
        path.write_bytes(b"half a file")
    long_ago = time.time() - ABANDONED_AFTER_SECONDS - 1
    os.utime(old, (long_ago, long_ago))
    store.stage(frame())
    assert not old.exists()
    assert new.exists()


def test_stored_partitions_are_told(tmp_path):
    store = Store(root=str(tmp_path))
    assert store.partitions(KEY) == []
    for partition in ("2018-02", "2018-01"):
        publish(store.stage(frame())[0].path, store.path(KEY, partition))
    store.path(KEY, "2018-03", ".json").write_text("{}")
    assert store.partitions(KEY) == ["2018-01", "2018-02"]


def test_records_have_one_text_and_refuse_nan():
    assert canonical_json({"b": 1, "a": 2}) == canonical_json({"a": 2, "b": 1})
    assert record_version({"a": 1}) != record_version({"a": 2})
    with pytest.raises(ValueError, match="Out of range float"):
        canonical_json({"a": float("nan")})
