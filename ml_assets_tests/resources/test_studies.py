"""Studies: opened at once by many processes, in SQLite and in Postgres, and the same wherever they are stored."""

import sqlite3
from contextlib import closing

import optuna
import pytest

from ml_assets.resources import studies as studies_module
from ml_assets.resources.studies import Studies
from ml_assets_tests.forked import forked
from ml_assets_tests.postgres import Postgres

PROCESSES = 3


@pytest.fixture(scope="session")
def postgres():
    """URL of a real Postgres."""
    server = Postgres()
    yield server.url
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    found = f"sqlite:///{tmp_path}/new folder/studies.db"
    found = found if request.param == "sqlite" else request.getfixturevalue("postgres")
    yield found
    closed(found)


def closed(url):
    """Let go of the database, as another process would find it."""
    studies_module._storage(url).engine.dispose()
    studies_module._storage.cache_clear()


def opened(url, name, barrier, answers):
    barrier.wait()
    try:
        study = Studies(url=url).open(name)
        trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        study.tell(trial, trial.params["x"])
        answers.put(study._study_id)
    except BaseException as e:
        answers.put(repr(e))


def test_many_processes_open_a_new_database_at_once(url):
    context = forked()
    barrier, answers = context.Barrier(PROCESSES), context.Queue()
    processes = [context.Process(target=opened, args=(url, "race", barrier, answers)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    assert len(set(found)) == 1, found
    assert isinstance(found[0], int), found
    assert len(Studies(url=url).open("race").trials) == PROCESSES


def test_a_study_is_kept_by_name_and_minimises(url):
    first = Studies(url=url).open("first")
    first.add_trial(optuna.trial.create_trial(value=1 / 3, user_attrs={"record": {"a": [1.5]}}))
    closed(url)
    again = Studies(url=url).open("first")
    assert again.direction.name == "MINIMIZE"
    assert [(t.value, t.user_attrs) for t in again.trials] == [(1 / 3, {"record": {"a": [1.5]}})]
    assert Studies(url=url).open("second").trials == []


def test_sqlite_is_written_ahead_and_nothing_is_said(tmp_path, capfd):
    url = f"sqlite:///{tmp_path}/s.db"
    Studies(url=url).open("quiet")
    with closing(sqlite3.connect(tmp_path / "s.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    closed(url)
    assert capfd.readouterr() == ("", "")
