import shutil
import sqlite3
import threading
import time
from contextlib import ExitStack, closing

import pytest
import sqlalchemy as sa

from ml_assets.core.errors import LedgerConflict, LedgerError
from ml_assets.resources import ledger_database as ledger_module
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.ledger_database import LedgerDatabase, shown_url
from ml_assets_tests.forked import forked
from ml_assets_tests.postgres import Postgres
from ml_assets_tests.serving.running import until


@pytest.fixture(scope="session")
def server():
    server = Postgres()
    yield server
    server.cleanup()


@pytest.fixture(scope="session")
def postgres(server):
    """URL of a real Postgres."""
    return server.url


@pytest.fixture
def file(tmp_path):
    return tmp_path / "new folder" / "ledger.db"


@pytest.fixture(params=["sqlite", "postgres"])
def ledger(request, file):
    if request.param == "sqlite":
        yield Ledger(url=f"sqlite:///{file}")
        return
    url = request.getfixturevalue("postgres")
    yield Ledger(url=url)
    drop(url)


def drop(url: str, timeout: float = ledger_module.BUSY_TIMEOUT_SECONDS) -> None:
    engine = ledger_module._engine(url, timeout)
    with engine.begin() as connection:
        connection.execute(sa.text("drop table if exists events"))
    engine.dispose()
    ledger_module._engine.cache_clear()


@pytest.fixture
def impatient(server, monkeypatch):
    """A ledger that a Postgres which stands still is given half a second for."""
    monkeypatch.setattr(ledger_module, "PAST_ITS_OWN_SECONDS", 0.1)
    yield LedgerDatabase(server.url, 0.4)
    drop(server.url, 0.4)


def test_events_come_back_in_order_and_by_pipeline(ledger):
    assert ledger.events("p") == []
    ledger.append("p", "released", {"bundle": "a", "reason": "Größe, naïve"}, after=0)
    ledger.append("q", "released", {"bundle": "z"}, after=0)
    ledger.append("p", "decided", {"bundle": "b"}, after=1)
    assert [(e.sequence, e.kind, e.facts["bundle"]) for e in ledger.events("p")] == [
        (1, "released", "a"),
        (2, "decided", "b"),
    ]
    assert ledger.events("p")[0].facts["reason"] == "Größe, naïve"
    assert ledger.events("p")[0].facts["at"].endswith("+00:00")


@pytest.mark.parametrize("after", [0, 2])
def test_who_read_another_ledger_is_refused(ledger, after):
    ledger.append("p", "released", {"bundle": "a"}, after=0)
    with pytest.raises(LedgerConflict, match="written by somebody else"):
        ledger.append("p", "released", {"bundle": "b"}, after=after)
    assert len(ledger.events("p")) == 1


def test_of_two_at_once_one_wins(ledger, monkeypatch):
    """Both have read the same ledger when they write: the database decides."""
    both_have_read, own = threading.Barrier(2), threading.local()
    read = LedgerDatabase.events

    def together(self, pipeline):
        events = read(self, pipeline)
        if not getattr(own, "has_read", False):
            own.has_read = True
            both_have_read.wait(10)
        return events

    ledger.append("p", "released", {"bundle": "a"}, after=0)
    monkeypatch.setattr(LedgerDatabase, "events", together)
    outcomes = []

    def write(bundle: str) -> None:
        try:
            ledger.append("p", "released", {"bundle": bundle}, after=1)
            outcomes.append(bundle)
        except LedgerConflict as e:
            outcomes.append(str(e))

    writers = [threading.Thread(target=write, args=(bundle,)) for bundle in ("b", "c")]
    for w in writers:
        w.start()
    for w in writers:
        w.join()
    monkeypatch.undo()
    [winner] = [o for o in outcomes if o in ("b", "c")]
    [told] = [o for o in outcomes if o not in ("b", "c")]
    assert "cure: read the ledger again" in told
    assert [e.facts["bundle"] for e in ledger.events("p")] == ["a", winner]


