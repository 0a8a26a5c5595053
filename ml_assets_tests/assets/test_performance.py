"""Late labels and a label outage through the whole graph: measured again, estimated meanwhile, told by the check."""

import dagster as dg
import pytest

from ml_assets.assets.monitoring import PROMISE, promise_kept
from ml_assets.resources.materializations import latest
from ml_assets.summarize import summarize

KEY = dg.AssetKey(["duration", "performance"])
REPORTED = """
    reported_at: datetime = column(
        known_at="reported_at",
        derived=pl.when(pl.col("pickup_at") >= datetime(2018, 7, 1)).then(pl.col("dropoff_at") + timedelta(days=3650))
        .when(pl.col("pickup_at").dt.minute() % 2 == 0).then(pl.col("dropoff_at") + timedelta(days=40))
        .otherwise(pl.col("dropoff_at") + timedelta(days=1)),
        description="half of the trips are reported after a day, half after 40; from July 2018 on none is",
    )

    class Config:
"""


def late_world(world):
    """Labels that take a day, forty days, or for ever."""
    file = world.project.folder / "schema.py"
    text = file.read_text().replace("\n    class Config:\n", REPORTED, 1)
    file.write_text(text.replace("from datetime import datetime", "from datetime import datetime, timedelta"))
    return world.changed(
        world.pipeline,
        label={"column": "trip_minutes", "known_at": "reported_at"},
        evaluation={"min_labels": 100, "non_inferiority": 0.5},
        retraining={**world.pipeline["attributes"]["retraining"], "min_labelled": 0.4},
    )


def record(replay, partition):
    return replay.store.record(KEY, partition)


def judged(instance, partition):
    """The last evaluation of the check for a partition."""
    history = instance.event_log_storage.get_asset_check_execution_history(dg.AssetCheckKey(KEY, PROMISE), limit=50)
    found = (e.event.asset_check_evaluation for e in history)
    return next(e for e in found if e.partition == partition)


def ticked(replay, instance):
    """What the sensor answers: run requests, and why there are none."""
    sensor = replay.definitions.resolve_sensor_def("duration_late_labels")
    repository = replay.definitions.get_repository_def()
    resources = {"store": replay.store}
    with dg.build_sensor_context(instance=instance, repository_def=repository, resources=resources) as context:
        told = sensor.evaluate_tick(context)
    return told.run_requests, told.skip_message


@pytest.mark.slow(seconds=15)
def test_late_labels_are_measured_again_and_an_outage_is_never_fine(world):
    pipeline = late_world(world)
    early = world.replay("2018-04", pipeline=pipeline)
    steps = [(s.partition, s.what) for s in early.steps()]
    assert steps == [*((f"2018-0{m}", "follow") for m in (1, 2, 3)), ("2018-03", "train"), ("2018-04", "follow")]
    first = record(early, "2018-04")
    assert 0.4 < first["coverage"] < 0.6
    assert first["known_by"] == "2018-05-01T00:00:00"
    assert first["promise"]["outcome"] == "unknown"
    requests, said = ticked(early, world.instance)
    assert not requests
    assert "1 partitions are measured, 1 of which wait for labels known after 2018-05-01" in said

    # May lands by itself: whoever measures April again now sees the labels known by the end of May.
    replay = world.replay("2018-05", pipeline=pipeline)
    follow = replay.definitions.resolve_job_def("duration_follow")
    assert follow.execute_in_process(instance=world.instance, partition_key="2018-05").success
    for _ in range(2):  # asked twice before it ran, it is the same request: Dagster starts one run for it
        [request], _ = ticked(replay, world.instance)
        assert (request.partition_key, request.run_key) == ("2018-04", "duration/late_labels/2018-04/2018-05")
    measure = replay.definitions.resolve_job_def("__anonymous_asset_job_duration_late_labels")
    assert measure.execute_in_process(instance=world.instance, partition_key=request.partition_key).success
    assert ticked(replay, world.instance)[0] == []
    second = record(replay, "2018-04")
    assert second["known_by"] == "2018-06-01T00:00:00"
    assert first["coverage"] < second["coverage"] < 1
    assert list(world.replay("2018-05", pipeline=pipeline).steps()) == []

    replay = world.replay(pipeline=pipeline)
    steps = [(s.partition, s.what) for s in replay.steps()]
    refreshed = [p for p, what in steps if what == "refresh"]
    assert refreshed, "a replay measures again by itself"
    assert refreshed == ["2018-04", "2018-05", "2018-05", "2018-06", "2018-06"][: len(refreshed)]
    last = record(replay, "2018-04")
    assert (last["coverage"], last["refresh_at"]) == (1, None)
    assert last["agreement"]["outcome"] in ("agrees", "worse", "better")
    assert "estimated" in last["agreement"]["words"]
    assert "realised" in last["agreement"]["words"]
    assert last["estimated"] is None
    assert last["expected"]["estimate"] == pytest.approx(last["interval"]["estimate"])
    assert last["interval"]["estimate"] != first["interval"]["estimate"]

    july = record(replay, "2018-07")
    assert (july["coverage"], july["metrics"], july["promise"]["outcome"]) == (0, {}, "unknown")
    assert july["expected"] == july["estimated"]
    assert july["estimated"]["low"] < july["estimated"]["estimate"]
    told = latest(world.instance, KEY)["2018-07"].metadata
    assert told["mae_estimated"] == round(july["estimated"]["estimate"], 4)
    assert "0 labels are known" in told["promise_said"]
    by_partition = {p.partition: p for p in summarize(replay, 1.0).partitions}
    assert by_partition["2018-07"].metric is None
    assert by_partition["2018-04"].metric == last["metrics"]["champion"]["mae"]
    assert judged(world.instance, "2018-07").passed is False, "no label is no pass"


@pytest.mark.parametrize(("outcome", "passed"), [("kept", True), ("open", True), ("broken", False), ("unknown", False)])
def test_the_check_passes_only_what_was_judged_and_is_not_broken(outcome, passed):
    said = {"words": "in words", "outcome": outcome}
    found = promise_kept(KEY, {"promise": said, "outlook": said, "agreement": said})
    assert (found.check_name, found.passed, found.severity) == (PROMISE, passed, dg.AssetCheckSeverity.WARN)
    assert found.description == "in words"


def test_a_champion_that_got_worse_fails_the_check_of_that_partition(world):
    slower = {"kind": "speed_change", "start": "2018-05", "factor": 0.5}
    table = world.changed(world.table, source={"kind": "simulated", "rows": world.rows, "injections": [slower]})
    replay = world.replay("2018-05", table=table)
    list(replay.steps())
    found = {p: record(replay, p) for p in ("2018-04", "2018-05")}
    assert found["2018-05"]["promise"]["outcome"] == "broken"
    assert found["2018-05"]["promise"]["excess"]["low"] > found["2018-04"]["promise"]["excess"]["high"]
    assert found["2018-05"]["agreement"]["outcome"] == "worse", "the same trips take longer"
    evaluation = judged(world.instance, "2018-05")
    assert evaluation.passed is False
    assert "surely worse than promised" in evaluation.description


def test_a_sensor_before_anything_landed(world):
    requests, said = ticked(world.replay(), world.instance)
    assert not requests
    assert "nothing of rides has landed yet" in said
