"""A server as people run it: it follows the ledger, outlives faults, and ends without losing a request."""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from ml_assets.resources.model_folder import ModelFolder
from ml_assets.serving.loading import Loader
from ml_assets.serving.server import leave_to_stay
from ml_assets_tests.serving.running import PIPELINE, REPOSITORY, Clients, Released, Server, serving, until

pytestmark = pytest.mark.slow
SWAPS = int(os.environ.get("ML_ASSETS_SWAPS", "10"))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Bundles, saved and tried once; nothing writes to them."""
    released = Released(tmp_path_factory.mktemp("prepared"))
    loader = Loader(ModelFolder(str(released.root / "models")), released.root / "serving/tried")
    for number in range(3):
        loader.load(PIPELINE, released.version(number))
    return released


@pytest.fixture
def released(prepared, tmp_path):
    """A ledger of its own over these bundles, the first two of which were released."""
    for shared in ("models", "serving"):
        (tmp_path / shared).symlink_to(prepared.root / shared)
    released = object.__new__(Released)
    released.root, released.bundles = tmp_path, prepared.bundles
    released.ledger = type(prepared.ledger)(f"sqlite:///{tmp_path / 'ledger.db'}")
    for number in (0, 1):
        released.make_live(released.version(number))
    return released


def serving_processes(server: Server) -> set[int]:
    """Process ids of the workers that have begun to serve, those that have died since included."""
    return {line["process"] for line in server.lines() if line["message"] == "serving"}


def consistent(clients: Clients, scores: dict[str, float]) -> bool:
    """Whether every answer is its own model's, to the bit."""
    return all(prediction == scores[version] for _, version, prediction in clients.answers)


def test_rollback_takes_effect_within_two_seconds_without_an_error_for_anyone(released):
    """By the real command, in a process of its own, while clients ask."""
    old, new = released.version(0), released.version(1)
    with serving(released.root) as server, Clients(server.port, 4) as clients:
        until(lambda: len(clients.answers) > 100)
        command = [sys.executable, "-m", "ml_assets.cli", "rollback", "--pipeline", PIPELINE, "--reason", "a test"]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "ML_ASSETS_DATA": str(released.root)}
        rollback = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        until(lambda: released.ledger.last_sequences()[PIPELINE] == 3, 60, every=0.005)
        written = time.monotonic()
        until(lambda: clients.answers[-1][1] == old)
        took = time.monotonic() - written
        time.sleep(0.5)
        # What is left to it is to show the change in Dagster's UI.
        rollback.kill()
        rollback.communicate()
    assert took < 2
    assert clients.errors == []
    assert {v for at, v, _ in clients.answers if at < written} == {new}
    assert {v for at, v, _ in clients.answers if at > written + took + 0.1} == {old}
    assert consistent(clients, released.scores())


def test_swaps_under_load_are_seen_by_nobody(released):
    versions = [released.version(n) for n in range(3)]
    with serving(released.root) as server, Clients(server.port, 4) as clients:
        for swap in range(SWAPS):
            released.make_live(versions[swap % 3])
            until(lambda swap=swap: server.version() == versions[swap % 3], 5)
        swaps = server.metric("ml_assets_swaps_total")
    assert clients.errors == []
    assert len(clients.answers) > 500
    assert {v for _, v, _ in clients.answers} == set(versions)
    assert consistent(clients, released.scores())
    assert swaps >= SWAPS


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_is_lost_when_the_server_ends(released, workers):
    arguments = ("--workers", str(workers), "--drain-seconds", "2")
    with serving(released.root, *arguments) as server, Clients(server.port, 8) as clients:
        until(lambda: len(clients.answers) > 200 and len(serving_processes(server)) == workers)
        server.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        time.sleep(0.3)
        assert server.ask("GET", "/health/ready")[0] == 503
        assert server.ask("GET", "/health/live")[0] == 200
        assert server.process.wait(20) == 0
        took = time.monotonic() - began
    assert clients.errors == []
    assert clients.refused > 0
    assert any(at > began + 0.5 for at, _, _ in clients.answers)
    assert 2 <= took < 12


