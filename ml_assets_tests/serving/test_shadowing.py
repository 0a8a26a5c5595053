"""What is scored beside, what is not, and that it costs no client anything."""

import threading
import time

import pytest

from ml_assets.core.routing import Arm, Routing
from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.metrics import Metrics
from ml_assets.serving.picture import Picture
from ml_assets.serving.shadowing import Shadowing

from .conftest import COLUMNS, NEW, OLD, model


class Kept:
    """A prediction log that keeps its entries."""

    def __init__(self):
        self.entries = []

    def append(self, entry):
        self.entries.append(entry)


@pytest.fixture
def log():
    return Kept()


def beside(log, weight=5_000, shadows=(NEW, OLD), **told):
    """A plane in a rollout whose hooks score beside."""
    shadowing = Shadowing({"rides": log}, **told)
    plane = DataPlane(["rides"], [shadowing.served])
    arms = (Arm("champion", NEW, 10_000 - weight), Arm("candidate", OLD, weight))
    models = {NEW: model(NEW, 1.0), OLD: model(OLD, 10.0)}
    plane.put("rides", Picture(Routing(NEW, arms, "r", shadows=shadows), models, 2))
    return plane, shadowing


def test_the_other_model_scores_what_one_has_answered(log):
    plane, shadowing = beside(log)
    for variant in ("champion", "candidate"):
        plane.infer("rides", COLUMNS, 2, request_id=f"by {variant}", unit="u", variant=variant, features_at=0.0)
    assert (log.entries, shadowing.waiting) == ([], 2), "nothing is scored on the request's path"
    shadowing.drain()
    told = [(e.request_id, e.row, e.variant, e.role, e.bundle, e.values, e.prediction) for e in log.entries]
    assert told == [
        ("by champion", 0, "candidate", "shadow", OLD, (2.0, "a"), 20.0),
        ("by champion", 1, "candidate", "shadow", OLD, (None, "zz"), 0.0),
        ("by candidate", 0, "champion", "shadow", NEW, (2.0, "a"), 2.0),
        ("by candidate", 1, "champion", "shadow", NEW, (None, "zz"), 0.0),
    ]
    assert all(e.error is None and e.latency_us >= 0 and e.unit == "u" and e.feature_age_s > 1e9 for e in log.entries)
    assert vars(shadowing.counters) == {"scored": 2, "failed": 0, "dropped": 0}


@pytest.mark.parametrize("how", [{"version": NEW}, {"version": OLD}])
def test_what_a_client_asked_for_by_version_is_not_scored_beside(log, how):
    plane, shadowing = beside(log)
    plane.infer("rides", COLUMNS, 2, **how)
    assert shadowing.waiting == 0


def test_without_shadows_nothing_is_scored_beside(log):
    plane, shadowing = beside(log, shadows=())
    plane.infer("rides", COLUMNS, 2)
    assert shadowing.waiting == 0


def test_a_shadow_that_fails_is_written_down_and_hurts_nobody(log):
    plane, shadowing = beside(log, weight=0, shadows=(OLD,))
    plane.model("rides", OLD).scorer.fails = ValueError("no such category")
    assert plane.infer("rides", COLUMNS, 2).predictions == [2.0, 0.0]
    shadowing.drain()
    assert {(e.error, e.prediction, e.role) for e in log.entries} == {("ValueError: no such category", None, "shadow")}
    plane.model("rides", OLD).scorer.fails = None
    plane.model("rides", OLD).scorer.times = float("inf")
    plane.infer("rides", {"miles": [1.0], "zone": ["a"]}, 1)
    shadowing.drain()
    assert "NoFiniteScore" in log.entries[-1].error
    assert vars(shadowing.counters) == {"scored": 0, "failed": 2, "dropped": 0}


def test_a_candidate_that_failed_to_answer_is_not_asked_a_second_time(log):
    plane, shadowing = beside(log)
    plane.model("rides", OLD).scorer.fails = ValueError("no")
    assert plane.infer("rides", COLUMNS, 2, variant="candidate").variant == "champion"
    assert shadowing.waiting == 0
    plane.infer("rides", COLUMNS, 2, variant="champion")
    assert shadowing.waiting == 1


def test_where_requests_come_faster_the_newest_are_dropped_and_counted(log):
    plane, shadowing = beside(log, weight=0, shadows=(OLD,), most_waiting=3)
    for i in range(5):
        plane.infer("rides", COLUMNS, 2, request_id=str(i))
    assert (shadowing.waiting, shadowing.counters.dropped) == (3, 2)
    metrics = Metrics()
    shadowing.tell(metrics)
    text = metrics.exposition()[0].decode()
    assert 'ml_assets_queue{pipeline="rides",queue="shadows"} 3.0' in text
    assert 'ml_assets_shadow_requests{outcome="dropped"} 2.0' in text
    shadowing.stop()
    assert [e.request_id for e in log.entries[::2]] == ["0", "1", "2"], "what waits is scored before the end"
    plane.infer("rides", COLUMNS, 2)
    assert shadowing.counters.dropped == 3, "after the end nothing is taken"


def test_its_thread_outlives_whatever_goes_wrong(log):
    plane, shadowing = beside(log, weight=0, shadows=(OLD,))
    good, seen = log.append, threading.Event()

    def broken(entry):
        log.append = good
        raise OSError("disk")

    log.append = broken
    shadowing.start()
    plane.infer("rides", COLUMNS, 2)
    deadline = time.monotonic() + 5
    while log.append is not good and time.monotonic() < deadline:
        seen.wait(0.005)
    plane.infer("rides", COLUMNS, 2, request_id="after")
    while not log.entries and time.monotonic() < deadline:
        seen.wait(0.005)
    shadowing.stop()
    assert {e.request_id for e in log.entries} == {"after"}
