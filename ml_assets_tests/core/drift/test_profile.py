"""Profiles: exact counts, parts that add up to the whole, canonical bytes of bounded size, and what they refuse."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.drift.bins import MOST_CATEGORIES, MOST_VALUES, Column, learn_bins
from ml_assets.core.drift.counts import UNIT_IN_DEVIATIONS
from ml_assets.core.drift.profile import REST, Profile
from ml_assets.core.drift.profiling import count_partition, profile_of, side_by_side
from ml_assets.core.errors import ProfileError

NUMBER, VALUE, CATEGORY = Column("miles", "number"), Column("hour", "number"), Column("zone", "category")
COLUMNS = (NUMBER, VALUE, CATEGORY)
NAN, INF = float("nan"), float("inf")


def trips(rows, seed=0):
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "miles": rng.lognormal(0.5, 1, rows),
            "hour": rng.integers(0, 24, rows).astype(float),
            "zone": [f"z{i}" for i in rng.zipf(1.5, rows) % 40],
        }
    )


def keys(rows, partitions=12):
    return pl.Series([f"2018-{1 + i * partitions // rows:02d}" for i in range(rows)])


@pytest.fixture(scope="module")
def profile():
    return profile_of(trips(6000), COLUMNS, keys(6000))


def test_what_is_exact_is_exact(profile):
    frame = trips(6000).with_columns(key=keys(6000))
    for key in ("2018-01", "2018-07"):
        part = frame.filter(pl.col("key") == key)
        place = profile.partitions.index(key)
        for name in ("hour", "zone"):
            counts = profile.column(name)
            told = dict(zip(counts.bins.values, counts.cells[place].tolist(), strict=True))
            truly = dict(part[name].value_counts().iter_rows())
            assert {k: v for k, v in told.items() if v} == truly
        assert profile.rows[key] == part.height == 500
    miles = profile.column("miles").total()
    for edge, at_or_below in zip(miles.bins.edges, np.cumsum(miles.cells[0]), strict=True):
        assert at_or_below == (frame["miles"] <= edge).sum()


def test_intervals_hold_about_as_many_rows_each(profile):
    counts = profile.column("miles").total().cells[0]
    assert 130 <= counts.size <= 150
    assert counts.max() <= 6000 / 128 + 2


def test_a_value_that_many_rows_share_is_alone_in_its_interval():
    rng = np.random.default_rng(1)
    rows = pl.DataFrame({"miles": np.where(rng.random(5000) < 0.3, 1 / 3, rng.normal(0, 1, 5000))})
    counts = profile_of(rows, [NUMBER], keys(5000)).column("miles").total()
    assert counts.cells[0].max() == (rows["miles"] == 1 / 3).sum()


def test_what_is_no_value_is_counted_apart(profile):
    odd = pl.LazyFrame(
        {
            "miles": [None, NAN, NAN, INF, -INF, INF, 1.0, 1e9, -5.0],
            "hour": [None, NAN, NAN, INF, -INF, INF, 3.0, 3.5, -1.0],
            "zone": [None, None, "z1", "new", "new", "newer", "z2", "z2", ""],
        }
    )
    counted = count_partition(odd, profile.bins, "2019-01")
    miles, hour, zone = counted.columns
    assert miles.apart.tolist() == hour.apart.tolist() == [[1, 2, 3]]
    assert miles.cells.sum() == 1
    assert miles.unseen.tolist() == [[1, 1]]
    assert hour.cells[0, 3] == 1
    assert (hour.unseen[0, 0], hour.unseen[0, 4], hour.unseen.sum()) == (1, 1, 2)
    assert zone.apart.tolist() == [[2, 0, 0]]
    assert zone.unseen.tolist() == [[4]]
    assert counted.rows == {"2019-01": 9}


def test_rows_out_of_range_are_known_by_their_distance(profile):
    bins = learn_bins(trips(6000), [NUMBER])
    [bound] = bins
    far = [bound.edges[-1] + 10, bound.edges[-1] + 30, bound.edges[0] - 7]
    counted = count_partition(pl.LazyFrame({"miles": far}), bins, "x").columns[0]
    below, above = counted.beyond[0] * UNIT_IN_DEVIATIONS * bound.deviation
    assert (below, above) == (pytest.approx(7, rel=1e-5), pytest.approx(40, rel=1e-5))


VALUES = st.one_of(st.none(), st.sampled_from([0.0, 1.0, 2.5, NAN, INF, -INF]), st.floats(-1e6, 1e6, width=32))
ROWS = st.lists(
    st.tuples(VALUES, VALUES, st.one_of(st.none(), st.sampled_from(["z1", "z2", "y"])), st.sampled_from("abc")),
    max_size=30,
)
WIDE = learn_bins(trips(2000), COLUMNS)


def counted_in_parts(rows, cuts):
    """The profile of rows that come in pieces, each of which may hold rows of several partitions."""
    profiles = []
    for piece in np.split(np.arange(len(rows)), cuts):
        for key in "abc":
            part = [rows[i][:3] for i in piece if rows[i][3] == key]
            schema = {"miles": pl.Float64, "hour": pl.Float64, "zone": pl.String}
            profiles.append(count_partition(pl.LazyFrame(part, schema=schema, orient="row"), WIDE, key))
    whole = profiles[0]
    for one in profiles[1:]:
        whole = whole.merged(one)
    return whole


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, cut=st.integers(0, 30), order=st.randoms(use_true_random=False))
def test_parts_add_up_to_the_whole(rows, cut, order):
    shuffled = rows.copy()
    order.shuffle(shuffled)
    whole, parts = counted_in_parts(rows, []), counted_in_parts(shuffled, [min(cut, len(rows))])
    assert whole.to_bytes() == parts.to_bytes()


@settings(max_examples=40, deadline=None)
@given(rows=ROWS)
def test_bytes_come_back_the_same(rows):
    profile = counted_in_parts(rows, [])
    assert Profile.from_bytes(profile.to_bytes()).to_bytes() == profile.to_bytes()
    assert Profile.from_json(json.loads(json.dumps(profile.to_json()))).rows == profile.rows


def test_order_of_rows_does_not_matter(profile):
    order = np.random.default_rng(2).permutation(6000)
    again = profile_of(trips(6000)[order], COLUMNS, keys(6000)[order])
    assert again.to_bytes() == profile.to_bytes()


@pytest.mark.parametrize("kind", ["number", "category"])
def test_size(kind):
    rng = np.random.default_rng(3)
    rows = 110_000
    values = rng.normal(size=(15, rows)) if kind == "number" else rng.zipf(1.3, (15, rows)) % 260
    dtype = pl.Float64 if kind == "number" else pl.String
    frame = pl.DataFrame({f"feature_{i}": v for i, v in enumerate(values)}).cast(dtype)
    profile = profile_of(frame, [Column(c, kind) for c in frame.columns], keys(rows))
    assert len(profile.to_bytes()) < 150_000


def test_few_and_many_different_values():
    few = pl.DataFrame({"miles": np.arange(MOST_VALUES) * 0.1})
    many = pl.DataFrame({"miles": np.arange(MOST_VALUES + 1) * 0.1})
    assert len(learn_bins(few, [NUMBER])[0].values) == MOST_VALUES
    assert learn_bins(many, [NUMBER])[0].edges
    zones = pl.DataFrame({"zone": [f"z{i}" for i in range(MOST_CATEGORIES + 5)] + ["z7"]})
    counts = profile_of(zones, [CATEGORY], keys(zones.height)).column("zone").total()
    assert counts.cells.sum() == MOST_CATEGORIES + 1
    assert counts.unseen.sum() == 5


def test_thinned_keeps_some_partitions_and_all_rows(profile):
    thin = profile.thinned(5)
    assert thin.partitions[0] == REST
    assert len(thin.partitions) == 6
    assert thin.total_rows == profile.total_rows
    assert (thin.column("zone").total().cells == profile.column("zone").total().cells).all()
    assert profile.thinned(12).to_bytes() == profile.to_bytes()
    assert thin.to_bytes() == profile.thinned(5).to_bytes() != profile.to_bytes()


def test_columns_of_other_files_side_by_side(profile):
    frame = trips(100).lazy()
    both = side_by_side([count_partition(frame, profile.bins[:2], "x"), count_partition(frame, profile.bins[2:], "x")])
    assert both.to_bytes() == count_partition(frame, profile.bins, "x").to_bytes()


def test_what_is_refused(profile):
    with pytest.raises(ProfileError) as refused:
        count_partition(trips(10).lazy().drop("miles").with_columns(hour=pl.lit("3")), profile.bins, "x")
    assert "column miles is missing" in str(refused.value)
    assert "column hour is String, not Float64" in str(refused.value)
    with pytest.raises(ProfileError, match="none with a value"):
        learn_bins(pl.DataFrame({"miles": [None, NAN, INF]}, schema={"miles": pl.Float64}), [NUMBER])
    with pytest.raises(ProfileError, match="miles: different columns or bins"):
        profile.merged(profile_of(trips(500, seed=9), COLUMNS, keys(500)))
    with pytest.raises(ProfileError, match="partitions"):
        side_by_side([count_partition(trips(10).lazy(), profile.bins, key) for key in "ab"])
    for damaged in (b"{", b"[]", b"{}", profile.to_bytes().replace(b'"format":1', b'"format":2')):
        with pytest.raises(ProfileError, match="train again"):
            Profile.from_bytes(damaged)
    record = profile.to_json()
    record["columns"][0]["cells"][0].pop()
    with pytest.raises(ProfileError, match="ValueError"):
        Profile.from_json(record)


def test_large_partitions_are_counted_as_their_small_parts():
    frame = trips(300_000, seed=5).with_columns(
        pl.when(pl.col("hour") == 7).then(None).otherwise("miles").alias("miles")
    )
    parts = [count_partition(frame[i : i + 30_000].lazy(), WIDE, "x") for i in range(0, 300_000, 30_000)]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.merged(part)
    assert whole.to_bytes() == count_partition(frame.lazy(), WIDE, "x").to_bytes()
