"""Baselines by hand; the last value is what was known strictly before the event."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from ml_assets.core.errors import ContractError
from ml_assets.core.naive_baselines import PRIOR, LastValue, Naive, NaiveByKey, key_of

START = datetime(2018, 1, 1)


def rows(*of, **more) -> pl.DataFrame:
    """Rows of (key, event hour, hour the label is known, label)."""
    key, event, known, label = zip(*of, strict=True)
    return pl.DataFrame(
        {
            "zone": key,
            "event_at": [START + timedelta(hours=h) for h in event],
            "label_known_at": [None if h is None else START + timedelta(hours=h) for h in known],
            "label": label,
            **more,
        },
        schema_overrides={"zone": pl.String, "label": pl.Float64, "label_known_at": pl.Datetime("us")},
    )


TRAIN = rows(("a", 0, 1, 10.0), ("a", 1, 2, 20.0), ("a", 2, 3, 60.0), ("b", 3, 4, 5.0))


def test_the_median_a_quantile_and_base_rates():
    assert Naive.fit(TRAIN, task="regression").value == 15
    assert Naive.fit(TRAIN, task="regression", alpha=1.0).value == 60
    flags = TRAIN.with_columns(label=pl.Series([1.0, 0.0, 1.0, 1.0]))
    assert Naive.fit(flags, task="binary").value == 0.75
    assert Naive.fit(flags, task="multiclass", classes=3).value == (0.25, 0.75, 0.0)
    assert Naive(15.0).scores(TRAIN).tolist() == [15] * 4
    assert Naive((0.2, 0.8)).scores(TRAIN).tolist() == [[0.2, 0.8]] * 4


def test_a_key_has_its_own_median_drawn_towards_that_of_all():
    fitted = NaiveByKey.fit(TRAIN, ["zone"], task="regression")
    expected_a, expected_b = (3 * 20 + PRIOR * 15) / (3 + PRIOR), (5 + PRIOR * 15) / (1 + PRIOR)
    asked = rows(("b", 9, None, None), ("a", 9, None, None), ("never seen", 9, None, None), (None, 9, None, None))
    assert fitted.scores(asked) == pytest.approx([expected_b, expected_a, 15, 15])


def test_a_key_has_its_own_rates():
    label = np.random.default_rng(0).integers(0, 3, 300).astype(float)
    train = pl.DataFrame({"zone": ["a", "b", "b"] * 100, "label": label})
    fitted = NaiveByKey.fit(train, ["zone"], task="multiclass", classes=3)
    counts = np.bincount(label[::3].astype(int), minlength=3)
    rates = np.bincount(label.astype(int)) / 300
    found = fitted.scores(train)
    assert found[0] == pytest.approx((counts + PRIOR * rates) / (100 + PRIOR))
    assert found.sum(axis=1) == pytest.approx(np.ones(300))
    yes = train.with_columns(label=(pl.col("label") == 1).cast(pl.Float64))
    assert NaiveByKey.fit(yes, ["zone"], task="binary").scores(yes) == pytest.approx(found[:, 1])


def test_a_quantile_by_key():
    train = pl.DataFrame({"zone": ["a"] * 400, "label": np.arange(400.0)})
    assert NaiveByKey.fit(train, ["zone"], task="regression", alpha=0.9).scores(train)[0] == pytest.approx(359.1)


def test_keys_of_several_columns_do_not_mix():
    frame = pl.DataFrame({"zone": ["a", "a", None], "slice_hour": [1.0, 2.0, 1.0], "hour": [9.0, 9.0, 9.0]})
    keys = frame.select(key_of(frame, ["zone", "hour"])).to_series()
    assert keys.n_unique() == 3
    assert keys[0] == frame.select(key_of(frame, ["zone", "hour"])).to_series()[0]


@pytest.mark.parametrize(("by", "found"), [(["zone", "nowhere"], "no column nowhere"), ([], "no columns")])
def test_a_key_that_is_not_there_is_refused(by, found):
    for baseline in (NaiveByKey, LastValue):
        with pytest.raises(ContractError, match=found):
            baseline.fit(TRAIN, by, task="regression")


def test_the_last_value_is_that_known_strictly_before_the_event():
    fitted = LastValue.fit(TRAIN, ["zone"], task="regression")
    asked = rows(
        ("a", 2.5, None, None),  # 20, known at 2; 60 is known at 3 only
        ("a", 3, None, None),  # known at 3 is not before 3
        ("a", 3.1, None, None),
        ("b", 4, None, None),  # nothing is known of b before: the median of all
        ("b", 5, None, None),
        ("c", 99, None, None),
    )
    assert fitted.scores(asked).tolist() == [20, 20, 60, 15, 5, 15]


def test_labels_of_the_rows_scored_count_from_when_they_are_known():
    fitted = LastValue.fit(TRAIN, ["zone"], task="regression")
    asked = rows(("b", 10, 12, 7.0), ("b", 11, 14, 8.0), ("b", 13, 15, 9.0), ("b", 14, 16, 1.0))
    assert fitted.scores(asked).tolist() == [5, 5, 7, 7]
    order = [3, 1, 0, 2]
    assert fitted.scores(asked[order]).tolist() == [7, 5, 5, 7]


@pytest.mark.parametrize("seed", range(3))
def test_a_label_not_known_before_an_event_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    event = rng.integers(0, 200, 150)
    known = event + rng.integers(0, 50, 150)
    columns = (rng.choice(["a", "b", "c"], 150), event.tolist(), known.tolist(), rng.random(150))
    of = list(zip(*columns, strict=True))
    train, asked = rows(*of[:75]), rows(*of[75:])
    fitted = LastValue.fit(train, ["zone"], task="regression")
    found = fitted.scores(asked)
    every = pl.concat([train, asked])
    for i in range(75):
        at, zone = asked["event_at"][i], asked["zone"][i]
        before = every.filter(pl.col("label_known_at") < at, pl.col("zone") == zone)
        last = before["label_known_at"].rank("max") == before.height
        newest = before.filter(last)["label"].to_list()
        assert found[i] in (newest or [fitted.naive.value])
        later = every["label_known_at"] >= at
        changed = asked.with_columns(label=pl.when(later[75:]).then(1e9).otherwise("label"))
        assert fitted.scores(changed)[i] == found[i]


def test_the_last_class_is_answered_by_what_followed_it():
    rng = np.random.default_rng(4)
    label = [0.0]
    for _ in range(999):
        label.append(label[-1] if rng.random() < 0.8 else 1 - label[-1])
    train = rows(*(("a", h, h + 0.5, y) for h, y in enumerate(label)))
    fitted = LastValue.fit(train, ["zone"], task="binary")
    asked = rows(("a", 2000, 2000.5, 1.0), ("a", 2001, 2002, 0.0), ("b", 2002, None, None))
    after_last, after_one, unseen = fitted.scores(asked)
    assert after_one == pytest.approx(0.8, abs=0.05)
    assert after_last == pytest.approx(0.8 if label[-1] else 0.2, abs=0.05)
    assert unseen == pytest.approx(np.mean(label))
    wide = LastValue.fit(train, ["zone"], task="multiclass", classes=2).scores(asked)
    assert wide[:, 1] == pytest.approx([after_last, after_one, unseen])
