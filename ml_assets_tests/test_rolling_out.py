"""Rollouts in the ledger: begun in place of a release, looked at, ended; whoever else writes, whatever is killed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ml_assets.assets.release import carry_out
from ml_assets.config.rollout import Rollout as Section
from ml_assets.core.errors import LedgerConflict, ReleaseRefused
from ml_assets.core.releases import decision_as_of, live, settled
from ml_assets.core.retraining.recorded import trainings
from ml_assets.core.rollout.observed import Leg, Seen
from ml_assets.core.rollout.recorded import open_rollout, rollouts
from ml_assets.core.rollout.routes import routing_of
from ml_assets.ledger_audit import audit
from ml_assets.releasing import ReleaseDesk
from ml_assets.rolling_out import RolloutDesk

NOW = datetime(2020, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
CANARY = {"steps": ["shadow", 50], "min_requests": 10, "min_time": "1m"}


class Rolled:
    """A judged pipeline with a live champion and a rollout section."""

    def __init__(self, judged: Any, **section: Any) -> None:
        self.judged = judged
        told = Section.model_validate({**CANARY, **section})
        pipeline = replace(judged.pipeline, config=judged.pipeline.config.model_copy(update={"rollout": told}))
        self.release_desk = ReleaseDesk(pipeline, judged.store, judged.models, judged.ledger)
        judged.desk = self.release_desk
        self.desk = RolloutDesk(self.release_desk)
        self.seen: list[Leg] = []

    def carry_out(self, as_of: str, now: datetime = NOW) -> None:
        carry_out(self.release_desk, as_of, by="run 1", reason="it drifts", now=now)

    def promoted(self, as_of: str, name: str = "") -> str:
        bundle = self.judged.bundle(as_of, name)
        assert self.judged.decide(bundle)["verdict"] == "promote"
        self.carry_out(as_of)
        return bundle

    def look(self, now: datetime = LATER, desk: RolloutDesk | None = None) -> Any:
        return (desk or self.desk).look(lambda _: self.seen, by="sensor", now=now)

    def through(self) -> None:
        """All steps but the last, without anything broken."""
        self.seen = [Leg(0, 0, Seen(20, 20), Seen(0, 20))]
        assert self.look().action == "advance"
        self.seen.append(Leg(1, 5_000, Seen(20, 40), Seen(20, 40)))

    @property
    def events(self) -> list[Any]:
        return self.release_desk.events()

    @property
    def live(self) -> str:
        return live(self.events).bundle


@pytest.fixture
def rolled(judged) -> Rolled:
    judged.make_live("2018-03")
    return Rolled(judged)


def test_the_first_release_is_direct_and_so_is_everything_without_a_strategy(judged):
    rolled = Rolled(judged)
    first = rolled.promoted("2018-03")
    assert rolled.live == first
    rolled = Rolled(judged, strategy="direct", steps=[])
    assert rolled.promoted("2018-06") == rolled.live
    assert judged.kinds() == ["decided", "released", "decided", "released"]


def test_a_promoted_candidate_is_rolled_out_and_then_released(rolled):
    champion = rolled.live
    candidate = rolled.promoted("2018-06")
    assert rolled.live == champion
    assert routing_of(rolled.events).shadows == (candidate,)
    assert rolled.look().action == "stay", "nothing was seen"
    rolled.through()
    assert [a.weight for a in routing_of(rolled.events).arms] == [5_000, 5_000]
    told = rolled.look(LATER + timedelta(hours=1))
    assert told.action == "promote"
    assert rolled.live == candidate
    assert rolled.judged.kinds()[2:] == ["decided", "rollout_begun", "rollout_moved", "released", "rollout_ended"]
    release = rolled.events[-2].facts
    assert (release["forced"], release["by"], release["reason"][:7]) == (False, "sensor", "rollout")
    assert rolled.look() is None, "none is open any more"
    assert audit(rolled.release_desk)[1] == []


def test_the_released_candidate_scores_nothing_again(rolled, monkeypatch):
    candidate = rolled.promoted("2018-06")
    monkeypatch.setattr(ReleaseDesk, "scored_until", lambda _: datetime(2018, 9, 1))
    rolled.through()
    rolled.look(LATER + timedelta(hours=1))
    assert (live(rolled.events).bundle, live(rolled.events).scores_from) == (candidate, datetime(2018, 9, 1))


def test_where_history_is_replayed_nothing_is_rolled_out(rolled):
    bundle = rolled.judged.bundle("2018-06")
    rolled.judged.decide(bundle)
    carry_out(rolled.release_desk, "2018-06", by="run 1", reason="it drifts", now=NOW, at_once=True)
    assert rolled.live == bundle
    assert rolled.desk.last() is None


def test_a_bad_candidate_is_rolled_back_and_stays_so(rolled):
    champion, candidate = rolled.live, rolled.promoted("2018-06")
    rolled.seen = [Leg(0, 0, Seen(1_000, 1_000, 1), Seen(0, 1_000, 50))]
    told = rolled.look()
    assert told.action == "roll_back"
    assert "errors: 50 of 1,000" in told.reasons[0]
    assert rolled.live == champion == routing_of(rolled.events).arms[0].bundle
    assert len(routing_of(rolled.events).arms) == 1
    rolled.carry_out("2018-06")
    assert open_rollout(rolled.events) is None, "what was turned down is not tried again"
    with pytest.raises(ReleaseRefused, match="its rollout ended in event"):
        rolled.release_desk.release(candidate, by="ann", reason="please")
    rolled.release_desk.release(candidate, by="ann", reason="I know better", forced=True)
    assert rolled.live == candidate


def test_a_newer_candidate_supersedes_the_one_under_way(rolled):
    rolled.promoted("2018-06")
    newer = rolled.promoted("2018-09")
    first, second = rollouts(rolled.events)
    assert (first.state.phase, second.state.phase, second.candidate) == ("superseded", "shadow", newer)
    assert f"another candidate begins: {newer[:12]}" in first.reasons[0]
    assert settled(rolled.events, "2018-06")
    assert audit(rolled.release_desk)[1] == []


def test_killed_between_superseding_and_beginning(rolled, monkeypatch):
    rolled.promoted("2018-06")
    append = type(rolled.judged.ledger).append

    def killed(ledger: Any, name: str, kind: str, facts: Any, **told: Any) -> Any:
        if kind == "rollout_begun":
            raise KeyboardInterrupt
        return append(ledger, name, kind, facts, **told)

    monkeypatch.setattr(type(rolled.judged.ledger), "append", killed)
    with pytest.raises(KeyboardInterrupt):
        rolled.promoted("2018-09")
    monkeypatch.undo()
    assert open_rollout(rolled.events) is None
    assert not settled(rolled.events, "2018-09")
    rolled.carry_out("2018-09")
    assert open_rollout(rolled.events).as_of == "2018-09"


def test_killed_between_release_and_end(rolled, monkeypatch):
    candidate = rolled.promoted("2018-06")
    rolled.through()
    append = type(rolled.judged.ledger).append

    def killed(ledger: Any, name: str, kind: str, facts: Any, **told: Any) -> Any:
        if kind == "rollout_ended":
            raise KeyboardInterrupt
        return append(ledger, name, kind, facts, **told)

    monkeypatch.setattr(type(rolled.judged.ledger), "append", killed)
    with pytest.raises(KeyboardInterrupt):
        rolled.look(LATER + timedelta(hours=1))
    monkeypatch.undo()
    assert rolled.live == candidate
    assert open_rollout(rolled.events) is not None
    assert [a.weight for a in routing_of(rolled.events).arms] == [10_000], "traffic is the champion's already"
    told = rolled.look(LATER + timedelta(hours=2))
    assert (told.action, told.state.phase) == ("promote", "promoted")
    assert rolled.judged.kinds().count("released") == 2, "the first champion's and this one"
    assert rolled.look() is None


def test_of_two_who_look_at_once_one_wins(rolled):
    rolled.promoted("2018-06")
    rolled.seen = [Leg(0, 0, Seen(20, 20), Seen(0, 20))]

    def meanwhile(_: Any) -> list[Leg]:
        assert rolled.look().action == "advance"
        return rolled.seen

    with pytest.raises(LedgerConflict):
        rolled.desk.look(meanwhile, by="the other sensor", now=LATER)
    assert rolled.judged.kinds().count("rollout_moved") == 1


@pytest.mark.parametrize("meanwhile", ["breaker", "pause"])
def test_nobody_releases_what_was_stopped_meanwhile(rolled, meanwhile):
    champion = rolled.live
    rolled.promoted("2018-06")
    rolled.through()

    def stopped(_: Any) -> list[Leg]:
        action = "abort" if meanwhile == "breaker" else "pause"
        rolled.desk.ask(action, by=meanwhile, reason="it fails", now=LATER)
        return rolled.seen

    with pytest.raises(LedgerConflict):
        rolled.desk.look(stopped, by="sensor", now=LATER + timedelta(hours=1))
    assert rolled.live == champion


def released_by_hand(rolled: Rolled, candidate: str) -> None:
    rolled.release_desk.release(candidate, by="ann", reason="at once")


def another_by_force(rolled: Rolled, _: str) -> None:
    rolled.release_desk.release(rolled.judged.bundle("2018-04"), by="ann", reason="hotfix", forced=True)


@pytest.mark.parametrize(
    ("does", "phase", "reason"),
    [(released_by_hand, "promoted", "is the champion since"), (another_by_force, "superseded", "became the champion")],
)
def test_a_person_who_releases_has_the_last_word(rolled, does, phase, reason):
    candidate = rolled.promoted("2018-06")
    does(rolled, candidate)
    assert len(routing_of(rolled.events).arms) == 1
    told = rolled.look()
    assert told.state.phase == phase
    assert reason in told.reasons[0]


def test_what_can_no_longer_be_released_goes_back(rolled):
    candidate = rolled.promoted("2018-06")
    rolled.through()
    (Path(rolled.judged.models.root) / candidate / "manifest.json").write_text("{}")
    told = rolled.look(LATER + timedelta(hours=1))
    assert (told.action, told.state.phase) == ("roll_back", "rolled_back")
    assert "it can't be released" in told.reasons[0]
    assert rolled.live != candidate


def test_persons_pause_resume_and_abort(rolled):
    with pytest.raises(ReleaseRefused, match="none is open"):
        rolled.desk.ask("pause", by="ann", reason="?", now=NOW)
    rolled.promoted("2018-06")
    rolled.seen = [Leg(0, 0, Seen(20, 20), Seen(0, 20))]
    assert rolled.desk.ask("pause", by="ann", reason="lunch", now=NOW).moves
    assert rolled.desk.ask("pause", by="ann", reason="lunch", now=NOW).action == "stay"
    assert rolled.look().action == "stay"
    rolled.desk.ask("resume", by="ann", reason="fed", now=LATER)
    assert rolled.look(LATER + timedelta(minutes=2)).action == "advance"
    rolled.desk.ask("abort", by="ann", reason="complaints", now=LATER)
    ended = rolled.events[-1]
    assert (ended.kind, ended.facts["action"], ended.facts["by"]) == ("rollout_ended", "abort", "ann")
    assert rolled.desk.now() is None


def test_a_damaged_candidate_does_not_begin(rolled):
    bundle = rolled.judged.bundle("2018-06")
    rolled.judged.decide(bundle)
    (Path(rolled.judged.models.root) / bundle / "manifest.json").write_text("{}")
    with pytest.raises(ReleaseRefused, match="nobody can force a damaged one"):
        rolled.carry_out("2018-06")
    assert open_rollout(rolled.events) is None


OUTCOMES = {"under way": "rolling_out", "abort": "rejected", "released": "promoted"}


@pytest.mark.parametrize("how", OUTCOMES)
def test_what_a_training_has_come_to(rolled, how):
    candidate = rolled.promoted("2018-06")
    assert settled(rolled.events, "2018-06"), "nothing of the training is left to do"
    if how == "abort":
        rolled.desk.ask("abort", by="ann", reason="no", now=NOW)
    elif how == "released":
        released_by_hand(rolled, candidate)
    assert [t.outcome for t in trainings(rolled.events)][-1] == OUTCOMES[how]
    assert decision_as_of(rolled.events, "2018-06").facts["verdict"] == "promote"


def test_what_can_not_see_its_losses_waits_says_so_and_leaves_the_champion(judged):
    from ml_assets.core.rollout.report import report

    judged.make_live("2018-03")
    rolled = Rolled(judged, paired=False, steps=[50], max_age="7d")
    champion = rolled.live
    rolled.promoted("2018-06")
    rolled.seen = [Leg(0, 5_000, Seen(20, 20), Seen(20, 20))]
    waiting = rolled.look()
    assert waiting.action == "stay"
    assert "a loss of +5.00% against the champion is not ruled out" in waiting.reasons[0]
    shown = report(rolled.desk.now(), rolled.seen)
    assert (shown["loss_ruled_out"]["holds"], shown["loss_ruled_out"]["missing"]) == (False, None)
    assert rolled.look(NOW + timedelta(days=8)).action == "expire"
    assert "is not ruled out" in "; ".join(rolled.events[-1].facts["reasons"])
    assert rolled.live == champion
    assert report(rolled.desk.last(), rolled.seen)["loss_ruled_out"] is None, "it has ended"
