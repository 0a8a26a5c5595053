"""Samples that add up, and a classifier that finds what no single column shows, and no season that was seen."""

import json

import numpy as np
import polars as pl
import pytest

from ml_assets.core.drift.bins import Column
from ml_assets.core.drift.domain_classifier import between_partitions, domain_shift
from ml_assets.core.drift.sample import ORDER, Sample, sample_of
from ml_assets.core.errors import ProfileError

COLUMNS = (Column("a", "number"), Column("b", "number"), Column("month", "number"), Column("zone", "category"))


def rows(seed, correlation=0.0, month=0.0, count=700):
    rng = np.random.default_rng(seed)
    a, own = rng.standard_normal((2, count))
    frame = {
        "a": a,
        "b": correlation * a + np.sqrt(1 - correlation**2) * own,
        "month": np.full(count, month),
        "zone": rng.choice(["x", "y", "z"], count),
        "row_number": np.arange(count),
    }
    return pl.LazyFrame(frame)


def sampled(frame, key="now", most=1200, columns=COLUMNS):
    return sample_of(frame, columns, key, row_number="row_number", most=most)


def whole(columns=COLUMNS):
    parts = [sampled(rows(m, month=m % 4), f"m{m}", columns=columns) for m in range(8)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merged(part)
    return merged


@pytest.fixture(scope="module")
def reference():
    return whole()


@pytest.fixture(scope="module")
def past(reference):
    return between_partitions(reference).told


def test_parts_add_up_in_any_order(reference):
    assert reference.rows.height == 1200
    parts = [sampled(rows(m, month=m % 4), f"m{m}") for m in reversed(range(8))]
    pairs = [parts[0].merged(parts[1]), parts[2].merged(parts[3].merged(parts[4])), parts[5].merged(parts[6])]
    again = pairs[0].merged(pairs[1]).merged(pairs[2].merged(parts[7]))
    assert again.rows.equals(reference.rows)
    halves = rows(0).head(300), rows(0).slice(300)
    assert (
        sampled(halves[0], "m0", 50).merged(sampled(halves[1], "m0", 50)).rows.equals(sampled(rows(0), "m0", 50).rows)
    )


def test_comes_back_from_json(reference):
    text = json.dumps(reference.to_json(), allow_nan=False)
    assert Sample.from_json(json.loads(text)).rows.equals(reference.rows)
    assert reference.rows[ORDER].n_unique() == reference.rows.height


TIMELESS = tuple(c for c in COLUMNS if c.name != "month")


@pytest.fixture(scope="module")
def timeless():
    reference = whole(TIMELESS)
    past = between_partitions(reference).told
    return lambda now: domain_shift(reference, past, sampled(now, columns=TIMELESS))


def test_a_change_that_no_column_shows_is_found(timeless):
    assert timeless(rows(98)).p > 0.01
    found = timeless(rows(99, correlation=0.9))
    assert found.p < 0.01
    assert found.auc > found.chance[1]
    assert set(list(found.telling)[:2]) == {"a", "b"}
    assert json.loads(json.dumps(found.to_json()))["auc"] == found.auc


def test_what_was_seen_is_none(reference, past):
    found = [domain_shift(reference, past, sampled(rows(100 + m, month=m))) for m in (0, 3)]
    assert all(f.auc > f.chance[1] for f in found), "months tell partitions apart, as they should"
    assert min(f.p for f in found) > 0.01


def test_values_that_are_missing_or_new_are_found(timeless):
    assert timeless(rows(5, month=1).with_columns(a=float("nan"))).p < 0.01
    assert timeless(rows(5, month=1).with_columns(zone=pl.lit("w"))).p < 0.01


def test_a_column_that_tells_every_partition_hides_what_else_has_changed(reference, past, timeless):
    now = rows(5, month=1).with_columns(a=float("nan"))
    assert domain_shift(reference, past, sampled(now)).p > 10 * timeless(now).p


def test_same_rows_same_answer(reference, past):
    now = rows(7, month=2).collect()
    both = now, now.sample(fraction=1.0, shuffle=True)
    one, other = (domain_shift(reference, past, sampled(frame.lazy())) for frame in both)
    assert one == other


def test_too_few_rows_and_other_columns(reference, past):
    assert domain_shift(reference, past, sampled(rows(3).head(20))) is None
    assert between_partitions(sampled(rows(3))).told == (), "one partition has no others"
    assert domain_shift(reference, (), sampled(rows(3))) is None
    with pytest.raises(ProfileError, match="columns"):
        domain_shift(reference, past, sampled(rows(3), columns=COLUMNS[:2]))
    with pytest.raises(ProfileError, match="different columns or sizes"):
        reference.merged(sampled(rows(3), most=7))
