"""What is sent is scored by the model that is named, and written down as it would have been served."""

import os
import time
from types import SimpleNamespace

import msgspec
import pytest

from ml_assets.core.encoding import FeatureSpec
from ml_assets.serving.data_plane import Served
from ml_assets.serving.shadows.messages import Frames, Told, framed, message_of, report, reported
from ml_assets.serving.shadows.process import Scoring, follow, give_way, tell
from ml_assets_tests.serving.conftest import COLUMNS, NEW, OLD, SPECS, model


class Log:
    """A prediction log that keeps its entries."""

    waiting = 1

    def __init__(self):
        self.entries, self.counters = [], SimpleNamespace(written=4)

    def append(self, entry):
        self.entries.append(entry)


MORE = (*SPECS, FeatureSpec("fare", "number", "fare"))


def served(columns=COLUMNS, rows=2, **changes) -> Served:
    told = Served(
        "r1", "rides", "champion", NEW, "u", model(NEW, 1.0), columns, rows, [2.0, 0.0], 1_000, 9, 60.0, None, (),
        [("k", 1), None], [5, None],
    )  # fmt: skip
    return msgspec.structs.replace(told, **changes)


@pytest.fixture
def log():
    return Log()


def scored(log, message: bytes, candidate=None) -> Scoring:
    scoring = Scoring({("rides", OLD): candidate or model(OLD, 10.0)}, {"rides": log})
    [asked] = Frames().of(message)
    scoring.score(asked)
    return scoring


def test_a_request_is_scored_row_by_row_with_all_that_was_known_of_it(log):
    scoring = scored(log, message_of(served(), model(OLD, 10.0)))
    told = [(e.request_id, e.row, e.at_us, e.unit, e.variant, e.role, e.bundle, e.values, e.prediction, e.error,
             e.feature_age_s, e.key, e.event_us) for e in log.entries]  # fmt: skip
    assert told == [
        ("r1", 0, 1_000, "u", "candidate", "shadow", OLD, (2.0, "a"), 20.0, None, 60.0, ("k", 1), 5),
        ("r1", 1, 1_000, "u", "candidate", "shadow", OLD, (None, "zz"), 0.0, None, 60.0, None, None),
    ]
    assert all(e.latency_us >= 0 for e in log.entries)
    assert scoring.told()["rides"] == Told(scored=1, failed=0, waiting=1, log={"written": 4})


class Slow:
    """A model that takes CPU time, and says in which order models were asked."""

    def __init__(self, of, asked, cpu_ms=0.0):
        self._of, self._asked, self._cpu_ms = of, asked, cpu_ms
        self.version, self.names = of.version, of.names

    def predict(self, columns, rows):
        self._asked.append(self.version)
        until = time.thread_time() + self._cpu_ms / 1e3
        while time.thread_time() < until:
            pass
        return self._of.predict(columns, rows)


def test_who_answered_is_timed_beside_for_the_first_requests_and_each_goes_first_every_other_time(log):
    asked = []
    champion, candidate = Slow(model(NEW, 1.0), asked, cpu_ms=4.0), Slow(model(OLD, 10.0), asked, cpu_ms=12.0)
    scoring = Scoring({("rides", OLD): candidate, ("rides", NEW): champion}, {"rides": log}, most_timed=3)
    for number in range(4):
        for one in Frames().of(message_of(served(request_id=f"r{number}"), candidate, timed=True)):
            scoring.score(one)
    for one in Frames().of(message_of(served(request_id="not asked for"), candidate)):
        scoring.score(one)
    assert asked == [OLD, NEW, NEW, OLD, OLD, NEW, OLD, OLD]
    timed = [e for e in log.entries if e.role == "timed"]
    assert [(e.request_id, e.row, e.variant, e.bundle, e.values, e.prediction, e.error) for e in timed] == [
        (f"r{number}", 0, "champion", NEW, None, None, None) for number in range(3)
    ]
    # Of two rows; the shadow's is that of the request.
    assert all(2_000 <= e.latency_us < 6_000 for e in timed)
    assert all(e.latency_us >= 12_000 for e in log.entries if e.role == "shadow")
    assert scoring.told()["rides"].scored == 5


def test_a_model_that_fails_beside_is_not_timed(log):
    champion = model(NEW, float("inf"))
    scoring = Scoring({("rides", OLD): model(OLD, 10.0), ("rides", NEW): champion}, {"rides": log})
    for one in Frames().of(message_of(served({"miles": [1.0], "zone": ["a"]}, 1), model(OLD, 10.0), timed=True)):
        scoring.score(one)
    assert [e.role for e in log.entries] == ["shadow"]


