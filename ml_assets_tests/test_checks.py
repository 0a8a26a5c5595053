"""Every check: passing on good data, and failing on what it is there for."""

import json
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from ml_assets.core.releases import decisions
from ml_assets.replay import RunFailed
from ml_assets.resources import model_folder
from ml_assets.resources.settings import settings

TABLE_CHECKS = ("contract", "rows", "keys", "volume")
KEYS = {
    **{check: dg.AssetKey(["rides", "validated"]) for check in TABLE_CHECKS},
    "point_in_time": dg.AssetKey(["duration", "features"]),
    "sound": dg.AssetKey(["duration", "training_set"]),
    "loads_back": dg.AssetKey(["duration", "candidate"]),
    "beats_naive": dg.AssetKey(["duration", "evaluation"]),
    "bundle_intact": dg.AssetKey(["duration", "champion"]),
}


def evaluation(world, check: str, partition: str | None = None) -> dg.AssetCheckEvaluation | None:
    """What a check said the last time, of a partition where one is given."""
    storage, key = world.instance.event_log_storage, dg.AssetCheckKey(KEYS[check], check)
    for record in storage.get_asset_check_execution_history(key, limit=100):
        if record.event is None:
            continue
        said = record.event.asset_check_evaluation
        if said is not None and partition in (None, said.partition):
            return said
    return None


def checks(world, partition: str | None = None) -> dict[str, bool]:
    """Check -> whether it passed the last time."""
    said = {check: evaluation(world, check, partition) for check in KEYS}
    return {check: one.passed for check, one in said.items() if one is not None}


def records(evaluation: dg.AssetCheckEvaluation, name: str) -> list[dict]:
    return [record.data for record in evaluation.metadata[name].value.records]


def run_alone(world, replay, check: str, partition: str) -> list[dg.AssetCheckEvaluation]:
    alone = {dg.AssetCheckKey(KEYS[check], check)}
    job = replay.definitions.resolve_implicit_global_asset_job_def().get_subset(asset_check_selection=alone)
    result = job.execute_in_process(instance=world.instance, partition_key=partition)
    assert result.success
    return list(result.get_asset_check_evaluations())


def poisoned(world, *injections: dict, **attributes: object) -> dict:
    source = {"kind": "simulated", "rows": world.rows, "injections": list(injections)}
    return world.changed(world.table, source=source, **attributes)


def test_every_check_passes_on_good_data(world):
    list(world.replay("2018-03").steps())
    assert checks(world) == dict.fromkeys(KEYS, True)


def test_each_partition_has_checks_of_its_own(world):
    table = poisoned(world, {"kind": "broken_rows", "share": 1.0, "start": "2018-02", "end": "2018-02"})
    list(world.replay("2018-03", table=table, pipeline=world.untrained).steps())
    passed = {month: checks(world, month)["volume"] for month in ("2018-01", "2018-02", "2018-03")}
    assert passed == {"2018-01": True, "2018-02": False, "2018-03": True}


def test_a_partition_of_broken_rows_fails_its_checks_and_is_all_in_quarantine(world):
    table = poisoned(world, {"kind": "broken_rows", "share": 1.0, "start": "2018-01"})
    replay = world.replay("2018-01", table=table)
    list(replay.steps())
    found = checks(world)
    assert (found["rows"], found["volume"]) == (False, False)
    assert replay.store.rows(dg.AssetKey(["rides", "quarantine"]), "2018-01") == world.rows
    volume = evaluation(world, "volume")
    assert volume.severity == dg.AssetCheckSeverity.ERROR
    assert "1,500 of 1,500 rows are quarantined (100.0%), at most 10.0%" in volume.description
    assert volume.metadata["share_quarantined"].value == 1.0


