"""The whole graph in a tiny world: small simulated months, through the real definitions and a real instance."""

import hashlib
import json
import sqlite3
from pathlib import Path

import dagster as dg
import polars as pl
import pyarrow.parquet as pq
import pytest

from ml_assets.core.releases import live
from ml_assets.replay import Replay
from ml_assets.resources.materializations import latest
from ml_assets.summarize import summarize
from ml_assets_tests.paper import leave_undrawn


@pytest.fixture
def paper(monkeypatch):
    leave_undrawn(monkeypatch)


def test_history_replayed(world):
    replay = world.replay()
    steps = [(s.partition, s.what) for s in replay.steps()]
    follows = [p for p, what in steps if what == "follow"]
    assert follows == [f"2018-0{m}" for m in range(1, 9)]
    assert [p for p, what in steps if what == "train"] == ["2018-03", "2018-06"]

    summary = summarize(replay, 1.0)
    assert summary.accounted()
    assert [p.rows_raw for p in summary.partitions] == [world.rows] * 8
    assert all(p.rows_quarantined > 0 for p in summary.partitions)
    scored = [p for p in summary.partitions if p.metric is not None]
    assert [p.partition for p in scored] == [f"2018-0{m}" for m in range(4, 9)]
    assert all(p.metric < 0.8 * p.metric_naive for p in scored)
    # The first champion has seen a winter only, and trips get longer in spring; the second one has seen that.
    verdicts = ["stable", "drifted", "drifted", "stable", "stable"]
    assert [p.drift_verdict for p in summary.partitions] == [None] * 3 + verdicts
    first, second = summary.trainings
    assert (first.as_of, first.decision, second.as_of, second.decision) == ("2018-03", "promote", "2018-06", "promote")
    assert {p.champion for p in scored[:3]} == {first.bundle}
    assert {p.champion for p in scored[3:]} == {second.bundle}
    assert all(p.metric == p.metric_never_retrained for p in scored[:3])
    assert all(p.metric != p.metric_never_retrained for p in scored[3:])

    no_account, account = (t.worth for t in summary.trainings)
    assert no_account is None, "the first replaced nobody"
    assert (account.partitions, account.wanted, account.closed) == (2, 3, False)
    scores = replay.store.scan(replay.pipeline.key("predictions"), "2018-07").collect()
    assert set(scores["replaced_version"]) == {first.bundle}

    check_what_is_stored(replay)
    check_what_is_told(world.instance)
    assert list(world.replay().steps()) == []


def check_what_is_stored(replay):
    store = replay.store
    key = replay.pipeline.key
    raw, validated, quarantine = (store.scan(key(n), "2018-02").collect() for n in ("raw", "validated", "quarantine"))
    assert raw.height == validated.height + quarantine.height
    numbers = pl.concat([validated["row_number"], quarantine["row_number"]]).sort()
    assert numbers.to_list() == list(range(raw.height))
    assert quarantine["broken_rules"].list.len().min() >= 1
    for noun in ("raw", "validated", "features", "predictions"):
        path = Path(str(store.path(key(noun), "2018-05")))
        assert (
            hashlib.sha256(path.read_bytes()).hexdigest() == latest(replay.instance, key(noun))["2018-05"].data_version
        )
    compressed = {
        noun: pq.read_metadata(str(store.path(key(noun), "2018-05"))).row_group(0).column(0).compression
        for noun in ("raw", "validated", "features")
    }
    assert compressed == {"raw": "ZSTD", "validated": "ZSTD", "features": "LZ4"}
    manifest = store.record(key("training_set"), "2018-06")
    assert list(manifest["partitions"]) == ["2018-04", "2018-05", "2018-06"]
    assert manifest["split"]["holdout"][1] == "2018-07-01T00:00:00"
    predictions = store.scan(key("predictions"), "2018-05").collect()
    features = store.scan(key("features"), "2018-05").collect()
    assert predictions["row_number"].equals(features["row_number"])
    assert live(replay.ledger.events("duration")).as_of == "2018-06"


def check_what_is_told(instance):
    tables = {"rides/raw", "rides/validated", "rides/quarantine", "duration/features", "duration/predictions"}
    pictures = {
        "rides/validated",
        "duration/candidate",
        "duration/evaluation",
        "duration/performance",
        "duration/drift",
    }
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


@pytest.mark.slow(seconds=40)
def test_the_same_inputs_give_the_same_bundles_and_versions_on_one_and_on_two_threads(world, tmp_path, monkeypatch):
    tuning = {"trials": 3, "folds": 1, "space": {"leaves": {"low": 7, "high": 63}, "learning_rate": [0.05, 0.2]}}
    one, two = (
        world.changed(
            world.pipeline, tuning=tuning, model={**world.pipeline["attributes"]["model"], "threads": threads}
        )
        for threads in (1, 2)
    )
    first = world.replay("2018-04", pipeline=one)
    list(first.steps())
    monkeypatch.setenv("ML_ASSETS_DATA", str(tmp_path / "again"))
    with dg.DagsterInstance.ephemeral(str(tmp_path / "again")) as other:
        second = Replay(first.pipeline, world.project.load(world.table, two), other, None, "2018-04")
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
            "drift",
        ):
            key = first.pipeline.key(noun)
            versions = [{p: m.data_version for p, m in latest(i, key).items()} for i in (world.instance, other)]
            assert versions[0] == versions[1], noun


def test_rows_from_a_database_make_the_same_features_as_from_files(world, tmp_path, monkeypatch):
    from ml_assets.resources.sources.simulated import write_tlc_files

    files = tmp_path / "files"
    [file] = write_tlc_files(files, ["2018-01"], world.rows, 0)
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
            replay = world.replay("2018-01", table=world.changed(world.table, source=source))
            list(replay.steps())
            kept = replay.store.scan(replay.pipeline.key("features"), "2018-01").drop("row_number").collect()
        features[source["kind"]] = kept
    assert features["sql"].height > 0.9 * world.rows
    # The file's few trips that begin in another month are in quarantine there; the query does not select them.
    assert features["sql"].equals(features["files"])
