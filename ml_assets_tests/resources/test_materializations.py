"""What an instance remembers of partitions: the last one counts, with its version, inputs and metadata."""

import dagster as dg
import pytest

from ml_assets.resources import materializations
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
    fetch = instance.fetch_materializations
    pages = []

    def small(key: dg.AssetKey, *, limit: int, cursor: str | None) -> object:
        pages.append(cursor)
        return fetch(key, limit=2, cursor=cursor)

    monkeypatch.setattr(instance, "fetch_materializations", small)
    made = materializations.latest(instance, RAW)
    assert len(pages) == 3
    assert {p: m.metadata["said"] for p, m in made.items()} == {"a": "five", "b": "two", "c": "four"}
