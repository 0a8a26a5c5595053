"""Deciding, releasing and going back through the one desk: what is scored by whom, and what a kill leaves behind."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from ml_assets.core.errors import ReleaseRefused
from ml_assets.core.releases import champion_for
from ml_assets.ledger_audit import audit
from ml_assets.resources import ledger_database as ledger_module
from ml_assets.resources.ledger import Ledger


def score(judged, *months: str, rows: int = 1) -> None:
    """Predictions of some months, as a follower would have written them."""
    for month in months:
        path = Path(str(judged.store.path(judged.pipeline.key("predictions"), month)))
        path.parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame({"prediction": [1.0] * rows}, schema={"prediction": pl.Float64}).write_parquet(path)


def scorers(judged, *months: str) -> list[str | None]:
    events = judged.desk.events()
    found = [champion_for(events, judged.pipeline.table.window(m).start) for m in months]
    return [c and c.bundle for c in found]


def roll_back(judged, to: str | None = None):
    return judged.desk.roll_back(to=to, by="ann", reason="complaints", not_before=judged.desk.scored_until())


def test_going_back_is_one_event_and_scores_nothing_again(judged):
    first, second = judged.make_live("2018-03"), judged.make_live("2018-06")
    score(judged, "2018-04", "2018-05", "2018-06", "2018-07", "2018-08")
    before = scorers(judged, "2018-04", "2018-07", "2018-08")
    now = roll_back(judged)
    assert (now.bundle, now.as_of, now.scores_from) == (first, "2018-03", datetime(2018, 9, 1))
    assert judged.kinds() == ["decided", "released", "decided", "released", "rolled_back"]
    facts = judged.desk.events()[-1].facts
    assert {"bundle": first, "from_bundle": second, "by": "ann", "reason": "complaints"}.items() <= facts.items()
    assert scorers(judged, "2018-04", "2018-07", "2018-08") == before
    assert scorers(judged, "2018-09", "2018-10") == [first, first]

    third = judged.make_live("2018-10")
    assert scorers(judged, "2018-08", "2018-09", "2018-10", "2018-11") == [second, first, first, third]


def test_what_is_scored_counts_only_with_rows(judged):
    assert judged.desk.scored_until() is None
    score(judged, "2018-05", rows=3)
    score(judged, "2018-06", "2018-07", rows=0)
    assert judged.desk.scored_until() == datetime(2018, 6, 1)


def test_a_bundle_scores_nothing_from_before_it_was_trained_although_nothing_is_scored(judged):
    judged.make_live("2018-03")
    judged.make_live("2018-06")
    assert roll_back(judged).scores_from == datetime(2018, 4, 1)


def test_going_back_twice_leads_on_and_not_forth(judged):
    first, second, third = (judged.make_live(m) for m in ("2018-03", "2018-06", "2018-09"))
    assert roll_back(judged).bundle == second
    assert roll_back(judged).bundle == first
    with pytest.raises(ReleaseRefused, match="no champion before"):
        roll_back(judged)
    assert roll_back(judged, to=third[:8]).bundle == third, "by name, also forth"
    before = judged.kinds()
    assert roll_back(judged, to=third).bundle == third
    assert judged.kinds() == before, "what is live already needs no event"


@pytest.mark.parametrize("to", ["000000", "abc", "", "never live"])
def test_there_must_be_something_to_go_back_to(judged, to):
    live, never = judged.make_live("2018-03"), judged.bundle("2018-02")
    with pytest.raises(ReleaseRefused, match="live once begin so") as told:
        roll_back(judged, to=never[:10] if to == "never live" else to)
    assert live[:12] in str(told.value), "which there are is told"
    with pytest.raises(ReleaseRefused, match="no champion before"):
        roll_back(judged)
    assert judged.kinds() == ["decided", "released"]


def test_nothing_to_go_back_to_at_all(judged):
    with pytest.raises(ReleaseRefused, match="no champion"):
        roll_back(judged)


def test_a_damaged_bundle_is_not_gone_back_to(judged):
    first, second = judged.make_live("2018-03"), judged.make_live("2018-06")
    (Path(judged.models.root) / first / "manifest.json").write_text("{}")
    with pytest.raises(ReleaseRefused, match="nobody can force"):
        roll_back(judged)
    assert judged.desk.live().bundle == second


def test_a_release_by_a_person_scores_nothing_again(judged):
    first = judged.make_live("2018-03")
    late = judged.bundle("2018-05")
    judged.decide(late)
    score(judged, "2018-04", "2018-05", "2018-06", "2018-07")
    judged.desk.release(late, by="ann", reason="late", not_before=judged.desk.scored_until())
    assert scorers(judged, "2018-06", "2018-07", "2018-08") == [first, first, late]


def test_the_record_of_what_is_live_stands(judged):
    bundle = judged.make_live("2018-03")
    record = judged.desk.standing_record(bundle)
    assert record["bundle"] == bundle
    assert judged.desk.standing_record(judged.bundle("2018-06")) is None
    [kept] = Path(judged.store.root).glob("duration/decision/records/*.json")
    kept.write_text("{")
    assert judged.desk.standing_record(bundle) is None


def killed_in(judged, monkeypatch, what: Callable[[], object]) -> None:
    """Do something in a process of its own, which is killed at the point that was patched."""
    child = multiprocessing.get_context("fork").Process(target=what)
    child.start()
    child.join(30)
    assert child.exitcode == -signal.SIGKILL
    monkeypatch.undo()


def kill(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before_it_is_written(monkeypatch) -> None:
    ledger_module._engine.cache_clear()  # no connection is shared with the child
    monkeypatch.setattr(Ledger, "append", kill)


def before_it_is_committed(monkeypatch) -> None:
    import sqlalchemy as sa

    make = ledger_module._engine
    make.cache_clear()

    def deadly(*which: object) -> sa.Engine:
        engine = make(*which)
        sa.event.listen(engine, "commit", kill)
        return engine

    monkeypatch.setattr(ledger_module, "_engine", deadly)


def after_it_is_committed(monkeypatch) -> None:
    append = Ledger.append
    ledger_module._engine.cache_clear()
    monkeypatch.setattr(Ledger, "append", lambda *a, **k: (append(*a, **k), kill()))


POINTS = pytest.mark.parametrize("point", [before_it_is_written, before_it_is_committed, after_it_is_committed])


@POINTS
def test_killed_while_releasing_and_done_again_there_is_one_release(judged, monkeypatch, point):
    live, bundle = judged.make_live("2018-03"), judged.bundle("2018-06")
    judged.decide(bundle)

    def release() -> object:
        return judged.desk.release(bundle, by="run 1", reason="asked")

    point(monkeypatch)
    killed_in(judged, monkeypatch, release)
    assert judged.desk.live().bundle == (bundle if point is after_it_is_committed else live), "all of it or nothing"
    assert audit(judged.desk)[1] == []
    release()
    assert judged.kinds() == ["decided", "released", "decided", "released"]
    assert judged.desk.live().bundle == bundle
    assert audit(judged.desk)[1] == []


@POINTS
def test_killed_while_deciding_and_done_again_there_is_one_decision(judged, monkeypatch, point):
    bundle = judged.bundle("2018-06")
    point(monkeypatch)
    killed_in(judged, monkeypatch, lambda: judged.decide(bundle))
    assert audit(judged.desk)[1] == [], "an event never names a record that is not there"
    if point is not after_it_is_committed:
        with pytest.raises(ReleaseRefused, match="no decision on it"):
            judged.desk.release(bundle, by="ann", reason="asked")
    judged.decide(bundle)
    assert judged.kinds() == ["decided"]
    judged.desk.release(bundle, by="run 1", reason="asked")
    assert audit(judged.desk)[1] == []


@POINTS
def test_killed_while_going_back_and_done_again_by_name_there_is_one_way_back(judged, monkeypatch, point):
    first, _ = judged.make_live("2018-03"), judged.make_live("2018-06")
    point(monkeypatch)
    killed_in(judged, monkeypatch, lambda: roll_back(judged, to=first))
    roll_back(judged, to=first)
    assert judged.kinds()[4:] == ["rolled_back"]
    assert audit(judged.desk)[1] == []
