"""The state table of the retraining sensor: every state and race, with an ephemeral instance and a real ledger."""

import uuid
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from ml_assets import jobs, retraining
from ml_assets.config.pipeline import PipelineConfig
from ml_assets.config.table import TableConfig
from ml_assets.core.errors import LedgerConflict, TrainingError
from ml_assets.core.releases import BEGUN, DECIDED, ENDED, JUDGED, RELEASED
from ml_assets.observing import Observer
from ml_assets.problem import Pipeline, Table
from ml_assets.resources.clock import Clock
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.materializations import MADE_FROM
from ml_assets.retraining import CAUSE_TAG, PIPELINE_TAG, RetrainingDesk
from ml_assets.retraining_sensors import retraining_schedule, retraining_sensor, trainings_end
from ml_assets_tests.conftest import PIPELINE, TABLE

MONTHS = [f"2018-0{m}" for m in range(1, 9)]
RULES = {"on_drift": {"k": 2, "n": 3}, "on_stale": {"after": "7d"}, "cooldown": 1}
DAY = "T12:00:00"


class Station:
    """A pipeline whose assets are told of, not run; window of 3 months, rows and labels enough."""

    def __init__(self, root: Path, instance: dg.DagsterInstance, **rules: object) -> None:
        table = Table("rides", TableConfig.model_validate(TABLE["attributes"]), root)
        told = {**PIPELINE["attributes"], "retraining": {**RULES, **rules}}
        self.pipeline = Pipeline("duration", PipelineConfig.model_validate(told), root, table)
        self.instance, self.ledger = instance, Ledger(url=f"sqlite:///{root / 'ledger.db'}")
        self.now = "2018-09-01T00:00:00"

    def key(self, noun: str) -> dg.AssetKey:
        return self.pipeline.key(noun)

    def told(self, noun: str, month: str, version: str = "v1", **metadata: object) -> None:
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                self.key(noun), partition=month, tags={DATA_VERSION_TAG: f"{noun} {month} {version}"}, metadata=metadata
            )
        )

    def land(self, *months: str, version: str = "v1") -> None:
        for month in months:
            self.told("raw", month, version)
            self.told("validated", month, version, **{"dagster/row_count": 1500})
            self.told("features", month, version, labels=1500, labels_known=1495)

    def score(self, month: str, version: str = "v1") -> None:
        self.told("predictions", month, version)

    def judge(self, month: str, verdict: str, champion: str = "m0", version: str = "v1", scored: str = "v1") -> None:
        read = {
            self.key(noun).to_user_string(): {month: f"{noun} {month} {v}"}
            for noun, v in (("features", version), ("predictions", scored))
        }
        self.told("drift", month, verdict=verdict, champion=champion, magnitude=2.0, **{MADE_FROM: read})

    def follow(self, month: str, verdict: str = "stable", champion: str = "m0") -> None:
        """A month that landed, was scored and judged."""
        self.land(month)
        self.score(month)
        self.judge(month, verdict, champion)

    def write(self, kind: str, **facts: object) -> None:
        self.ledger.append("duration", kind, facts, after=len(self.events()))

    def release(self, bundle: str = "m0", as_of: str = "2018-03") -> None:
        end = self.pipeline.table.window(as_of).end.isoformat()
        self.write(
            RELEASED, bundle=bundle, as_of=as_of, as_of_end=end, scores_from=end, record="r", forced=False, by="a test",
            reason="a test",
        )  # fmt: skip

    def decide(self, cause: str, as_of: str, verdict: str, bundle: str) -> None:
        self.write(
            DECIDED, cause=cause, as_of=as_of, verdict=verdict, bundle=bundle, record="r", reason="drift",
            reasons=["a reason"],
        )  # fmt: skip

    def events(self) -> list:
        return self.ledger.events("duration")

    def kinds(self) -> list[str]:
        return [e.kind for e in self.events()]

    def clock(self) -> Clock:
        return Clock(at=self.now)

    def look(self) -> tuple[list[dg.RunRequest], str]:
        """What the sensor asks for, and why for nothing."""
        sensor = retraining_sensor(self.pipeline, jobs.train(self.pipeline), jobs.follow(self.pipeline), 30)
        context = dg.build_sensor_context(self.instance, resources={"ledger": self.ledger, "clock": self.clock()})
        found = sensor(context)
        return ([], found.skip_message) if isinstance(found, dg.SkipReason) else (list(found), "")

    def run(self, request: dg.RunRequest, status: str) -> dg.DagsterRun:
        tags = {**request.tags, "dagster/partition": request.partition_key}
        run = dg.DagsterRun(
            job_name="duration_train", run_id=str(uuid.uuid4()), tags=tags, status=dg.DagsterRunStatus(status)
        )
        return self.instance.add_run(run)


