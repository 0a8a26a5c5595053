"""Pictures of drift: PNG, the same bytes for the same input, of bounded size, whatever the input."""

import struct

import numpy as np
import polars as pl
import pytest

from ml_assets.core.drift.bins import Column
from ml_assets.core.drift.pictures import MOST_PANELS, Judgement, Pair, distances_over_time, distributions
from ml_assets.core.drift.profiling import count_partition, profile_of
from ml_assets.core.drift.verdict import judge

WIDTH = 576
MONTHS = [f"{year}-{month:02d}" for year in (2018, 2019, 2020) for month in range(1, 13)]


def rows(count, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "miles": rng.lognormal(shift, 1, count),
            "hour": rng.integers(0, 24, count).astype(float),
            "minute": rng.integers(0, 150, count).astype(float),
            "zone $ of a very long name": [f"z{i} $" for i in np.minimum(rng.geometric(0.05, count), 60)],
        }
    )


def pairs(now, count=2000):
    frame = rows(count, 0)
    columns = [Column(c, "category" if c.startswith("zone") else "number") for c in frame.columns]
    profile = profile_of(frame, columns, pl.Series([f"{i % 4}" for i in range(count)]))
    current = count_partition(now.lazy(), profile.bins, "2019-01")
    report = judge(profile, current, dict.fromkeys(frame.columns, 1.0))
    return [Pair(profile.column(c.name), current.column(c.name), c) for c in report.columns]


def size(png):
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


def trend(count=36, names=("miles",), threshold=0.07, drifts_after=20):
    line = [Judgement(month, 0.05 + 0.001 * i, threshold, i > drifts_after) for i, month in enumerate(MONTHS[:count])]
    return distances_over_time(dict.fromkeys(names, line))


def test_distributions():
    calm, moved = (distributions(pairs(rows(1000, 1, shift)), "2019-01") for shift in (0.0, 1.0))
    assert size(calm)[0] == WIDTH
    assert 200 < size(calm)[1] < 500
    assert len(calm) < 60_000
    assert calm == distributions(pairs(rows(1000, 1)), "2019-01") != moved


EDGE = {
    "all missing": rows(500, 2).with_columns(pl.lit(None, pl.Float64).alias("miles")),
    "all new": rows(500, 2).with_columns(pl.lit("new").alias("zone $ of a very long name"), miles=1e12, hour=0.5),
    "constant": rows(500, 2).with_columns(miles=1.0, minute=3.0),
}


@pytest.mark.parametrize("case", EDGE)
def test_nothing_breaks_them(case):
    assert size(distributions(pairs(EDGE[case]), "2019-01"))[0] == WIDTH


def test_one_column_none_and_many():
    some = pairs(rows(500, 3))[:1]
    one, none, many = (size(distributions(p, "2019-01")) for p in (some, [], 30 * some))
    assert one == none
    assert many[0] == WIDTH
    assert (many[1] - one[1]) / 152 == pytest.approx(MOST_PANELS / 3 - 1, abs=0.1)


def test_distances_over_time():
    assert size(trend())[0] == WIDTH
    assert len(trend()) < 60_000
    assert trend() == trend() != trend(threshold=0.06) != trend(drifts_after=36)
    assert size(trend(0)) == size(trend(1)) == size(trend(names=()))
    many = trend(names=[f"column $ {i}" for i in range(30)])
    assert size(many) == size(trend(names=[f"column $ {i}" for i in range(MOST_PANELS)]))
    assert size(many)[1] > 4 * size(trend())[1]
