"""What a replay does again and what not, what it refuses, and what it leaves when it is stopped."""

import dagster as dg
import pytest

from ml_assets.core.errors import ConfigError, TrainingError
from ml_assets.replay import STARTED_BY_TAG, RunFailed
from ml_assets.resources.materializations import latest
from ml_assets.retraining import accept
from ml_assets.stale_data import SCORED, DataSide


def test_a_stopped_replay_goes_on_where_it_was(world):
    steps = world.replay("2018-04").steps()
    done = [next(steps) for _ in range(4)]
    steps.close()
    rest = list(world.replay("2018-04").steps())
    assert [(s.partition, s.what) for s in done + rest].count(("2018-03", "train")) == 1
    assert len(done + rest) == 5


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTING", "STARTED", "CANCELING"])
def test_a_run_that_a_killed_replay_left_is_marked_as_failed_and_others_are_left_alone(world, status):
    replay = world.replay()
    job = replay.definitions.resolve_job_def("duration_follow")
    left, other = (
        world.instance.create_run_for_job(job, status=dg.DagsterRunStatus(status), tags=tags)
        for tags in ({STARTED_BY_TAG: "replay"}, {})
    )
    assert replay.end_what_was_killed() == 1
    assert world.instance.get_run_by_id(left.run_id).status == dg.DagsterRunStatus.FAILURE
    assert world.instance.get_run_by_id(other.run_id).status == dg.DagsterRunStatus(status)
    assert replay.end_what_was_killed() == 0


def test_another_delay_of_the_label_makes_the_features_again(world):
    label = world.untrained["attributes"]["label"]
    first = world.replay("2018-01", pipeline=world.untrained)
    list(first.steps())
    before = latest(world.instance, first.pipeline.key("features"))["2018-01"]
    assert list(world.replay("2018-01", pipeline=world.untrained).steps()) == []
    later = world.replay("2018-01", pipeline=world.changed(world.untrained, label={**label, "delay": "2d"}))
    assert [(s.partition, s.what) for s in later.steps()] == [("2018-01", "follow")]
    after = latest(world.instance, first.pipeline.key("features"))["2018-01"]
    assert (before.data_version, before.metadata["labels"]) != (after.data_version, 0)
    assert before.metadata["labels_known"] > after.metadata["labels_known"]


def test_a_changed_source_makes_again_what_depends_on_it_and_nothing_else(world, tmp_path):
    from ml_assets.resources.sources.simulated import write_tlc_files

    files = tmp_path / "files"
    months = ["2018-01", "2018-02", "2018-03", "2018-04", "2018-05"]
    list(write_tlc_files(files, months, world.rows, 0))
    source = {"kind": "files", "path": str(files / "yellow_tripdata_{year}-{month}.parquet")}
    table = world.changed(world.table, source=source)
    list(world.replay(table=table).steps())
    list(write_tlc_files(files, ["2018-05"], world.rows, 1))
    again = [(s.partition, s.what) for s in world.replay(table=table).steps()]
    assert again == [("2018-05", "follow")]
    list(write_tlc_files(files, ["2018-02"], world.rows, 1))
    again = [(s.partition, s.what) for s in world.replay(table=table).steps()]
    # March looks back into February; what was decided at the end of March is not decided anew.
    assert again == [("2018-02", "follow"), ("2018-03", "follow")]


def test_a_kill_between_validated_rows_and_quarantined_ones_is_made_good(world):
    replay = world.replay("2018-02", pipeline=world.untrained)
    list(replay.steps())
    data_side = DataSide(replay.pipeline, replay.source, replay.ledger)
    made = {noun: latest(world.instance, replay.pipeline.key(noun)) for noun in SCORED}
    assert [data_side.stale(w, made) for w in replay.windows] == [[], []]
    del made["quarantine"]["2018-02"]
    assert [data_side.stale(w, made) for w in replay.windows] == [[], ["validated", "quarantine", "features"]]


def test_a_failed_partition_is_named_and_what_was_stored_stays(world, tmp_path):
    from ml_assets.resources.sources.simulated import write_tlc_files

    files = tmp_path / "files"
    list(write_tlc_files(files, ["2018-01", "2018-02"], world.rows, 0))
    source = {"kind": "files", "path": str(files / "yellow_tripdata_{year}-{month}.parquet")}
    table = world.changed(world.table, source=source)
    list(world.replay(table=table).steps())
    stored = world.replay(table=table).store
    before = stored.sha256(dg.AssetKey(["rides", "raw"]), "2018-02")
    broken = files / "yellow_tripdata_2018-02.parquet"
    broken.write_bytes(broken.read_bytes()[:2000])
    with pytest.raises(RunFailed, match="rides__raw") as caught:
        list(world.replay(table=table).steps())
    said = str(caught.value)
    assert "2018-02" in said
    assert "yellow_tripdata_2018-02.parquet" in said
    assert "cure" in said
    assert stored.sha256(dg.AssetKey(["rides", "raw"]), "2018-02") == before