@pytest.fixture
def station(tmp_path):
    with dg.DagsterInstance.ephemeral() as instance:
        yield Station(tmp_path, instance)


@pytest.fixture
def drifted(station):
    """Champion as of March; of the last three months two have drifted, which is enough."""
    station.land("2018-01", "2018-02", "2018-03")
    station.release()
    station.follow("2018-04")
    station.follow("2018-05", "drifted")
    station.follow("2018-06", "drifted")
    station.now = "2018-07-01T00:00:00"
    return station


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


def test_what_was_asked_for_and_has_no_run_is_asked_for_again_under_the_same_key(drifted):
    """A daemon may be killed between the ledger and the request, and a cursor be lost: there is none."""
    [request], _ = drifted.look()
    drifted.follow("2018-07", "drifted")
    drifted.now = "2018-08-01T00:00:00"
    [again], _ = drifted.look()
    assert (again.run_key, again.partition_key, again.tags[CAUSE_TAG]) == (
        request.run_key, request.partition_key, request.tags[CAUSE_TAG],
    )  # fmt: skip
    assert drifted.kinds() == [RELEASED, JUDGED]


def test_a_training_under_way_is_waited_for(drifted):
    [request], _ = drifted.look()
    run = drifted.run(request, "STARTED")
    retraining.begin(drifted.pipeline, drifted.ledger, drifted.instance, run)
    drifted.follow("2018-07", "drifted")
    drifted.now = "2018-08-01T00:00:00"
    requests, why = drifted.look()
    assert requests == []
    assert why.startswith("ignore: a training as of 2018-06 is under way")


def test_a_training_whose_run_died_is_told_of_and_not_started_anew_by_itself(drifted):
    [request], _ = drifted.look()
    run = drifted.run(request, "FAILURE")
    retraining.begin(drifted.pipeline, drifted.ledger, drifted.instance, run)
    requests, why = drifted.look()
    assert requests == []
    assert "answered by the training as of 2018-06 (failed): re-execute its run" in why


@pytest.mark.parametrize("status", ["FAILURE", "CANCELED"])
def test_a_run_that_ended_without_a_decision_is_written_down_once(drifted, status):
    [request], _ = drifted.look()
    run = drifted.run(request, status)
    [sensor] = [s for s in trainings_end() if s.name == f"trainings_end_on_{status.lower()}"]
    for _ in range(2):
        with dg.build_run_status_sensor_context(
            sensor.name, event_of(run), drifted.instance, run, resources={"ledger": drifted.ledger}
        ) as context:
            told = sensor(context)
    assert "no training for a cause" in told.skip_message
    assert drifted.kinds() == [RELEASED, JUDGED, ENDED]
    assert drifted.events()[-1].facts["outcome"] == "failed"
    assert "(failed)" in drifted.look()[1]


def test_a_rejection_is_an_answer_and_new_evidence_asks_again(drifted):
    [request], _ = drifted.look()
    cause = request.tags[CAUSE_TAG]
    drifted.write(BEGUN, key=cause, run="r1", as_of="2018-06")
    drifted.decide(cause, "2018-06", "reject", "m1")
    requests, why = drifted.look()
    assert requests == []
    assert "answered by the training as of 2018-06 (rejected): new evidence will start another" in why
    drifted.follow("2018-07", "drifted")
    drifted.now = "2018-08-01T00:00:00"
    [other], _ = drifted.look()
    assert other.partition_key == "2018-07"
    assert other.run_key != request.run_key


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


