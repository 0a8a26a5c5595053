"""Versions and lineage through the real graph: what a model learnt from is explained, overwritten, brought back."""

import json
from pathlib import Path
from threading import Timer

import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner

from ml_assets.assets.training_set import VERSIONING_POOL
from ml_assets.cli import main
from ml_assets.core.releases import champions, live
from ml_assets.replay import STARTED_BY_TAG, Replay, RunFailed
from ml_assets.resources import home
from ml_assets.resources.materializations import latest
from ml_assets.resources.settings import REPOSITORY, settings
from ml_assets.resources.sources.simulated import write_tlc_files

DVC = REPOSITORY / ".venv-dvc/bin/dvc"
needs_dvc = pytest.mark.skipif(not DVC.exists(), reason=f"no dvc at {DVC}; `make setup` installs it")
FEATURES = dg.AssetKey(["duration", "features"])


@pytest.fixture
def trained(world, monkeypatch) -> Replay:
    """A model that learnt from three months of files, on an instance that commands see, too."""
    files = world.project.root / "files"
    list(write_tlc_files(files, ["2018-01", "2018-02", "2018-03"], world.rows, 0))
    source = {"kind": "files", "path": str(files / "yellow_tripdata_{year}-{month}.parquet")}
    monkeypatch.setattr("ml_assets.explain.instance", lambda: Shared(world.instance))
    monkeypatch.setattr("ml_assets.restore.instance", lambda: Shared(world.instance))
    world.files, world.files_table = files, world.changed(world.table, source=source)
    world.versioned = world.changed(world.pipeline, versioning="dvc")
    replay = world.replay("2018-03", table=world.files_table, pipeline=world.versioned)
    list(replay.steps())
    return replay


class Shared:
    """The test's instance where a command opens and closes its own."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance

    def __enter__(self) -> dg.DagsterInstance:
        return self.instance

    def __exit__(self, *_: object) -> None:
        """It is the test's to close."""


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def champion(replay: Replay) -> str:
    return live(replay.ledger.events("duration")).bundle


@needs_dvc
def test_overwritten_training_data_comes_back_and_gives_the_same_bundle(world, trained):
    model, store = champion(trained), trained.store
    learnt_from = {k: store.sha256(FEATURES, k) for k in ("2018-01", "2018-02", "2018-03")}

    list(write_tlc_files(world.files, ["2018-02"], world.rows, 1))
    list(world.replay("2018-03", table=world.files_table, pipeline=world.versioned).steps())
    train = trained.definitions.resolve_job_def("duration_train")
    assert train.execute_in_process(instance=world.instance, partition_key="2018-03").success
    overwritten = {k: store.sha256(FEATURES, k) for k in learnt_from}
    assert overwritten["2018-02"] != learnt_from["2018-02"]
    assert champion(trained) != model

    told = json.loads(run("explain", "--model", model[:10], "--json"))
    assert [c["stored"] for c in told["learnt_from"]] == [overwritten[k] == learnt_from[k] for k in learnt_from]

    said = run("restore", "--model", model[:10])
    assert "every SHA-256 is right" in said
    assert {k: store.sha256(FEATURES, k) for k in learnt_from} == learnt_from
    assert {k: m.data_version for k, m in latest(world.instance, FEATURES).items()} == learnt_from

    job = trained.definitions.resolve_job_def("duration_train")
    again = [dg.AssetKey(["duration", noun]) for noun in ("training_set", "candidate")]
    assert job.execute_in_process(instance=world.instance, partition_key="2018-03", asset_selection=again).success
    assert store.record(dg.AssetKey(["duration", "candidate"]), "2018-03")["bundle"] == model

    # What was replaced is not lost either, and a folder of one's own leaves the store as it is.
    folder = world.project.root / "back"
    newer = champion(trained)
    run("restore", "--model", newer, "--to", str(folder))
    assert {p.stem for p in folder.rglob("*.parquet") if pl.read_parquet(p).height} == set(learnt_from)
    assert {k: store.sha256(FEATURES, k) for k in learnt_from} == learnt_from
    assert "0 of 3 partitions restored" in run("restore", "--model", model)

    # The data side takes the store back to the present.
    list(world.replay("2018-03", table=world.files_table, pipeline=world.versioned).steps())
    assert {k: store.sha256(FEATURES, k) for k in learnt_from} == overwritten