def test_two_that_make_the_table_at_once(postgres):
    ready = threading.Barrier(4)
    failed = []

    def open_it() -> None:
        ready.wait()
        try:
            ledger_module._engine.__wrapped__(postgres, 5.0).dispose()
        except sa.exc.SQLAlchemyError as e:
            failed.append(e)

    for _ in range(5):
        with sa.create_engine(postgres.replace("postgresql", "postgresql+psycopg2")).begin() as connection:
            connection.execute(sa.text("drop table if exists events"))
        threads = [threading.Thread(target=open_it) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert failed == []


def test_a_changed_row_is_noticed(ledger):
    ledger.append("p", "released", {"bundle": "a"}, after=0)
    with ledger_module._engine(ledger.url, ledger.busy_timeout_seconds).begin() as connection:
        connection.execute(sa.text("update events set facts = replace(facts, '\"a\"', '\"evil\"')"))
    with pytest.raises(LedgerError, match="event 1 was changed"):
        ledger.events("p")
    with pytest.raises(LedgerError, match="event 1 was changed"):
        ledger.append("p", "released", {"bundle": "b"}, after=1)
    assert ledger.as_stored("p")[0].facts["bundle"] == "evil"


def test_facts_that_are_no_json_any_more(ledger):
    ledger.append("p", "released", {"bundle": "a"}, after=0)
    with ledger_module._engine(ledger.url, ledger.busy_timeout_seconds).begin() as connection:
        connection.execute(sa.text("update events set facts = '{' where sequence = 1"))
    with pytest.raises(LedgerError, match=r"(?s)event 1.*backup"):
        ledger.events("p")


def _append_until(url: str, count: int) -> None:
    ledger = Ledger(url=url)
    written = 0
    while written < count:
        try:
            ledger.append("p", "released", {"bundle": "a"}, after=len(ledger.events("p")))
            written += 1
        except LedgerConflict:
            continue


def test_parallel_writers_lose_nothing_and_keep_the_chain(file):
    ledger = Ledger(url=f"sqlite:///{file}")
    writers = [forked().Process(target=_append_until, args=(ledger.url, 10)) for _ in range(3)]
    for w in writers:
        w.start()
    for w in writers:
        w.join()
        assert w.exitcode == 0
    assert [e.sequence for e in ledger.events("p")] == list(range(1, 31))


def test_a_locked_database_is_told_and_nothing_is_lost(file):
    ledger = Ledger(url=f"sqlite:///{file}", busy_timeout_seconds=0.2)
    ledger.append("p", "released", {"bundle": "a"}, after=0)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("begin exclusive")
    started = time.perf_counter()
    with pytest.raises(LedgerError, match=r"database is locked.*0\.2 s") as told:
        ledger.append("p", "released", {"bundle": "b"}, after=1)
    assert 0.15 < time.perf_counter() - started < 5
    assert not isinstance(told.value, LedgerConflict)
    assert "cure: wait until" in str(told.value)
    other.execute("rollback")
    other.close()
    assert ledger.append("p", "released", {"bundle": "b"}, after=1).sequence == 2
    assert [e.facts["bundle"] for e in ledger.events("p")] == ["a", "b"]


def test_a_lock_that_ends_in_time_is_waited_for(file):
    ledger = Ledger(url=f"sqlite:///{file}", busy_timeout_seconds=10)
    ledger.append("p", "released", {"bundle": "a"}, after=0)
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("begin exclusive")
    timer = threading.Timer(0.3, lambda: other.execute("rollback"))
    timer.start()
    assert ledger.append("p", "released", {"bundle": "b"}, after=1).sequence == 2
    timer.join()
    other.close()


def test_a_new_database_that_is_locked(file):
    file.parent.mkdir()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("begin exclusive")
    ledger = Ledger(url=f"sqlite:///{file}", busy_timeout_seconds=0.1)
    with pytest.raises(LedgerError, match="database is locked"):
        ledger.append("p", "released", {"bundle": "a"}, after=0)
    other.execute("rollback")
    other.close()
    assert ledger.append("p", "released", {"bundle": "a"}, after=0).sequence == 1


def test_a_locked_postgres_is_told(postgres):
    ledger = Ledger(url=postgres, busy_timeout_seconds=0.3)
    events = len(ledger.events("locked"))
    with sa.create_engine(postgres.replace("postgresql", "postgresql+psycopg2")).begin() as other:
        other.execute(sa.text("lock table events in access exclusive mode"))
        with pytest.raises(LedgerError, match="timeout"):
            ledger.append("locked", "released", {"bundle": "b"}, after=events)
    assert len(ledger.events("locked")) == events


def test_a_postgres_that_stands_still_is_given_up(impatient, server):
    """Connections stand, and it answers nothing: neither to who asks it, nor to who was connected before."""
    database = impatient
    assert database.events("still") == []
    began = time.monotonic()
    with server.frozen():
        for ask in (database.last_sequences, lambda: database.events("still")):
            with pytest.raises(LedgerError, match=r"timeout|no answer"):
                ask()
    assert time.monotonic() - began < 12, "two looks, each of a question and a new connection"
    assert database.events("still") == [], "it goes on as if nothing had been"
    connected = threading.active_count()
    for _ in range(5):
        database.last_sequences()
    until = time.monotonic() + 5  # what is canceled ends when its thread is next given the core
    while threading.active_count() > connected and time.monotonic() < until:
        time.sleep(0.01)
    assert threading.active_count() <= connected, "no timer is left running"


def test_a_question_that_is_not_answered_is_told_so(impatient, server):
    """It stands still between taking a question and answering it."""
    database = impatient
    database.last_sequences()
    told = pytest.raises(LedgerError, match=r"gave no answer within 0\.5 s")
    with told, database._told() as engine, engine.connect() as connection, server.frozen():
        connection.execute(sa.text("SELECT 1"))
    database.last_sequences()


def test_an_event_may_be_written_although_nobody_said_so_and_never_twice(impatient, server):
    """It stands still at the commit, which it has received: going on, it carries it out, with nobody to tell."""
    frozen = ExitStack()
    with impatient._told() as engine:
        sa.event.listen(engine, "commit", lambda _: frozen.enter_context(server.frozen()), once=True)
    with pytest.raises(LedgerError, match=r"no answer within 0\.5 s(.|\n)*`ml-assets history` before trying again"):
        impatient.append("p", "released", {"bundle": "a"}, after=0)
    frozen.close()
    until(lambda: impatient.last_sequences() == {"p": 1}, 5)
    with pytest.raises(LedgerConflict):
        impatient.append("p", "released", {"bundle": "a"}, after=0)
    assert [e.facts["bundle"] for e in impatient.events("p")] == ["a"]


def test_a_connection_that_postgres_ended_is_replaced(server):
    database = LedgerDatabase(server.url, 5.0)
    database.last_sequences()
    server.stop()
    with pytest.raises(LedgerError, match="see that the server runs"):
        database.last_sequences()
    server.start()
    database.last_sequences()
    server.stop()
    server.start()
    assert database.last_sequences() is not None, "at the first try: what the pool has is of no use, and seen to be so"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://ann:secret@127.0.0.1:9/ledger", ["refused", "see that the server runs", "ann:***@"]),
        ("sqlite:////proc/no/such/ledger.db", ["ledger.db", "cure: "]),
        ("no url at all", ["cure: correct ML_ASSETS_LEDGER"]),
        ("oracle+nothing://x", ["cure: correct ML_ASSETS_LEDGER"]),
    ],
)
def test_a_database_that_can_not_be_reached(url, words):
    with pytest.raises(LedgerError) as told:
        Ledger(url=url, busy_timeout_seconds=1).append("p", "released", {}, after=0)
    for word in words:
        assert word in str(told.value)
    assert "secret" not in str(told.value)
    assert "secret" not in shown_url(url)


