"""The whole graph in a tiny world: small simulated months, through the real definitions and a real instance."""

import hashlib
import json
import shutil
import sqlite3
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from ml_assets import components
from ml_assets.core.errors import ConfigError, TrainingError
from ml_assets.core.releases import live
from ml_assets.replay import STARTED_BY_TAG, Replay, RunFailed
from ml_assets.resources import models
from ml_assets.resources.history import latest
from ml_assets.resources.settings import settings
from ml_assets.summarize import summarize

REPOSITORY = Path(__file__).resolve().parents[1]
ROWS = 1500
TABLE = {
    "type": "ml_assets.components.Table",
    "attributes": {
        "name": "rides",
        "source": {"kind": "simulated", "rows": ROWS},
        "partitions": {"cadence": "monthly", "start": "2018-01-01", "end": "2018-09-01"},
        "event_time": "pickup_at",
        "schema": "schema:Trip",
    },
}
PIPELINE = {
    "type": "ml_assets.components.Pipeline",
    "attributes": {
        "name": "duration",
        "table": "rides",
        "label": {"column": "trip_minutes", "known_at": "dropoff_at"},
        "features": "features:FEATURES",
        "model": {"window": 3, "threads": 1, "params": {"trees": 30}},
        "evaluation": {"slices": ["passengers"]},
    },
}


def changed(document: dict, **attributes: object) -> dict:
    return {**document, "attributes": {**document["attributes"], **attributes}}


class World:
    """A project, a data folder and an instance."""

    def __init__(self, project, instance: dg.DagsterInstance) -> None:
        self.project, self.instance = project, instance
        shutil.copy(REPOSITORY / "ml_assets/defs/trips/schema.py", project.folder)
        shutil.copy(REPOSITORY / "ml_assets/defs/trip_duration/features.py", project.folder)

    def replay(
        self, last: str | None = None, table: dict = TABLE, pipeline: dict = PIPELINE, first: str | None = None
    ) -> Replay:
        definitions = self.project.load(table, pipeline)
        tree = dg.ComponentTree.for_project(self.project.root)
        [component] = tree.get_all_components(components.Pipeline)
        return Replay(component.on_its_table(tree), definitions, self.instance, first, last)


