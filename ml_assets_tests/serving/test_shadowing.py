"""What is sent to be scored beside, what is not, by which process; and that it costs no client anything."""

import logging
import time
from collections import Counter
from types import SimpleNamespace

import pytest

from ml_assets.core.routing import Arm, Routing, alone
from ml_assets.serving import shadowing as module
from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.metrics import Metrics
from ml_assets.serving.picture import Picture
from ml_assets.serving.recording import tell_of
from ml_assets.serving.shadowing import Shadowing
from ml_assets.serving.shadows.child import Child
from ml_assets.serving.shadows.messages import Frames, Told

from .conftest import COLUMNS, NEW, OLD, SHADOW, model


class Kept(Child):
    """A process that only keeps what it is sent, up to a bound, and says what a test has it say."""

    most = 1_000

    def __init__(self, beside):
        self.beside, self.began, self.told, self.sent = beside, time.monotonic(), {}, Counter()
        self.messages, self.ended, self.dead, self.code = b"", False, False, 0

    pid = 17

    def send(self, pipeline, message):
        if self.sent[pipeline] >= self.most or self.ended:
            return False
        self.sent[pipeline] += 1
        self.messages += message
        return True

    def hear(self, seconds):
        return not (self.ended or self.dead)

    def end(self):
        self.ended = True

    def bury(self, seconds):
        self.ended = True
        return self.code

    @property
    def asked(self):
        return list(Frames().of(self.messages))


class Beside:
    """A plane in a rollout whose hook has requests scored beside."""

    def __init__(self, pipelines=("rides",)):
        self.begun = []
        self.plane = DataPlane(["rides", "tips"])
        self.shadowing = Shadowing(self.plane, pipelines, self.begin)
        self.plane.hooks = (self.shadowing.served,)

    def begin(self, beside):
        self.begun.append(Kept(beside))
        return self.begun[-1]

    def roll_out(self, weight=5_000, shadows=(NEW, OLD), models=None):
        arms = (Arm("champion", NEW, 10_000 - weight), Arm("candidate", OLD, weight))
        models = models or {NEW: model(NEW, 1.0), OLD: model(OLD, 10.0), SHADOW: model(SHADOW, 100.0)}
        self.plane.put("rides", Picture(Routing(NEW, arms, "r", shadows=shadows), models, 2))
        self.shadowing.follow(0)
        return self

    def infer(self, **how):
        return self.plane.infer("rides", COLUMNS, 2, **how)

    @property
    def child(self):
        return self.begun[-1]

    @property
    def asked(self):
        return self.child.asked


@pytest.fixture
def beside():
    return Beside()


def test_what_one_model_has_answered_is_sent_for_the_other(beside):
    beside.roll_out()
    for variant in ("champion", "candidate"):
        beside.infer(request_id=f"by {variant}", unit="u", variant=variant, features_at=0.0)
    told = [(a.request_id, a.pipeline, a.unit, a.bundle, a.variant, a.names, len(a.values)) for a in beside.asked]
    assert told == [
        ("by champion", "rides", "u", OLD, "candidate", None, 2),
        ("by candidate", "rides", "u", NEW, "champion", None, 2),
    ]
    assert all(a.feature_age_s > 1e9 for a in beside.asked)
    assert beside.shadowing.waiting("rides") == 2
    beside.child.told = {"rides": Told(scored=1, failed=1)}
    assert beside.shadowing.waiting("rides") == 0
    assert vars(beside.shadowing.counters) == {"scored": 1, "failed": 1, "dropped": 0}


@pytest.mark.parametrize("how", [{"version": NEW}, {"version": OLD}])
def test_what_a_client_asked_for_by_version_is_not_scored_beside(beside, how):
    beside.roll_out().infer(**how)
    assert beside.asked == []


def test_a_request_without_rows_is_not_scored_beside(beside):
    beside.roll_out().plane.infer("rides", {name: [] for name in COLUMNS}, 0, variant="champion")
    assert beside.asked == []


def test_without_shadows_there_is_no_process(beside):
    beside.roll_out(shadows=()).infer()
    assert beside.begun == []
    assert vars(beside.shadowing.counters) == {"scored": 0, "failed": 0, "dropped": 0}


def test_without_a_log_there_is_none_either():
    beside = Beside(pipelines=())
    beside.roll_out().infer()
    assert beside.begun == []


def test_a_candidate_that_failed_to_answer_is_not_asked_a_second_time(beside):
    beside.roll_out()
    beside.plane.model("rides", OLD).scorer.fails = ValueError("no")
    assert beside.infer(variant="candidate").variant == "champion"
    assert beside.asked == []
    beside.infer(variant="champion")
    assert len(beside.asked) == 1


def test_what_cannot_be_sent_is_counted_and_hurts_nobody(beside):
    beside.roll_out()
    for _ in range(2):
        assert beside.infer(unit="\ud800", variant="champion").predictions == [2.0, 0.0]
    assert vars(beside.shadowing.counters) == {"scored": 0, "failed": 2, "dropped": 0}


