"""What an instance remembers of partitions: the last one counts, with its version, inputs and metadata."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import pytest
import sqlalchemy
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.storage.event_log import sql_event_log

from ml_assets.resources import event_rows, materializations
from ml_assets.resources.materializations import MADE_FROM, latest, recent, with_version

# There is no other way to give a data version, and the assets give theirs so.
pytestmark = pytest.mark.filterwarnings("ignore:Parameter `data_version` of initializer")

PARTITIONS = dg.StaticPartitionsDefinition(["a", "b", "c"])
RAW, FEATURES, LONE = dg.AssetKey(["t", "raw"]), dg.AssetKey(["p", "features"]), dg.AssetKey("lone")


def assets(content: dict[str, str]) -> list[dg.AssetsDefinition]:
    @dg.asset(key=RAW, partitions_def=PARTITIONS)
    def raw(context: dg.AssetExecutionContext) -> dg.Output[str]:
        told = content[context.partition_key]
        return dg.Output(told, metadata={"said": told, "rows": 7}, data_version=dg.DataVersion(f"version of {told}"))

    @dg.asset(key=FEATURES, partitions_def=PARTITIONS, ins={"raw": dg.AssetIn(key=RAW)})
    def features(context: dg.AssetExecutionContext, raw: str) -> dg.Output[str]:
        read = {MADE_FROM: {"t/raw": {context.partition_key: f"version of {raw}"}}}
        return dg.Output(raw, metadata=read, data_version=dg.DataVersion(f"features of {raw}"))

    @dg.asset(key=LONE)
    def lone() -> str:
        return "unpartitioned"

    return [raw, features, lone]


@pytest.fixture
def instance(tmp_path):
    with dg.DagsterInstance.ephemeral(str(tmp_path)) as ephemeral:
        yield ephemeral


def make(instance: dg.DagsterInstance, partition: str | None, content: str = "", *keys: dg.AssetKey) -> None:
    defined = assets({partition: content} if partition else {})
    assert dg.materialize(
        defined,
        selection=list(keys),
        partition_key=partition,
        instance=instance,
        resources={"io_manager": dg.FilesystemIOManager(base_dir=instance.storage_directory())},
    ).success


def test_nothing_was_made(instance):
    assert latest(instance, RAW) == {}


def test_the_last_one_of_each_partition_counts(instance):
    for partition, content in (("a", "one"), ("b", "two"), ("a", "three")):
        make(instance, partition, content, RAW)
    made = latest(instance, RAW)
    assert set(made) == {"a", "b"}
    assert made["a"].data_version == "version of three"
    assert made["b"].data_version == "version of two"
    assert made["a"].metadata["said"] == "three"
    assert made["a"].metadata["rows"] == 7
    assert made["a"].timestamp > made["b"].timestamp


def test_it_is_known_what_a_partition_was_made_from(instance):
    make(instance, "a", "one", RAW, FEATURES)
    assert latest(instance, FEATURES)["a"].made_from == {"t/raw": {"a": "version of one"}}
    assert latest(instance, RAW)["a"].made_from == {}


def test_some_partitions_in_the_order_asked_for(instance):
    for partition, content in (("a", "one"), ("b", "two"), ("c", "three"), ("a", "four")):
        make(instance, partition, content, RAW)
    made = recent(instance, RAW, ["c", "a", "z"])
    assert [(p, m.metadata["said"]) for p, m in made.items()] == [("c", "three"), ("a", "four")]
    assert recent(instance, RAW, []) == {}


def test_a_materialization_is_found_by_its_content(instance):
    for content in ("one", "two"):
        make(instance, "a", content, RAW)
    found = with_version(instance, RAW, "a", "version of one")
    assert found.metadata["said"] == "one"
    assert found.run_id
    assert with_version(instance, RAW, "b", "version of one") is None


def test_an_asset_without_partitions_has_none(instance):
    make(instance, None, "", LONE)
    assert latest(instance, LONE) == {}


def test_more_than_a_page(instance, monkeypatch):
    for partition, content in (("a", "one"), ("b", "two"), ("a", "three"), ("c", "four"), ("a", "five")):
        make(instance, partition, content, RAW)
    monkeypatch.setattr(event_rows, "PAGE", 2)
    monkeypatch.setattr(materializations, "PAGE", 2)
    with statements() as asked:
        made = latest(instance, RAW)
    assert sum("event_logs.event" in one for one in asked) == 2
    assert {p: m.metadata["said"] for p, m in made.items()} == {"a": "five", "b": "two", "c": "four"}
    assert set(recent(instance, RAW, ["a", "b", "c"])) == {"a", "b", "c"}


@contextmanager
def statements() -> Iterator[list[str]]:
    """The SQL that is executed meanwhile."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        asked.append(statement)

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", note)


def told(instance: dg.DagsterInstance, partitions: int) -> None:
    for n in range(partitions):
        instance.report_runless_asset_event(
            dg.AssetMaterialization(RAW, partition=f"{n}", metadata=SHOWN, tags={DATA_VERSION_TAG: f"version {n}"})
        )


