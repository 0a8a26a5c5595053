"""What follows new rows and new releases by itself."""

import dagster as dg
import pytest


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
    assert asked == {(k, older) for k in ("rides/validated", "rides/quarantine")}, "features look back into January"
    cursor, asked = tick(cursor)
    assert asked == set(), "the same rows are followed once"
    land("rides/validated", older)
    land("rides/quarantine", older)
    cursor, asked = tick(cursor)
    assert asked == set()
    land("rides/raw", "2018-01")
    cursor, asked = tick(cursor)
    assert asked == {("rides/validated", "2018-01"), ("rides/quarantine", "2018-01"), *FOLLOWING}
    for key in ("rides/validated", "rides/quarantine"):
        land(key, "2018-01")
    land("rides/raw", "2018-07")
    for key in ("rides/validated", "rides/quarantine"):
        land(key, "2018-07")
    cursor, asked = tick(cursor)
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
        land("duration/drift", partition)
    cursor, _ = tick(cursor)
    land("duration/champion", None)
    cursor, asked = tick(cursor)
    assert {p for k, p in asked if k == "duration/predictions"} == {newest}


@pytest.mark.slow(seconds=4)
def test_a_month_after_a_gap_goes_on_by_itself_from_features_that_a_sensor_asked_for(world):
    """When it asks for them is in `test_gaps`."""
    definitions = world.replay(pipeline=world.changed(world.pipeline, retraining=None)).definitions
    assert {"duration_gaps", "duration_retraining"} & {s.name for s in definitions.sensors or ()} == {"duration_gaps"}
    by_default = world.replay().definitions.sensors or ()
    assert {"duration_gaps", "duration_retraining"} & {s.name for s in by_default} == {"duration_retraining"}

    def tick(cursor=None):
        result = dg.evaluate_automation_conditions(
            definitions, world.instance, asset_selection=dg.AssetSelection.assets(*AUTOMATED), cursor=cursor
        )
        return result.cursor, {(k.to_user_string(), p) for k in AUTOMATED for p in result.get_requested_partitions(k)}

    def land(key: str, partition: str | None):
        world.instance.report_runless_asset_event(
            dg.AssetMaterialization(dg.AssetKey(key.split("/")), partition=partition)
        )

    land("duration/champion", None)
    cursor, _ = tick()
    for key in ("rides/raw", "rides/validated", "rides/quarantine"):
        for month in ("2018-01", "2018-03"):
            land(key, month)
    cursor, asked = tick(cursor)
    assert ("duration/features", "2018-01") in asked
    assert ("duration/features", "2018-03") not in asked, "they look back at February, which never comes"
    land("duration/features", "2018-03")
    cursor, asked = tick(cursor)
    followed = {f"duration/{noun}" for noun in ("predictions", "performance", "drift")}
    assert {k for k, p in asked if p == "2018-03"} == followed
    for key in ("rides/raw", "rides/validated", "rides/quarantine"):
        land(key, "2018-02")
    _, asked = tick(cursor)
    assert ("duration/features", "2018-03") in asked, "it came after all"


def test_features_are_made_again_where_the_yaml_says_otherwise_what_they_hold(world):
    features = dg.AssetKey(["duration", "features"])

    def asked(definitions, cursor=None):
        result = dg.evaluate_automation_conditions(
            definitions, world.instance, asset_selection=dg.AssetSelection.assets(features), cursor=cursor
        )
        return result.cursor, set(result.get_requested_partitions(features))

    label = world.pipeline["attributes"]["label"]
    world.instance.report_runless_asset_event(
        dg.AssetMaterialization(dg.AssetKey(["rides", "validated"]), partition="2018-01")
    )
    now = world.replay().definitions
    cursor, _ = asked(now)
    cursor, again = asked(now, cursor)
    assert again == set()
    delayed = world.replay(pipeline=world.changed(world.pipeline, label={**label, "delay": "2d"})).definitions
    cursor, again = asked(delayed, cursor)
    assert again == {"2018-01"}, "the only month whose rows are there"
    assert asked(delayed, cursor)[1] == set()


FOLLOWING = {("duration/features", "2018-01"), ("duration/features", "2018-02")}
AUTOMATED = [
    dg.AssetKey(k.split("/"))
    for k in (
        "rides/validated", "rides/quarantine", "duration/features", "duration/predictions", "duration/performance",
        "duration/drift",
    )
]  # fmt: skip
