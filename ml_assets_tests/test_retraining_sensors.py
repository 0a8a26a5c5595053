"""The state table of the retraining sensor: what it answers in every state; instance and ledger are real.

What becomes of what it asks for, and races, are in `test_retraining`.
"""

from datetime import UTC, datetime

import dagster as dg
import pytest

from ml_assets import jobs
from ml_assets.core.releases import BEGUN, JUDGED, RELEASED
from ml_assets.retraining import CAUSE_TAG, PIPELINE_TAG
from ml_assets.retraining_sensors import retraining_schedule
from ml_assets_tests.station import DAY, Station


def test_nothing_has_landed(station):
    station.now = "2018-01-01T00:00:00"
    assert station.look() == ([], "ignore: nothing is stale, and nothing asks for a training")


def test_less_than_a_learning_window_has_landed(station):
    station.now = "2018-03-01T00:00:00"
    station.land("2018-01", "2018-02")
    assert station.look() == ([], "ignore: nothing is stale, and nothing asks for a training")


def test_a_new_pipeline_on_an_old_table_gets_the_features_that_a_first_model_learns_from(station):
    station.land("2018-02", "2018-03")
    for month in ("2018-01", "2018-04"):
        station.told("raw", month)
        station.told("validated", month, **{"dagster/row_count": 1500})
    station.now = f"2018-05-01{DAY}"
    [request], _ = station.look()
    assert (request.partition_key, [k.path[1] for k in request.asset_selection]) == ("2018-04", ["features"])
    assert request.tags["ml_assets/reason"] == "2018-04: no features, from which a first model would learn"
    assert "(2018-04: no features)" in station.events()[-1].facts["reasons"][0], "nothing is trained without them"
    station.land("2018-04")
    [request], _ = station.look()
    assert request.job_name == "duration_train"


def test_a_learning_window_has_landed_and_nothing_answers(station):
    station.now = "2018-04-01T00:00:00"
    station.land("2018-01", "2018-02", "2018-03")
    [request], _ = station.look()
    assert (request.job_name, request.partition_key) == ("duration_train", "2018-03")
    assert request.tags[PIPELINE_TAG] == "duration"
    assert "no champion yet, and 3 partitions have landed" in request.tags["ml_assets/reason"]
    [event] = station.events()
    assert (event.kind, event.facts["action"]) == (JUDGED, "retrain")
    assert request.run_key == f"duration/retrain/{event.facts['key']}"


def test_all_is_judged_and_stable(station):
    station.land("2018-01", "2018-02", "2018-03")
    station.release()
    station.follow("2018-04")
    station.now = "2018-05-01T00:00:00"
    assert station.look() == ([], "ignore: nothing is stale, and nothing asks for a training")


@pytest.mark.parametrize(
    ("minutes", "asked"),
    [(14, []), (15, [("duration_follow", "2018-04")])],
    ids=["automation has its time", "it had its time"],
)
def test_what_landed_is_not_judged(station, minutes, asked):
    station.land("2018-01", "2018-02", "2018-03")
    station.release()
    station.land("2018-04")
    station.now = f"2018-05-01T00:{minutes}:00"
    requests, _ = station.look()
    assert [(r.job_name, r.partition_key) for r in requests] == asked
    for request in requests:
        assert [k.path[1] for k in request.asset_selection] == ["predictions", "performance", "drift"]
        assert request.tags["ml_assets/reason"] == "2018-04: data landed that no report covers"


def test_what_landed_after_a_gap_and_has_no_features_gets_them(station):
    """Automation waits for a partition before it that never comes; features do without."""
    station.land("2018-01", "2018-02", "2018-03")
    station.release()
    station.told("raw", "2018-05")
    station.told("validated", "2018-05", **{"dagster/row_count": 1500})
    station.now = f"2018-06-01{DAY}"
    [request], _ = station.look()
    assert request.partition_key == "2018-05"
    assert [k.path[1] for k in request.asset_selection] == ["features", "predictions", "performance", "drift"]