SCHEMA = dg.TableSchema([dg.TableColumn("c")])
KEPT = {
    "text": 'said, "ä" and \u2028',
    "markdown": dg.MetadataValue.md("*this*"),
    "int": 7,
    "float": 0.1,
    "nan": math.nan,
    "infinite": -math.inf,
    "bool": True,
    "json": {"a": [1, None, {"b": "c"}], "nothing": {}},
    "path": dg.MetadataValue.path("/a/b"),
    "url": dg.MetadataValue.url("http://a/b"),
    "time": dg.MetadataValue.timestamp(1.5),
}
ONLY_SHOWN = {
    "chart": dg.MetadataValue.md("![chart](data:image/png;base64,AAAA)"),
    "table": dg.MetadataValue.table([dg.TableRecord({"c": 1})], SCHEMA),
    "schema": dg.MetadataValue.table_schema(SCHEMA),
    "asset": dg.MetadataValue.asset(RAW),
    "nothing": dg.MetadataValue.null(),
}
SHOWN = KEPT | ONLY_SHOWN


def test_rows_say_what_dagster_says(instance):
    told(instance, 2)
    made, by_dagster = latest(instance, RAW), recent(instance, RAW, ["0", "1"])
    assert repr(made) == repr(by_dagster)  # NaN is not equal to itself
    assert made["0"].metadata.keys() == KEPT.keys()
    assert made["1"].data_version == "version 1"
    assert made["1"].metadata["json"] == KEPT["json"]


def test_many_partitions_take_as_few_questions_as_few_do_and_no_objects_of_dagster(instance, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an event was read back by Dagster")

    asked = []
    for partitions in (3, 60):
        told(instance, partitions)
        with monkeypatch.context() as patched, statements() as needed:
            patched.setattr(sql_event_log, "deserialize_value", refuse)
            assert len(latest(instance, RAW)) == partitions
        asked.append(sum("FROM event_logs" in one for one in needed))
    assert asked == [3, 3]  # which are the last ones, what tells them apart, what they hold


def test_a_log_that_is_no_database_is_asked_by_dagster(instance, monkeypatch):
    told(instance, 3)
    expected = repr(latest(instance, RAW))
    monkeypatch.setattr(materializations, "sql_storage", lambda _: None)
    monkeypatch.setattr(materializations, "PAGE", 2)
    assert repr(dict(sorted(latest(instance, RAW).items()))) == expected


def reads(monkeypatch) -> list[list[int]]:
    """Ids of the materializations that are read back from now on, call by call."""
    read_rows, read = materializations.materializations, []

    def counted(storage: object, ids: list[int]) -> object:
        if ids:
            read.append(list(ids))
        return read_rows(storage, ids)

    monkeypatch.setattr(materializations, "materializations", counted)
    return read


def test_what_was_read_once_is_not_read_again(instance, monkeypatch):
    for partition in "abc":
        make(instance, partition, "one", RAW)
    first = latest(instance, RAW)
    read = reads(monkeypatch)
    assert latest(instance, RAW) == first
    assert read == []
    make(instance, "b", "two", RAW)
    again = latest(instance, RAW)
    assert [len(ids) for ids in read] == [1]
    assert again["b"].metadata["said"] == "two"
    assert again["a"] is first["a"]


def test_what_another_process_writes_is_seen_and_instances_are_told_apart(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    with (
        dg.DagsterInstance.local_temp(str(tmp_path / "one")) as one,
        dg.DagsterInstance.local_temp(str(tmp_path / "one")) as same,
        dg.DagsterInstance.local_temp(str(tmp_path / "other")) as other,
    ):
        make(one, "a", "one", RAW)
        make(other, "a", "other", RAW)
        for _ in range(2):
            assert latest(one, RAW)["a"].metadata["said"] == "one"
            assert latest(other, RAW)["a"].metadata["said"] == "other"
        make(same, "a", "two", RAW)
        assert latest(one, RAW)["a"].metadata["said"] == "two"


def test_what_was_wiped_is_gone_and_comes_back_when_it_is_made_again(instance):
    make(instance, "a", "one", RAW)
    assert set(latest(instance, RAW)) == {"a"}
    instance.wipe_assets([RAW])
    assert latest(instance, RAW) == {}
    make(instance, "b", "two", RAW)
    assert set(latest(instance, RAW)) == {"b"}


@pytest.mark.parametrize("consolidated", [True, False])
def test_a_row_that_got_the_id_of_a_deleted_one_is_another(tmp_path, consolidated):
    storage = {"module": "dagster._core.storage.event_log", "class": "ConsolidatedSqliteEventLogStorage"}
    overrides = {"event_log_storage": {**storage, "config": {"base_dir": str(tmp_path)}}} if consolidated else {}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=overrides) as instance:
        at = dg.DagsterEventType.ASSET_MATERIALIZATION
        seen = []
        for content in ("one", "two"):
            make(instance, "a", content, RAW)
            seen.append(instance.event_log_storage.get_latest_storage_id_by_partition(RAW, at))
            assert latest(instance, RAW)["a"].metadata["said"] == content
            for run in instance.get_runs():
                instance.delete_run(run.run_id)
        assert not consolidated or seen[0] == seen[1], "or this test shows nothing"


def test_a_process_forgets_what_was_not_asked_for_longest(instance, monkeypatch):
    monkeypatch.setattr(materializations, "MOST_REMEMBERED", 2)
    make(instance, "a", "one", RAW, FEATURES)
    make(instance, "b", "one", RAW, FEATURES)
    latest(instance, RAW)
    read = reads(monkeypatch)
    latest(instance, RAW)
    assert read == []
    latest(instance, FEATURES)
    assert set(latest(instance, RAW)) == {"a", "b"}
    assert [len(ids) for ids in read] == [2, 2]