@pytest.fixture
def world(project, tmp_path, monkeypatch):
    monkeypatch.setenv("ML_ASSETS_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("ML_ASSETS_SOURCE", raising=False)
    with dg.DagsterInstance.ephemeral(str(tmp_path)) as instance:
        yield World(project, instance)


def test_history_replayed(world):
    replay = world.replay()
    steps = [(s.partition, s.what) for s in replay.steps()]
    follows = [p for p, what in steps if what == "follow"]
    assert follows == [f"2018-0{m}" for m in range(1, 9)]
    assert [p for p, what in steps if what == "train"] == ["2018-03", "2018-06"]

    summary = summarize(replay, 1.0)
    assert summary.accounted()
    assert [p.rows_raw for p in summary.partitions] == [ROWS] * 8
    assert all(p.rows_quarantined > 0 for p in summary.partitions)
    scored = [p for p in summary.partitions if p.metric is not None]
    assert [p.partition for p in scored] == [f"2018-0{m}" for m in range(4, 9)]
    assert all(p.metric < 0.8 * p.metric_naive for p in scored)
    first, second = summary.trainings
    assert (first.as_of, first.decision, second.as_of, second.decision) == ("2018-03", "promote", "2018-06", "promote")
    assert {p.champion for p in scored[:3]} == {first.bundle}
    assert {p.champion for p in scored[3:]} == {second.bundle}
    assert all(p.metric == p.metric_never_retrained for p in scored[:3])
    assert all(p.metric != p.metric_never_retrained for p in scored[3:])

    check_what_is_stored(replay)
    check_what_is_told(world.instance)
    assert list(world.replay().steps()) == []


def check_what_is_stored(replay):
    store = replay.store
    key = replay.pipeline.key
    raw, validated, quarantine = (store.scan(key(n), "2018-02").collect() for n in ("raw", "validated", "quarantine"))
    assert raw.height == validated.height + quarantine.height
    numbers = pl.concat([validated["row_number"], quarantine["row_number"]]).sort()
    assert numbers.to_list() == list(range(ROWS))
    assert quarantine["broken_rules"].list.len().min() >= 1
    for noun in ("raw", "validated", "features", "predictions"):
        path = Path(str(store.path(key(noun), "2018-05")))
        assert (
            hashlib.sha256(path.read_bytes()).hexdigest() == latest(replay.instance, key(noun))["2018-05"].data_version
        )
    manifest = store.record(key("training_set"), "2018-06")
    assert list(manifest["partitions"]) == ["2018-04", "2018-05", "2018-06"]
    assert manifest["split"]["holdout"][1] == "2018-07-01T00:00:00"
    predictions = store.scan(key("predictions"), "2018-05").collect()
    features = store.scan(key("features"), "2018-05").collect()
    assert predictions["row_number"].equals(features["row_number"])
    assert live(replay.ledger.events("duration")).as_of == "2018-06"


def check_what_is_told(instance):
    tables = {"rides/raw", "rides/validated", "rides/quarantine", "duration/features", "duration/predictions"}
    pictures = {"rides/validated", "duration/candidate", "duration/evaluation", "duration/performance"}
    for key in instance.all_asset_keys():
        record = instance.fetch_materializations(key, limit=1).records[0].asset_materialization
        name, metadata = key.to_user_string(), record.metadata
        assert "sha256" in metadata, name
        if name in tables:
            assert metadata["dagster/row_count"].value > 0, name
            assert metadata["dagster/column_schema"].value.columns, name
        if name in pictures:
            shown = [v for v in metadata.values() if isinstance(v, dg.MarkdownMetadataValue) and "image/png" in v.value]
            assert shown, name
        figures = [v.value for v in metadata.values() if isinstance(v, dg.FloatMetadataValue)]
        assert figures == [round(f, 4) for f in figures], name
        assert len(json.dumps({k: str(v.value) for k, v in metadata.items()})) < 400_000, name


def test_the_same_inputs_give_the_same_bundles_and_versions(world, tmp_path, monkeypatch):
    first = world.replay("2018-04")
    list(first.steps())
    monkeypatch.setenv("ML_ASSETS_DATA", str(tmp_path / "again"))
    with dg.DagsterInstance.ephemeral(str(tmp_path / "again")) as other:
        second = Replay(first.pipeline, world.project.load(TABLE, PIPELINE), other, None, "2018-04")
        list(second.steps())
        for noun in (
            "raw",
            "validated",
            "quarantine",
            "features",
            "training_set",
            "candidate",
            "evaluation",
            "predictions",
        ):
            key = first.pipeline.key(noun)
            versions = [{p: m.data_version for p, m in latest(i, key).items()} for i in (world.instance, other)]
            assert versions[0] == versions[1], noun


def test_rows_from_a_database_make_the_same_features_as_from_files(world, tmp_path, monkeypatch):
    from ml_assets.resources.sources.simulated import write_tlc_files

    files = tmp_path / "files"
    [file] = write_tlc_files(files, ["2018-01"], ROWS, 0)
    trips = pl.read_parquet(file)
    with sqlite3.connect(world.project.folder / "rides.db") as database:
        columns = ", ".join(trips.columns)
        database.execute(f"create table rides ({columns})")
        texts = trips.with_columns(pl.selectors.datetime().dt.strftime("%Y-%m-%d %H:%M:%S"))
        database.executemany(f"insert into rides values ({', '.join('?' * trips.width)})", texts.rows())
    database.close()
    features = {}
    for source in (
        {"kind": "files", "path": str(files / "yellow_tripdata_{year}-{month}.parquet")},
        {
            "kind": "sql",
            "url": "sqlite:///rides.db",
            "query": "select * from rides where tpep_pickup_datetime >= :start and tpep_pickup_datetime < :end "
            "order by rowid",
        },
    ):
        monkeypatch.setenv("ML_ASSETS_DATA", str(tmp_path / source["kind"]))
        with dg.DagsterInstance.ephemeral(str(tmp_path)) as world.instance:
            replay = world.replay("2018-01", table=changed(TABLE, source=source))
            list(replay.steps())
            kept = replay.store.scan(replay.pipeline.key("features"), "2018-01").drop("row_number").collect()
        features[source["kind"]] = kept
    assert features["sql"].height > 0.9 * ROWS
    # The file's few trips that begin in another month are in quarantine there; the query does not select them.
    assert features["sql"].equals(features["files"])


def test_a_stopped_replay_goes_on_where_it_was(world):
    steps = world.replay().steps()
    done = [next(steps) for _ in range(4)]
    steps.close()
    rest = list(world.replay().steps())
    assert [(s.partition, s.what) for s in done + rest].count(("2018-03", "train")) == 1
    assert len(done + rest) == 10


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


def test_a_changed_source_makes_again_what_depends_on_it_and_nothing_else(world, tmp_path):
    from ml_assets.resources.sources.simulated import write_tlc_files

    files = tmp_path / "files"
    months = ["2018-01", "2018-02", "2018-03", "2018-04", "2018-05"]
    list(write_tlc_files(files, months, ROWS, 0))
    source = {"kind": "files", "path": str(files / "yellow_tripdata_{year}-{month}.parquet")}
    table = changed(TABLE, source=source)
    list(world.replay(table=table).steps())
    list(write_tlc_files(files, ["2018-05"], ROWS, 1))
    again = [(s.partition, s.what) for s in world.replay(table=table).steps()]
    assert again == [("2018-05", "follow")]
    list(write_tlc_files(files, ["2018-02"], ROWS, 1))
    again = [(s.partition, s.what) for s in world.replay(table=table).steps()]
    assert again == [("2018-02", "follow"), ("2018-03", "train"), ("2018-04", "follow"), ("2018-05", "follow")]


def test_a_failed_partition_is_named_and_what_was_stored_stays(world, tmp_path):
    from ml_assets.resources.sources.simulated import write_tlc_files

    files = tmp_path / "files"
    list(write_tlc_files(files, ["2018-01", "2018-02"], ROWS, 0))
    source = {"kind": "files", "path": str(files / "yellow_tripdata_{year}-{month}.parquet")}
    table = changed(TABLE, source=source)
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
    table = changed(TABLE, source=source)
    with pytest.raises(ConfigError, match="source of kind simulated"):
        list(world.replay("2018-01", table=table).steps())


def test_a_partition_outside_the_table_is_refused(world):
    with pytest.raises(ConfigError, match="--through 2031-01"):
        world.replay("2031-01")


def test_too_little_history_is_refused_with_counts(world):
    pipeline = changed(PIPELINE, model={"window": 3, "min_rows": 100_000})
    with pytest.raises(RunFailed, match="needed: 100000") as caught:
        list(world.replay("2018-03", pipeline=pipeline).steps())
    assert isinstance(caught.value, RunFailed)
    assert TrainingError.__name__ in str(caught.value)


@pytest.mark.parametrize("late", ["fare_usd", "payment_type", "trip_minutes", "dropoff_at"])
def test_a_feature_that_knows_the_drop_off_is_refused(world, late):
    (world.project.folder / "features.py").write_text(
        "import polars as pl\nfrom ml_assets.core.features import Feature\n"
        f"FEATURES = [Feature('late', pl.col('{late}').cast(pl.Float64), kind='number')]\n"
    )
    with pytest.raises(RunFailed, match=f"late: reads {late}, which is not known at the event's time"):
        list(world.replay("2018-01").steps())


def checks(world) -> dict[str, bool]:
    """Check -> whether it passed the last time."""
    wanted = [dg.AssetCheckKey(dg.AssetKey(["rides", "validated"]), "rows")]
    wanted += [
        dg.AssetCheckKey(dg.AssetKey(["duration", asset]), name)
        for asset, name in (
            ("features", "point_in_time"), ("candidate", "loads_back"), ("evaluation", "beats_naive"),
            ("champion", "bundle_intact"),
        )
    ]  # fmt: skip
    found = {}
    for key in wanted:
        records = world.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        if records and records[0].status.value in ("SUCCEEDED", "FAILED"):
            found[key.name] = records[0].status.value == "SUCCEEDED"
    return found


def test_every_check_passes_on_good_data(world):
    list(world.replay("2018-03").steps())
    assert checks(world) == dict.fromkeys(("rows", "point_in_time", "loads_back", "beats_naive", "bundle_intact"), True)


def test_a_partition_of_broken_rows_fails_its_check_and_is_all_in_quarantine(world):
    poisoned = [{"kind": "broken_rows", "share": 1.0, "start": "2018-01"}]
    table = changed(TABLE, source={"kind": "simulated", "rows": ROWS, "injections": poisoned})
    replay = world.replay("2018-01", table=table)
    list(replay.steps())
    assert checks(world)["rows"] is False
    assert replay.store.rows(dg.AssetKey(["rides", "quarantine"]), "2018-01") == ROWS


def test_a_model_of_noise_fails_its_check_and_is_not_released(world):
    (world.project.folder / "features.py").write_text(
        "import polars as pl\nfrom ml_assets.core.features import Feature\n"
        "FEATURES = [Feature('noise', pl.col('pickup_at').dt.second(), kind='number')]\n"
    )
    replay = world.replay("2018-03", pipeline=changed(PIPELINE, evaluation={"slices": []}))
    with pytest.raises(RunFailed, match="of the naive baseline"):
        list(replay.steps())
    assert checks(world)["beats_naive"] is False
    assert [e.kind for e in replay.ledger.events("duration")] == ["rejected"]
    assert live(replay.ledger.events("duration")) is None


def test_a_damaged_champion_fails_its_check_and_scores_nothing(world):
    replay = world.replay("2018-03")
    list(replay.steps())
    [folder] = Path(settings().models).glob("[0-9a-f]*")
    (folder / "model.txt").write_text("tree")
    models._load.cache_clear()  # as in a new process
    job = replay.definitions.resolve_job_def("duration_train")
    champion = [dg.AssetKey(["duration", "champion"])]
    assert job.execute_in_process(instance=world.instance, partition_key="2018-03", asset_selection=champion).success
    assert checks(world)["bundle_intact"] is False
    with pytest.raises(RunFailed, match=r"duration__predictions.*BundleError"):
        list(world.replay("2018-04").steps())


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
    steps = [(s.partition, s.what) for s in world.replay("2018-06", first="2018-03").steps()]
    assert steps == [*((f"2018-0{m}", "follow") for m in (3, 4, 5)), ("2018-05", "train"), ("2018-06", "follow")]


def test_a_missing_partition_of_the_window_is_named(world):
    list(world.replay("2018-01").steps())
    job = world.replay().definitions.resolve_job_def("duration_train")
    result = job.execute_in_process(instance=world.instance, partition_key="2018-02", raise_on_error=False)
    [failure] = result.get_step_failure_events()
    assert "partition 2018-02 of duration/features" in str(failure.step_failure_data.error)
    assert "materialize that partition first" in str(failure.step_failure_data.error)


def test_the_data_side_follows_new_rows_once_and_a_release_in_the_newest_partition_only(world):
    definitions = world.replay().definitions
    newest, older = "2018-08", "2018-02"

    def tick(cursor=None):
        result = dg.evaluate_automation_conditions(
            definitions, world.instance, asset_selection=dg.AssetSelection.assets(*AUTOMATED), cursor=cursor
        )
        asked = {(k.to_user_string(), p) for k in AUTOMATED for p in result.get_requested_partitions(k)}
        return result.cursor, asked

    def land(key: str, partition: str | None):
        world.instance.report_runless_asset_event(
            dg.AssetMaterialization(dg.AssetKey(key.split("/")), partition=partition)
        )

    cursor, asked = tick()
    assert asked == set()
    land("rides/raw", older)
    cursor, asked = tick(cursor)
    assert asked == {(k, older) for k in ("rides/validated", "rides/quarantine", "duration/features")}
    cursor, asked = tick(cursor)
    assert asked == set(), "the same rows are followed once"
    for partition in (older, newest):
        for key in ("rides/raw", "rides/validated", "rides/quarantine", "duration/features"):
            land(key, partition)
    cursor, asked = tick(cursor)
    assert {p for k, p in asked if k == "duration/predictions"} == set(), "there is no champion yet"
    land("duration/champion", None)
    cursor, _ = tick(cursor)
    for partition in (older, newest):
        land("duration/predictions", partition)
        land("duration/performance", partition)
    cursor, _ = tick(cursor)
    land("duration/champion", None)
    cursor, asked = tick(cursor)
    assert {p for k, p in asked if k == "duration/predictions"} == {newest}


AUTOMATED = [
    dg.AssetKey(k.split("/"))
    for k in (
        "rides/validated", "rides/quarantine", "duration/features", "duration/predictions", "duration/performance",
    )
]  # fmt: skip
