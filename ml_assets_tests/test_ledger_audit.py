"""Everything that somebody could do to the ledger and to what it names, and whether it is found."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ml_assets.core.decision_record import own_sha256
from ml_assets.core.releases import event_hash, head
from ml_assets.ledger_audit import audit


@pytest.fixture
def history(judged):
    """Two releases, a rejection, a way back, and the decision and champion pages as the assets leave them."""
    bundles = [judged.make_live("2018-03"), judged.make_live("2018-06")]
    rejected = judged.bundle("2018-07")
    record = judged.decide(rejected, champion_learnt_holdout=True)
    judged.desk.roll_back(to=None, by="ann", reason="complaints", not_before=None)
    (Path(judged.store.root) / "duration/decision/2018-07.json").write_text(json.dumps(record))
    (Path(judged.store.root) / "duration/champion.json").write_text(json.dumps(judged.desk.live().to_json()))
    judged.bundles, judged.head = bundles, head(judged.desk.events())
    assert audit(judged.desk, judged.head)[1] == []
    return judged


def sql(judged, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(judged.ledger.url.removeprefix("sqlite:///"))) as database, database:
        assert database.execute(statement, values).rowcount


def faults(judged, expected: str | None = None) -> str:
    return "\n".join(audit(judged.desk, expected)[1])


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("update events set facts = replace(facts, 'complaints', 'praise')", "event 6 was changed"),
        ("update events set kind = 'decided' where sequence = 4", "event 4 was changed"),
        ("delete from events where sequence = 1", "event 2 stands in place 1"),
        ("delete from events where sequence = 3", "event 4 stands in place 3"),
        ("update events set sequence = 9 where sequence = 6", "event 9 stands in place 6"),
        ("delete from events where sequence = 6", "speaks of event 6; the ledger ends with event 5"),
        ("delete from events where sequence >= 5", "is none that the ledger names"),
        ("delete from events", "is none that the ledger names"),
        ("update events set facts = '{}' where sequence = 2", "event 2 lacks facts"),
        ("update events set kind = 'blessed' where sequence = 2", "event 2 lacks facts of a `blessed`"),
    ],
)
def test_rows_that_were_changed_or_removed(history, statement, words):
    sql(history, statement)
    assert words in faults(history)


def test_what_is_missing_at_the_end_without_a_trace_is_found_by_the_head(history):
    (Path(history.store.root) / "duration/champion.json").unlink()
    sql(history, "delete from events where sequence = 6")
    assert faults(history) == "", "the chain alone can't show it"
    assert "event 6 was its last when this head was noted" in faults(history, history.head)
    assert faults(history, f"5:{history.desk.events()[-1].hash[:12]}") == ""


def write_anew(judged, change) -> None:
    """Change facts and compute every hash again, as somebody with the code and the database can."""
    previous = "0" * 64
    for e in judged.ledger.as_stored("duration"):
        facts = change(e.sequence, dict(e.facts))
        digest = event_hash("duration", e.sequence, e.kind, facts, previous)
        statement = "update events set facts = ?, previous = ?, hash = ? where sequence = ?"
        sql(judged, statement, json.dumps(facts), previous, digest, e.sequence)
        previous = digest


def test_a_ledger_that_was_written_anew_is_found_by_the_head(history):
    write_anew(history, lambda _, facts: {**facts, "reason": "all is well"})
    assert faults(history) == ""
    assert "written anew" in faults(history, history.head)


@pytest.mark.parametrize(
    ("sequence", "change", "words"),
    [
        (3, {"verdict": "reject"}, "event 4 releases"),
        (1, {"record": "0" * 64}, "record of decision 1 is not there"),
        (5, {"verdict": "promote"}, "tells of another decision"),
        (6, {"bundle": "f" * 64}, "was never live before"),
    ],
)
def test_a_ledger_that_was_written_anew_contradicts_what_it_names(history, sequence, change, words):
    write_anew(history, lambda at, facts: {**facts, **(change if at == sequence else {})})
    assert words in faults(history)


def test_a_release_without_a_decision(judged):
    bundle = judged.bundle("2018-03")
    facts = {"bundle": bundle, "as_of": "2018-03", "scores_from": "2018-04-01T00:00:00", "record": None, "by": "eve"}
    judged.ledger.append("duration", "released", {**facts, "forced": False, "reason": ""}, after=0)
    assert f"event 1 releases {bundle[:12]} without a passing decision" in faults(judged)


@pytest.mark.parametrize(
    ("release", "times", "words"),
    [
        (4, 1, ""),
        (3, 1, "event 7 says what event 3 was worth, which released another bundle or none"),
        (2, 1, "event 7 says what event 2 was worth, which released another bundle"),
        (9, 1, "event 7 says what event 9 was worth"),
        (4, 2, "event 8 says a second time what event 4 was worth"),
    ],
)
def test_what_a_release_was_worth(history, release, times, words):
    facts = {"bundle": history.bundles[1], "as_of": "2018-06", "release": release, "replaced": history.bundles[0],
             "interval": {"estimate": 1.0, "low": 0.9, "high": 1.1}, "words": "much"}  # fmt: skip
    for after in range(6, 6 + times):
        history.ledger.append("duration", "attributed", facts, after=after)
    found = faults(history)
    assert words in found
    assert bool(words) == bool(found)


def test_a_forced_release_is_no_fault(judged):
    judged.desk.release(judged.bundle("2018-03"), by="ann", reason="first day", forced=True)
    assert faults(judged) == ""


@pytest.mark.parametrize("damage", ["changed", "removed", "unreadable", "changed with its hash"])
def test_a_decision_record(history, damage):
    [file] = [
        f
        for f in Path(history.store.root).glob("duration/decision/records/*.json")
        if json.loads(f.read_text())["as_of"] == "2018-06"
    ]
    record = {**json.loads(file.read_text()), "rows": 10**6}
    if damage == "removed":
        file.unlink()
    elif damage == "unreadable":
        file.write_text("{")
    elif damage == "changed":
        file.write_text(json.dumps(record))
    else:
        file.write_text(json.dumps({**record, "sha256": own_sha256(record)}))
    assert "record of decision 3" in faults(history) or "not the one of decision 3" in faults(history)


def test_a_shown_decision(history):
    file = Path(history.store.root) / "duration/decision/2018-07.json"
    file.write_text(file.read_text().replace('"reject"', '"promote"'))
    assert "record of decision 5 was changed" in faults(history)
    file.write_text("[]")
    assert "as of 2018-07" in faults(history)


def test_a_champions_page_that_can_not_be_read(history):
    (Path(history.store.root) / "duration/champion.json").write_text("{")
    assert "materialize it again" in faults(history)


@pytest.mark.parametrize("which", [0, 1])
def test_a_bundle_that_was_live_once(history, which):
    file = Path(history.models.root) / history.bundles[which] / "manifest.json"
    file.write_text(file.read_text() + " ")
    assert faults(history).startswith(f"bundle {history.bundles[which][:12]}")
    file.unlink()
    assert faults(history).startswith(f"bundle {history.bundles[which][:12]}")


def test_every_fault_is_told_at_once(history):
    sql(history, "update events set facts = replace(facts, 'complaints', 'praise')")
    for file in Path(history.models.root).glob("*/manifest.json"):
        file.unlink()
    assert len(audit(history.desk)[1]) == 3