def test_of_two_who_decide_at_once_one_asks(drifted, monkeypatch):
    append = Ledger.append

    def overtaken(self, pipeline, kind, facts, *, after):
        if drifted.kinds() == [RELEASED]:
            append(self, pipeline, kind, facts, after=after)
        return append(self, pipeline, kind, facts, after=after)

    monkeypatch.setattr(Ledger, "append", overtaken)
    requests, why = drifted.look()
    assert requests == []
    assert why.startswith("somebody else wrote to the ledger while this was decided; the next look goes on")
    monkeypatch.undo()
    [request], _ = drifted.look()
    assert drifted.kinds() == [RELEASED, JUDGED]
    assert request.run_key.endswith(drifted.events()[-1].facts["key"])


def test_of_two_runs_for_one_cause_the_second_is_refused_until_the_first_has_ended(drifted):
    [request], _ = drifted.look()
    first, second = drifted.run(request, "STARTED"), drifted.run(request, "STARTED")
    retraining.begin(drifted.pipeline, drifted.ledger, drifted.instance, first)
    retraining.begin(drifted.pipeline, drifted.ledger, drifted.instance, first)
    with pytest.raises(TrainingError, match=f"run {first.run_id}, which trains for the same cause"):
        retraining.begin(drifted.pipeline, drifted.ledger, drifted.instance, second)
    retraining.end(drifted.ledger, first, "failed", "killed")
    retraining.begin(drifted.pipeline, drifted.ledger, drifted.instance, second)
    assert drifted.kinds() == [RELEASED, JUDGED, BEGUN, ENDED, BEGUN]


def test_the_same_decision_is_written_once_and_another_one_again(drifted):
    desk = RetrainingDesk(Observer(drifted.pipeline, drifted.instance, Clock(at="2018-05-01T00:00:00")), drifted.ledger)
    for _ in range(3):
        assert desk.decide("a test").action == "ignore"
    assert drifted.kinds() == [RELEASED, JUDGED]
    drifted.look()
    assert [e.facts["action"] for e in drifted.events()[1:]] == ["ignore", "retrain"]


def test_a_decision_is_never_made_on_a_ledger_that_has_moved_on(drifted):
    with pytest.raises(LedgerConflict):
        drifted.ledger.append("duration", JUDGED, {}, after=0)


def test_what_a_person_asks_for_needs_no_evidence_and_is_answered_once(station):
    station.land("2018-01", "2018-02", "2018-03")
    station.decide("", "2018-03", "promote", "m0")
    station.release()
    station.now = "2018-04-02T00:00:00"
    assert station.look()[0] == []
    retraining.ask(station.pipeline, station.ledger, by="ann", why="the meters were recalibrated")
    [request], _ = station.look()
    assert request.partition_key == "2018-03", "no cooldown holds for it"
    assert request.tags["ml_assets/reason"].startswith("ann asks: the meters were recalibrated")
    station.decide(request.tags[CAUSE_TAG], "2018-03", "reject", "m1")
    assert station.look() == ([], "ignore: nothing is stale, and nothing asks for a training")


def test_a_note_about_retraining_does_not_stop_a_release(drifted):
    before = len(drifted.events())
    drifted.look()
    drifted.ledger.append("duration", DECIDED, {"bundle": "m1"}, after=before)
    assert drifted.kinds() == [RELEASED, JUDGED, DECIDED]
    with pytest.raises(LedgerConflict):
        drifted.ledger.append("duration", RELEASED, {"bundle": "m2"}, after=before)


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


def event_of(run: dg.DagsterRun) -> dg.DagsterEvent:
    kind = {"FAILURE": "PIPELINE_FAILURE", "CANCELED": "PIPELINE_CANCELED"}[run.status.value]
    return dg.DagsterEvent(event_type_value=kind, job_name=run.job_name, message="it ended")
