"""A replaced champion scores on for as long as the YAML says, and the graph tells what replacing it was worth."""

import dagster as dg
import numpy as np
import pytest

from ml_assets.core.releases import Event
from ml_assets.resources.materializations import latest
from ml_assets.summarize import summarize

PREDICTIONS, PERFORMANCE = dg.AssetKey(["duration", "predictions"]), dg.AssetKey(["duration", "performance"])


def attributed(replay) -> list[Event]:
    return [e for e in replay.ledger.events("duration") if e.kind == "attributed"]


def run(world, replay, job: str, month: int, **options: object) -> None:
    """Run a job for a month of 2018, as a person would."""
    found = replay.definitions.resolve_job_def(f"duration_{job}")
    assert found.execute_in_process(instance=world.instance, partition_key=f"2018-0{month}", **options).success


def account_is_shown_before_it_is_closed(replay) -> None:
    assert attributed(replay) == []
    [_, worth] = [t.worth for t in summarize(replay, 1.0).trainings]
    assert (worth.partitions, worth.wanted, worth.closed) == (1, 2, False)
    assert "(1 of 2 partitions" in worth.words


@pytest.mark.slow(seconds=20)
def test_through_the_whole_graph(world):
    pipeline = world.changed(world.pipeline, retraining={"attribution": 2})
    early, replay = (world.replay(last, pipeline=pipeline) for last in ("2018-07", None))
    for month in range(1, 9):
        run(world, replay, "follow", month)
        if month in (3, 6):
            run(world, replay, "train", month)
        if month == 7:
            account_is_shown_before_it_is_closed(early)
    scored = {m: replay.store.scan(PREDICTIONS, f"2018-0{m}").collect() for m in range(4, 9)}
    releases = [e for e in replay.ledger.events("duration") if e.kind == "released"]
    first, second = (e.facts["bundle"] for e in releases)
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

    [event] = attributed(replay)
    assert event.facts["release"] == releases[1].sequence
    assert (event.facts["replaced"], event.facts["replacing"], event.facts["bundle"]) == (first, second, second)
    saved = np.average(list(event.facts["partitions"].values()), weights=[records[m]["rows_mature"] for m in (7, 8)])
    assert event.facts["interval"]["estimate"] == pytest.approx(saved)
    assert event.facts["interval"]["low"] < saved < event.facts["interval"]["high"]

    summary = summarize(replay, 1.0)
    assert [t.worth and t.worth.words for t in summary.trainings] == [None, event.facts["words"]]
    assert summary.trainings[1].worth.closed

    # A table from before replaced champions scored on is measured like any other; the ledger has its say already.
    old = scored[7].drop("prediction_replaced", "replaced_version")
    old.write_parquet(str(replay.store.path(PREDICTIONS, "2018-07")))
    for month in (7, 8):
        run(world, replay, "follow", month, asset_selection=[PERFORMANCE])
    seventh, eighth = (replay.store.record(PERFORMANCE, f"2018-0{m}") for m in (7, 8))
    assert "replaced" not in seventh["metrics"]
    assert list(eighth["worth"]["partitions"]) == ["2018-08"]
    assert {**seventh["metrics"], "replaced": None} == {**records[7]["metrics"], "replaced": None}
    assert attributed(replay) == [event]
