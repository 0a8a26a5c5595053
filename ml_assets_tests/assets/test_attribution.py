"""A replaced champion scores on for as long as the YAML says, and the graph tells what replacing it was worth."""

import dagster as dg
import numpy as np
import pytest

from ml_assets.resources.materializations import latest
from ml_assets.summarize import summarize

PREDICTIONS, PERFORMANCE = dg.AssetKey(["duration", "predictions"]), dg.AssetKey(["duration", "performance"])


def kinds(replay) -> list[str]:
    return [e.kind for e in replay.ledger.events("duration")]


def account_is_shown_before_it_is_closed(replay) -> None:
    assert "attributed" not in kinds(replay)
    [_, worth] = [t.worth for t in summarize(replay, 1.0).trainings]
    assert (worth.partitions, worth.wanted, worth.closed) == (1, 2, False)
    assert "(1 of 2 partitions" in worth.words


def test_through_the_whole_graph(world):
    pipeline = world.changed(world.pipeline, retraining={"attribution": 2})
    replay = world.replay(pipeline=pipeline)
    for step in replay.steps():
        if (step.partition, step.what) == ("2018-07", "follow"):
            account_is_shown_before_it_is_closed(replay)
    scored = {m: replay.store.scan(PREDICTIONS, f"2018-0{m}").collect() for m in range(4, 9)}
    first, second = (e.facts["bundle"] for e in replay.ledger.events("duration") if e.kind == "released")
    assert {m: of["replaced_version"].unique().to_list() for m, of in scored.items()} == {
        4: [None], 5: [None], 6: [None], 7: [first], 8: [first],
    }  # fmt: skip
    assert scored[6]["prediction_replaced"].null_count() == scored[6].height
    assert all(of.schema == scored[4].schema for of in scored.values())
    # The first champion is the one before, too: what it would have cost never to retrain is the same here.
    assert scored[7]["prediction_replaced"].equals(scored[7]["prediction_never_retrained"], check_names=False)
    assert latest(world.instance, PREDICTIONS)["2018-07"].metadata["replaced"] == first

    records = {m: replay.store.record(PERFORMANCE, f"2018-0{m}") for m in range(4, 9)}
    assert [m for m, r in records.items() if "replaced" in r["metrics"]] == [7, 8]
    assert [m for m, r in records.items() if r["worth"] is not None] == [7, 8]
    assert [records[m]["worth"]["closed"] for m in (7, 8)] == [False, True]
    assert list(records[8]["worth"]["partitions"]) == ["2018-07", "2018-08"]
    for m in (7, 8):
        saved = records[m]["metrics"]["replaced"]["mae"] - records[m]["metrics"]["champion"]["mae"]
        assert records[8]["worth"]["partitions"][f"2018-0{m}"] == pytest.approx(saved)
        assert latest(world.instance, PERFORMANCE)[f"2018-0{m}"].metadata["worth_said"] == records[m]["worth"]["words"]

    event = replay.ledger.events("duration")[-1]
    assert kinds(replay) == ["decided", "released", "decided", "released", "attributed"]
    assert (event.facts["release"], event.facts["replaced"], event.facts["bundle"]) == (4, first, second)
    saved = np.average(list(event.facts["partitions"].values()), weights=[records[m]["rows_mature"] for m in (7, 8)])
    assert event.facts["interval"]["estimate"] == pytest.approx(saved)
    assert event.facts["interval"]["low"] < saved < event.facts["interval"]["high"]

    summary = summarize(replay, 1.0)
    assert [t.worth and t.worth.words for t in summary.trainings] == [None, event.facts["words"]]
    assert summary.trainings[1].worth.closed
    assert list(world.replay(pipeline=pipeline).steps()) == [], "the event makes nothing stale"

    # A table from before replaced champions scored on is measured like any other; the ledger has its say already.
    before = replay.store.path(PREDICTIONS, "2018-07")
    old = scored[7].drop("prediction_replaced", "replaced_version")
    old.write_parquet(str(before))
    job = replay.definitions.resolve_job_def("duration_follow")
    run = {"instance": world.instance, "asset_selection": [PERFORMANCE]}
    for month in ("2018-07", "2018-08"):
        assert job.execute_in_process(partition_key=month, **run).success
    seventh, eighth = (replay.store.record(PERFORMANCE, f"2018-0{m}") for m in (7, 8))
    assert "replaced" not in seventh["metrics"]
    assert list(eighth["worth"]["partitions"]) == ["2018-08"]
    assert {**seventh["metrics"], "replaced": None} == {**records[7]["metrics"], "replaced": None}
    assert kinds(replay).count("attributed") == 1
    assert replay.ledger.events("duration")[-1] == event
