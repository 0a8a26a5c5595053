"""The journal: whole entries or none, in order, kept until every tracker has them, also where processes die."""

import multiprocessing
import os
import signal
import time

import pytest

from ml_assets.core.errors import MLAssetsError
from ml_assets.core.tracked import Entry, TrackedRun
from ml_assets.resources import tracking_queue
from ml_assets.resources.tracking_queue import Queue

RUN = TrackedRun("p", "run/1", "2019-03-01-05:00", 5.0, reason="why")
BOTH = ["mlflow", "wandb"]
ENTRY = Entry(metrics={"mae": 1.5}, pictures={"error by a/b": b"\x89PNG"}, files={"report.html": b"<p>"})


@pytest.fixture
def queue(tmp_path):
    return Queue(tmp_path / "tracking")


def test_an_entry_is_read_as_it_was_written(queue):
    folder = queue.put(RUN, "evaluation", ENTRY, ["mlflow"])
    read = queue.read(folder)
    assert (read.run, read.step, read.entry) == (RUN, "evaluation", ENTRY)
    assert abs(read.at - time.time()) < 60
    assert folder.parent.parent == queue.root
    assert folder.name == "001-evaluation"


def test_each_tracker_gets_the_entries_it_lacks_in_order(queue):
    names = ["training_set", "tuning", "candidate"]
    folders = [queue.put(RUN, name, Entry(), BOTH) for name in names]
    other = queue.put(TrackedRun("p", "run2", "2019-04", 6.0), "candidate", Entry(), BOTH)
    assert queue.pending("mlflow") == [*folders, other]
    queue.mark(folders[0], "mlflow")
    assert queue.pending("mlflow") == [*folders[1:], other]
    assert queue.pending("wandb") == [*folders, other]


def test_what_all_have_is_removed_and_nothing_else(queue):
    first, second = queue.put(RUN, "a", ENTRY, BOTH), queue.put(RUN, "b", ENTRY, BOTH)
    for folder, tracker in ((first, "mlflow"), (first, "wandb"), (second, "mlflow")):
        queue.mark(folder, tracker)
    queue.tidy()
    assert not first.exists()
    assert queue.read(second).entry == ENTRY
    assert queue.awaiting() == ["wandb"]
    queue.mark(second, "wandb")
    queue.tidy()
    assert not second.parent.exists()
    assert queue.awaiting() == []


def test_an_entry_waits_for_its_own_trackers_only(queue):
    queue.put(RUN, "a", ENTRY, ["mlflow"])
    queue.put(RUN, "b", ENTRY, ["wandb"])
    assert [p.name for p in queue.pending("mlflow")] == ["001-a"]
    assert [p.name for p in queue.pending("wandb")] == ["002-b"]


def _dies_writing(root):
    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    tracking_queue.json.dumps = die
    Queue(root).put(RUN, "a", ENTRY, ["mlflow"])


def test_a_process_that_dies_in_the_middle_leaves_no_entry(queue):
    writer = multiprocessing.get_context("fork").Process(target=_dies_writing, args=(queue.root,))
    writer.start()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL
    [run] = [p for p in queue.root.iterdir() if p.is_dir()]
    [part] = run.iterdir()
    assert queue.pending("mlflow") == []
    queue.tidy()
    assert part.exists()
    os.utime(part, (0, 0))
    queue.tidy()
    assert not run.exists()


def _holds(root, held, done):
    with Queue(root).alone(5) as alone:
        assert alone
        held.set()
        done.wait(30)


def test_one_process_delivers_and_its_death_frees_the_lock(queue):
    fork = multiprocessing.get_context("fork")
    held, done = fork.Event(), fork.Event()
    holder = fork.Process(target=_holds, args=(queue.root, held, done))
    holder.start()
    assert held.wait(30)
    with queue.alone(0.05) as alone:
        assert not alone
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    with queue.alone(5) as alone:
        assert alone


def _puts(root, step):
    for _ in range(5):
        Queue(root).put(RUN, step, ENTRY, ["mlflow"])


def test_parallel_steps_get_numbers_of_their_own(queue):
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=_puts, args=(queue.root, f"step{i}")) for i in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    numbers = [p.name.split("-")[0] for p in queue.pending("mlflow")]
    assert sorted(numbers) == [f"{i:03d}" for i in range(1, 21)]


def test_an_outage_is_noted_for_a_while(queue):
    queue.root.mkdir()
    error = MLAssetsError("MLflow", found="no answer", expected="an answer", cure="start it")
    assert queue.down("mlflow") is None
    queue.note_down("mlflow", error, 60)
    assert queue.down("mlflow")["found"] == "no answer"
    assert queue.down("wandb") is None
    queue.note_down("mlflow", error, -1)
    assert queue.down("mlflow") is None
    queue.note_up("mlflow")
    queue.note_up("mlflow")


def test_what_is_set_aside_is_kept_and_not_delivered(queue):
    folder = queue.put(RUN, "a", ENTRY, ["mlflow"])
    aside = queue.set_aside(folder)
    assert queue.pending("mlflow") == []
    queue.tidy()
    assert queue.read(aside).entry == ENTRY