def test_the_data_changed_after_the_report(station):
    station.land("2018-01", "2018-02", "2018-03")
    station.release()
    station.follow("2018-04")
    station.land("2018-04", version="v2")
    station.now = f"2018-05-01{DAY}"
    [request], _ = station.look()
    assert request.tags["ml_assets/reason"] == "2018-04: features changed after the report"
    again, _ = station.look()
    assert [r.run_key for r in again] == [request.run_key], "the same content, the same key: Dagster runs it once"
    assert station.kinds().count(JUDGED) == 1
    station.land("2018-04", version="v3")
    [other], _ = station.look()
    assert other.run_key != request.run_key


def test_the_champion_changed_after_the_report(station):
    station.land("2018-01", "2018-02", "2018-03")
    station.release("m0", "2018-02")
    station.follow("2018-04")
    station.release("m1", "2018-03")
    station.now = f"2018-05-01{DAY}"
    requests, _ = station.look()
    told = {r.partition_key: r.tags["ml_assets/reason"] for r in requests}
    assert told["2018-04"] == "2018-04: champion changed after the report"


def test_one_drifted_month_is_not_enough(station):
    station.land("2018-01", "2018-02", "2018-03")
    station.release()
    station.follow("2018-04")
    station.follow("2018-05", "drifted")
    station.now = "2018-06-01T00:00:00"
    assert station.look()[0] == []


def test_two_drifted_months_of_three_ask_for_one_training(drifted):
    [request], _ = drifted.look()
    assert request.partition_key == "2018-06"
    assert request.tags["ml_assets/reason"].startswith(
        "2 of the last 3 reports drifted (2 are enough): 2018-05, 2018-06"
    )
    assert drifted.kinds() == [RELEASED, JUDGED]


def test_a_promotion_begins_with_an_empty_record(drifted):
    [request], _ = drifted.look()
    drifted.decide(request.tags[CAUSE_TAG], "2018-06", "promote", "m1")
    drifted.release("m1", "2018-06")
    drifted.follow("2018-07", "drifted", "m1")
    drifted.now = "2018-08-01T00:00:00"
    assert drifted.look()[0] == []


@pytest.mark.parametrize("severity", dg.AssetCheckSeverity)
def test_broken_data_block_a_training_and_warnings_do_not(drifted, severity):
    drifted.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=drifted.key("validated"),
            check_name="volume",
            passed=False,
            partition="2018-06",
            severity=severity,
        )
    )
    requests, why = drifted.look()
    if severity == dg.AssetCheckSeverity.WARN:
        assert len(requests) == 1
        return
    assert requests == []
    assert why.startswith("block: broken data among the 3 partitions to learn from (2018-06: volume)")


def test_nobody_has_judged_by_the_deadline(station):
    station.land("2018-01", "2018-02", "2018-03")
    station.release()
    station.land("2018-04")
    station.now = f"2018-05-08{DAY}"
    requests, _ = station.look()
    assert sorted(r.job_name for r in requests) == ["duration_follow", "duration_train"]
    assert "no report with a verdict by 2018-05-08 00:00 UTC: none was made" in requests[-1].tags["ml_assets/reason"]


def test_the_schedule_asks_by_its_cron_and_what_it_is_refused_the_sensor_decides_on_later(tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        station = Station(tmp_path, instance, schedule="0 6 2 * *", on_drift=None, on_performance=None, on_stale=None)
        station.land("2018-01", "2018-02", "2018-03")
        station.decide("", "2018-03", "promote", "m0")
        station.release()
        schedule = retraining_schedule(station.pipeline, jobs.train(station.pipeline), "0 6 2 * *")
        station.now = "2018-04-02T06:00:00"
        with dg.build_schedule_context(
            instance, resources={"ledger": station.ledger, "clock": station.clock()},
            scheduled_execution_time=datetime(2018, 4, 2, 6, tzinfo=UTC),
        ) as context:  # fmt: skip
            found = schedule(context)
        assert isinstance(found, dg.SkipReason), found
        station.follow("2018-04")
        station.now = "2018-05-01T00:00:00"
        [request], _ = station.look()
        assert "schedule 0 6 2 * * of 2018-04-02 06:00 UTC" in request.tags["ml_assets/reason"]
        assert request.partition_key == "2018-04"
        station.write(BEGUN, key=request.tags[CAUSE_TAG], run="r1", as_of="2018-04")
        station.decide(request.tags[CAUSE_TAG], "2018-04", "reject", "m1")
        station.now = "2018-05-02T05:59:00"
        assert station.look()[0] == []