def test_data_from_another_source_is_not_mixed(world):
    list(world.replay("2018-01").steps())
    source = {"kind": "files", "path": "rides-{year}-{month}.parquet"}
    (world.project.folder / "rides-2018-01.parquet").write_bytes(b"")
    table = world.changed(world.table, source=source)
    with pytest.raises(ConfigError, match="source of kind simulated"):
        list(world.replay("2018-01", table=table).steps())


def test_a_partition_outside_the_table_is_refused(world):
    with pytest.raises(ConfigError, match="--through 2031-01"):
        world.replay("2031-01")


def test_too_little_history_is_not_trained_on_and_refused_with_counts_where_a_person_asks(world):
    pipeline = world.changed(world.pipeline, model={"window": 3, "min_rows": 100_000})
    replay = world.replay("2018-03", pipeline=pipeline)
    assert [s.what for s in replay.steps()] == ["follow"] * 3
    [*_, last] = replay.ledger.events("duration")
    assert last.facts["action"] == "ignore"
    assert "100,000 are needed" in last.facts["reasons"][0]

    by_hand = world.replay("2018-03", pipeline=world.changed(pipeline, retraining=None))
    with pytest.raises(RunFailed, match="needed: 100000") as caught:
        list(by_hand.steps())
    assert TrainingError.__name__ in str(caught.value)


@pytest.mark.parametrize("late", ["fare_usd", "payment_type", "trip_minutes", "dropoff_at"])
def test_a_feature_that_knows_the_drop_off_is_refused(world, late):
    (world.project.folder / "features.py").write_text(
        "import polars as pl\nfrom ml_assets.core.features import Feature\n"
        f"FEATURES = [Feature('late', pl.col('{late}').cast(pl.Float64), kind='number')]\n"
    )
    with pytest.raises(RunFailed, match=f"late: reads {late}, which is not known at the event's time"):
        list(world.replay("2018-01").steps())


def test_the_release_asset_refuses_without_an_evaluation(world):
    replay = world.replay()
    job = replay.definitions.resolve_job_def("duration_train")
    result = job.execute_in_process(
        instance=world.instance,
        partition_key="2018-03",
        asset_selection=[dg.AssetKey(["duration", "champion"])],
        raise_on_error=False,
    )
    assert not result.success
    assert replay.ledger.events("duration") == []


def test_a_replay_may_begin_later(world):
    steps = [(s.partition, s.what) for s in world.replay("2018-05", first="2018-03").steps()]
    assert steps == [*((f"2018-0{m}", "follow") for m in (3, 4, 5)), ("2018-05", "train")]


def test_a_missing_partition_of_the_window_is_named_and_done_without_where_a_person_accepts_it(world):
    replay = world.replay("2018-01")
    list(replay.steps())
    follow, train = (replay.definitions.resolve_job_def(f"duration_{name}") for name in ("follow", "train"))
    assert follow.execute_in_process(
        instance=world.instance, partition_key="2018-03",
        asset_selection=[replay.pipeline.key(noun) for noun in ("raw", "validated", "quarantine", "features")],
    ).success  # fmt: skip

    def trained(as_of: str, *nouns: str) -> dg.ExecuteInProcessResult:
        selection = [replay.pipeline.key(noun) for noun in nouns]
        return train.execute_in_process(
            instance=world.instance, partition_key=as_of, asset_selection=selection, raise_on_error=False
        )

    for as_of in ("2018-02", "2018-03"):
        [failure] = trained(as_of, "training_set").get_step_failure_events()
        assert "partition 2018-02 of duration/features" in str(failure.step_failure_data.error)
        assert "materialize that partition first" in str(failure.step_failure_data.error)

    accept(replay.pipeline, replay.ledger, "2018-02", landed=["2018-01", "2018-03"], by="ann", why="lost")
    assert trained("2018-03", "training_set", "candidate").success
    manifest = replay.store.record(replay.pipeline.key("training_set"), "2018-03")
    assert list(manifest["partitions"]) == ["2018-01", "2018-03"]
    assert manifest["accepted"] == {"2018-02": "lost"}
    [failure] = trained("2018-02", "training_set").get_step_failure_events()
    assert "partition 2018-02" in str(failure.step_failure_data.error), "nothing is trained as of what is not there"