SPACE = {"feature_fraction": {"low": 0.4, "high": 1.0}, "leaves": {"low": 7, "high": 63}, "window": [1, 2]}
LEARNING = ("training_set", "tuning", "candidate")


@pytest.mark.slow(seconds=20)
@needs_dvc
def test_an_old_tuned_model_comes_back_without_its_study_and_whoever_is_champion_since(world, monkeypatch):
    files = world.project.root / "files"
    list(write_tlc_files(files, ["2018-01", "2018-02", "2018-03"], world.rows, 0))
    source = {"kind": "files", "path": str(files / "yellow_tripdata_{year}-{month}.parquet")}
    table = world.changed(world.table, source=source)
    model = {"window": 2, "params": {"trees": 20}}
    tuning = {"trials": 9, "folds": 2, "space": SPACE}
    lenient = world.changed(world.pipeline, versioning="dvc", model=model, tuning=tuning, retraining=None)
    # So the champion as of February stays for now.
    strict = world.changed(lenient, evaluation={"min_labels": 100_000})
    monkeypatch.setattr("ml_assets.restore.instance", lambda: Shared(world.instance))

    def train(told: dict, as_of: str, *nouns: str) -> str:
        replay = world.replay(as_of, table=table, pipeline=told)
        selection = [replay.pipeline.key(noun) for noun in nouns or replay.pipeline.training_side]
        job = replay.definitions.resolve_job_def("duration_train")
        assert job.execute_in_process(instance=world.instance, partition_key=as_of, asset_selection=selection).success
        return replay.store.record(replay.pipeline.key("candidate"), as_of)["bundle"]

    def best(bundle: str) -> list[dict]:
        return replay.definitions.resources["models"].load(bundle).facts["tuning"]["model"]["best"]

    replay = world.replay("2018-03", table=table, pipeline=lenient)
    list(replay.steps())
    first, old = champion(replay), train(strict, "2018-03")
    tuned = replay.store.record(replay.pipeline.key("tuning"), "2018-03")["models"]["model"]
    assert "warm start" in [t["origin"] for t in tuned["trials"]]
    assert champion(replay) == first

    # February is overwritten, and its model is replaced by one that learnt from the new rows.
    list(write_tlc_files(files, ["2018-02"], world.rows, 1))
    list(world.replay("2018-03", table=table, pipeline=lenient).steps())
    assert best(champion(replay)) != best(first)
    assert train(strict, "2018-03", *LEARNING) != old

    run("restore", "--model", old[:10])
    for file in Path(replay.store.root).parent.glob("studies.db*"):
        file.unlink()
    assert train(strict, "2018-03", *LEARNING) == old


@pytest.mark.slow(seconds=20)
@needs_dvc
def test_an_old_refit_comes_back_with_the_parameters_of_the_champion_it_had(world, monkeypatch):
    """A person trains again what a cause asked for: the same plan, without the study the parameters are from."""
    files = world.project.root / "files"
    list(write_tlc_files(files, ["2018-01", "2018-02", "2018-03"], world.rows, 0))
    source = {"kind": "files", "path": str(files / "yellow_tripdata_{year}-{month}.parquet")}
    table = world.changed(world.table, source=source)
    pipeline = world.changed(
        world.pipeline,
        versioning="dvc",
        model={"window": 2, "params": {"trees": 20}},
        tuning={"trials": 5, "folds": 1, "space": SPACE},
    )
    monkeypatch.setattr("ml_assets.restore.instance", lambda: Shared(world.instance))
    replay = world.replay("2018-03", table=table, pipeline=pipeline)
    list(replay.steps())
    [first, *_] = champions(replay.ledger.events("duration"))
    tuned = replay.store.record(replay.pipeline.key("tuning"), "2018-03")["models"]["model"]
    assert tuned["champion"] == first.bundle, "the schedule asked at the end of March; parameters are February's"
    old = replay.store.record(replay.pipeline.key("candidate"), "2018-03")["bundle"]

    list(write_tlc_files(files, ["2018-02"], world.rows, 1))
    list(world.replay("2018-03", table=table, pipeline=pipeline).steps())
    run("restore", "--model", old[:10])
    for file in Path(replay.store.root).parent.glob("studies.db*"):
        file.unlink()
    job = replay.definitions.resolve_job_def("duration_train")
    again = [dg.AssetKey(["duration", noun]) for noun in LEARNING]
    assert job.execute_in_process(instance=world.instance, partition_key="2018-03", asset_selection=again).success
    assert replay.store.record(replay.pipeline.key("candidate"), "2018-03")["bundle"] == old


