"""Who answers after every kind of event."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ml_assets.core.errors import EvidenceError
from ml_assets.core.releases import GENESIS, ROLLOUT_BEGUN, Event, is_overtaken, told
from ml_assets.core.rollout.breaker import Breaker
from ml_assets.core.rollout.recorded import begun_facts, kind_of, moved_facts, next_id, open_rollout, rollouts
from ml_assets.core.rollout.routes import routing_of
from ml_assets.core.rollout.rules import Rules
from ml_assets.core.rollout.state import Action, Phase, State, Transition

NOW = datetime(2020, 5, 1, 12, tzinfo=UTC)
A, B, C = "a" * 64, "b" * 64, "c" * 64


class History(list[Event]):
    """Events as they come; each method adds one and gives the history back."""

    def add(self, kind: str, facts: dict[str, Any]) -> "History":
        self.append(Event("p", len(self) + 1, kind, facts, GENESIS, ""))
        return self

    def release(self, bundle: str, kind: str = "released", **facts: str) -> "History":
        at = "2020-04-01T00:00:00"
        about = {"record": None, "forced": False, "by": "ann", "reason": "asked"}
        return self.add(
            kind, {"bundle": bundle, "as_of": "2020-03", "as_of_end": at, "scores_from": at, **about, **facts}
        )

    def begin(self, candidate: str, champion: str = A, weight: int = 0, phase: Phase = "shadow") -> "History":
        state = State(phase, 0, weight, NOW, NOW)
        begun = Transition("advance", state, ("it was promoted",))
        record = {"as_of": "2020-04", "sha256": f"record of {candidate[0]}"}
        rules = Rules(breaker=Breaker(window=30)).to_json()
        facts = begun_facts(next_id(self, candidate), champion, candidate, record, rules, begun, "run 1")
        return self.add(ROLLOUT_BEGUN, facts)

    def move(self, action: Action, phase: Phase, weight: int = 0, **changes: Any) -> "History":
        rollout = open_rollout(self)
        moved = Transition(action, State(phase, 1, weight, NOW, NOW, **changes), ("because",))
        return self.add(kind_of(moved), moved_facts(rollout, moved, "sensor"))


def weights(history: History) -> list[tuple[str, str, int]]:
    return [(a.variant, a.bundle[0], a.weight) for a in routing_of(history).arms]


def test_before_the_first_release_nobody_answers():
    assert routing_of([]) is None
    assert routing_of(History().begin(B)) is None


def test_a_champion_alone_and_the_one_before_kept_warm():
    routing = routing_of(History().release(A))
    assert (routing.champion, routing.salt, routing.shadows, routing.standby) == (A, "", (), ())
    assert routing_of(History().release(A).release(B)).standby == (A,)


CASES = {
    "shadow": (History().release(A).begin(B), [("champion", "a", 10_000), ("candidate", "b", 0)], "b"),
    "5 %": (
        History().release(A).begin(B).move("advance", "canary", 500),
        [("champion", "a", 9_500), ("candidate", "b", 500)],
        "ab",
    ),
    "5 %, not paired": (
        History().release(A).begin(B).move("advance", "canary", 500, paired=False),
        [("champion", "a", 9_500), ("candidate", "b", 500)],
        "",
    ),
    "paused at 25 %": (
        History().release(A).begin(B, weight=2_500, phase="canary").move("pause", "canary", 2_500, paused=NOW),
        [("champion", "a", 7_500), ("candidate", "b", 2_500)],
        "ab",
    ),
    "green": (
        History().release(A).begin(B).move("advance", "green", 10_000),
        [("champion", "a", 0), ("candidate", "b", 10_000)],
        "a",
    ),
    "rolled back": (
        History().release(A).begin(B, weight=500, phase="canary").move("roll_back", "rolled_back"),
        [("champion", "a", 10_000)],
        "",
    ),
    "aborted": (History().release(A).begin(B).move("abort", "aborted"), [("champion", "a", 10_000)], ""),
    "released, the end not yet written": (
        History().release(A).begin(B, weight=10_000, phase="canary").release(B),
        [("champion", "b", 10_000)],
        "",
    ),
    "somebody went back meanwhile": (
        History().release(C).release(A).begin(B, weight=500, phase="canary").release(C, "rolled_back", from_bundle=A),
        [("champion", "c", 10_000)],
        "",
    ),
    "a newer one began": (
        History().release(A).begin(B, weight=500, phase="canary").move("supersede", "superseded").begin(C),
        [("champion", "a", 10_000), ("candidate", "c", 0)],
        "c",
    ),
    "a newer one began, the end of the older not yet written": (
        History().release(A).begin(B, weight=500, phase="canary").begin(C),
        [("champion", "a", 10_000), ("candidate", "c", 0)],
        "c",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_who_answers(case):
    history, arms, shadows = CASES[case]
    assert weights(history) == arms
    assert "".join(s[0] for s in routing_of(history).shadows) in (shadows, shadows[::-1])
    salt = open_rollout(history).id if len(arms) > 1 else ""
    assert routing_of(history).salt == salt
    assert routing_of(history).breaker == (Breaker(window=30) if salt else None)


def test_rollouts_are_read_back():
    history = History().release(A).begin(B).move("abort", "aborted").begin(C).move("advance", "canary", 500)
    first, second = rollouts(history)
    assert (first.id, first.candidate, first.state.phase, first.record) == (f"{B[:12]}-1", B, "aborted", "record of b")
    assert (second.id, second.champion, second.state.weight, second.reasons) == (f"{C[:12]}-2", A, 500, ["because"])
    assert open_rollout(history) == second
    assert open_rollout(history[:3]) is None
    assert told(history[2]) == f"rollout {B[:12]}-1, abort by sensor: because"


def test_a_state_survives_its_json_and_anything_else_is_refused():
    state = State("canary", 2, 2_500, NOW, NOW, paused=NOW, paired=False)
    assert State.from_json(state.to_json()) == state
    for broken in ({}, {**state.to_json(), "since": "yesterday"}, {**state.to_json(), "more": 1}):
        with pytest.raises(EvidenceError, match=r"State\.to_json"):
            State.from_json(broken)


OVERTAKING = {
    # kind: which kinds of an event meanwhile speak against it
    "decided": {"decided", "released", "rolled_back"},
    "released": {"decided", "released", "rolled_back", "rollout_begun", "rollout_moved", "rollout_ended"},
    "rolled_back": {"decided", "released", "rolled_back", "rollout_begun", "rollout_moved", "rollout_ended"},
    "rollout_moved": {"decided", "released", "rolled_back", "rollout_begun", "rollout_moved", "rollout_ended"},
    "rollout_ended": {"decided", "released", "rolled_back", "rollout_begun", "rollout_moved", "rollout_ended"},
    "judged": {"decided", "released", "rolled_back", "judged", "asked", "training_begun", "training_ended"},
    "training_begun": {"decided", "released", "rolled_back", "judged", "asked", "training_begun", "training_ended"},
}  # fmt: skip


@pytest.mark.parametrize("kind", OVERTAKING)
def test_what_an_event_rests_on(kind):
    kinds = set().union(*OVERTAKING.values())
    found = {k for k in kinds if is_overtaken(kind, History().add("asked", {}).add(k, {}), after=1)}
    assert found == OVERTAKING[kind]
    assert is_overtaken(kind, [], after=1), "events are missing"