def test_who_is_timed_is_sent_what_it_needs(log):
    champion, candidate = model(NEW, 1.0, specs=MORE), model(OLD, 10.0, specs=SPECS[:1])
    columns = {**COLUMNS, "fare": [1.0, 2.0]}
    scoring = Scoring({("rides", OLD): candidate, ("rides", NEW): champion}, {"rides": log})
    for one in Frames().of(message_of(served(columns, model=champion), candidate, timed=True)):
        scoring.score(one)
    assert {e.role: (e.values, e.error) for e in log.entries} == {"shadow": ((None,), None), "timed": (None, None)}


def test_values_come_as_they_were_given(log):
    columns = {"miles": [10**30, 0.1, 7, True, float("inf")], "zone": ["ü", None, "a", "", "b"]}
    candidate = model(OLD, 1.0)
    candidate.scorer.fails = ValueError("no such category")
    scoring = scored(log, message_of(served(columns, 5, keys=None, events_us=None), candidate), candidate)
    assert [e.values for e in log.entries] == list(zip(*columns.values(), strict=True))
    assert [type(e.values[0]) for e in log.entries] == [int, float, int, bool, float]
    assert {(e.error, e.prediction, e.role) for e in log.entries} == {("ValueError: no such category", None, "shadow")}
    assert scoring.told()["rides"].failed == 1


def test_no_finite_score_is_a_failure(log):
    candidate = model(OLD, float("inf"))
    scored(log, message_of(served({"miles": [1.0], "zone": ["a"]}, 1), candidate), candidate)
    assert "NoFiniteScore" in log.entries[0].error
    assert log.entries[0].prediction is None


@pytest.mark.parametrize(
    ("fare", "error"), [(None, "column fare is missing"), ([1.0], "column fare is missing"), ([1.0, 2.0], None)]
)
def test_what_only_the_other_model_knows(log, fare, error):
    candidate = model(OLD, 10.0, specs=MORE)
    columns = COLUMNS if fare is None else {**COLUMNS, "fare": fare}
    scored(log, message_of(served(columns), candidate), candidate)
    assert [error is None or error in e.error for e in log.entries] == [True, True]
    assert [e.values[2] for e in log.entries] == ([None, None] if error else fare)
    assert [e.prediction for e in log.entries] == ([None, None] if error else [20.0, 0.0])


def test_a_model_with_fewer_features_is_sent_no_others(log):
    candidate = model(OLD, 10.0, specs=SPECS[:1])
    scored(log, message_of(served(), candidate), candidate)
    assert [(e.values, e.prediction) for e in log.entries] == [((2.0,), 20.0), ((None,), 0.0)]


def test_a_model_none_of_whose_features_came_is_told_so(log):
    candidate = model(OLD, 10.0, specs=MORE[2:])
    scored(log, message_of(served(), candidate), candidate)
    assert all("column fare is missing" in e.error for e in log.entries)


def test_requests_come_out_whole_however_they_are_cut():
    [asked] = Frames().of(message_of(served(), model(OLD, 10.0)))
    whole = framed(asked) * 3
    for size in (1, 3, len(whole) // 2, len(whole)):
        frames = Frames()
        assert [a for at in range(0, len(whole), size) for a in frames.of(whole[at : at + size])] == [asked] * 3


def test_it_scores_until_nothing_more_can_come_and_says_so(log):
    requests, sending = os.pipe()
    hearing, reports = os.pipe()
    scoring = Scoring({("rides", OLD): model(OLD, 10.0)}, {"rides": log})
    os.write(sending, message_of(served(), model(OLD, 10.0)) * 5)
    os.close(sending)
    follow(scoring, requests, reports)
    tell(scoring, reports)
    assert reported(os.read(hearing, 1 << 16).splitlines()[-1])["rides"].scored == 5
    os.close(hearing)
    tell(scoring, reports)  # whoever wanted to know is gone, and that is no failure
    os.close(requests)
    os.close(reports)
    assert len(log.entries) == 10


def test_counts_come_as_they_were_told():
    told = {"rides": Told(1, 2, 3, {"written": 4})}
    assert reported(report(told)) == told


def test_where_idle_time_alone_is_not_to_be_had_it_stays_the_least_urgent(monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    give_way()
    monkeypatch.delattr(os, "sched_setscheduler")
    give_way()