@needs_dvc
def test_a_model_is_explained_back_to_the_files_and_their_hashes(world, trained):
    import hashlib

    told = json.loads(run("explain", "--model", champion(trained), "--json"))
    assert [c["partition"] for c in told["learnt_from"]] == ["2018-01", "2018-02", "2018-03"]
    for chain in told["learnt_from"]:
        assert chain["known"]
        [*_, validated] = chain["made_from"]
        [raw] = validated["made_from"]
        file = Path(raw["source"]["source"])
        assert file.name == f"yellow_tripdata_{chain['partition']}.parquet"
        assert hashlib.sha256(file.read_bytes()).hexdigest() == raw["source"]["sha256"]
        for link in (chain, validated, raw):
            key = dg.AssetKey(link["asset"].split("/"))
            assert trained.store.sha256(key, link["partition"]) == link["sha256"]
    # Features of March look back into February.
    assert [v["partition"] for v in told["learnt_from"][2]["made_from"]] == ["2018-02", "2018-03"]

    shown = latest(world.instance, dg.AssetKey(["duration", "candidate"]))["2018-03"].metadata["learnt_from"]
    assert "yellow_tripdata_2018-01.parquet" in shown
    assert "(/assets/rides/validated?partition=2018-02)" in shown
    text = run("explain", "--model", champion(trained))
    assert "kept by DVC" in text
    assert text.count("yellow_tripdata_2018-03.parquet") == 1


def test_without_dvc_training_says_what_to_do_and_goes_on_where_versioning_is_off(world, monkeypatch):
    monkeypatch.setenv("ML_ASSETS_DVC", "/nowhere/dvc")
    with pytest.raises(RunFailed) as caught:
        list(world.replay("2018-03", pipeline=world.changed(world.pipeline, versioning="dvc")).steps())
    said = str(caught.value)
    assert "/nowhere/dvc" in said
    assert "make setup" in said
    assert "versioning: off" in said
    list(world.replay("2018-03").steps())
    champion = live(world.replay("2018-03").ledger.events("duration"))
    refused = CliRunner().invoke(main, ["restore", "--model", champion.bundle])
    assert refused.exit_code == 1
    assert "trained with `versioning: off`" in refused.output


def test_a_version_that_is_none_or_several_is_refused(tmp_path):
    refused = CliRunner().invoke(main, ["explain", "--model", "abcdef", "--data", str(tmp_path)])
    assert refused.exit_code == 1
    assert "0 bundles" in refused.output
    assert settings().data == tmp_path


@pytest.mark.slow(seconds=10)
@needs_dvc
def test_a_run_waits_for_another_that_versions_says_so_and_goes_on(trained, monkeypatch):
    """With Dagster's own databases: the pool is theirs."""
    with home.instance() as shared:
        storage = shared.event_log_storage
        storage.initialize_concurrency_limit_to_default(VERSIONING_POOL)
        assert storage.claim_concurrency_slot(VERSIONING_POOL, "another run", "step").is_claimed
        release = Timer(2, storage.free_concurrency_slot_for_step, ("another run", "step"))
        release.start()
        job = trained.definitions.resolve_job_def("duration_train")
        done = job.execute_in_process(
            instance=shared, partition_key="2018-03", asset_selection=[dg.AssetKey(["duration", "training_set"])]
        )
        release.join()
        assert done.success
        said = [entry.user_message for entry in shared.all_logs(done.run_id)]
        assert any(f"blocked by limit for pool {VERSIONING_POOL}" in text for text in said)


@pytest.mark.slow(seconds=10)
@needs_dvc
def test_a_killed_run_does_not_keep_the_others_waiting(world, trained):
    with home.instance() as shared:
        job = trained.definitions.resolve_job_def("duration_train")
        tags = {STARTED_BY_TAG: "replay"}
        run = shared.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags)
        storage = shared.event_log_storage
        storage.initialize_concurrency_limit_to_default(VERSIONING_POOL)
        assert storage.claim_concurrency_slot(VERSIONING_POOL, run.run_id, "duration__training_set").is_claimed
        replay = Replay(trained.pipeline, trained.definitions, shared, None, "2018-03")
        assert replay.end_what_was_killed() == 1
        assert storage.claim_concurrency_slot(VERSIONING_POOL, "the next run", "step").is_claimed
