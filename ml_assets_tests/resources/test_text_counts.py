"""Texts that are counted by the codes of a file are those that the frame holds, however the file was written."""

from collections import Counter

import dagster as dg
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from ml_assets.core.drift.bins import Column, learn_bins
from ml_assets.core.drift.profiling import count_partition
from ml_assets.resources.storage import READ_OFTEN, ROW_GROUP_ROWS, Store
from ml_assets.resources.text_counts import count_texts
from ml_assets.resources.whole_files import publish

ROWS = ROW_GROUP_ROWS + 1000
KEY = dg.AssetKey(["rides", "features"])


def texts() -> dict[str, list[str | None]]:
    rng = np.random.default_rng(0)
    zones = rng.integers(0, 260, ROWS)
    return {
        "zone": [f"zone {i}" for i in zones],
        "borough": [("Staten Island", "Queens", "", "Façade", None)[i % 5] for i in zones],
        "each its own": [f"a trip that nobody else has made, {i}" for i in range(ROWS)],
        "none": [None] * ROWS,
    }


FRAME = pl.DataFrame({**texts(), "miles": np.arange(ROWS) * 1.0}, schema_overrides={"none": pl.String})
NAMES = ["zone", "borough", "each its own", "none"]


def expected(name: str) -> Counter:
    return Counter(FRAME[name].to_list())


@pytest.fixture(params=["by the store", "without dictionaries"])
def path(request, tmp_path):
    if request.param == "without dictionaries":
        pq.write_table(FRAME.to_arrow(), tmp_path / "x.parquet", use_dictionary=False, row_group_size=50_000)
        return tmp_path / "x.parquet"
    [staged] = Store(root=str(tmp_path)).stage(FRAME.lazy(), compression=READ_OFTEN)
    publish(staged.path, kept := Store(root=str(tmp_path)).path(KEY, "2018-01"))
    return kept


def test_texts_are_counted(path):
    found = count_texts(path, NAMES)
    assert list(found) == NAMES
    for name in NAMES:
        assert +Counter(found[name]) == expected(name), name
    assert count_texts(path, []) == {}


def test_a_profile_is_the_same_by_codes_and_by_texts(tmp_path):
    columns = [Column("zone", "category"), Column("miles", "number"), Column("borough", "category")]
    bins = learn_bins(FRAME.head(200), columns)
    store = Store(root=str(tmp_path))
    [staged] = store.stage(FRAME.lazy(), compression=READ_OFTEN)
    publish(staged.path, store.path(KEY, "2018-01"))
    frame, counter = store.scan(KEY, "2018-01"), store.text_counter(KEY, "2018-01")
    asked = []
    by_codes = count_partition(frame, bins, "2018-01", lambda names: asked.append(names) or counter(names))
    assert by_codes.to_bytes() == count_partition(frame, bins, "2018-01").to_bytes()
    assert asked == [["zone", "borough"]]
    assert by_codes.column("zone").unseen.sum() > 0
    assert by_codes.column("borough").missing.sum() == FRAME["borough"].null_count()


def test_a_partition_that_is_not_on_this_machine_is_counted_by_its_frame():
    assert Store(root="memory://far").text_counter(KEY, "2018-01") is None
