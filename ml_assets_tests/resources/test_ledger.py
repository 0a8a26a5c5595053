import multiprocessing
import sqlite3

import pytest

from ml_assets.core.errors import LedgerConflict, LedgerError
from ml_assets.resources.ledger import Ledger


@pytest.fixture
def ledger(tmp_path):
    return Ledger(url=f"sqlite:///{tmp_path / 'new folder' / 'ledger.db'}")


def test_events_come_back_in_order_and_by_pipeline(ledger):
    assert ledger.events("p") == []
    ledger.append("p", "released", {"bundle": "a"}, after=0)
    ledger.append("q", "released", {"bundle": "z"}, after=0)
    ledger.append("p", "rejected", {"bundle": "b"}, after=1)
    assert [(e.sequence, e.kind, e.facts["bundle"]) for e in ledger.events("p")] == [
        (1, "released", "a"),
        (2, "rejected", "b"),
    ]


def test_the_second_of_two_writers_is_refused(ledger):
    ledger.append("p", "released", {"bundle": "a"}, after=0)
    with pytest.raises(LedgerConflict, match="written by somebody else"):
        ledger.append("p", "released", {"bundle": "b"}, after=0)
    assert len(ledger.events("p")) == 1


def test_a_changed_row_is_noticed(ledger, tmp_path):
    ledger.append("p", "released", {"bundle": "a"}, after=0)
    with sqlite3.connect(tmp_path / "new folder" / "ledger.db") as connection:
        connection.execute("update events set facts = replace(facts, 'a', 'evil')")
    connection.close()
    with pytest.raises(LedgerError, match="was changed"):
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


def test_parallel_writers_lose_nothing_and_keep_the_chain(ledger):
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_append_until, args=(ledger.url, 10)) for _ in range(3)]
    for w in writers:
        w.start()
    for w in writers:
        w.join()
        assert w.exitcode == 0
    assert [e.sequence for e in ledger.events("p")] == list(range(1, 31))