def test_where_requests_come_faster_the_newest_are_dropped_and_counted(beside):
    beside.roll_out(weight=0, shadows=(OLD,))
    beside.child.most = 3
    for i in range(5):
        beside.infer(request_id=str(i))
    assert [a.request_id for a in beside.asked] == ["0", "1", "2"]
    metrics = Metrics()
    beside.shadowing.tell(metrics)
    text = metrics.exposition()[0].decode()
    assert 'ml_assets_queue{pipeline="rides",queue="shadows"} 3.0' in text
    assert 'ml_assets_shadow_requests{outcome="dropped"} 2.0' in text
    beside.child.told = {"rides": Told(scored=3)}
    beside.shadowing.stop()
    beside.infer()
    assert vars(beside.shadowing.counters) == {"scored": 3, "failed": 0, "dropped": 3}, "after the end nothing is taken"


def test_who_answers_is_timed_beside_while_the_candidate_answers_nobody(beside):
    beside.roll_out(weight=0, shadows=(OLD,)).infer()
    assert beside.child.beside == ({("rides", OLD)}, {("rides", NEW)})
    assert [a.answered_by for a in beside.asked] == [NEW]
    beside.roll_out(weight=5_000, shadows=(NEW, OLD)).infer()
    assert beside.child.beside == ({("rides", OLD), ("rides", NEW)}, set())
    assert [a.answered_by for a in beside.asked] == [None]


def test_other_shadows_have_another_process_and_the_first_scores_what_it_was_sent(beside):
    beside.roll_out(shadows=(OLD,)).infer(variant="champion")
    [first] = beside.begun
    beside.roll_out(shadows=(OLD,)).shadowing.follow(0)
    assert beside.begun == [first], "the same shadows, the same process"
    first.told = {"rides": Told(scored=1, log={"written": 2})}
    beside.roll_out(shadows=(SHADOW,)).infer(variant="champion")
    assert (first.ended, len(beside.begun), [a.bundle for a in beside.asked]) == (True, 2, [SHADOW])
    beside.plane.put("rides", Picture(alone(NEW, ()), {NEW: model(NEW, 1.0)}, 3))
    beside.shadowing.follow(0)
    assert beside.child.ended
    assert vars(beside.shadowing.counters) == {"scored": 1, "failed": 0, "dropped": 1}, (
        "the second never said it scored"
    )
    assert beside.shadowing.entries("rides")["written"] == 2


def test_a_process_that_dies_is_replaced_told_and_what_it_left_undone_is_counted(beside, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    beside.roll_out(weight=0, shadows=(OLD,))
    pauses = []
    for _ in range(4):
        child = beside.child
        for _ in range(3):
            beside.infer()
        child.told, child.dead, child.code = {"rides": Told(scored=2)}, True, -9
        beside.shadowing.follow(0)
        beside.infer()
        begun, began = len(beside.begun), now
        while len(beside.begun) == begun:
            now += 0.5
            beside.shadowing.follow(0)
        pauses.append(now - began)
    assert pauses == [0.5, 1.0, 2.0, 4.0], "what dies at once is begun ever less often"
    assert vars(beside.shadowing.counters) == {"scored": 8, "failed": 0, "dropped": 8}
    assert caplog.text.count("the process that scores beside died and is replaced") == 4
    metrics = Metrics()
    beside.shadowing.tell(metrics)
    assert metrics.registry.get_sample_value("ml_assets_shadow_deaths") == 4
    assert [r.exit_code for r in caplog.records if r.levelno == logging.ERROR] == [-9] * 4


def test_its_thread_outlives_whatever_goes_wrong(beside, monkeypatch, caplog):
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.01)
    begin, failed = beside.begin, []

    def broken(shadows):
        if not failed:
            failed.append(shadows)
            raise OSError("no more processes")
        return begin(shadows)

    beside.shadowing._begin = broken
    arms = (Arm("champion", NEW, 10_000), Arm("candidate", OLD, 0))
    picture = Picture(Routing(NEW, arms, "r", shadows=(OLD,)), {NEW: model(NEW, 1.0), OLD: model(OLD, 1.0)}, 2)
    beside.plane.put("rides", picture)
    beside.shadowing.start()
    until = time.monotonic() + 5
    while not beside.begun and time.monotonic() < until:
        time.sleep(0.005)
    beside.shadowing.stop()
    assert failed
    assert "no more processes" in caplog.text
    assert beside.begun


def test_entries_written_beside_count_with_the_others(beside):
    log = SimpleNamespace(waiting=5, counters=SimpleNamespace(written=7))
    beside.roll_out()
    beside.child.told = {"rides": Told(waiting=2, log={"written": 3, "dropped": 1})}
    metrics = Metrics()
    tell_of({"rides": log}, metrics, beside.shadowing.entries)
    metrics.refresh()
    value = metrics.registry.get_sample_value
    assert value("ml_assets_log_entries", {"outcome": "written", "pipeline": "rides"}) == 10
    assert value("ml_assets_queue", {"queue": "prediction_log", "pipeline": "rides"}) == 7
