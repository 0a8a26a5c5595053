"""What a release was worth goes to the ledger: once, whoever measures, however often, and only when it is known."""

import json
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from ml_assets.attributing import Accountant, replaced_champion, worth_told
from ml_assets.config.retraining import Retraining
from ml_assets.core.errors import LedgerConflict
from ml_assets.core.releases import attribution_of, told
from ml_assets.core.scoring import schema
from ml_assets.resources.ledger import Ledger
from ml_assets_tests.conftest import copy_trips_code

ROWS = 300
MODELS = SimpleNamespace(load=lambda _: SimpleNamespace(labelled_share=1.0))


def with_attribution(judged, partitions: int | None):
    """The pipeline as if its YAML said so; None: without a section `retraining`."""
    section = None if partitions is None else Retraining(attribution=partitions)
    return replace(judged.pipeline, config=judged.pipeline.config.model_copy(update={"retraining": section}))


def write(judged, noun: str, month: str, frame: pl.DataFrame) -> None:
    path = judged.store.path(judged.pipeline.key(noun), month)
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(str(path))


def score(judged, pipeline, month: str, saved: float = 2.0, delay: timedelta = timedelta(0)) -> None:
    """What the assets leave of a month: the champion is off by one, the one before by as much more as is saved."""
    window, events = pipeline.table.window(month), judged.desk.events()
    replaced, label = replaced_champion(pipeline, events, window), np.linspace(5, 20, ROWS)
    at = [window.start + i * (window.end - window.start) / ROWS for i in range(ROWS)]
    row = {"row_number": pl.Series(range(ROWS), dtype=pl.UInt32), "event_at": at}
    write(judged, "features", month, pl.DataFrame({**row, "label": label, "label_known_at": [a + delay for a in at]}))
    scores = {"prediction": label + 1, "prediction_never_retrained": label, "prediction_naive": label,
              "prediction_replaced": None if replaced is None else label + 1 + saved,
              "model_version": judged.desk.live().bundle,
              "replaced_version": replaced and replaced.bundle}  # fmt: skip
    write(judged, "predictions", month, pl.DataFrame({**row, **scores}, schema=schema("regression")))


@pytest.fixture
def pipeline(judged):
    """Two partitions are wanted; a second champion answers from July 2018 on."""
    copy_trips_code(judged.pipeline.folder)
    judged.first, judged.second = judged.make_live("2018-03"), judged.make_live("2018-06")
    return with_attribution(judged, 2)


def settle(judged, pipeline, month: str, through: str | None = None, ledger: Ledger | None = None):
    accountant = Accountant(pipeline, judged.store, MODELS, ledger or judged.ledger)
    return accountant.settle(pipeline.table.window(month), pipeline.table.window(through or month).end)


def test_worth_goes_to_the_ledger_once_all_partitions_are_in(judged, pipeline):
    score(judged, pipeline, "2018-07")
    first = settle(judged, pipeline, "2018-07")
    assert (first["closed"], first["interval"]["estimate"], list(first["partitions"])) == (False, 2.0, ["2018-07"])
    assert first["release"] == 4
    assert "attributed" not in judged.kinds()
    score(judged, pipeline, "2018-08", saved=1.0)
    second = settle(judged, pipeline, "2018-08")
    assert second["closed"]
    [*_, event] = judged.desk.events()
    assert event.kind == "attributed"
    expected = {
        "bundle": judged.second, "as_of": "2018-06", "release": 4, "replaced": judged.first,
        "replacing": judged.second, "partitions": {"2018-07": 2.0, "2018-08": 1.0}, "wanted": 2, "rows": 2 * ROWS,
        "interval": second["interval"], "words": second["words"],
    }  # fmt: skip
    assert expected.items() <= event.facts.items()
    assert event.facts["interval"]["estimate"] == pytest.approx(1.5)
    assert "minutes per row (2 of 2 partitions, 600 rows): it helped" in told(event)
    assert attribution_of(judged.desk.events(), 4) == event
    assert judged.desk.live().bundle == judged.second
    assert worth_told(pipeline, judged.store, judged.desk.events(), 4) == event.facts


def test_measuring_again_adds_no_event_and_changes_none(judged, pipeline):
    for month in ("2018-07", "2018-08"):
        score(judged, pipeline, month)
        settle(judged, pipeline, month)
    before = judged.desk.events()
    score(judged, pipeline, "2018-07", saved=-0.5)
    again = settle(judged, pipeline, "2018-07", "2018-08")
    assert again["interval"]["estimate"] == pytest.approx(0.75), "the record has what is known now"
    score(judged, pipeline, "2018-09")
    assert settle(judged, pipeline, "2018-09") is None
    assert judged.desk.events() == before


def test_labels_that_are_late_close_it_when_they_are_measured(judged, pipeline):
    score(judged, pipeline, "2018-07", delay=timedelta(days=40))
    score(judged, pipeline, "2018-08", delay=timedelta(days=40))
    assert not settle(judged, pipeline, "2018-08")["closed"]
    assert not settle(judged, pipeline, "2018-07", "2018-09")["closed"]
    assert "attributed" not in judged.kinds()
    assert settle(judged, pipeline, "2018-08", "2018-10")["closed"]
    assert judged.kinds()[-1] == "attributed"


