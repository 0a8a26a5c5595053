"""Slices against the rows, and intervals that hold for all slices at once."""

import numpy as np
import polars as pl
import pytest

from ml_assets.core.metrics import losses, metrics_of
from ml_assets.core.slices import LEAST_ROWS, Sliced, by_slice, label_luck, slice_differences

RNG = np.random.default_rng(7)
LABEL = RNG.gamma(2, 5, 600)
ZONE = pl.Series([None if i % 7 == 0 else f"z{i % 3}" for i in range(600)])
HOUR = pl.Series([float(i % 5) for i in range(600)])
PREDICTION = LABEL + RNG.normal(0, 2, 600)


def test_a_slice_is_measured_on_its_rows():
    for metric in ("mae", "rmse"):
        found = by_slice(Sliced.by(ZONE), {"candidate": losses(metric, LABEL, PREDICTION)}, metric)
        assert set(found) == {"missing", "z0", "z1", "z2"}
        assert sum(s["rows"] for s in found.values()) == 600
        rows = np.flatnonzero(ZONE.is_null().to_numpy())
        alone = metrics_of("regression", LABEL[rows], PREDICTION[rows])
        assert found["missing"]["candidate"] == pytest.approx(alone[metric])


def test_a_source_that_writes_missing_itself():
    sliced = Sliced.by(pl.Series(["missing", None, "a", None]))
    found = by_slice(sliced, {"candidate": np.arange(4.0)}, "mae")
    assert found == {"missing": {"rows": 3, "candidate": pytest.approx(4 / 3)}, "a": {"rows": 1, "candidate": 2}}


@pytest.mark.parametrize("values", [["b", "a"], [2.0, 1.5], [True, False], [2, 1]])
def test_slices_are_in_the_order_of_their_values(values):
    found = by_slice(Sliced.by(pl.Series(values)), {"candidate": np.array([1.0, 2.0])}, "mae")
    assert [s["candidate"] for s in found.values()] == [2, 1]


def test_whole_numbers_are_shown_as_such():
    assert Sliced.by(HOUR).values == ("0", "1", "2", "3", "4")
    assert Sliced.by(pl.Series([1.0, float("nan"), 1.5])).values == ("1", "1.5", "nan")


def differences(columns, ours, theirs, luck=None):
    sliced = {name: Sliced.by(values) for name, values in columns.items()}
    return slice_differences(sliced, ours, theirs, np.zeros(len(ours)) if luck is None else luck)


def test_by_hand():
    from scipy.stats import t

    ours, theirs = np.array([3.0, 1.0, 2.0, 5.0, 5.0]), np.array([1.0, 1.0, 1.0, 2.0, 9.0])
    found = differences({"zone": pl.Series(["a", "a", "a", "b", "b"])}, ours, theirs)["zone"]
    apart = np.array([2.0, 0.0, 1.0])
    half = t.ppf(1 - 0.025 / 2, 2) * apart.std(ddof=1) / np.sqrt(3)
    assert found["a"].interval.estimate == pytest.approx(1.0)
    assert found["a"].interval.high == pytest.approx(1 + half)
    assert found["a"].interval.low == pytest.approx(1 - half)
    assert (found["a"].rows, found["a"].loss, found["b"].loss) == (3, 1.0, 5.5)


def test_intervals_hold_for_all_slices_at_once():
    rng = np.random.default_rng(1)
    columns = {"hour": pl.Series(np.arange(1200) % 24), "zone": pl.Series(np.arange(1200) % 7)}
    alarms = 0
    for _ in range(200):
        theirs = rng.gamma(2, 2, 1200)
        ours = theirs + rng.normal(0, 1, 1200) * rng.gamma(1, 1, 1200)
        found = differences(columns, ours, theirs)
        alarms += any(s.interval.low > 0 or s.interval.high < 0 for of in found.values() for s in of.values())
    assert alarms / 200 <= 0.08, "both models are equal: 5 % of the reports may see a difference somewhere"


def test_a_ruined_slice_is_seen_among_many():
    rng = np.random.default_rng(2)
    hour = np.arange(6000) % 24
    theirs = rng.gamma(2, 2, 6000)
    ours = theirs + rng.normal(-0.2, 1, 6000) + np.where(hour == 5, 1.2, 0)
    found = differences({"hour": pl.Series(hour)}, ours, theirs)["hour"]
    assert [value for value, s in found.items() if s.interval.low > 0] == ["5"]


def test_more_slices_are_wider_intervals():
    ours, theirs = RNG.gamma(2, 2, (2, 600))
    one = differences({"zone": ZONE}, ours, theirs)["zone"]["z1"].interval
    two = differences({"zone": ZONE, "hour": HOUR}, ours, theirs)["zone"]["z1"].interval
    assert two.low < one.low < one.high < two.high


def test_a_single_row_says_nothing():
    found = differences({"zone": pl.Series(["a", *["b"] * LEAST_ROWS])}, np.arange(3.0), np.zeros(3))
    assert list(found["zone"]) == ["b"]


def test_two_rows_on_the_same_side_are_not_sure_as_their_resamples_would_be():
    found = differences({"zone": pl.Series(["a", "a"])}, np.array([1.0, 3.0]), np.zeros(2))["zone"]["a"]
    assert found.interval.low < 0 < found.interval.estimate


def test_a_rare_class_that_no_row_has_is_no_certainty():
    rng = np.random.default_rng(3)
    ours, theirs = np.full(40, 0.03) + rng.normal(0, 1e-4, 40), np.full(40, 0.015) + rng.normal(0, 1e-4, 40)
    zone = {"zone": pl.Series(["a"] * 40)}
    label = np.zeros(40)
    of = {"a": losses("log_loss", label, ours), "b": losses("log_loss", label, theirs)}
    sure = differences(zone, of["a"], of["b"])["zone"]["a"].interval
    assert sure.low > 0, "all rows are alike, so that their spread says nothing"
    humble = differences(zone, of["a"], of["b"], label_luck("log_loss", ours, theirs))["zone"]["a"].interval
    assert humble.low < 0 < humble.high


@pytest.mark.parametrize("metric", ["log_loss", "brier"])
def test_luck_is_the_variance_of_drawn_labels(metric):
    ours, theirs = np.array([0.2, 0.9]), np.array([0.4, 0.8])
    rng = np.random.default_rng(4)
    drawn = (rng.random((40_000, 2)) < (ours + theirs) / 2).astype(float)
    apart = np.array([losses(metric, y, ours) - losses(metric, y, theirs) for y in drawn])
    assert label_luck(metric, ours, theirs) == pytest.approx(apart.var(axis=0), rel=0.05)
    two = [np.column_stack([1 - p, p]) for p in (ours, theirs)]
    factor = 4 if metric == "brier" else 1
    assert label_luck(metric, *two) == pytest.approx(factor * label_luck(metric, ours, theirs))
    assert label_luck("mae", ours, theirs).tolist() == [0, 0]