def test_a_check_tells_of_each_rule_how_often_it_is_broken_by_which_rows_here_and_before(world):
    replay = world.replay("2018-03", pipeline=world.untrained)
    list(replay.steps())
    contract = replay.pipeline.table.contract
    told = {}
    for check in ("contract", "rows", "keys"):
        told[check] = {r["rule"]: r["rows"] for r in records(evaluation(world, check, "2018-03"), "rules")}
    named = [rule for of in told.values() for rule in of]
    assert sorted(named) == sorted(rule.name for rule in contract.rules_for("pickup_at"))

    quarantine = replay.store.scan(dg.AssetKey(["rides", "quarantine"]), "2018-03").collect()
    counts = dict(quarantine["broken_rules"].explode().value_counts().iter_rows())
    assert {rule: n for of in told.values() for rule, n in of.items() if n} == counts

    rows = evaluation(world, "rows", "2018-03")
    for shown in records(rows, "sample"):
        row = quarantine.row(by_predicate=pl.col("row_number") == shown["row_number"], named=True)
        assert shown["rule"] in row["broken_rules"]
    sampled = {r["rule"] for r in records(rows, "sample")}
    assert sampled == {rule for rule, n in told["rows"].items() if n}
    trend = records(rows, "trend")
    assert [t["partition"] for t in trend] == ["2018-01", "2018-02", "2018-03"]
    assert {t["rows"] for t in trend} == {world.rows}
    [worst] = [r for r in sampled if counts[r] == max(counts[s] for s in sampled)][:1]
    assert trend[-1][worst] == counts[worst]
    assert any(t[worst] for t in trend[:-1])

    short = world.changed(world.table, quality={"recent": 1, "max_broken": 0.001})
    [said] = run_alone(world, world.replay("2018-03", table=short, pipeline=world.untrained), "rows", "2018-03")
    assert [t["partition"] for t in records(said, "trend")] == ["2018-02", "2018-03"]
    assert not said.passed, "max_broken is the share above which a rule is a warning"
    assert said.severity == dg.AssetCheckSeverity.WARN


def test_a_rule_added_to_the_model_is_in_the_split_the_checks_the_schema_and_the_dictionary(world):
    schema = world.project.folder / "schema.py"
    text = schema.read_text()
    assert text.count("        gt=0,\n        lt=100,\n") == 1
    schema.write_text(text.replace("        gt=0,\n        lt=100,\n", "        gt=0, lt=100, ne=1.5,\n"))
    replay = world.replay("2018-01", pipeline=world.untrained)
    list(replay.steps())
    quarantine = replay.store.scan(dg.AssetKey(["rides", "quarantine"]), "2018-01").collect()
    broken = quarantine.filter(pl.col("broken_rules").list.contains("trip_miles_ne"))
    assert set(broken["trip_miles"]) == {1.5}
    told = {r["rule"]: r["rows"] for r in records(evaluation(world, "rows"), "rules")}
    assert told["trip_miles_ne"] == broken.height > 0
    made = world.instance.get_latest_materialization_event(dg.AssetKey(["rides", "validated"])).asset_materialization
    [column] = [c for c in made.metadata["dagster/column_schema"].schema.columns if c.name == "trip_miles"]
    assert "≠ 1.5" in column.constraints.other
    page = Path(settings().reports) / "rides" / "dictionary.html"
    assert "trip_miles_ne" in page.read_text()
    written = world.instance.get_latest_materialization_event(dg.AssetKey(["rides", "dictionary"]))
    tables = [v for v in written.asset_materialization.metadata.values() if isinstance(v, dg.TableMetadataValue)]
    shown = [record.data for table in tables for record in table.records]
    assert "trip_miles_ne" in next(r for r in shown if r["column"] == "trip_miles")["rules"]


def test_a_check_runs_by_itself_and_sees_what_is_stored(world):
    replay = world.replay("2018-01", pipeline=world.untrained)
    list(replay.steps())
    store, key = replay.store, dg.AssetKey(["rides", "quarantine"])
    kept = store.scan(key, "2018-01").collect()
    kept.head(3).write_parquet(str(store.path(key, "2018-01")))
    [said] = run_alone(world, replay, "volume", "2018-01")
    assert said.passed is False
    assert "some are lost" in said.description


FILES = {"kind": "files", "path": "rides-{year}-{month}.parquet"}


def months(world, count: int) -> list[Path]:
    """Files of simulated trips, in the project's folder."""
    from ml_assets.resources.sources.simulated import write_tlc_files

    keys = [f"2018-0{m}" for m in range(1, count + 1)]
    paths = [world.project.folder / f"rides-{key}.parquet" for key in keys]
    for made, path in zip(write_tlc_files(world.project.root / "made", keys, world.rows, 0), paths, strict=True):
        made.rename(path)
    return paths


