"""Who gets what and when: order, outages, refusals, faults of our own, and a journal that loses nothing."""

import time

import pytest

from ml_assets.core.tracked import Entry, TrackedRun
from ml_assets.resources import tracking_delivery, tracking_queue
from ml_assets.resources.tracking_delivery import EntryRefused, TrackerDown, deliver
from ml_assets.resources.tracking_queue import Queue

BOTH = ["mlflow", "wandb"]
ONE, TWO = TrackedRun("p", "run1", "2019-03", 5.0), TrackedRun("p", "run2", "2019-04", 6.0)


class Recorder:
    """A tracker that keeps what it gets, and does what it is told before."""

    def __init__(self, name="mlflow", trouble=None):
        self.name, self.place, self.got, self.asked = name, f"{name}://here", [], 0
        self.trouble = trouble or (lambda queued: None)

    def deliver(self, queued, say):
        self.asked += 1
        if (error := self.trouble(queued)) is not None:
            raise error
        self.got.append((queued.run.dagster_run_id, queued.step))


def down(_=None):
    return TrackerDown("MLflow", found="connection refused", expected="an answer", cure="start it")


@pytest.fixture
def queue(tmp_path):
    return Queue(tmp_path / "tracking")


@pytest.fixture
def said():
    return []


def test_everything_arrives_in_order_and_then_nothing_is_left(queue, said):
    for run, step in ((ONE, "tuning"), (ONE, "candidate"), (TWO, "tuning")):
        queue.put(run, step, Entry(), BOTH)
    trackers = [Recorder("mlflow"), Recorder("wandb")]
    report = deliver(queue, trackers, said.append)
    for tracker in trackers:
        assert tracker.got == [("run1", "tuning"), ("run1", "candidate"), ("run2", "tuning")]
    assert (report.delivered, report.waiting, said) == ({"mlflow": 3, "wandb": 3}, {"mlflow": 0, "wandb": 0}, [])
    assert not any(p.is_dir() for p in queue.root.iterdir())


def test_the_own_run_goes_first_in_its_order(queue, said):
    queue.put(ONE, "tuning", Entry(), BOTH)
    queue.put(TWO, "tuning", Entry(), BOTH)
    mine = queue.put(TWO, "candidate", Entry(), BOTH).parent
    tracker = Recorder()
    deliver(queue, [tracker], said.append, mine=mine)
    assert tracker.got == [("run2", "tuning"), ("run2", "candidate"), ("run1", "tuning")]


def test_others_wait_when_a_training_has_spent_its_time(queue, said, monkeypatch):
    monkeypatch.setattr(tracking_delivery, "BACKLOG_SECONDS", -1)
    queue.put(ONE, "tuning", Entry(), BOTH)
    mine = queue.put(TWO, "tuning", Entry(), BOTH).parent
    tracker = Recorder()
    report = deliver(queue, [tracker], said.append, mine=mine)
    assert tracker.got == [("run2", "tuning")]
    assert report.waiting == {"mlflow": 1}
    assert "another process is delivering, or" in report.complaint(tracker, queue)
    deliver(queue, [tracker], said.append, everything=True)
    assert tracker.got[-1] == ("run1", "tuning")


def test_one_that_is_down_holds_up_nobody_else_and_is_left_alone_for_a_while(queue, said):
    broken, fine = Recorder("mlflow", down), Recorder("wandb")
    for step in ("tuning", "candidate"):
        mine = queue.put(ONE, step, Entry(), BOTH).parent
    report = deliver(queue, [broken, fine], said.append, mine=mine)
    assert (broken.asked, len(fine.got), report.waiting) == (1, 2, {"mlflow": 2, "wandb": 0})
    complaint = report.complaint(broken, queue)
    for part in ("mlflow at mlflow://here", "2 entries", "connection refused", "cure: start it", "ml-assets catch-up"):
        assert part in complaint
    again = deliver(queue, [broken, fine], said.append, mine=mine)
    assert broken.asked == 1
    assert "connection refused (a moment ago)" in again.complaint(broken, queue)

    broken.trouble = lambda queued: None
    deliver(queue, [broken, fine], said.append, everything=True)
    assert broken.got == [("run1", "tuning"), ("run1", "candidate")]
    assert len(fine.got) == 2
    assert queue.down("mlflow") is None


def test_a_run_that_is_refused_holds_up_itself_only(queue, said):
    def refuse(queued):
        if queued.run == ONE:
            return EntryRefused("MLflow", found="experiment is deleted", expected="an answer", cure="restore it")
        return None

    tracker = Recorder(trouble=refuse)
    for run, step in ((ONE, "tuning"), (ONE, "candidate"), (TWO, "tuning")):
        queue.put(run, step, Entry(), BOTH)
    report = deliver(queue, [tracker], said.append)
    assert (tracker.got, tracker.asked) == ([("run2", "tuning")], 2)
    assert report.waiting == {"mlflow": 2}
    assert "experiment is deleted" in report.complaint(tracker, queue)


def test_a_fault_of_ours_is_raised_where_it_arises_and_does_not_come_up_again(queue, said):
    tracker = Recorder(trouble=lambda queued: KeyError("ours") if queued.step == "tuning" else None)
    queue.put(ONE, "tuning", Entry(), BOTH)
    mine = queue.put(ONE, "candidate", Entry(), BOTH).parent
    with pytest.raises(KeyError, match="ours"):
        deliver(queue, [tracker], said.append, mine=mine)
    [line] = said
    assert "001-tuning" in line
    assert "KeyError('ours')" in line
    deliver(queue, [tracker], said.append, mine=mine)
    assert tracker.got == [("run1", "candidate")]
    assert len(list((queue.root / ".aside").iterdir())) == 1


def test_a_fault_in_the_entry_of_another_run_is_told_and_fails_nobody(queue, said):
    queue.put(ONE, "tuning", Entry(), BOTH)
    mine = queue.put(TWO, "tuning", Entry(), BOTH).parent
    tracker = Recorder(trouble=lambda queued: KeyError("theirs") if queued.run == ONE else None)
    deliver(queue, [tracker], said.append, mine=mine)
    assert tracker.got == [("run2", "tuning")]
    assert "KeyError('theirs')" in said[0]


def test_whoever_waits_too_long_for_the_lock_leaves_its_entry_to_the_holder(queue, said, monkeypatch):
    monkeypatch.setattr(tracking_queue, "PATIENCE_SECONDS", 0.05)
    queue.put(ONE, "tuning", Entry(), BOTH)
    tracker = Recorder()
    with queue.alone(1):
        started = time.monotonic()
        report = deliver(queue, [tracker], said.append)
        assert time.monotonic() - started < 5
    assert (tracker.got, report.waiting) == ([], {"mlflow": 1})
    assert "another process is delivering" in report.complaint(tracker, queue)


def test_a_holder_also_delivers_what_comes_meanwhile(queue, said):
    def another(queued):
        if queued.step == "tuning":
            queue.put(ONE, "candidate", Entry(), BOTH)

    queue.put(ONE, "tuning", Entry(), BOTH)
    tracker = Recorder(trouble=another)
    deliver(queue, [tracker], said.append)
    assert tracker.got == [("run1", "tuning"), ("run1", "candidate")]
