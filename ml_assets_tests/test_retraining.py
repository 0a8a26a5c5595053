"""One training for one cause: what was asked for, began, ended or was decided, and two who do so at once.

What is asked for in which state is in `test_retraining_sensors`.
"""

import dagster as dg
import pytest

from ml_assets import retraining
from ml_assets.core.errors import ConfigError, LedgerConflict, TrainingError
from ml_assets.core.releases import BEGUN, DECIDED, ENDED, JUDGED, RELEASED
from ml_assets.observing import Observer
from ml_assets.resources.clock import Clock
from ml_assets.resources.ledger import Ledger
from ml_assets.retraining import CAUSE_TAG, RetrainingDesk
from ml_assets.retraining_sensors import trainings_end


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


def test_a_month_that_never_lands_blocks_until_a_person_accepts_it(station):
    station.land("2018-01", "2018-02", "2018-03")
    station.release()
    station.follow("2018-05", "drifted")
    station.follow("2018-06", "drifted")
    station.now = "2018-07-01T00:00:00"
    landed = ["2018-01", "2018-02", "2018-03", "2018-05", "2018-06"]
    requests, said = station.look()
    assert requests == []
    assert "block: broken data among the 3 partitions to learn from (2018-04: has not landed)" in said

    def accept(month: str) -> None:
        retraining.accept(station.pipeline, station.ledger, month, landed=landed, by="ann", why="lost")

    for month, why in (("2018-05", "it has landed"), ("2030-01", "no partition whose window is over")):
        with pytest.raises(ConfigError, match=why):
            accept(month)
    accept("2018-04")
    [request], _ = station.look()
    assert request.partition_key == "2018-06"


def test_a_note_about_retraining_does_not_stop_a_release(drifted):
    before = len(drifted.events())
    drifted.look()
    drifted.ledger.append("duration", DECIDED, {"bundle": "m1"}, after=before)
    assert drifted.kinds() == [RELEASED, JUDGED, DECIDED]
    with pytest.raises(LedgerConflict):
        drifted.ledger.append("duration", RELEASED, {"bundle": "m2"}, after=before)


def event_of(run: dg.DagsterRun) -> dg.DagsterEvent:
    kind = {"FAILURE": "PIPELINE_FAILURE", "CANCELED": "PIPELINE_CANCELED"}[run.status.value]
    return dg.DagsterEvent(event_type_value=kind, job_name=run.job_name, message="it ended")
