"""The table of cases: realised error beside what a decision promised."""

from types import SimpleNamespace

import pytest

from ml_assets.core.bootstrap import Interval
from ml_assets.core.promises import Bound, Promise, kept, outlook, promise_on

PROMISED = Promise("mae", 3.0, 2.9, 3.1)
BOUND = Bound(margin=0.1, min_labels=200, min_coverage=0.9)


@pytest.mark.parametrize(
    ("realised", "rows_mature", "promise", "outcome", "said"),
    [
        ((3.0, 2.9, 3.1), 1000, PROMISED, "kept", "surely not worse"),
        ((2.0, 1.9, 2.1), 1000, PROMISED, "kept", "promised 3,"),
        ((3.2, 3.1, 3.3), 1000, PROMISED, "open", "can't tell"),  # worse than promised, within the margin
        ((3.4, 3.2, 3.6), 1000, PROMISED, "open", "can't tell"),  # beyond the margin, not surely
        ((3.6, 3.45, 3.75), 1000, PROMISED, "broken", "with a margin of 10% 3.3"),
        ((3.6, 3.45, 3.75), 1000, Promise("mae", 3.0, 2.5, 3.5), "open", "can't tell"),  # a vague promise
        ((3.6, 3.45, 3.75), 1000, Promise("mae", 3.0, None, None), "broken", "surely worse"),  # of older decisions
        ((3.6, 3.45, 3.75), 1000, None, "unknown", "nothing was promised"),
        ((9.0, 8.0, 9.9), 199, PROMISED, "unknown", "199 labels are known of 1,000 rows; needed: 200"),
        ((9.0, 8.0, 9.9), 899, PROMISED, "unknown", "labels of 89.9% of the rows are known; needed: 90%"),
        ((3.0, 2.9, 3.1), 899, PROMISED, "unknown", "needed: 90%"),  # nor is it fine
        (None, 0, PROMISED, "unknown", "0 labels are known of 1,000 rows"),
        (None, 1000, PROMISED, "unknown", "1,000 labels are known of 1,000 rows"),
    ],
)  # fmt: skip
def test_cases(realised, rows_mature, promise, outcome, said):
    found = kept(realised and Interval(*realised), promise, BOUND, rows=1000, rows_mature=rows_mature)
    assert found.outcome == outcome
    assert said in found.words
    assert (found.excess is None) == (outcome == "unknown")


def test_no_margin_asks_for_no_worse_at_all():
    worse = Interval(3.3, 3.25, 3.35)
    assert kept(worse, PROMISED, Bound(margin=0.0), rows=1000, rows_mature=1000).outcome == "broken"
    assert kept(worse, PROMISED, Bound(margin=0.2), rows=1000, rows_mature=1000).outcome == "kept"


def test_the_interval_of_the_excess_is_that_of_a_difference_of_samples():
    found = kept(Interval(3.6, 3.4, 3.8), Promise("mae", 3.0, 2.85, 3.15), Bound(margin=0.0), rows=500, rows_mature=500)
    assert found.excess == Interval(pytest.approx(0.6), pytest.approx(0.6 - 0.25), pytest.approx(0.6 + 0.25))


def test_what_is_expected_is_judged_without_labels():
    assert outlook(Interval(4.0, 3.7, 4.3), PROMISED, BOUND).outcome == "broken"
    assert outlook(Interval(3.0, 2.9, 3.1), PROMISED, BOUND).outcome == "kept"
    assert outlook(None, PROMISED, BOUND).outcome == "unknown"


def decided(**facts):
    return [SimpleNamespace(kind="decided", facts={"bundle": "ab", "holdout_metric": 3.0, **facts})]


def test_the_promise_is_that_of_the_last_decision_on_the_bundle():
    told = {"metric": "mae", "estimate": 3.0, "low": 2.9, "high": 3.1}
    assert promise_on(decided(promised=told), "ab", "mae") == PROMISED
    assert promise_on(decided(promised=told), "ab", "rmse") is None, "another metric decides now"
    assert promise_on(decided(), "ab", "mae") == Promise("mae", 3.0, None, None), "decided before promises were kept"
    assert promise_on(decided(promised=told), "cd", "mae") is None
    assert promise_on([], "ab", "mae") is None


def test_what_an_evaluation_promises():
    evaluation = {
        "metrics": {"candidate": {"mae": 2.5}},
        "intervals": {"candidate": {"mae": {"low": 2.4, "high": 2.6}}},
    }
    assert Promise.of(evaluation, "mae") == Promise("mae", 2.5, 2.4, 2.6)
    assert Promise.of({"metrics": {"candidate": {"mae": 2.5}}}, "mae") == Promise("mae", 2.5, None, None)