def test_a_worker_that_is_killed_is_replaced_and_others_answer_meanwhile(released):
    with serving(released.root, "--workers", "2") as server, Clients(server.port, 4) as clients:
        until(lambda: len(serving_processes(server)) == 2)
        first = server.workers()
        until(lambda: len(clients.answers) > 200)
        os.kill(first[0], signal.SIGKILL)
        killed = time.monotonic()
        until(lambda: sorted(server.workers()) != sorted(first) and len(server.workers()) == 2)
        until(lambda: any(at > killed + 0.2 for at, _, _ in clients.answers))
        # Those that it was answering are lost with it, one a connection at most.
        assert len(clients.errors) <= 4
        until(lambda: len(serving_processes(server)) == 3)
        errors = len(clients.errors)
        time.sleep(0.5)
        assert len(clients.errors) == errors
        assert server.metric("ml_assets_predictions_total") > 200
        [died] = [line for line in server.lines() if line["message"] == "a worker died and is replaced"]
        assert (died["pid"], died["exit_code"]) == (first[0], -9)
    assert consistent(clients, released.scores())


def test_the_ledger_is_away_and_comes_back(released):
    """It is moved, and what comes back is a copy: another file."""
    file, away = released.root / "ledger.db", released.root / "elsewhere.db"
    with serving(released.root) as server, Clients(server.port, 2) as clients:
        until(lambda: len(clients.answers) > 50)
        with released.ledger._told() as engine, engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        file.rename(away)
        until(lambda: server.metric("ml_assets_ledger_up") == 0)
        time.sleep(1.5)
        assert server.metric("ml_assets_ledger_age_seconds") > 1
        assert server.ask("GET", "/health/ready")[0] == 200
        assert server.version() == released.version(1)
        file.write_bytes(away.read_bytes())
        released.roll_back(released.version(0), released.version(1))
        until(lambda: server.version() == released.version(0), 5)
        assert server.metric("ml_assets_ledger_up") == 1
    said = [line["message"] for line in server.lines()]
    assert said.count("the ledger is away; answering goes on with what is loaded") == 1
    assert said.count("the ledger is back") == 1
    assert clients.errors == []