@pytest.mark.parametrize(
    ("policy", "change", "said"),
    [
        ("new_columns", lambda f: f.with_columns(airport_fee=pl.lit(1.25)), "airport_fee appeared"),
        ("missing_columns", lambda f: f.drop("extra_note", strict=False), "extra_note disappeared"),
        ("changed_types", lambda f: f.with_columns(pl.col("PULocationID").cast(pl.Float64)), "PULocationID"),
    ],
)
def test_a_changed_schema_is_a_verdict_and_refused_where_the_yaml_says_so(world, policy, change, said):
    paths = months(world, 2)
    for path in paths:
        pl.read_parquet(path).with_columns(extra_note=pl.lit("x")).write_parquet(path)
    change(pl.read_parquet(paths[1])).write_parquet(paths[1])

    tolerant = world.changed(world.table, source=FILES)
    list(world.replay("2018-02", table=tolerant, pipeline=world.untrained).steps())
    contract = evaluation(world, "contract", "2018-02")
    assert contract.passed
    assert contract.metadata["verdict"].value == "schema_changed"
    assert said in str(contract.metadata["changes"].value)
    assert evaluation(world, "contract", "2018-01").metadata["verdict"].value == "first"
    before = world.replay("2018-01", table=tolerant, pipeline=world.untrained).store
    stored = before.sha256(dg.AssetKey(["rides", "validated"]), "2018-02")

    strict = world.changed(world.table, source=FILES, quality={policy: "refuse"})
    change(pl.read_parquet(paths[1]).head(1000)).write_parquet(paths[1])
    for _ in range(2):
        with pytest.raises(RunFailed, match="schema_changed: partition 2018-02") as caught:
            list(world.replay("2018-02", table=strict, pipeline=world.untrained).steps())
    assert f"quality.{policy}: refuse" in str(caught.value)
    refused = evaluation(world, "contract", "2018-02")
    assert (refused.passed, refused.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert f"quality.{policy}: refuse" in refused.description
    assert before.sha256(dg.AssetKey(["rides", "validated"]), "2018-02") == stored


def test_a_key_that_another_partition_has_fails_the_check_of_keys(world):
    schema = world.project.folder / "schema.py"
    text = schema.read_text()
    key = '["pickup_at", "dropoff_at", "pickup_zone", "dropoff_zone", "trip_miles"]'
    assert key in text
    schema.write_text(
        text.replace(key, '["ride_id"]').replace("    vendor: int", "    ride_id: int = column()\n    vendor: int")
    )
    paths = months(world, 3)
    for number, path in enumerate(paths):
        first = 0 if number != 2 else 10
        pl.read_parquet(path).with_row_index("ride_id", offset=number * 10_000 - first).write_parquet(path)
    table = world.changed(world.table, source=FILES)
    list(world.replay("2018-03", table=table, pipeline=world.untrained).steps())
    assert checks(world, "2018-02")["keys"] is True
    # The third month begins with numbers that no other has; the second is made to repeat two of the first.
    again = pl.read_parquet(paths[1])
    pl.concat(
        [
            again.with_columns(
                ride_id=pl.when(pl.int_range(pl.len()) < 2)
                .then(pl.int_range(pl.len()))
                .otherwise("ride_id")
                .cast(pl.UInt32)
            )
        ]
    ).write_parquet(paths[1])
    list(world.replay("2018-03", table=table, pipeline=world.untrained).steps())
    keys = evaluation(world, "keys", "2018-02")
    assert keys.severity == dg.AssetCheckSeverity.ERROR
    assert keys.description.endswith("keys are in 2018-01, too")
    assert {r["partition"] for r in records(keys, "repeated_in_other_partitions")} == {"2018-01"}
    by_itself = world.changed(table, quality={"keys_across": 0})
    [said] = run_alone(world, world.replay("2018-03", table=by_itself, pipeline=world.untrained), "keys", "2018-02")
    assert said.passed
    assert said.metadata["partitions_compared"].value == []


def test_a_model_of_noise_fails_its_check_and_is_not_released(world):
    (world.project.folder / "features.py").write_text(
        "import polars as pl\nfrom ml_assets.core.features import Feature\n"
        "FEATURES = [Feature('noise', pl.col('pickup_at').dt.second(), kind='number')]\n"
    )
    replay = world.replay("2018-04", pipeline=world.changed(world.pipeline, evaluation={"slices": []}))
    assert [s.what for s in replay.steps()] == ["follow", "follow", "follow", "train", "follow", "train"]
    assert checks(world)["beats_naive"] is False
    decided = decisions(replay.ledger.events("duration"))
    assert [e.facts["as_of"] for e in decided] == ["2018-03", "2018-04"], "another month is another reason to try"
    assert {e.facts["verdict"] for e in decided} <= {"reject", "undecided"}
    assert json.loads((Path(replay.store.root) / "duration/champion.json").read_text()) == {"bundle": None}
    assert not replay.store.path(replay.pipeline.key("predictions"), "2018-04").exists()


def test_a_damaged_champion_fails_its_check_and_scores_nothing(world):
    replay = world.replay("2018-03")
    list(replay.steps())
    [folder] = Path(settings().models).glob("[0-9a-f]*")
    (folder / "model.txt").write_text("tree")
    model_folder.forget()  # as in a new process
    job = replay.definitions.resolve_job_def("duration_train")
    champion = [dg.AssetKey(["duration", "champion"])]
    assert job.execute_in_process(instance=world.instance, partition_key="2018-03", asset_selection=champion).success
    assert checks(world)["bundle_intact"] is False
    with pytest.raises(RunFailed, match=r"duration__predictions.*BundleError"):
        list(world.replay("2018-04").steps())
