"""The sensor `<table>_new_data`: what lands in a folder is ingested once, and again when it changes."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.storage.tags import RUN_KEY_TAG

from ml_assets import components
from ml_assets.core import landing as rules
from ml_assets.core.errors import ConfigError, SourceError, SourceNotFound, SourceUnreadable
from ml_assets.landing import look, together
from ml_assets.resources.sources import files as files_module
from ml_assets.resources.sources.interface import make_source
from ml_assets.resources.sources.simulated import write_tlc_files

MONTHS = ["2018-01", "2018-02"]


class Landing:
    """A world whose table is read from a folder, and the sensor that watches it."""

    def __init__(self, world, root, **attributes: object) -> None:
        self.world, self.folder = world, root / "files"
        self.folder.mkdir(exist_ok=True)
        self.attributes = {
            "source": {"kind": "files", "path": str(self.folder / "yellow_tripdata_{year}-{month}.parquet")},
            **attributes,
        }
        self.load()

    def load(self) -> None:
        """The code location, loaded anew."""
        self.definitions = self.world.project.load(self.world.changed(self.world.table, **self.attributes))
        self.sensor = self.definitions.resolve_sensor_def("rides_new_data")
        tree = dg.ComponentTree.for_project(self.world.project.root)
        self.table = tree.get_all_components(components.Table)[0].table
        self.job = self.definitions.resolve_job_def("rides_ingest")

    def land(self, *months: str, seed: int = 0) -> None:
        list(write_tlc_files(self.folder, list(months), 200, seed))

    def file(self, month: str):
        return self.folder / f"yellow_tripdata_{month}.parquet"

    def tick(self) -> list[dg.RunRequest] | str:
        """Requests, or why there are none; every tick without a cursor."""
        with dg.build_sensor_context(
            instance=self.world.instance,
            definitions=self.definitions,
            resources=self.definitions.resources,
            sensor_name="rides_new_data",
        ) as context:
            answer = self.sensor.evaluate_tick(context)
        assert answer.cursor is None
        return answer.run_requests or answer.skip_message

    def run(self, request: dg.RunRequest, **options: object) -> dg.ExecuteInProcessResult:
        return self.job.execute_in_process(
            instance=self.world.instance,
            partition_key=request.partition_key,
            tags={RUN_KEY_TAG: request.run_key},
            asset_selection=[self.table.key("raw")],
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            **options,
        )

    def created(self, request: dg.RunRequest, status: dg.DagsterRunStatus) -> dg.DagsterRun:
        """A run of the request, as the daemon makes it, not executed."""
        return self.world.instance.create_run_for_job(
            self.job, tags={RUN_KEY_TAG: request.run_key, "dagster/partition": request.partition_key}, status=status
        )

    def at(self, now: datetime):
        return look(self.table, make_source(self.table.config.source, self.table.folder), self.world.instance, now)


@pytest.fixture
def landing(world, tmp_path):
    return Landing(world, tmp_path)


def keys(requests: list[dg.RunRequest]) -> list[tuple[str, str]]:
    return [(r.partition_key, r.run_key.rpartition("/")[2]) for r in requests]


def test_files_land_are_ingested_once_and_again_when_they_change(landing):
    assert landing.tick() == "the source of rides has none of the 8 partitions whose window is over"
    landing.land("2018-01", "2018-02")
    asked = landing.tick()
    assert keys(asked) == [("2018-01", "1"), ("2018-02", "1")]
    assert [r.run_key for r in landing.tick()] == [r.run_key for r in asked], "two daemons, or a lost answer"
    for request in asked:
        assert landing.run(request).success
    assert "2 of which are ingested as they are" in landing.tick()

    landing.land("2018-02", seed=1)
    [again] = landing.tick()
    assert keys([again]) == [("2018-02", "1")]
    assert again.run_key != asked[1].run_key
    assert landing.run(again).success
    assert "2 of which are ingested as they are" in landing.tick()

    landing.load()  # a restart
    assert "2 of which are ingested as they are" in landing.tick()


def test_a_request_in_flight_is_not_made_again_and_one_that_was_not_handed_over_is(landing):
    landing.land("2018-01")
    [request] = landing.tick()
    run = landing.created(request, dg.DagsterRunStatus.NOT_STARTED)
    assert [r.run_key for r in landing.tick()] == [request.run_key], "the daemon may have been killed meanwhile"
    landing.world.instance.report_run_failed(run, "killed")
    running = landing.created(request, dg.DagsterRunStatus.STARTED)
    assert "1 in flight (first 2018-01)" in landing.tick()
    landing.world.instance.report_run_failed(running, "killed, too")
    assert "1 failed and wait to be tried again (2018-01 from" in landing.tick()


def test_a_file_that_can_not_be_read_is_tried_three_times_and_then_named_until_it_changes(landing):
    landing.land("2018-01")
    landing.file("2018-02").write_bytes(b"<html>not found</html>")
    now, tried = datetime.now(UTC), []
    for _ in range(5):
        decided, faults = landing.at(now)
        assert not faults
        for request in decided.requests:
            tried.append((request.partition, request.run_key.rpartition("/")[2]))
            landing.run(dg.RunRequest(request.run_key, partition_key=request.partition), raise_on_error=False)
        now += timedelta(minutes=10)
    assert tried == [("2018-01", "1"), ("2018-02", "1"), ("2018-02", "2"), ("2018-02", "3")]
    last = landing.world.instance.get_runs(limit=1)[0].run_id
    assert decided.given_up == {"2018-02": last}
    said = landing.tick()
    assert f"given up after 3 attempts in vain: 2018-02 (run {last})" in said
    landing.land("2018-02")
    [request] = landing.tick()
    assert landing.run(request).success
    assert "2 of which are ingested as they are" in landing.tick()


def test_a_run_that_ends_between_two_looks_is_not_asked_for_again(landing, monkeypatch):
    landing.land("2018-01")
    [request] = landing.tick()
    get = landing.world.instance.get_run_records

    def slow(*args: object, **options: object) -> object:
        monkeypatch.undo()
        assert landing.run(request).success
        return get(*args, **options)

    monkeypatch.setattr(landing.world.instance, "get_run_records", slow)
    assert "1 of which are ingested as they are" in landing.tick()


def test_only_windows_that_are_over_count(landing):
    landing.land("2018-01", "2018-02")
    decided, _ = landing.at(datetime(2018, 2, 28, 23, 59, tzinfo=UTC))
    assert [r.partition for r in decided.requests] == ["2018-01"]
    assert decided.over == 1
    decided, _ = landing.at(datetime(2018, 3, 1, tzinfo=UTC))
    assert [r.partition for r in decided.requests] == ["2018-01", "2018-02"]


def test_more_than_the_most_follow_with_the_next_ticks(landing, monkeypatch):
    landing.land("2018-01", "2018-02", "2018-03")
    monkeypatch.setattr(rules.decide, "__kwdefaults__", {"most": 2})
    first = landing.tick()
    assert keys(first) == [("2018-01", "1"), ("2018-02", "1")]
    for request in first:
        landing.created(request, dg.DagsterRunStatus.STARTING)
    assert keys(landing.tick()) == [("2018-03", "1")]


def test_a_source_out_of_reach_fails_the_tick(landing):
    landing.folder.rmdir()
    with pytest.raises(SourceNotFound, match="the folder that files land in"):
        landing.tick()


def test_partitions_that_can_not_be_looked_at_fail_the_tick_once_all_others_are_asked_for(landing, monkeypatch):
    landing.land("2018-01", "2018-02", "2018-03")
    stamp = files_module.LocalFiles.stamp

    def broken(self, name: str) -> str:
        if "2018-02" not in name:
            raise SourceUnreadable(name, found="an input/output error", expected="a file", cure="look at the disk")
        return stamp(self, name)

    monkeypatch.setattr(files_module.LocalFiles, "stamp", broken)
    [request] = landing.tick()
    assert request.partition_key == "2018-02"
    landing.created(request, dg.DagsterRunStatus.STARTING)
    with pytest.raises(SourceError) as caught:
        landing.tick()
    first, second = caught.value.found
    assert "2018-01" in first
    assert "look at the disk" in first
    assert "2018-03" in second


def test_one_error_is_told_as_it_is(landing):
    error = SourceError("one", found="this", expected="that", cure="do so")
    assert together(landing.table, {"2018-01": error}) is error


def test_data_of_another_kind_of_source_is_not_overwritten(landing):
    landing.land("2018-01")
    [request] = landing.tick()
    assert landing.run(request).success
    landing.attributes["source"] = {"kind": "simulated", "rows": 200}
    landing.load()
    with pytest.raises(ConfigError, match="partitions from a source of kind files"):
        landing.tick()


def test_it_runs_by_itself_as_often_as_the_table_says(landing):
    assert landing.sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert landing.sensor.description
    assert landing.sensor.minimum_interval_seconds == 30
    landing.attributes["check_every"] = "1h30m"
    landing.load()
    assert landing.sensor.minimum_interval_seconds == 5400


def test_what_is_no_interval_is_refused(world):
    complaint = world.project.complaint(world.changed(world.table, check_every="soon"))
    assert "check_every" in complaint
    assert "'soon'" in complaint