def test_labels_that_nobody_measured_again_for_close_it_with_a_later_partition(judged, pipeline):
    for month in ("2018-07", "2018-08"):
        score(judged, pipeline, month, delay=timedelta(days=40))
    assert not settle(judged, pipeline, "2018-08")["closed"]
    score(judged, pipeline, "2018-09")
    assert settle(judged, pipeline, "2018-09") is None
    assert "attributed" not in judged.kinds()
    score(judged, pipeline, "2018-10")
    assert settle(judged, pipeline, "2018-10") is None
    assert judged.kinds()[-1] == "attributed"
    before = judged.desk.events()
    settle(judged, pipeline, "2018-10")
    assert judged.desk.events() == before


def test_two_that_measure_at_once_write_one_event(judged, pipeline, monkeypatch):
    for month in ("2018-07", "2018-08"):
        score(judged, pipeline, month)
    append = Ledger.append

    def after_the_other(self, pipeline_name, kind, facts, *, after):
        """Just before this one is written, the other run has written it."""
        monkeypatch.setattr(Ledger, "append", append)
        settle(judged, pipeline, "2018-07", "2018-08")
        return append(self, pipeline_name, kind, facts, after=after)

    monkeypatch.setattr(Ledger, "append", after_the_other)
    assert settle(judged, pipeline, "2018-08")["closed"]
    assert judged.kinds().count("attributed") == 1


def test_who_lost_to_another_event_writes_after_it(judged, pipeline, monkeypatch):
    for month in ("2018-07", "2018-08"):
        score(judged, pipeline, month)
    append = Ledger.append

    def after_a_decision(self, pipeline_name, kind, facts, *, after):
        monkeypatch.setattr(Ledger, "append", append)
        judged.decide(judged.bundle("2018-08"), rows=300)
        return append(self, pipeline_name, kind, facts, after=after)

    monkeypatch.setattr(Ledger, "append", after_a_decision)
    settle(judged, pipeline, "2018-08")
    assert judged.kinds()[-2:] == ["decided", "attributed"]


def test_a_ledger_that_refuses_for_ever_is_told(judged, pipeline, monkeypatch):
    for month in ("2018-07", "2018-08"):
        score(judged, pipeline, month)

    def refuse(*_, after, **__):
        raise LedgerConflict("ledger", found=f"event {after + 1}", expected="none", cure="look")

    monkeypatch.setattr(Ledger, "append", refuse)
    with pytest.raises(LedgerConflict):
        settle(judged, pipeline, "2018-08")


@pytest.mark.parametrize("ending", ["a release", "a rollback"])
def test_another_champion_ends_it_and_the_first_measurement_after_tells_it(judged, pipeline, ending):
    score(judged, pipeline, "2018-07")
    settle(judged, pipeline, "2018-07")
    if ending == "a release":
        judged.make_live("2018-07", "third")
    else:
        judged.desk.roll_back(to=None, by="ann", reason="complaints", not_before=pipeline.table.window("2018-07").end)
    assert "attributed" not in judged.kinds()
    score(judged, pipeline, "2018-08", saved=5.0)
    own = settle(judged, pipeline, "2018-08")
    [event] = [e for e in judged.desk.events() if e.kind == "attributed"]
    assert (event.facts["release"], event.facts["partitions"]) == (4, {"2018-07": 2.0})
    assert "(1 of 2 partitions" in event.facts["words"]
    assert (own and own["partitions"]) == ({"2018-08": 5.0} if ending == "a release" else None)
    settle(judged, pipeline, "2018-08")
    assert judged.kinds().count("attributed") == 1


@pytest.mark.parametrize("partitions", [None, 0, 1, 2])
def test_how_many_partitions_it_scores_on_is_what_the_yaml_says(judged, pipeline, partitions):
    pipeline = with_attribution(judged, partitions)
    scored = []
    for month in ("2018-06", "2018-07", "2018-08", "2018-09"):
        champion = replaced_champion(pipeline, judged.desk.events(), pipeline.table.window(month))
        scored += [month] if champion else []
        assert champion is None or champion.bundle == judged.first
        score(judged, pipeline, month)
        worth = settle(judged, pipeline, month)
        assert (worth is None) == (champion is None)
    assert scored == ["2018-07", "2018-08"][: partitions or 0]
    assert judged.kinds().count("attributed") == bool(partitions)
    if partitions:
        assert len(judged.desk.events()[-1].facts["partitions"]) == partitions


def test_what_is_known_so_far_is_read_from_the_last_measurement(judged, pipeline):
    events = judged.desk.events()
    assert worth_told(pipeline, judged.store, events, 4) is None
    score(judged, pipeline, "2018-07")
    record = {"worth": settle(judged, pipeline, "2018-07"), "known_by": "2018-08-01T00:00:00"}
    path = judged.store.path(pipeline.key("performance"), "2018-07", ".json")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    assert worth_told(pipeline, judged.store, events, 4) == record["worth"]
    assert worth_told(pipeline, judged.store, events, 2) is None, "the first champion replaced none"
    older = path.with_name("2018-08.json")
    older.write_text('{"metrics": {}, "known_by": "2018-09-01T00:00:00"}')
    assert worth_told(pipeline, judged.store, events, 4) == record["worth"], "a record of before there was such a thing"
