"""What becomes of results when the YAML sets other bounds: they are made again, and are no new evidence by that.

That a replay makes them again is in `test_late_partitions`.
"""

from dataclasses import replace

import dagster as dg
import pytest

from ml_assets import sensors
from ml_assets.config.monitoring import Monitoring
from ml_assets.core.releases import JUDGED
from ml_assets.observing import BOUNDS_VERSION
from ml_assets.retraining import CAUSE_TAG
from ml_assets_tests.station import DAY, Station

TIGHT = {"drift": {"false_alarm_rate": 0.05}}


def look(station: Station) -> tuple[dict[str, list[str]], str]:
    """Partition -> nouns that are asked for, and why for none; as the daemon does, runs are made of it."""
    with dg.build_sensor_context(station.instance) as context:
        found = sensors.new_bounds(station.pipeline)(context)
    if isinstance(found, dg.SkipReason):
        return {}, found.skip_message
    for request in found.run_requests:
        station.instance.add_run(dg.DagsterRun("bounds", tags={"dagster/run_key": request.run_key, **request.tags}))
    return {r.partition_key: [key.path[1] for key in r.asset_selection] for r in found.run_requests}, ""


def measure(station: Station, month: str) -> None:
    station.told("performance", month, **{BOUNDS_VERSION: station.pipeline.bounds_versions["performance"]})


@pytest.fixture
def judged(station):
    """Five months, of which the last two have been judged and measured."""
    station.land("2018-01", "2018-02", "2018-03")
    station.release()
    for month in ("2018-04", "2018-05"):
        station.follow(month)
        measure(station, month)
    station.now = f"2018-06-01{DAY}"
    return station


def test_what_was_judged_by_former_bounds_is_judged_again_once(judged):
    assert look(judged) == ({}, "the newest partitions were judged by the bounds of the YAML")
    judged.set_bounds(**TIGHT)
    assert look(judged) == ({"2018-04": ["drift"], "2018-05": ["drift"]}, "")
    told = "the newest partitions were judged by the bounds of the YAML; 2 partitions are asked for already"
    assert look(judged) == ({}, told)
    judged.judge("2018-04", "drifted")
    judged.judge("2018-05", "drifted")
    assert look(judged) == ({}, "the newest partitions were judged by the bounds of the YAML")
    judged.set_bounds()
    assert list(look(judged)[0]) == ["2018-04", "2018-05"], "back to what they were"
    for month in ("2018-04", "2018-05"):
        judged.judge(month, "stable")
    judged.set_bounds(**TIGHT)
    assert list(look(judged)[0]) == ["2018-04", "2018-05"], "the same bounds a second time"


def test_only_what_the_bounds_are_of_is_made_again(judged):
    judged.set_bounds(performance={"tolerance": 0.2})
    assert look(judged)[0] == {"2018-04": ["performance"], "2018-05": ["performance"]}
    judged.set_bounds(performance={"tolerance": 0.3}, **TIGHT)
    assert look(judged)[0]["2018-05"] == ["performance", "drift"]


def test_older_partitions_than_pictures_and_evidence_look_at_stay_as_they_are(judged, monkeypatch):
    monkeypatch.setattr(sensors, "TREND_PARTITIONS", 1)
    judged.follow("2018-06")
    judged.follow("2018-07")
    judged.set_bounds(**TIGHT)
    assert list(look(judged)[0]) == ["2018-05", "2018-06", "2018-07"], "on_drift looks at three"


def test_results_from_before_there_were_versions_are_left_alone(judged):
    judged.told("drift", "2018-05", verdict="stable", champion="m0")
    judged.set_bounds(**TIGHT)
    assert list(look(judged)[0]) == ["2018-04"]


@pytest.mark.parametrize(
    ("noun", "monitoring", "changes"),
    [
        ("drift", {"drift": {"false_alarm_rate": 0.02}}, True),
        ("drift", {"drift": {"false_discovery_rate": 0.02}}, True),
        ("drift", {"drift": {"min_rows": 60}}, True),
        ("drift", {"drift": {"domain_classifier": True}}, True),
        ("drift", {"performance": {"tolerance": 0.2, "min_labels": 5}, "grace": "1h"}, False),
        ("performance", {"performance": {"tolerance": 0.2}}, True),
        ("performance", {"performance": {"min_labels": 5}}, True),
        ("performance", {"drift": {"min_rows": 60}, "grace": "1h"}, False),
    ],
)
def test_which_values_of_the_yaml_are_bounds_of_what(small_pipeline, noun, monitoring, changes):
    told = small_pipeline.config.model_copy(update={"monitoring": Monitoring.model_validate(monitoring)})
    after = replace(small_pipeline, config=told).bounds_versions[noun]
    assert (after != small_pipeline.bounds_versions[noun]) == changes


@pytest.mark.parametrize("evaluation", [{"metric": "rmse"}, {"slices": ["pickup_zone"]}])
def test_what_is_measured_is_a_bound_of_performance_only(small_pipeline, evaluation):
    before = small_pipeline
    told = before.config.model_copy(update={"evaluation": before.config.evaluation.model_copy(update=evaluation)})
    after = replace(before, config=told).bounds_versions
    assert {noun: after[noun] != version for noun, version in before.bounds_versions.items()} == {
        "performance": True, "drift": False,
    }  # fmt: skip


def test_reports_by_former_bounds_start_no_training(drifted):
    """The sensor of retraining looks before they have been judged again."""
    drifted.set_bounds(drift={"false_alarm_rate": 0.001})
    assert drifted.look()[0] == []
    for month in ("2018-05", "2018-06"):
        drifted.judge(month, "stable")
    assert drifted.look()[0] == []
    drifted.set_bounds()
    for month in ("2018-05", "2018-06"):
        drifted.judge(month, "drifted")
    [request], _ = drifted.look()
    assert CAUSE_TAG in request.tags


def test_tighter_bounds_are_evidence_where_nothing_was_trained_for_the_champion(judged):
    judged.set_bounds(**TIGHT)
    judged.judge("2018-04", "drifted")
    judged.judge("2018-05", "drifted")
    [request], _ = judged.look()
    assert request.tags["ml_assets/reason"].startswith("2 of the last 2 reports drifted")


@pytest.fixture
def looks_at_four(tmp_path):
    with dg.DagsterInstance.ephemeral() as instance:
        yield Station(tmp_path, instance, on_drift={"k": 2, "n": 4})


def test_tighter_bounds_start_no_second_training_for_what_one_knew(looks_at_four):
    station = looks_at_four
    station.land("2018-01", "2018-02", "2018-03")
    station.release()
    for month, verdict in (("2018-04", "stable"), ("2018-05", "drifted"), ("2018-06", "drifted")):
        station.follow(month, verdict)
    station.now = "2018-07-01T00:00:00"
    [request], _ = station.look()
    station.decide(request.tags[CAUSE_TAG], "2018-06", "reject", "m1")
    station.follow("2018-07")
    station.now = "2018-08-01T00:00:00"
    station.set_bounds(**TIGHT)
    for month in ("2018-04", "2018-05", "2018-06", "2018-07"):
        station.judge(month, "stable" if month == "2018-07" else "drifted")
    requests, why = station.look()
    assert requests == []
    assert why.startswith("ignore: answered by the training as of 2018-06 (rejected): new evidence will start another")
    assert station.kinds().count(JUDGED) == 2
    station.follow("2018-08", "drifted")
    station.now = "2018-09-01T00:00:00"
    [again], _ = station.look()
    assert again.partition_key == "2018-08"