def test_a_damaged_bundle_is_refused_and_the_old_one_stays(released):
    models = released.root / "models"
    real = models.resolve()
    models.unlink()
    models.mkdir()
    for folder in real.iterdir():
        (models / folder.name).mkdir()
        for file in folder.iterdir():
            (models / folder.name / file.name).write_bytes(file.read_bytes())
    text = models / released.version(2) / "model.txt"
    good = text.read_bytes()
    text.write_bytes(good[: len(good) // 2])
    with serving(released.root) as server, Clients(server.port, 2) as clients:
        released.make_live(released.version(2))
        until(lambda: server.metric("ml_assets_bundles_refused_total") >= 1)
        time.sleep(1)
        assert server.version() == released.version(1)
        told = [line for line in server.lines() if line["message"] == "the champion is refused; what is loaded stays"]
        assert "SHA-256" in told[0]["error"]
        # A way back takes effect at once, whatever is being tried again.
        released.roll_back(released.version(0), released.version(2))
        until(lambda: server.version() == released.version(0), 2)
        # And what is repaired is loaded.
        released.make_live(released.version(2))
        text.write_bytes(good)
        until(lambda: server.version() == released.version(2), 20)
    assert clients.errors == []


def test_a_server_without_a_champion_waits_for_one(released):
    (released.root / "ledger.db").unlink()
    with serving(released.root, "--pipeline", PIPELINE, ready=False) as server:
        status, content, _ = server.ask()
        assert status == 503
        assert "no loaded champion" in json.loads(content)["error"]
        assert server.ask("GET", "/health/ready")[0] == 503
        released.make_live(released.version(0))
        until(lambda: server.ask("GET", "/health/ready")[0] == 200, 15)
        assert server.version() == released.version(0)


def test_it_starts_light(released):
    """The whole start, with the trial loads of two bundles in processes of their own: CPU seconds and megabytes."""
    (released.root / "serving").unlink()
    usage = (sys.executable, "-c", (
        "import os, resource, signal, subprocess, sys; p = subprocess.Popen(sys.argv[1:]);"
        "signal.signal(signal.SIGINT, lambda *_: p.send_signal(2)); p.wait();"
        "u = resource.getrusage(resource.RUSAGE_CHILDREN);"
        "sys.stderr.write(f'\\n{{\"cpu\": {u.ru_utime + u.ru_stime}, \"mb\": {u.ru_maxrss / 1024}}}\\n')"
    ))  # fmt: skip
    with serving(released.root, wrapper=usage) as server:
        for _ in range(20):
            assert server.ask()[0] == 200
        server.process.send_signal(signal.SIGINT)
        server.process.wait(20)
    used = server.lines()[-1]
    assert used["mb"] < 200
    assert used["cpu"] < 10  # on a busy machine; alone it is a third of that


def test_what_stays_is_out_of_the_garbage_collectors_sight():
    stays = [[] for _ in range(10)]
    try:
        leave_to_stay()
        seen = {id(one) for one in gc.get_objects()}
    finally:
        gc.unfreeze()
    assert not seen & {id(one) for one in stays}
    assert {id(one) for one in gc.get_objects()} >= {id(one) for one in stays}


def test_the_server_process_imports_nothing_heavy(released):
    code = (
        "import sys; from pathlib import Path;"
        "from ml_assets.serving.building import Options, build;"
        f"built = build(Options(('{PIPELINE}',), {str(released.root / 'models')!r}, {released.ledger.url!r},"
        f" Path({str(released.root)!r}), predictions={str(released.root / 'log')!r}));"
        "built.watcher.first_look(60); import ml_assets.serving.server, ml_assets.serving.protocols.grpc_server;"
        f"row = {{'zone': ['z1'], 'miles': [2.5], 'hour': [8.0]}};"
        f"print(built.plane.infer('{PIPELINE}', row, 1).predictions[0]);"
        "print(sorted({m.split('.')[0] for m in sys.modules} &"
        " {'dagster', 'mlflow', 'pandas', 'sklearn', 'scipy', 'matplotlib', 'lightgbm', 'optuna', 'pandera'}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    prediction, heavy = done.stdout.splitlines()[-2:]
    assert float(prediction) == released.scores()[released.version(1)]
    assert heavy == "[]"


def test_a_kill_of_the_supervisor_ends_its_workers(released):
    with serving(released.root, "--workers", "2", "--drain-seconds", "0") as server:
        workers = until(lambda: len(found := server.workers()) == 2 and found)
        server.process.kill()
        server.process.wait()
        until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers), 15)  # noqa: PTH110


def test_many_rows_do_not_hold_up_single_ones(released):
    rows = 10_000
    columns = {"zone": ("BYTES", ["z1"]), "miles": ("FP64", [2.5]), "hour": ("FP64", [8.0])}
    inputs = [{"name": n, "shape": [rows], "datatype": d, "data": v * rows} for n, (d, v) in columns.items()]
    many = json.dumps({"inputs": inputs}).encode()
    with serving(released.root) as server:
        answered = []
        asking = threading.Thread(target=lambda: answered.extend(server.ask(content=many) for _ in range(5)))
        asking.start()
        took = []
        while asking.is_alive():
            began = time.perf_counter()
            assert server.ask()[0] == 200
            took.append(time.perf_counter() - began)
        asking.join()
    assert [status for status, _, _ in answered] == [200] * 5
    assert len(took) > 10
    assert set(json.loads(answered[0][1])["outputs"][0]["data"]) == {released.scores()[released.version(1)]}