def test_a_file_that_is_no_database(file):
    file.parent.mkdir()
    file.write_text("This is not SQLite, by far not, whatever its name says. " * 100)
    with pytest.raises(LedgerError, match="file is not a database"):
        Ledger(url=f"sqlite:///{file}").events("p")


def test_reading_makes_no_database(file):
    assert Ledger(url=f"sqlite:///{file}").events("p") == []
    assert not file.parent.exists()


def test_last_sequences_are_told_without_reading_events(ledger, monkeypatch):
    ledger.append("p", "released", {"bundle": "a"}, after=0)
    ledger.append("p", "decided", {"bundle": "b"}, after=1)
    ledger.append("q", "released", {"bundle": "z"}, after=0)
    monkeypatch.setattr(LedgerDatabase, "as_stored", lambda *_: pytest.fail("events were read"))
    assert ledger.database.last_sequences() == {"p": 2, "q": 1}


def test_who_looks_for_a_ledger_that_is_not_there_is_told_and_makes_none(file):
    with pytest.raises(LedgerError, match=r"(?s)no such file.*ML_ASSETS_LEDGER"):
        LedgerDatabase(f"sqlite:///{file}").last_sequences()
    assert not file.exists()


def test_a_file_that_takes_the_place_of_another_is_read_and_written(file):
    """Connections that were made before see the old one."""
    database, other = LedgerDatabase(f"sqlite:///{file}"), LedgerDatabase(f"sqlite:///{file.parent / 'other.db'}")
    database.append("p", "released", {"bundle": "a"}, after=0)
    for bundle in ("b", "c"):
        other.append("p", "released", {"bundle": bundle}, after=len(other.events("p")))
    for one in (database, other):
        with one._told() as engine, engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    (file.parent / "other.db").replace(file)
    assert [e.facts["bundle"] for e in database.events("p")] == ["b", "c"]
    assert database.last_sequences() == {"p": 2}
    file.unlink()
    assert database.append("p", "released", {"bundle": "d"}, after=0).sequence == 1
    assert [e.facts["bundle"] for e in database.events("p")] == ["d"]


@pytest.mark.parametrize(
    ("kept", "events"), [(["ledger.db-wal", "ledger.db-shm"], 6), ([], 3)], ids=["left", "removed"]
)
def test_a_restored_file_is_what_it_was_only_without_the_old_wal(tmp_path, kept, events):
    """What the runbook warns of: left beside it, SQLite reads the newer events into the older file again."""
    killed, backup = tmp_path / "killed", tmp_path / "backup.db"
    killed.mkdir()
    database = LedgerDatabase(f"sqlite:///{tmp_path / 'ledger.db'}")
    for n in range(6):
        if n == 3:
            with closing(sqlite3.connect(tmp_path / "ledger.db")) as now, closing(sqlite3.connect(backup)) as then:
                now.backup(then)
        database.append("p", "released", {"bundle": str(n)}, after=n)
    for name in kept:
        shutil.copy(tmp_path / name, killed / name)
    shutil.copy(backup, killed / "ledger.db")
    assert len(LedgerDatabase(f"sqlite:///{killed / 'ledger.db'}").events("p")) == events
