"""Trips in files, and what their fetch must give or refuse; shared by the tests of everything that reads files."""

from datetime import datetime, timedelta

import polars as pl
import pytest

from ml_assets.core.windows import Window
from ml_assets.resources.sources.interface import FilesSourceConfig, make_source

MARCH = Window("2019-03", datetime(2019, 3, 1), datetime(2019, 4, 1))
EXPECTED = {
    "pickup_at": pl.Datetime("us"),
    "miles": pl.Float64(),
    "passengers": pl.Int64(),
    "flag": pl.String(),
    "cash": pl.Boolean(),
}


@pytest.fixture
def trips():
    """Makes trips five hours apart, of all types, some null."""

    def make(rows=10, start=MARCH.start):
        i = pl.int_range(rows, eager=True)
        return pl.DataFrame(
            {
                "pickup_at": [start + timedelta(hours=5 * n) for n in range(rows)],
                "miles": i * 0.1,
                "passengers": pl.select(pl.when(i % 3 != 0).then(i)).to_series(),
                "flag": ["N", "Y", None, 'é,\n"x"', "007"] * (rows // 5),
                "cash": (i % 2 == 0),
                "note": [f"trip {n}" for n in range(rows)],
            }
        )

    return make


@pytest.fixture
def save():
    """Writes a frame in the format of the path's extension."""

    def write(frame, path):
        if path.suffix == ".parquet":
            frame.write_parquet(path, row_group_size=4)
        else:
            frame.write_csv(path, datetime_format="%Y-%m-%d %H:%M:%S")
        return path

    return write


@pytest.fixture
def source():
    """Makes the source of files in a folder."""

    def make(folder, path="{year}-{month}.parquet", **config):
        return make_source(FilesSourceConfig(kind="files", path=path, **config), folder)

    return make


@pytest.fixture
def fetch():
    """Fetches a partition, which leaves one file: its rows and their provenance."""

    def get(src, folder, window=MARCH, expected=EXPECTED, **options):
        target = folder / "scratch" / "out.parquet"
        target.parent.mkdir(exist_ok=True)
        provenance = src.fetch(window, target, expected, **options)
        assert list(target.parent.iterdir()) == [target]
        return pl.read_parquet(target), provenance

    return get


@pytest.fixture
def refused():
    """The fetch fails with the error, which names source, partition, all the words and a cure, and leaves nothing."""

    def expect(error, src, folder, *words, window=MARCH, expected=EXPECTED):
        scratch = folder / "scratch"
        scratch.mkdir(exist_ok=True)
        with pytest.raises(error) as caught:
            src.fetch(window, scratch / "out.parquet", expected)
        text = str(caught.value)
        for word in (src.config.path, window.key, "expected", "cure", *words):
            assert word in text, text
        assert not list(scratch.iterdir())
        return caught.value

    return expect
