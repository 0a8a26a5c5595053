"""What a retraining does: refit or tune, and on how much history."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.errors import ConfigError
from ml_assets.core.retraining.evidence import Evidence, Finding
from ml_assets.core.retraining.observed import Partition
from ml_assets.core.retraining.plan import Learning, fewest, make_plan, rows
from ml_assets.core.retraining.trainings import Plan, Training
from ml_assets.core.windows import Window

RULES = Learning(window=12, shortest=3, held=0.66, min_rows=500, tunes=True)
CAUSE = 3


def days(last: int, labelled: int = 1000) -> list[Partition]:
    """The days through one."""
    starts = [datetime(2020, 1, n) for n in range(1, last + 2)]
    windows = [Window(f"{n:02}", starts[n - 1], starts[n]) for n in range(1, last + 1)]
    return [Partition(w, w.end.replace(tzinfo=UTC), rows=labelled, labelled=labelled) for w in windows]


def drift(day: int, champion: str = "a", *, abrupt: bool = False) -> Finding:
    return Finding("reference_outdated", "drift", f"{day:02}", "drifted", champion, abrupt=abrupt)


def tick(day: int, champion: str = "a") -> Finding:
    return Finding("scheduled", "clock", f"{day:02}", "schedule", champion)


def trained(day: int, outcome: str, finding: Finding, bundle: str = "c", since: str | None = None) -> Training:
    plan = Plan(f"{day:02}", "refit", 3, since)
    return Training(plan.as_of, outcome, Evidence.of([finding]), plan, bundle)


@pytest.mark.parametrize(
    ("finding", "trainings", "how"),
    [
        (drift(15), [], "refit"),
        (drift(15), [trained(14, "rejected", drift(13))], "tune"),
        (drift(15), [trained(14, "undecided", drift(13))], "tune"),
        (drift(15), [trained(13, "rejected", drift(13)), trained(14, "rejected", drift(14))], "tune"),
        (drift(15), [trained(13, "rejected", drift(13))], "tune"),
        (drift(15), [trained(12, "rejected", drift(12))], "refit"),  # another cause
        (drift(15), [trained(14, "rejected", tick(14))], "refit"),
        (drift(15), [trained(14, "failed", drift(14))], "refit"),
        (drift(15), [trained(14, "promoted", drift(14))], "refit"),
        (drift(15), [trained(14, "rejected", drift(14, "b"))], "refit"),  # of the champion before
        (drift(15), [Training("14", "rejected")], "refit"),  # by hand
        (tick(15), [trained(14, "rejected", drift(14))], "refit"),
    ],
)
def test_parameters_are_tuned_only_if_the_refit_was_refused_for_the_same_cause(finding, trainings, how):
    plan = make_plan([finding], days(15), trainings, CAUSE, RULES)
    assert (plan.how, plan.as_of, plan.window) == (how, "15", 12)
    assert make_plan([finding], days(15), trainings, CAUSE, Learning(12, 3, 0.66, 500)).how == "refit"
    assert ("refused" in plan.why) == (how == "tune")


OWN = [trained(8, "promoted", drift(8, "z"), bundle="a", since="07")]


@pytest.mark.parametrize(
    ("asks", "today", "trainings", "window", "since"),
    [
        ([drift(15)], 15, [], 12, None),
        ([drift(15, abrupt=True)], 15, [], 3, "15"),
        ([drift(14, abrupt=True), drift(15)], 15, [], 3, "14"),
        ([drift(13, abrupt=True), drift(14, abrupt=True), drift(15, abrupt=True)], 15, [], 3, "13"),
        ([drift(10, abrupt=True), drift(15)], 15, [], 6, "10"),
        ([drift(4, abrupt=True), drift(15)], 15, [], 12, None),  # a full window resembles the present
        # a shorter window grows back, whatever asks for the next training
        ([drift(11)], 11, OWN, 5, "07"),
        ([tick(11)], 11, OWN, 5, "07"),
        ([tick(18)], 18, OWN, 12, None),
        ([drift(11, abrupt=True)], 11, OWN, 3, "11"),  # another change, against the champion of the first
        ([drift(11, "y")], 11, OWN, 11, None),  # another champion: the history is shorter than the window
        # what a refused training knew of the change is not forgotten
        ([drift(15), drift(16)], 16, [trained(14, "rejected", drift(13, abrupt=True), since="13")], 4, "13"),
        ([drift(15, abrupt=True)], 15, [trained(14, "rejected", drift(13, abrupt=True), since="13")], 3, "13"),
        ([drift(9, abrupt=True)], 8, [], 8, None),  # it is not in the history
    ],
)
def test_how_much_is_learnt_from(asks, today, trainings, window, since):
    plan = make_plan(asks, days(today), trainings, CAUSE, RULES)
    assert (min(plan.window, today), plan.since) == (window, since)
    assert ("abrupt change at" in plan.why) == (since is not None)


@pytest.mark.parametrize(("labelled", "window"), [(1000, 3), (200, 4), (100, 6), (45, 12), (1, 12)])
def test_a_short_window_leaves_enough_rows_to_train_on(labelled, window):
    history = days(15, labelled)
    plan = make_plan([drift(15, abrupt=True)], history, [], CAUSE, RULES)
    assert plan.window == window
    assert plan.since == ("15" if window < 12 else None)


def test_rows_are_counted_without_those_kept_apart():
    assert rows(days(5), 3, RULES) == 2340
    assert rows(days(5), 3, Learning(12, 3, 1.5, 500)) == 1500
    assert fewest(days(15), Learning(12, 3, 1.5, 500)) == 2
    assert fewest(days(15), Learning(12, 3, 2, 0)) == 3
    assert fewest(days(15, 10), RULES) is None


@given(st.lists(st.integers(0, 2000), min_size=1, max_size=20), st.integers(0, 5000), st.integers(1, 12), st.data())
def test_no_window_is_shorter_than_its_rows_need_nor_longer_than_the_full_one(labelled, needed, shortest, data):
    rules = Learning(12, shortest, 0.66, needed)
    history = [p for p, n in zip(days(len(labelled)), labelled, strict=True)]
    history = [Partition(p.window, p.at, rows=n, labelled=n) for p, n in zip(history, labelled, strict=True)]
    change = data.draw(st.integers(1, len(labelled)))
    plan = make_plan([drift(change, abrupt=True)], history, [], CAUSE, rules)
    assert shortest <= plan.window <= 12
    if plan.window < 12:
        assert rows(history, plan.window, rules) >= needed
        assert plan.window >= len(labelled) - change + 1


def test_impossible_learning_is_refused_all_at_once():
    with pytest.raises(ConfigError) as caught:
        Learning(0, 3, 2, -1, 1.5)
    assert len(caught.value.found) == 5
