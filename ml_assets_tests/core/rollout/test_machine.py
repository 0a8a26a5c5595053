"""What follows from a look, as a table: state and what was seen in, action and reasons out."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ml_assets.core.errors import ConfigError, EvidenceError
from ml_assets.core.rollout.differences import ruled_out
from ml_assets.core.rollout.machine import abort, begin, pause, released, resume, step, supersede, turn_down
from ml_assets.core.rollout.observed import Sums
from ml_assets.core.rollout.rules import STEPS, Guardrails, Rules
from ml_assets.core.rollout.state import OVER
from ml_assets_tests.core.rollout.legs import BLUE_GREEN, CANARY, LATER, NOW, at, leg

SHADOW, FIVE = at(0), at(1)
FEARED = replace(CANARY, guardrails=Guardrails(loss_ruled_out=0.05))
ALONE = replace(FEARED, steps=(5_000,), paired=False)
CASES = {
    # name: state, legs, rules, time after the beginning, action, phase and weight then, a reason
    "nothing was seen": (SHADOW, [], CANARY, 60, "stay", ("shadow", 0), "shadow: 0 of 1,000 requests"),
    "a period without requests": (SHADOW, [leg(rows=0, labels=0)], CANARY, 60, "stay", ("shadow", 0), "0 of 1,000"),
    "too few requests": (SHADOW, [leg(rows=900)], CANARY, 60, "stay", ("shadow", 0), "900 of 1,000 requests"),
    "too soon": (SHADOW, [leg()], CANARY, 5, "stay", ("shadow", 0), "5 min of 10 min"),
    "shadow is done": (SHADOW, [leg()], CANARY, 60, "advance", ("canary", 500), "from shadow to 5 %"),
    "requests of an earlier step don't count": (FIVE, [leg()], CANARY, 60, "stay", ("canary", 500), "5 %: 0 of 1,000"),
    "5 % is done": (
        FIVE, [leg(), leg(1, 500, 21_000)], CANARY, 60, "advance", ("canary", 2_500), "from 5 % to 25 %"
    ),
    "5 % answered by the champion only": (
        FIVE, [leg(), leg(1, 500, 19_000)], CANARY, 60, "stay", ("canary", 500), "950 of 1,000"
    ),
    "all is done": (at(4), [leg(4, 10_000)], CANARY, 60, "promote", ("promoted", 10_000), "no guardrail is broken"),
    "all is done but for labels": (
        at(4), [leg(4, 10_000, labels=500)], replace(CANARY, min_labels=600), 60, "stay", ("canary", 10_000),
        "500 of 600 labels",
    ),
    "labels are not waited for earlier": (
        FIVE, [leg(1, 500, 21_000, labels=0)], replace(CANARY, min_labels=600), 60, "advance", ("canary", 2_500), "25 %"
    ),
    "it fails beside": (
        SHADOW, [leg(failed=(2, 40))], CANARY, 1, "roll_back", ("rolled_back", 0),
        "errors: 40 of 2,000 requests (2.00%)",
    ),
    "both fail": (SHADOW, [leg(failed=(41, 40))], CANARY, 60, "advance", ("canary", 500), "from shadow"),
    "it fails surely more, but hardly ever": (
        SHADOW, [leg(rows=20_000, failed=(0, 40))], CANARY, 60, "advance", ("canary", 500), "0.50% above"
    ),
    "it is slow": (
        FIVE, [leg(1, 500, 40_000, slow=2.0)], CANARY, 1, "roll_back", ("rolled_back", 0), "limit 1.5"
    ),
    "it is a little slower": (FIVE, [leg(1, 500, 40_000, slow=1.3)], CANARY, 60, "advance", ("canary", 2_500), "5 %"),
    "green is slower than blue was": (
        at(1, BLUE_GREEN), [leg(), leg(1, 10_000, slow=2.5)], BLUE_GREEN, 60,
        "roll_back", ("rolled_back", 0), "latency: p99",
    ),
    "it predicts something else": (
        SHADOW, [leg(shift=-0.7)], CANARY, 1, "roll_back", ("rolled_back", 0), "predictions: -0.6"
    ),
    "it predicts a little else": (
        SHADOW, [leg(shift=0.3)], CANARY, 60, "advance", ("canary", 500), "predictions: +0."
    ),
    "its loss is higher": (
        SHADOW, [leg(worse=0.05)], CANARY, 1, "roll_back", ("rolled_back", 0), "loss: +5"
    ),
    "its loss is hardly higher": (SHADOW, [leg(worse=0.005)], CANARY, 60, "advance", ("canary", 500), "limit +1.00%"),
    "its loss is higher on few labels": (
        SHADOW, [leg(worse=0.5, labels=90)], CANARY, 60, "advance", ("canary", 500), "below 100 nothing is concluded"
    ),
    "its loss is estimated to be higher": (
        SHADOW, [leg(labels=0) , leg(estimated=0.2, labels=1_000, worse=-0.1)], CANARY, 1, "roll_back",
        ("rolled_back", 0), "estimated loss: +",
    ),
    "a guardrail that is off": (
        SHADOW, [leg(worse=0.05, failed=(2, 40), shift=0.7, estimated=0.3)],
        replace(CANARY, guardrails=Guardrails(errors=None, prediction_shift=None, loss=None, estimated_loss=None)), 60,
        "advance", ("canary", 500), "from shadow",
    ),
    "paused": (
        at(0, paused=NOW), [leg()], CANARY, 60, "stay", ("shadow", 0), "paused since 2020-05-01 12:00"
    ),
    "paused and bad": (at(0, paused=NOW), [leg(worse=0.05)], CANARY, 60, "roll_back", ("rolled_back", 0), "loss: +5"),
    "too old": (SHADOW, [leg(rows=10)], CANARY, 49 * 60, "expire", ("expired", 0), "2 d 1 h old, at most 2 d"),
    "old, and paused most of the time": (
        at(0, held=2 * 86_400.0, since=NOW + timedelta(days=2)), [leg(rows=10)], CANARY, 49 * 60, "stay",
        ("shadow", 0), "10 of 1,000",
    ),
    "a loss is ruled out only before the champion answers nothing": (
        at(2, FEARED), [leg(2, 2_500, 6_000, labels=0)], FEARED, 60, "advance", ("canary", 5_000), "25 %"
    ),
    "no label rules a loss out": (
        at(3, FEARED), [leg(3, 5_000, labels=0)], FEARED, 60, "stay", ("canary", 5_000),
        "a loss of +5.00% against the champion is not ruled out: +0.00% on 0 rows; how many labels are needed can't be",
    ),
    "too few labels rule it out": (
        at(3, FEARED), [leg(3, 5_000, labels=150)], FEARED, 60, "stay", ("canary", 5_000), "more labels are needed"
    ),
    "enough labels rule it out": (at(3, FEARED), [leg(3, 5_000)], FEARED, 60, "advance", ("canary", 10_000), "50 %"),
    "once it answers everything, no label is waited for": (
        at(4, FEARED), [leg(4, 10_000, labels=0)], FEARED, 60, "promote", ("promoted", 10_000), "all steps"
    ),
    "a loss as high as is feared": (
        at(3, FEARED), [leg(3, 5_000, worse=0.049, labels=150)], FEARED, 60, "stay", ("canary", 5_000), "not ruled out"
    ),
    "too old, and labels are missing": (
        at(3, FEARED), [leg(3, 5_000, labels=150)], FEARED, 49 * 60, "expire", ("expired", 0), "more labels are needed"
    ),
    "arms of a few thousand rows can't tell": (
        at(0, ALONE), [leg(0, 5_000, 4_000, labels=4_000, paired=False)], ALONE, 60, "stay", ("canary", 5_000),
        "more labels are needed",
    ),
    "arms of many rows can": (
        at(0, ALONE), [leg(0, 5_000, 90_000, labels=90_000, paired=False)], ALONE, 60, "promote",
        ("promoted", 10_000), "all steps",
    ),
    "arms of many rows find a higher loss": (
        at(0, ALONE), [leg(0, 5_000, 90_000, worse=0.06, labels=90_000, paired=False)], ALONE, 60, "roll_back",
        ("rolled_back", 0), "loss: +",
    ),
    "it has ended": (at(0, phase="rolled_back"), [leg()], CANARY, 60, "stay", ("rolled_back", 0), "it has ended"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_look(case):
    state, legs, rules, minutes, action, then, reason = CASES[case]
    told = step(state, legs, rules, NOW + timedelta(minutes=minutes))
    assert (told.action, (told.state.phase, told.state.weight)) == (action, then), told.reasons
    assert reason in "; ".join(told.reasons)
    assert told.moves == (action != "stay")
    if action == "advance":
        assert told.state.since == NOW + timedelta(minutes=minutes)
    if action == "roll_back":
        assert told.evidence["findings"], "what it rests on is written down"
        assert told.state.weights == {"champion": 10_000, "candidate": 0}


def test_a_rollout_from_its_beginning_to_its_release():
    told, clock, legs = begin(CANARY, NOW, "it was promoted"), NOW, []
    path = [(told.state.phase, told.state.weight)]
    while not told.state.over:
        clock += timedelta(minutes=11)
        rows = 1_500 if told.state.weight == 0 else round(1_100 * 10_000 / told.state.weight)
        legs.append(leg(told.state.step, told.state.weight, rows))
        told = step(told.state, legs, CANARY, clock)
        path.append((told.state.phase, told.state.weight))
    assert path == [
        ("shadow", 0), ("canary", 500), ("canary", 2_500), ("canary", 5_000), ("canary", 10_000), ("promoted", 10_000)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("strategy", "steps", "phases"),
    [
        ("shadow", None, ["shadow", "promoted"]),
        ("blue_green", None, ["shadow", "green", "promoted"]),
        ("blue_green", (10_000,), ["green", "promoted"]),
        ("canary", (1_000, 5_000), ["canary", "canary", "promoted"]),
    ],
)
def test_the_phases_of_the_strategies(strategy, steps, phases):
    rules = Rules(strategy, steps or STEPS[strategy], min_requests=100, min_time=timedelta(0))
    told, legs = begin(rules, NOW, ""), []
    found = [told.state.phase]
    while not told.state.over and len(found) < 9:
        legs.append(leg(told.state.step, told.state.weight))
        told = step(told.state, legs, rules, LATER)
        found.append(told.state.phase)
    assert found == phases


def test_unpaired_losses_of_periods_with_other_shares_are_not_mixed_up():
    # In the second period all is three times as hard, and the candidate answers most of it.
    rules = replace(CANARY, paired=False, guardrails=Guardrails(prediction_shift=None, estimated_loss=None))
    easy = leg(1, 500, 20_000, labels=20_000, paired=False)
    told = leg(2, 9_000, 20_000, labels=20_000, paired=False)
    hard = replace(
        told,
        champion=replace(told.champion, losses=tripled(told.champion.losses)),
        candidate=replace(told.candidate, losses=tripled(told.candidate.losses)),
    )
    pooled = (easy.candidate.losses + hard.candidate.losses).mean / (easy.champion.losses + hard.champion.losses).mean
    assert pooled > 2, "as if it were far worse"
    assert step(at(2, rules), [easy, hard], rules, NOW).action == "stay"


def test_not_paired_rows_that_both_have_scored_tell_what_arms_can_not():
    rules = replace(ALONE, steps=(0, 5_000))
    beside, apart = leg(worse=0.08, labels=800), leg(1, 5_000, 2_000, paired=False)
    assert step(at(1, rules), [apart], rules, LATER).action == "stay"
    found = step(at(1, rules), [beside, apart], rules, LATER)
    assert found.action == "roll_back"
    assert "on 800 rows" in "; ".join(found.reasons), "the closer of both is told"
    shifted = step(at(1, rules), [leg(shift=-0.7, labels=0), apart], rules, LATER)
    assert "predictions: -0.6" in "; ".join(shifted.reasons)


def test_the_labels_that_are_missing_are_about_those_that_rule_the_loss_out():
    few = step(at(3, FEARED), [leg(3, 5_000, labels=150)], FEARED, LATER)
    told = few.evidence["loss_ruled_out"]
    assert (told["holds"], told["limit"], told["rows"]) == (False, 0.05, 150)
    assert 10 < told["missing"] < 2_000
    assert ruled_out([leg(3, 5_000, labels=150 + 3 * told["missing"])], 0.05, 0.01, paired=True).holds
    assert ruled_out([leg(3, 5_000, worse=0.2)], 0.05, 0.01, paired=True).missing is None, "it is that high"
    assert "loss_ruled_out" not in step(SHADOW, [leg()], FEARED, LATER).evidence


def test_labels_of_a_small_share_are_worth_less():
    # At 5 % a label tells a fifth of what it tells at half and half.
    few, even = (ruled_out([leg(1, weight, 20_000, labels=20_000, paired=False)], 0.05, 0.01, paired=False)
                 for weight in (500, 5_000))  # fmt: skip
    assert few.rows == pytest.approx(0.19 * even.rows, rel=0.05)
    assert few.missing > 5 * even.missing
    assert "about 7,300 more labels are needed" in even.words


@pytest.mark.parametrize(
    ("strategy", "steps", "asked"),
    [
        ("canary", (0, 500, 10_000), [False, True, False]),
        ("canary", (500, 5_000), [False, True]),
        ("canary", (10_000,), [True]),
        ("shadow", (0,), [True]),
        ("blue_green", (0, 10_000), [True, False]),
    ],
)
def test_where_a_loss_is_ruled_out(strategy, steps, asked):
    rules = Rules(strategy, steps, Guardrails(loss_ruled_out=0.05))
    assert [rules.rules_out_at(i) for i in range(len(steps))] == asked
    assert not any(Rules(strategy, steps).rules_out_at(i) for i in range(len(steps)))


def tripled(sums: Sums) -> Sums:
    return Sums(sums.rows, 3 * sums.total, 9 * sums.squares)


def test_what_persons_do():
    paused = pause(FIVE, NOW, "a look at it first")
    assert (paused.action, paused.state.paused, paused.state.weight) == ("pause", NOW, 500)
    assert pause(paused.state, LATER, "again").action == "stay"
    resumed = resume(paused.state, LATER, "all is well")
    assert (resumed.state.paused, resumed.state.since, resumed.state.held) == (
        None,
        FIVE.since + (LATER - NOW),
        3_600.0,
    )
    assert resume(FIVE, NOW, "").action == "stay"
    assert abort(FIVE, "complaints").state.phase == "aborted"
    assert supersede(FIVE, "a newer one").state.phase == "superseded"
    assert released(FIVE, "by a person").state.weights == {"champion": 0, "candidate": 10_000}
    assert turn_down(FIVE, "7 of 20 failed", {"failed": 7}).state.phase == "rolled_back"
    for phase in OVER:
        assert abort(replace(FIVE, phase=phase), "late").action == "stay"


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ({"steps": (500, 500)}, "does not rise"),
        ({"steps": (0, 500, 20_000)}, "a weight of 20000"),
        ({"steps": ()}, "strategy canary; expected shares"),
        ({"strategy": "ab_test"}, "strategy ab_test; expected one share"),
        ({"strategy": "blue_green"}, "expected shadow and all"),
        ({"strategy": "shadow", "steps": (500,)}, "expected shadow alone"),
        ({"strategy": "direct"}, "expected none"),
        ({"floor": 6_000}, "floor: 6000"),
        ({"guardrails": Guardrails(loss=0.05, loss_ruled_out=0.05)}, "expected more than loss, 0.05"),
        ({"strategy": "ab_test", "steps": (5_000,), "guardrails": Guardrails(loss_ruled_out=0.05)}, "surely better"),
    ],
)
def test_rules_that_cannot_be_followed_are_refused(told, named):
    with pytest.raises(ConfigError, match=named):
        Rules(**told)


def test_rules_survive_their_json():
    rules = Rules("bandit", (5_000,), Guardrails(loss=None), max_age=timedelta(hours=5), floor=700)
    assert Rules.from_json(rules.to_json()) == rules
    older = {name: value for name, value in rules.to_json().items() if name != "compared_up_to"}
    assert Rules.from_json(older) == rules
    assert Rules.from_json({**older, "min_labels": 200_000}).compared_up_to == 200_000
    assert Rules.from_json({**older, "paired": False}).compared_up_to == 400_000
    for broken in ({}, {**rules.to_json(), "more": 1}):
        with pytest.raises(EvidenceError, match=r"Rules\.to_json"):
            Rules.from_json(broken)
