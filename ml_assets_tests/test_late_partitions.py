"""Partitions that arrive late and out of order, and history that is run once more."""

import dagster as dg
import polars as pl

from ml_assets.observing import BOUNDS_VERSION
from ml_assets.resources.materializations import latest
from ml_assets.resources.sources.simulated import write_tlc_files

MONTHS = ["2018-01", "2018-02", "2018-03", "2018-04"]
FEATURES = dg.AssetKey(["duration", "features"])
NOUNS = ("raw", "validated", "quarantine", "features")


def versions(world, replay) -> dict[str, dict[str, str]]:
    keys = [replay.pipeline.key(noun) for noun in NOUNS]
    return {k.to_user_string(): {p: m.data_version for p, m in latest(world.instance, k).items()} for k in keys}


def test_a_month_that_arrives_last_is_taken_up_by_the_features_that_look_back_at_it(world, tmp_path):
    files = tmp_path / "files"
    made = dict(zip(MONTHS, write_tlc_files(files, MONTHS, world.rows, 0), strict=True))
    table = world.changed(
        world.table, source={"kind": "files", "path": str(files / "yellow_tripdata_{year}-{month}.parquet")}
    )
    aside = made["2018-02"].rename(tmp_path / "late.parquet")
    early = world.replay("2018-04", table=table, pipeline=world.untrained)
    steps = [s.partition for s in early.steps()]
    assert steps == ["2018-01", "2018-03", "2018-04"]
    told = latest(world.instance, FEATURES)["2018-03"].metadata
    assert told["history_missing"] == ["2018-02"]
    assert told["history_since"] == "2018-03-01T00:00:00"
    before = early.store.scan(FEATURES, "2018-03").collect()
    first_week = before.filter(pl.col("event_at") < pl.datetime(2018, 3, 8))
    assert first_week["zone_speed_7d"].null_count() == first_week.height, "a part of a window is no window"

    aside.rename(made["2018-02"])
    replay = world.replay("2018-04", table=table, pipeline=world.untrained)
    assert [s.partition for s in replay.steps()] == ["2018-02", "2018-03"]
    assert latest(world.instance, FEATURES)["2018-03"].metadata["history_missing"] == []
    after = replay.store.scan(FEATURES, "2018-03").collect()
    assert after["city_speed_24h"].null_count() < 0.01 * after.height
    late = versions(world, replay)

    with dg.DagsterInstance.ephemeral(str(tmp_path / "other")) as world.instance:
        in_order = world.replay("2018-04", table=table, pipeline=world.untrained)
        list(in_order.steps())
        assert versions(world, in_order) == late


def test_running_the_whole_history_again_changes_no_version_and_leaves_nothing_stale(world):
    replay = world.replay("2018-04")
    list(replay.steps())
    before = versions(world, replay)
    events = replay.ledger.events("duration")
    job = replay.definitions.resolve_job_def("duration_follow")
    for month in MONTHS:
        assert job.execute_in_process(instance=world.instance, partition_key=month).success
    train = replay.definitions.resolve_job_def("duration_train")
    assert train.execute_in_process(instance=world.instance, partition_key="2018-03").success
    assert versions(world, replay) == before
    assert replay.ledger.events("duration") == events
    assert list(world.replay("2018-04").steps()) == []
    other_bounds_judge_again_and_decide_nothing_anew(world)


def other_bounds_judge_again_and_decide_nothing_anew(world):
    def told(replay) -> dict[str, dict]:
        return {noun: replay.store.record(replay.pipeline.key(noun), "2018-04") for noun in ("drift", "performance")}

    bounds = {"drift": {"false_alarm_rate": 0.4}, "performance": {"min_labels": 10_000}}
    replay = world.replay("2018-04", pipeline=world.changed(world.pipeline, monitoring=bounds))
    before, events = told(replay), replay.ledger.events("duration")
    assert [(s.partition, s.what) for s in replay.steps()] == [("2018-04", "follow")]
    after = told(replay)
    assert [of["drift"]["policy"]["false_alarm_rate"] for of in (before, after)] == [0.01, 0.4]
    column = [of["drift"]["columns"][0] for of in (before, after)]
    assert column[0]["distance"] == column[1]["distance"]
    assert column[0]["threshold"] > column[1]["threshold"]
    assert [of["performance"]["promise"]["outcome"] for of in (before, after)] == ["broken", "unknown"]
    assert replay.ledger.events("duration") == events
    for noun in ("drift", "performance"):
        made = latest(world.instance, replay.pipeline.key(noun))["2018-04"]
        assert made.metadata[BOUNDS_VERSION] == replay.pipeline.bounds_versions[noun]
    assert list(replay.steps()) == []
