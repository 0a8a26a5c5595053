"""Files behind URLs: fsspec's memory file system, a real HTTP server where its client is installed, missing clients."""

import functools
import hashlib
import http.server
import importlib.util
import io
import sys
import threading
from datetime import datetime

import fsspec
import polars as pl
import pytest

from ml_assets.core.errors import SourceNotFound, SourceUnreadable
from ml_assets.core.windows import Window
from ml_assets.resources.sources.interface import FilesSourceConfig, make_source

MARCH = Window("2019-03", datetime(2019, 3, 1), datetime(2019, 4, 1))
APRIL = Window("2019-04", datetime(2019, 4, 1), datetime(2019, 5, 1))
FRAME = pl.DataFrame({"miles": [1.5, 2.5], "zone": [1, None]})
EXPECTED = {"miles": pl.Float64(), "zone": pl.Int64()}


def parquet(frame=FRAME) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


@pytest.fixture
def bucket():
    system = fsspec.filesystem("memory")
    system.pipe_file("/bucket/trips_2019-03.parquet", parquet())
    system.pipe_file("/bucket/2019-03/a.csv", b"miles,zone\n1.5,1\n")
    system.pipe_file("/bucket/2019-03/b.csv", b"miles,zone\n2.5,\n")
    yield system
    system.rm("/bucket", recursive=True)


def source(path, tmp_path, **config):
    return make_source(FilesSourceConfig(kind="files", path=path, **config), tmp_path)


def test_an_object_store(bucket, tmp_path):
    src = source("memory://bucket/trips_{year}-{month}.parquet", tmp_path)
    assert src.partitions([MARCH, APRIL]) == ["2019-03"]
    provenance = src.fetch(MARCH, tmp_path / "out", EXPECTED)
    assert pl.read_parquet(tmp_path / "out").equals(FRAME)
    assert provenance.source == "memory://bucket/trips_2019-03.parquet"
    assert provenance.sha256 == hashlib.sha256(parquet()).hexdigest()
    assert provenance.bytes == len(parquet())
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    with pytest.raises(SourceNotFound, match=r"nothing at memory://bucket/trips_2019-04"):
        src.fetch(APRIL, tmp_path / "out2", EXPECTED)


def test_a_glob_in_an_object_store(bucket, tmp_path):
    src = source("memory://bucket/{year}-{month}/*.csv", tmp_path)
    assert src.partitions([MARCH, APRIL]) == ["2019-03"]
    assert src.fetch(MARCH, tmp_path / "out", EXPECTED).rows == 2
    assert pl.read_parquet(tmp_path / "out").equals(FRAME)


def test_the_fingerprint_changes_with_the_object(bucket, tmp_path):
    src = source("memory://bucket/trips_{year}-{month}.parquet", tmp_path)
    before = src.fingerprint(MARCH)
    assert before == src.fingerprint(MARCH)
    bucket.pipe_file("/bucket/trips_2019-03.parquet", parquet(FRAME.head(1)))
    assert src.fingerprint(MARCH) != before


def test_one_remote_file_for_all_partitions(bucket, tmp_path):
    bucket.pipe_file("/bucket/all.csv", b"at,miles,zone\n2019-03-05,1.5,1\n2019-05-01,2.5,2\n")
    src = source("memory://bucket/all.csv", tmp_path, event_time="at")
    assert src.partitions([MARCH, APRIL]) == ["2019-03"]
    assert src.fetch(MARCH, tmp_path / "out", EXPECTED).rows == 1


@pytest.mark.parametrize("content", [b"<html>404</html>", parquet()[:-20]])
def test_damaged_objects_leave_nothing(bucket, tmp_path, content):
    bucket.pipe_file("/bucket/trips_2019-03.parquet", content)
    with pytest.raises(SourceUnreadable, match=r"trips_2019-03.parquet"):
        source("memory://bucket/trips_{year}-{month}.parquet", tmp_path).fetch(MARCH, tmp_path / "out", EXPECTED)
    assert not list(tmp_path.iterdir())


def test_a_download_that_is_cut_off(bucket, tmp_path, monkeypatch):
    size = type(bucket).info
    monkeypatch.setattr(type(bucket), "info", lambda self, path, **k: {**size(self, path, **k), "size": 10**6})
    with pytest.raises(SourceUnreadable, match="1,000,000, as the server says"):
        source("memory://bucket/trips_{year}-{month}.parquet", tmp_path).fetch(MARCH, tmp_path / "out", EXPECTED)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("url", "package", "says"),
    [
        ("s3://bucket/{year}.csv", "s3fs", r"ml-assets\[s3\]"),
        ("https://host/{year}.csv", "aiohttp", r"ml-assets\[http\]"),
    ],
)
def test_a_missing_client_names_the_extra(tmp_path, monkeypatch, url, package, says):
    for module in [m for m in sys.modules if m.startswith("fsspec.implementations.http")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    for protocol in ("s3", "https"):
        monkeypatch.delitem(importlib.import_module("fsspec.registry")._registry, protocol, raising=False)
    src = source(url, tmp_path, event_time="at")
    with pytest.raises(SourceNotFound, match=says):
        src.partitions([MARCH])


def test_an_unknown_kind_of_url(tmp_path):
    with pytest.raises(SourceNotFound, match="nonsense"):
        source("nonsense://host/{year}-{month}.csv", tmp_path).fetch(MARCH, tmp_path / "out", EXPECTED)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Say nothing."""


def test_an_http_server(tmp_path):
    (tmp_path / "www").mkdir()
    (tmp_path / "www/2019-03.parquet").write_bytes(parquet())
    handler = functools.partial(Quiet, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        src = source(f"http://127.0.0.1:{server.server_port}/{{year}}-{{month}}.parquet", tmp_path)
        try:
            if importlib.util.find_spec("aiohttp") is None:  # what a user without the extra sees
                with pytest.raises(SourceNotFound, match=r"pip install 'ml-assets\[http\]'"):
                    src.fetch(MARCH, tmp_path / "out", EXPECTED)
                return
            assert src.partitions([MARCH, APRIL]) == ["2019-03"]
            assert src.fetch(MARCH, tmp_path / "out", EXPECTED).rows == 2
        finally:
            server.shutdown()
    assert pl.read_parquet(tmp_path / "out").equals(FRAME)
