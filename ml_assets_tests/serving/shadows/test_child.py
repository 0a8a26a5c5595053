"""The real process: it scores what it is sent, outlives the server, and is not waited for."""

import os
import signal
import subprocess
import sys
import time

import msgspec
import polars as pl
import pytest

from ml_assets.resources.model_folder import ModelFolder
from ml_assets.resources.prediction_log import PredictionLogs
from ml_assets.serving.data_plane import Served
from ml_assets.serving.loading import Loader
from ml_assets.serving.shadows.child import PIPE_BYTES, Child
from ml_assets.serving.shadows.messages import Plan, message_of
from ml_assets_tests.serving.running import PIPELINE, REPOSITORY, ROW, Released, until

pytestmark = pytest.mark.slow
AT = 1_728_000_000_000_000
COLUMNS = {name: [value] for name, value in ROW.items()}


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return Released(tmp_path_factory.mktemp("released"))


@pytest.fixture(scope="module")
def models(released):
    loader = Loader(ModelFolder(str(released.root / "models")), released.root / "tried")
    return [loader.load(PIPELINE, released.version(number)) for number in range(2)]


@pytest.fixture
def plan(released, tmp_path):
    shadows = ((PIPELINE, released.version(1)),)
    return Plan(str(released.root / "models"), str(released.root), str(tmp_path / "log"), shadows, as_json=True)


@pytest.fixture
def message(models):
    def of(number: int, rows: int = 1) -> bytes:
        columns = {name: values * rows for name, values in COLUMNS.items()}
        return message_of(
            Served(f"r{number}", PIPELINE, "champion", models[0].version, "u", models[0], columns, rows, [1.0] * rows,
                   AT + number, 9, None, None, (), None, None),
            models[1],
        )  # fmt: skip

    return of


def logged(plan) -> pl.DataFrame:
    return PredictionLogs(root=plan.predictions).rows(PIPELINE, "requests")


def heard(child, outcome="scored") -> int:
    child.hear(0.05)
    return getattr(child.told[PIPELINE], outcome) if child.told else 0


def test_what_is_sent_is_scored_logged_and_told_and_the_end_loses_nothing(plan, message, released):
    child = Child(plan)
    assert all(child.send(PIPELINE, message(i)) for i in range(50))
    until(lambda: heard(child) == 50)
    assert os.getpriority(os.PRIO_PROCESS, child.pid) == 19
    assert os.sched_getscheduler(child.pid) == os.SCHED_IDLE
    assert all(child.send(PIPELINE, message(i)) for i in range(50, 90))
    os.kill(child.pid, signal.SIGSTOP)
    large = message(90, rows=46_000)
    assert len(large) > PIPE_BYTES
    assert child.send(PIPELINE, large)
    assert not child.send(PIPELINE, message(91)), "while that is under way there is no room"
    os.kill(child.pid, signal.SIGCONT)
    until(lambda: heard(child) > 50 and child.send(PIPELINE, message(92)))
    assert child.bury(30) == 0
    assert not child.send(PIPELINE, message(93))
    assert (child.told[PIPELINE].scored, child.told[PIPELINE].log["written"]) == (92, 91 + 46_000)
    rows = logged(plan)
    assert sorted({int(r[1:]) for r in rows["request_id"]}) == [*range(91), 92]
    assert set(rows["role"]) == {"shadow"}
    assert {p[0] for p in rows["prediction"].to_list()} == {released.scores()[released.version(1)]}


def test_a_process_that_does_not_read_is_not_waited_for(plan, message):
    child = Child(plan)
    os.kill(child.pid, signal.SIGSTOP)
    one = message(1)
    began, sent = time.monotonic(), 0
    while child.send(PIPELINE, one):
        sent += 1
    assert time.monotonic() - began < 5
    assert PIPE_BYTES // len(one) * 0.9 <= sent <= PIPE_BYTES // len(one) + 1
    os.kill(child.pid, signal.SIGCONT)
    assert child.bury(60) == 0
    assert child.told[PIPELINE].scored == sent


def test_a_process_that_is_killed_is_noticed_by_whoever_sends_and_hears(plan, message):
    child = Child(plan)
    child.send(PIPELINE, message(1))
    until(lambda: heard(child) == 1)
    os.kill(child.pid, signal.SIGKILL)
    until(lambda: not child.hear(0.05))
    until(lambda: not child.send(PIPELINE, message(2)))
    assert child.bury(10) == -signal.SIGKILL


def test_a_process_that_does_not_end_is_ended(plan, message):
    child = Child(plan)
    child.send(PIPELINE, message(1))
    until(lambda: heard(child) == 1)
    os.kill(child.pid, signal.SIGSTOP)
    assert child.bury(0.1) == -signal.SIGKILL


def test_it_leaves_the_signals_of_a_group_to_the_server(plan, message):
    child = Child(plan)
    child.send(PIPELINE, message(1))
    until(lambda: heard(child) == 1)
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(child.pid, number)
    child.send(PIPELINE, message(2))
    until(lambda: heard(child) == 2)
    assert child.bury(30) == 0


def test_a_model_that_cannot_be_loaded_is_told_and_ends_it(plan, capfd):
    child = Child(msgspec.structs.replace(plan, shadows=((PIPELINE, "0" * 64),)))
    until(lambda: not child.hear(0.05))
    assert child.bury(30) == 1
    assert "a model that scores beside can't be loaded" in capfd.readouterr().err


SERVER = """
import sys, time
from ml_assets.serving.shadows.child import Child
from ml_assets.serving.shadows.messages import Plan
import msgspec
child, message = Child(msgspec.json.decode(sys.argv[1], type=Plan)), bytes.fromhex(sys.argv[2])
for _ in range(300):
    assert child.send("trip_duration", message)
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_server_that_is_killed_loses_nothing_of_what_it_had_sent(plan, message):
    command = [sys.executable, "-c", SERVER, msgspec.json.encode(plan).decode(), message(1).hex()]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    child = int(server.stdout.readline())
    server.kill()
    server.wait()
    server.stdout.close()
    until(lambda: not os.path.exists(f"/proc/{child}"))  # noqa: PTH110
    assert logged(plan).height == 300
