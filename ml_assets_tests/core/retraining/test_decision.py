"""The retraining policy, state by state; each state is what is found, what was trained, and what the data are like."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.errors import ConfigError, EvidenceError
from ml_assets.core.retraining.causes import asked, first, scheduled
from ml_assets.core.retraining.decision import Decision, RetrainingRules, decide
from ml_assets.core.retraining.evidence import Evidence, Finding
from ml_assets.core.retraining.observed import Partition
from ml_assets.core.retraining.plan import Learning
from ml_assets.core.retraining.trainings import Plan, Training
from ml_assets.core.windows import Window

LEARNING = Learning(window=12, shortest=3, held=0.66, min_rows=500, tunes=True)
RULES = RetrainingRules(LEARNING)


def key(number: int) -> str:
    """The number of a month from 2019-01 on, 1 being that one."""
    return f"{2019 + (number - 1) // 12}-{(number - 1) % 12 + 1:02}"


def partition(number: int, **facts) -> Partition:
    begins, ends = (datetime.fromisoformat(f"{key(n)}-01") for n in (number, number + 1))
    return Partition(
        Window(key(number), begins, ends), **{"at": ends.replace(tzinfo=UTC), "rows": 1000, "labelled": 1000, **facts}
    )


def months(last: int, **facts) -> list[Partition]:
    """The months through a number, the last one with these facts."""
    return [*(partition(n) for n in range(1, last)), partition(last, **facts)]


def drift(number: int, champion: str = "a", *, abrupt: bool = False, version: str = "v1") -> Finding:
    return Finding(
        "reference_outdated", "drift", key(number), "2 of the last 3 reports drifted", champion,
        versions={"features": f"f{number}{version}"}, abrupt=abrupt,
    )  # fmt: skip


def broken(number: int, champion: str = "a") -> Finding:
    return Finding("reference_outdated", "performance", key(number), "the bound is broken", champion)


def overdue(number: int, champion: str = "a") -> Finding:
    return Finding("overdue", "monitor", key(number), "no report", champion)


def stale(number: int, champion: str = "a") -> Finding:
    return Finding("unjudged", "monitor", key(number), "no report covers it", champion)


def tick(number: int) -> Finding:
    return scheduled(datetime.fromisoformat(f"{key(number)}-02T06:00+00:00"), "0 6 2 * *", "a")


PERSON = asked("17", "ann", "a new tariff", "a")


def trained(number: int, outcome: str, *findings: Finding, bundle: str | None = None, **plan) -> Training:
    asked_for = Plan(**{"as_of": key(number), "how": "refit", "window": 12, **plan})
    return Training(key(number), outcome, Evidence.of(findings), asked_for, bundle)


D14, D15, D16 = drift(14), drift(15), drift(16)
REFUSED = trained(15, "rejected", D14, D15)
USED = [trained(n, "promoted", drift(n), bundle=f"old{n}") for n in (5, 7, 9, 11)]
DEFECT = months(16, defects=("quarantine",))
OLD_DEFECT = {n: [*months(n, defects=("contract",)), *months(16)[n:]] for n in (4, 5)}

STATES = [
    # name, findings, partitions, trainings, action, what the decisive reason says
    ("nothing", [], months(15), [], "ignore", "nothing is stale"),
    ("a report is missing", [stale(15)], months(15), [], "refresh", "no report covers it"),
    ("drifted", [D14, D15], months(15), [], "retrain", "2 of the last 3"),
    ("realised error", [broken(15)], months(15), [], "retrain", "the bound is broken"),
    ("the monitor is blind", [overdue(15), stale(15)], months(15), [], "retrain", "no report"),
    ("no champion yet", first(months(12), None, 12), months(12), [], "retrain", "no champion yet"),
    ("schedule", [tick(16)], months(15), [], "retrain", "schedule 0 6 2 * *"),
    ("a person", [PERSON], months(15), [], "retrain", "ann asks: a new tariff"),
    ("nothing landed", [D14, D15], [], [], "ignore", "no partition has landed"),
    ("only expected partitions", [overdue(1)], months(1, landed=False), [], "ignore", "no partition has landed"),
    # one cause, one training
    ("decided, no run yet", [D14, D15], months(15), [trained(15, "requested", D14, D15)], "retrain", "same request"),
    ("in flight", [D14, D15], months(15), [trained(15, "running", D14, D15)], "ignore", "answered"),
    ("in flight, new evidence", [D15, D16], months(16), [trained(15, "running", D14, D15)], "ignore", "under way"),
    ("in flight by hand", [D14, D15], months(15), [Training(key(15), "running")], "ignore", "under way"),
    ("in flight, a person asks", [PERSON], months(15), [trained(15, "running", D14)], "ignore", "under way"),
    ("rolled out", [D14, D15], months(15), [trained(15, "rolling_out", D14, D15)], "ignore", "answered"),
    ("rolled out, new evidence", [D15, D16], months(16), [trained(15, "rolling_out", D14, D15)], "ignore",
     "is being rolled out"),
    ("rolled out, a person asks", [PERSON], months(16), [trained(15, "rolling_out", D14)], "retrain", "ann asks"),
    ("in flight, a report is missing", [D14, D15, stale(16)], months(16), [trained(15, "running", D14, D15)],
     "refresh", "no report covers it"),
    ("rejected, nothing new", [D14, D15], months(16), [REFUSED], "ignore", "answered by the training as of 2020-03"),
    ("undecided, nothing new", [D14, D15], months(16), [trained(15, "undecided", D14, D15)], "ignore", "answered"),
    ("failed, nothing new", [D14, D15], months(16), [trained(15, "failed", D14, D15)], "ignore", "re-execute its run"),
    ("rejected, less than before", [D15], months(16), [REFUSED], "ignore", "answered"),
    ("rejected, one more drifted", [D14, D15, D16], months(16), [REFUSED], "retrain", "2 of the last 3"),
    ("rejected, one more of the last n", [D15, D16], months(16), [REFUSED], "retrain", "2 of the last 3"),
    ("rejected, other content drifted", [D14, drift(15, version="v2")], months(16), [REFUSED], "retrain", "2 of"),
    ("rejected, error broke its bound too", [D14, D15, broken(16)], months(16), [REFUSED], "retrain", "2 of the"),
    ("promoted, drifted from the new champion", [drift(16, "b"), drift(17, "b")], months(17),
     [trained(15, "promoted", D14, D15, bundle="b")], "retrain", "2 of the last 3"),
    ("first model rejected, one more landed", first(months(13), None, 12), months(13),
     [trained(12, "rejected", *first(months(12), None, 12))], "retrain", "no champion yet"),
    ("first model rejected, nothing new", first(months(12), None, 12), months(12),
     [trained(12, "rejected", *first(months(12), None, 12))], "ignore", "answered"),
    # cooldown
    ("cooldown", [D14, D15, broken(15)], months(15), [REFUSED], "ignore", "cooldown: 0 partitions since"),
    ("cooldown: what has not landed does not count", [D14, D15, D16], months(16, landed=False), [REFUSED],
     "ignore", "cooldown: 0"),
    ("cooldown over", [D14, D15, broken(15)], months(16), [REFUSED], "retrain", "2 of the last 3"),
    ("cooldown, a person asks", [PERSON], months(15), [REFUSED], "retrain", "ann asks"),
    ("cooldown after a training by hand", [D14, D15], months(15), [Training(key(15), "promoted", bundle="a")],
     "ignore", "cooldown"),
    ("cooldown, schedule", [tick(16)], months(15), [REFUSED], "ignore", "cooldown"),
    # budget
    ("budget used up", [D14, D15], months(15), USED, "ignore", "budget used up: 4 of 4 retrainings in the last 12"),
    ("budget is free again", [D14, D15], months(17), USED, "retrain", "2 of the last 3"),
    ("budget used up, a person asks", [PERSON], months(15), USED, "retrain", "ann asks"),
    ("budget used up, a person asks too", [D14, D15, PERSON], months(15), USED, "retrain", "ann asks"),
    ("budget used up, no champion", first(months(15), None, 12), months(15), USED, "retrain", "no champion"),
    ("half used: schedule leaves the reserve", [tick(16)], months(15), USED[2:], "ignore",
     "budget used up: 2 of 2 retrainings in the last 12 partitions (2019-09 … 2019-11), 2 of 4 kept"),
    ("half used: a blind monitor leaves the reserve", [overdue(15)], months(15), USED[2:], "ignore", "kept for drift"),
    ("half used: drift takes it", [D14, D15, tick(16)], months(15), USED[2:], "retrain", "2 of the last 3"),
    ("asked by people: no budget", [D14, D15], months(15), [trained(n, "promoted", PERSON) for n in (5, 7, 9, 11)],
     "retrain", "2 of the last 3"),
    # broken data
    ("broken data", [D15, D16], DEFECT, [], "block", "broken data among the 12 partitions to learn from"),
    ("a month has not landed", [D15, D16], [*months(9, landed=False), *months(16)[9:]], [], "block",
     "2019-09: has not landed"),
    ("a month never lands, which was accepted", [D15, D16],
     [*months(9, landed=False, accepted=True), *months(16)[9:]], [], "retrain", "2 of the last 3"),
    ("a month that was accepted as missing landed broken", [D15, D16],
     [*months(9, accepted=True, defects=("rows",)), *months(16)[9:]], [], "block", "2019-09: rows"),
    ("broken data, a person asks", [PERSON], DEFECT, [], "block", "2020-04: quarantine"),
    ("broken data, nothing asks", [], DEFECT, [], "ignore", "nothing is stale"),
    ("broken data and a report is missing", [D15, D16, stale(14)], DEFECT, [], "block", "broken data"),
    ("broken data and the budget used up", [D15, D16], DEFECT, USED[:1] * 4, "block", "broken data"),
    ("repaired", [D15, D16], months(16), [], "retrain", "2 of the last 3"),
    ("broken before the window", [D15, D16], OLD_DEFECT[4], [], "retrain", "2 of"),
    ("broken at the window's start", [D15, D16], OLD_DEFECT[5], [], "block", "2019-05: contract"),
    ("broken before an abrupt change", [drift(15, abrupt=True), D16], OLD_DEFECT[5], [], "retrain", "2 of"),
    # labels
    ("label outage", [D14, D15], months(15, labelled=100), [], "ignore", "labels of 2020-03 are waited for: 100 of"),
    ("no rows", [D14, D15], months(15, rows=0, labelled=0), [], "ignore", "labels of 2020-03 are waited for: 0 of 0"),
    ("labels are there", [D14, D15], months(15, labelled=500), [], "retrain", "2 of the last 3"),
    ("too little to learn from", [D14, D15], [partition(n, rows=20, labelled=20) for n in range(1, 16)], [], "ignore",
     "too little to learn from: 227 rows, 500 are needed"),
]  # fmt: skip


@pytest.mark.parametrize("state", STATES, ids=[s[0] for s in STATES])
def test_state(state):
    _, findings, partitions, trainings, action, reason = state
    evidence = Evidence.of(findings)
    decision = decide(evidence, partitions, trainings, RULES)
    assert decision.action == action
    assert reason in decision.reasons[0], decision.reasons
    retrains = action == "retrain"
    assert retrains == (decision.key is not None) == (decision.plan is not None)
    assert decide(Evidence.of(findings[::-1]), partitions[::-1], trainings, RULES) == decision
    assert Decision.from_json(json.loads(json.dumps(decision.to_json()))) == decision
    assert Decision.from_json(decision.to_json()).digest == decision.digest
    if retrains:
        past = [t for t in trainings if t.outcome != "requested"]
        assert decide(decision.evidence, partitions, [*past, _ended(decision, "rejected")], RULES).action != "retrain"


def _ended(decision: Decision, outcome: str) -> Training:
    return Training(decision.plan.as_of, outcome, decision.evidence, decision.plan, bundle="c")


def test_a_request_whose_run_never_began_is_repeated_with_its_key_and_plan_whatever_was_found_since():
    asked_for = decide(Evidence.of([D14, D15]), months(15), [], RULES)
    lost = _ended(asked_for, "requested")
    again = decide(Evidence.of([D14, D15, D16]), months(16), [lost], RULES)
    assert (again.key, again.plan, again.evidence) == (asked_for.key, asked_for.plan, asked_for.evidence)


def test_two_sensors_that_see_the_same_give_one_key_and_new_evidence_another():
    one, other = (decide(Evidence.of(f), months(15), [], RULES) for f in ([D14, D15], [D15, D14, D14]))
    assert one.key == other.key
    assert decide(Evidence.of([D15, D16]), months(16), [REFUSED], RULES).key != one.key
    re_made = replace(D15, ids={"report": "another run"}, words="3 of 4", numbers={"bad": 3})
    assert Evidence.of([D14, re_made]).key == one.key, "a report made again from the same content"


def test_a_request_and_a_tick_are_answered_once_also_by_a_training_that_changes_the_champion():
    for before, after in ((PERSON, replace(PERSON, champion="b")), (tick(16), replace(tick(16), champion="b"))):
        done = trained(15, "promoted", before, bundle="b")
        assert decide(Evidence.of([after]), months(17), [done], RULES).action == "ignore"
        assert len(Evidence.of([before, after]).findings) == 1


def test_what_was_known_to_a_training_is_no_new_evidence_when_only_bounds_change():
    late = replace(broken(14), numbers={"rows": 900})
    asked_for = decide(Evidence.of([tick(16)]), months(15), [], RULES, {D14.identity: 0, late.identity: 900})
    assert asked_for.numbers["seen"] == {D14.identity: 0, late.identity: 900}
    known = replace(_ended(asked_for, "rejected"), seen=asked_for.numbers["seen"])

    def after(*findings: Finding) -> Decision:
        return decide(Evidence.of(findings), months(17), [known], RULES)

    assert after(D14, late).action == "ignore"
    assert after(D14, late).reasons[0].startswith("answered by the training as of 2020-03 (rejected)")
    assert after(D14, D16).action == "retrain", "a month that came later"
    assert after(D15).action == "retrain", "a month that had no report then"
    assert after(replace(late, numbers={"rows": 901})).action == "retrain", "more labels are known"
    assert after(drift(14, version="v2")).action == "retrain", "the rows were repaired"
    assert after(drift(14, "b")).action == "retrain", "another champion"


def test_a_schedule_learns_from_what_the_champion_was_shortened_to():
    done = trained(15, "promoted", drift(15, "z", abrupt=True), bundle="a", since=key(14), window=3)
    plan = decide(Evidence.of([tick(18)]), months(18), [done], RULES).plan
    assert (plan.window, plan.since) == (5, key(14))


def test_refreshes_are_one_run_per_content_and_champion():
    found = [stale(14), stale(15), replace(stale(15), reason="superseded"), D14]
    keys = Evidence.of(found).refreshes
    assert list(keys) == ["2020-02", "2020-03"]
    assert Evidence.of([stale(14)]).refreshes["2020-02"] == keys["2020-02"], "others don't change it"
    assert Evidence.of([stale(14, "b")]).refreshes["2020-02"] != keys["2020-02"]
    newer = replace(stale(14), versions={"features": "v2"})
    assert Evidence.of([newer]).refreshes["2020-02"] != keys["2020-02"]


def test_a_decision_says_all_that_speaks_against_it():
    decision = decide(Evidence.of([D14, D15, broken(15)]), months(15, labelled=0), [*USED, REFUSED], RULES)
    assert [r.split(":")[0] for r in decision.reasons[:2]] == ["cooldown", "budget used up"]
    assert "labels of 2020-03 are waited for" in decision.reasons[2]
    assert decision.numbers == {
        "landed_since_training": 0, "cooldown": 1, "used": 5, "allowed": 4, "runs": 4, "per": 12, "labelled": 0.0,
        "rows": 11000,
    }  # fmt: skip


def test_every_rule_changes_something():
    def action(findings, partitions, trainings, **rules):
        return decide(Evidence.of(findings), partitions, trainings, replace(RULES, **rules)).action

    new = [D14, D15, broken(15)]
    assert [action(new, months(15), [REFUSED], cooldown=c) for c in (0, 1)] == ["retrain", "ignore"]
    assert [action([tick(16)], months(15), [REFUSED], cooldown=c) for c in (0, 1)] == ["ignore", "ignore"]
    assert [action(new, months(17), [REFUSED], cooldown=c) for c in (2, 3)] == ["retrain", "ignore"]
    assert [action(new, months(15), USED, runs=r) for r in (5, 4)] == ["retrain", "ignore"]
    assert [action(new, months(15), USED, per=p) for p in (10, 11)] == ["retrain", "ignore"]
    assert [action([tick(16)], months(15), USED[3:], reserve=r) for r in (2, 3)] == ["retrain", "ignore"]
    assert action(new, months(15), [], runs=0, reserve=0) == "ignore"


def test_impossible_rules_are_refused_all_at_once():
    with pytest.raises(ConfigError) as caught:
        RetrainingRules(LEARNING, cooldown=-1, runs=1, per=0, reserve=2, cause=0)
    assert len(caught.value.found) == 4


def test_what_was_changed_since_it_was_written_is_refused():
    record = decide(Evidence.of([D14, D15]), months(15), [], RULES).to_json()
    record["evidence"]["findings"][0]["subject"] = "2020-01"
    with pytest.raises(EvidenceError, match="key"):
        Decision.from_json(record)
    for wrong in ({"reason": "bored"}, {"mood": "bad"}):
        with pytest.raises(EvidenceError):
            Finding.from_json({**D14.to_json(), **wrong})
    with pytest.raises(EvidenceError):
        Plan.from_json({"as_of": "2020-01"})


def test_a_first_model_waits_for_a_learning_window():
    assert first(months(11), None, 12) == first(months(12, landed=False), None, 12) == ()
    assert first(months(12), "a", 12) == ()


# Properties

FINDINGS = st.lists(
    st.one_of(
        st.builds(drift, st.integers(10, 16), st.sampled_from("ab"), abrupt=st.booleans()),
        st.builds(broken, st.integers(10, 16)),
        st.builds(overdue, st.integers(10, 16)),
        st.builds(tick, st.integers(10, 16)),
        st.builds(stale, st.integers(10, 16)),
        st.just(PERSON),
    ),
    max_size=6,
)
PAST = st.lists(
    st.builds(
        lambda n, outcome, found: trained(n, outcome, *found),
        st.integers(1, 16),
        st.sampled_from(["running", "promoted", "rejected", "undecided", "failed"]),
        FINDINGS,
    ),
    max_size=5,
)


@settings(max_examples=200, deadline=None)
@given(FINDINGS, st.randoms())
def test_the_same_evidence_has_the_same_key_in_any_order(findings, chance):
    shuffled = chance.sample(findings, len(findings))
    assert Evidence.of(findings).key == Evidence.of(shuffled, findings[:2]).key
    assert Evidence.from_json(json.loads(json.dumps(Evidence.of(findings).to_json()))) == Evidence.of(findings)


@settings(max_examples=300, deadline=None)
@given(FINDINGS, FINDINGS, PAST)
def test_more_evidence_never_silences_a_retraining(findings, more, past):
    before = decide(Evidence.of(findings), months(16), past, RULES)
    after = decide(Evidence.of(findings, more), months(16), past, RULES)
    if before.action == "retrain":
        assert after.action == "retrain", "with the same trainings nothing is busier than before"


@settings(max_examples=100, deadline=None)
@given(st.lists(FINDINGS, min_size=1, max_size=12), st.data())
def test_no_key_is_ever_asked_for_twice(stream, data):
    past: list[Training] = []
    keys = []
    for number, findings in enumerate(stream, start=14):
        for _ in range(2):
            decision = decide(Evidence.of(findings), months(number), past, RULES)
            if decision.action == "retrain":
                keys.append(decision.key)
                outcome = data.draw(st.sampled_from(["running", "promoted", "rejected", "undecided", "failed"]))
                past.append(_ended(decision, outcome))
        past = [replace(t, outcome="rejected") if t.outcome == "running" else t for t in past]
    assert len(keys) == len(set(keys))
    assert len(keys) <= len(stream), "not a storm: at most one per partition"
