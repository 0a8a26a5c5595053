"""Found slices: the bad corner is found, measured on rows the tree has not seen, and its rule is the truth."""

import json
import re

import numpy as np
import polars as pl
import pytest

from ml_assets.core.found_slices import MOST_SLICES, Question, Rule, grown_rules, questions_on, worst_slices

ROWS = 3000
RNG = np.random.default_rng(0)
MILES, HOUR = RNG.gamma(2, 2, ROWS).round(3), RNG.integers(0, 24, ROWS)
ZONE = RNG.choice(["airport", "centre", "suburb"], ROWS, p=[0.2, 0.5, 0.3])
FRAME = pl.DataFrame(
    {
        "row_number": np.arange(ROWS),
        "event_at": np.arange(ROWS),
        "label": RNG.random(ROWS),
        "label_known_at": np.arange(ROWS),
        "miles": pl.Series(MILES, dtype=pl.Float64),
        "zone": ZONE,
        "slice_hour": HOUR.astype(float),
        "@unit": np.arange(ROWS),
    }
)
BAD = (ZONE == "airport") & (HOUR > 15)
LOSS = {"candidate": RNG.gamma(2, 1, ROWS) * np.where(BAD, 4, 1), "champion": RNG.gamma(2, 1, ROWS)}


def found(frame=FRAME, loss=LOSS, metric="mae", seed=0, **changed):
    return worst_slices(frame, loss, metric=metric, seed=seed, **changed)


def test_the_bad_corner_is_found():
    worst = found()[0]
    assert worst["rule"] == "zone is airport and hour > 15.5"
    assert worst["share_of_rows"] == pytest.approx(BAD.mean(), abs=0.02)
    assert worst["share_of_loss"] > 2.5 * worst["share_of_rows"]
    assert worst["candidate"] > 3 * worst["champion"]


def test_what_is_reported_is_measured_on_the_other_half_by_the_rule_as_written():
    half = np.random.default_rng(0).permutation(ROWS) < ROWS // 2
    rows = BAD & ~half
    worst = found()[0]
    assert worst["rows"] == rows.sum()
    assert worst["candidate"] == pytest.approx(LOSS["candidate"][rows].mean())
    assert worst["champion"] == pytest.approx(LOSS["champion"][rows].mean())
    assert worst["share_of_loss"] == pytest.approx(LOSS["candidate"][rows].sum() / LOSS["candidate"][~half].sum())
    assert found(metric="rmse")[0]["candidate"] == pytest.approx(np.sqrt(worst["candidate"]))


def test_where_nothing_is_worse_little_is_reported_as_worse():
    even = {"candidate": np.random.default_rng(1).gamma(2, 1, ROWS)}
    assert all(s["candidate"] < 1.25 * even["candidate"].mean() for s in found(loss=even))
    assert found(loss={"candidate": np.ones(ROWS)}) == []


def test_the_seed_decides_alone():
    assert found() == found()
    assert found()[0]["rows"] != found(seed=1)[0]["rows"]
    assert json.loads(json.dumps(found())) == found()


def test_too_few_rows_are_not_searched():
    few = {who: values[:99] for who, values in LOSS.items()}
    assert found(FRAME[:99], few) == []


def test_neither_labels_nor_keys_are_asked():
    asked = {q.column for q in questions_on(FRAME, 10)}
    assert asked == {"miles", "zone", "slice_hour"}
    assert {q.column for q in questions_on(FRAME.with_columns(slice_miles="miles"), 10)} == asked
    assert len(found(most=2)) <= 2
    assert len(found()) <= MOST_SLICES


def test_rare_categories_are_not_asked():
    rare = FRAME.with_columns(zone=pl.when(pl.int_range(pl.len()) < 20).then(pl.lit("depot")).otherwise("zone"))
    assert "depot" not in {q.category for q in questions_on(rare, 100)}
    assert "depot" in {q.category for q in questions_on(rare, 10)}


def test_missing_values_can_be_the_slice():
    missing = np.random.default_rng(2).random(ROWS) < 0.2
    frame = FRAME.with_columns(miles=pl.when(pl.lit(missing)).then(None).otherwise("miles"))
    loss = {"candidate": np.random.default_rng(3).gamma(2, 1, ROWS) * np.where(missing, 5, 1)}
    worst = found(frame, loss)[0]
    assert worst["rule"].startswith("miles is missing")
    assert worst["candidate"] == pytest.approx(10, rel=0.1)


def test_missing_numbers_are_below_all_others():
    frame = pl.DataFrame({"miles": [None, 1.0, 5.0]})
    question = Question("miles", "miles")
    low, high = Rule({question: (-np.inf, 2.0)}), Rule({question: (2.0, np.inf)})
    assert (low.holds(frame).tolist(), low.in_words(frame)) == ([True, True, False], "miles <= 2 or missing")
    assert (high.holds(frame).tolist(), high.in_words(frame)) == ([False, False, True], "miles > 2")
    known = Rule({question: (-1.0, np.inf)})
    assert (known.holds(frame).tolist(), known.in_words(frame)) == ([False, True, True], "miles is known")
    both = Rule({question: (2.0, 5.0), Question("zone", "zone", "a"): (-np.inf, 0.5)})
    assert both.in_words(frame.with_columns(zone=pl.lit("b"))) == "2 < miles <= 5 and zone is not a"


def test_the_rules_of_a_tree_share_no_row_and_miss_none():
    rules = grown_rules(FRAME, LOSS["candidate"], seed=0)
    assert (np.sum([rule.holds(FRAME) for rule in rules], axis=0) == 1).all()
    assert len({rule.in_words(FRAME) for rule in rules}) == len(rules) >= 4
    assert not any(re.search(r"label|row_number|event_at|@", rule.in_words(FRAME)) for rule in rules)


def test_nothing_to_ask():
    assert grown_rules(FRAME.select("row_number", "label"), LOSS["candidate"], seed=0) == []
