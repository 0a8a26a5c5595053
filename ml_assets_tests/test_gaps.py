"""What is done where a month never lands: those that look back at it do without, once it had its time, and not before.

That features made without it are null where they would look into it, and are made again when it lands, is in
`test_late_partitions`.
"""

import dagster as dg
import pytest
from dagster._core.storage.tags import PARTITION_NAME_TAG

from ml_assets import sensors
from ml_assets.core.releases import ACCEPTED, JUDGED
from ml_assets.resources.materializations import MADE_FROM
from ml_assets_tests.conftest import copy_trips_code
from ml_assets_tests.station import DAY, Station

BEFORE_MAY = ["2018-01", "2018-02", "2018-03"]
REASON = "2018-05: features look back at 2018-04, of which there are no rows: they do without"


@pytest.fixture
def gap(station, tmp_path):
    """April never landed, and May, whose features look back at it for seven days, has rows and no features."""
    copy_trips_code(tmp_path)
    station.land(*BEFORE_MAY)
    rows(station, "2018-05")
    station.now = "2018-06-01T00:15:00"
    return station


def rows(station: Station, month: str, version: str = "v1") -> None:
    station.told("raw", month, version)
    station.told("validated", month, version, **{"dagster/row_count": 1500})


def look(station: Station) -> tuple[list[dg.RunRequest], str]:
    """What the sensor of a pipeline without a section `retraining` asks for, and why for nothing."""
    resources = {"ledger": station.ledger, "clock": station.clock()}
    with dg.build_sensor_context(station.instance, resources=resources) as context:
        found = sensors.gaps(station.pipeline)(context)
    return ([], found.skip_message) if isinstance(found, dg.SkipReason) else (found.run_requests, "")


def asked(station: Station) -> list[str]:
    return [request.partition_key for request in look(station)[0]]


def run(station: Station, month: str, status: dg.DagsterRunStatus, **facts) -> None:
    station.instance.add_run(dg.DagsterRun("rides_ingest", status=status, tags={PARTITION_NAME_TAG: month}, **facts))


def test_features_do_without_a_month_that_had_its_time(gap):
    gap.now = "2018-06-01T00:14:59"
    assert look(gap) == ([], "no partition waits in vain for rows of one before it")
    gap.now = "2018-06-01T00:15:00"
    [request], _ = look(gap)
    assert (request.partition_key, request.tags["ml_assets/reason"]) == ("2018-05", REASON)
    gap.instance.add_run(dg.DagsterRun("gaps", tags={"dagster/run_key": request.run_key}))
    assert look(gap) == ([], "no partition waits in vain for rows of one before it; 1 are asked for already")
    rows(gap, "2018-05", "repaired")
    [again], _ = look(gap)
    assert again.run_key != request.run_key, "the run may have failed for what is repaired now"


def test_months_that_need_not_do_without_are_left_to_automation(gap):
    for month in ("2018-06", "2018-07"):
        rows(gap, month)
    gap.now = f"2018-08-01{DAY}"
    assert asked(gap) == ["2018-05"], "the others look back at months that are there"
    gap.told("features", "2018-05")
    assert asked(gap) == []


def test_a_month_that_is_coming_is_waited_for(gap):
    run(gap, "2018-04", dg.DagsterRunStatus.FAILURE)
    run(gap, "2018-04", dg.DagsterRunStatus.SUCCESS)
    assert asked(gap) == ["2018-05"]
    run(gap, "2018-04", dg.DagsterRunStatus.NOT_STARTED)
    assert asked(gap) == []


def test_so_is_it_where_a_champion_answers(gap):
    gap.release()
    run(gap, "2018-04", dg.DagsterRunStatus.STARTED)
    assert gap.look()[0] == []


def test_runs_that_bring_no_rows_are_not_waited_for(gap):
    run(gap, "2018-03", dg.DagsterRunStatus.STARTED)
    run(gap, "2018-04", dg.DagsterRunStatus.STARTED, asset_selection=frozenset({dg.AssetKey(["other", "validated"])}))
    assert asked(gap) == ["2018-05"]


def test_a_month_whose_rows_were_read_and_never_validated_is_missing(gap):
    gap.told("raw", "2018-04")
    assert asked(gap) == ["2018-05"]
    rows(gap, "2018-04")
    assert asked(gap) == []


def test_what_has_no_rows_itself_is_not_asked_for(gap):
    gap.told("raw", "2018-06")
    gap.now = f"2018-07-01{DAY}"
    assert asked(gap) == ["2018-05"]


def test_a_month_that_a_person_accepted_never_to_land_is_not_waited_for(gap):
    gap.now = "2018-06-01T00:00:00"
    assert asked(gap) == []
    gap.write(ACCEPTED, partition="2018-04", by="ann", why="the meter was broken")
    assert asked(gap) == ["2018-05"]
    gap.release()
    [request], _ = gap.look()
    assert [key.path[1] for key in request.asset_selection] == ["features"], "scores and drift follow by themselves"


def test_rows_that_changed_are_followed_though_a_month_before_them_is_missing(gap):
    validated = gap.key("validated").to_user_string()
    gap.told("features", "2018-05", **{MADE_FROM: {validated: {"2018-05": "validated 2018-05 v1"}}})
    assert asked(gap) == []
    rows(gap, "2018-05", "v2")
    assert asked(gap) == ["2018-05"]
    gap.release()
    [request], _ = gap.look()
    assert [key.path[1] for key in request.asset_selection] == ["features", "predictions", "performance", "drift"]
    gap.score("2018-05")
    gap.judge("2018-05", "stable")
    [request], _ = gap.look()
    assert [key.path[1] for key in request.asset_selection] == ["features"]
    gap.told("features", "2018-05", "v2", **{MADE_FROM: {validated: {"2018-05": "validated 2018-05 v2"}}})
    [request], _ = gap.look()
    assert request.tags["ml_assets/reason"] == "2018-05: features changed after the report"


def test_where_a_champion_answers_its_features_come_with_scores_and_drift(gap):
    """The sensor of a pipeline that retrains asks once for what both find."""
    gap.release()
    [request], _ = gap.look()
    assert [key.path[1] for key in request.asset_selection] == ["features", "predictions", "performance", "drift"]
    assert asked(gap) == ["2018-05"], "the other sensor is for pipelines without a section `retraining`"


def test_before_there_is_enough_for_a_first_model_the_retraining_sensor_asks_too(station, tmp_path):
    copy_trips_code(tmp_path)
    station.land("2018-01")
    rows(station, "2018-03")
    station.now = "2018-04-01T00:15:00"
    [request], _ = station.look()
    assert (request.partition_key, [key.path[1] for key in request.asset_selection]) == ("2018-03", ["features"])
    reason = "2018-03: features look back at 2018-02, of which there are no rows: they do without"
    assert request.tags["ml_assets/reason"] == reason
    [event] = station.events()
    assert (event.kind, event.facts["action"], event.facts["reasons"]) == (JUDGED, "refresh", [reason])
