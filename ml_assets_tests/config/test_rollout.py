"""The section `rollout`: it works without being written, and every key changes a rule."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from ml_assets.config.rollout import Rollout
from ml_assets.core.rollout.rules import Breaker, Guardrails, Rules


def test_what_is_not_written_has_the_rules_own_defaults():
    assert Rollout().rules() == Rules()


def test_the_age_follows_the_labels_only_where_they_are_waited_for_and_nothing_is_written():
    wait = timedelta(days=31)
    written = [{}, {"paired": False}, {"strategy": "bandit"}, {"strategy": "bandit", "max_age": "60d"}]
    assert [Rollout.model_validate(one).rules(wait).max_age.days for one in written] == [7, 38, 38, 60]


def test_the_example_of_the_design():
    written = {"strategy": "canary", "steps": ["shadow", 5, 25, 50, 100], "guardrails": {"loss": 0.02}}
    assert Rollout.model_validate(written).rules() == Rules(guardrails=Guardrails(loss=0.02))


NOT_PAIRED = {"paired": False, "compared_up_to": 400_000}


@pytest.mark.parametrize(
    ("written", "rules"),
    [
        ({"strategy": "shadow"}, Rules("shadow", (0,), min_requests=3_000)),
        ({"strategy": "direct"}, Rules("direct", ())),
        ({"strategy": "blue_green"}, Rules("blue_green", (0, 10_000), min_requests=3_000)),
        ({"strategy": "shadow", "min_requests": 500}, Rules("shadow", (0,), min_requests=500)),
        ({"strategy": "ab_test"}, Rules("ab_test", (5_000,), min_requests=3_000)),
        ({"strategy": "bandit", "steps": [20], "floor": 2}, Rules("bandit", (2_000,), min_requests=2_000, floor=200)),
        ({"compared_up_to": 5_000}, Rules(compared_up_to=5_000)),
        ({"min_labels": 200_000}, Rules(min_labels=200_000, compared_up_to=200_000)),
        ({"steps": [0.5, 12.5]}, Rules(steps=(50, 1_250))),
        ({"min_requests": 50}, Rules(min_requests=50)),
        ({"min_labels": 50}, Rules(min_labels=50)),
        ({"min_time": "1d"}, Rules(min_time=timedelta(days=1))),
        ({"min_time": "0s"}, Rules(min_time=timedelta(0))),
        ({"max_age": "36h"}, Rules(max_age=timedelta(hours=36))),
        ({"paired": False}, Rules(**NOT_PAIRED, guardrails=Guardrails(loss_ruled_out=0.05))),
        ({"paired": False, "guardrails": {"loss": 0.1}},
         Rules(**NOT_PAIRED, guardrails=Guardrails(loss=0.1, loss_ruled_out=0.14))),
        ({"paired": False, "guardrails": {"loss_ruled_out": None}}, Rules(**NOT_PAIRED)),
        ({"paired": False, "guardrails": {"loss": None}}, Rules(**NOT_PAIRED, guardrails=Guardrails(loss=None))),
        ({"paired": False, "strategy": "ab_test"}, Rules("ab_test", (5_000,), min_requests=3_000, **NOT_PAIRED)),
        *[
            ({"guardrails": {name: value}}, Rules(guardrails=Guardrails(**{name: value})))
            for name, value in [
                ("errors", 0.1), ("p99_ratio", 3.0), ("prediction_shift", 1.0), ("loss", 0.0), ("estimated_loss", None),
                ("alpha", 0.01), ("loss_ruled_out", 0.2),
            ]
        ],
        *[
            ({"breaker": {name: value}}, Rules(breaker=Breaker(**{name: value})))
            for name, value in [("window", 20), ("errors", 0.5), ("slow", 10.0)]
        ],
    ],
)  # fmt: skip
def test_every_key_changes_its_rule(written, rules):
    assert Rollout.model_validate(written).rules() == rules != Rules()


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ({"strategy": "big_bang"}, "strategy"),
        ({"steps": [25, 5]}, "does not rise"),
        ({"steps": ["shadow", 5, "shadow"]}, "does not rise"),
        ({"steps": [50, 120]}, "a weight of 12000"),
        ({"strategy": "ab_test", "steps": [5, 50]}, "one share"),
        ({"min_time": "soon"}, "rollout.min_time"),
        ({"max_age": "0s"}, "no time at all"),
        ({"guardrails": {"errors": 1.5}}, "errors"),
        ({"guardrails": {"p99_ratio": 0.5}}, "p99_ratio"),
        ({"guardrails": {"latency": 2}}, "latency"),
        ({"guardrails": {"loss_ruled_out": 0.01}}, "expected more than loss, 0.01"),
        ({"strategy": "bandit", "guardrails": {"loss_ruled_out": 0.05}}, "surely better"),
        ({"breaker": {"window": 1}}, "window"),
        ({"min_requests": 0}, "min_requests"),
        ({"compared_up_to": 999}, "compared_up_to"),
        ({"min_labels": 5_001, "compared_up_to": 5_000}, "min_labels: 5001; expected at most compared_up_to, 5000"),
        ({"check_every_seconds": 0}, "check_every_seconds"),
    ],
)
def test_what_cannot_be_followed_is_refused(written, named):
    with pytest.raises(ValidationError, match=named):
        Rollout.model_validate(written)


@pytest.mark.parametrize(
    ("failed", "slow", "champion_failed", "why"),
    [
        (9, 24, 0.0, None),
        (10, 0, 0.0, "10 of the last 50 requests failed, 0% of the champion's"),
        (10, 0, 0.15, None),
        (0, 25, 0.0, "25 of the last 50 requests took over 5 times"),
    ],
)
def test_when_a_breaker_goes_back(failed, slow, champion_failed, why):
    told = Breaker().why(failed, slow, champion_failed)
    assert (told is None) == (why is None)
    assert (why or "") in (told or "")
