"""Which rollouts wait for labels, and what is said where they are over before."""

from datetime import timedelta

import pytest

from ml_assets.core.errors import ConfigError
from ml_assets.core.rollout.rules import STEPS, Guardrails, Rules
from ml_assets.core.rollout.waiting import require_time_for_labels, waits_for_labels

FEARED = Guardrails(loss_ruled_out=0.05)


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        (Rules(), ()),
        (Rules("shadow", (0,)), ()),
        (Rules("ab_test", STEPS["ab_test"]), ("strategy: ab_test",)),
        (Rules("bandit", STEPS["bandit"], min_labels=5), ("strategy: bandit", "min_labels: 5")),
        (Rules(guardrails=FEARED), ("guardrails.loss_ruled_out: 0.05",)),
        (Rules("blue_green", (10_000,), guardrails=FEARED), ("guardrails.loss_ruled_out: 0.05",)),
        (Rules("direct", (), guardrails=FEARED), ()),
    ],
)
def test_what_waits_for_labels(rules, named):
    assert waits_for_labels(rules) == named


@pytest.mark.parametrize(("days", "refused"), [(7, True), (31, True), (32, False)])
def test_who_can_never_be_released_is_told_so(days, refused):
    rules = Rules(guardrails=FEARED, max_age=timedelta(days=days))
    if not refused:
        require_time_for_labels(rules, timedelta(days=31), "monthly", "defs.yaml")
        return
    with pytest.raises(ConfigError, match="more than 31 d") as told:
        require_time_for_labels(rules, timedelta(days=31), "monthly", "defs.yaml")
    assert "loss_ruled_out: 0.05" in str(told.value)
    assert "leave max_age out" in told.value.cure


def test_who_needs_no_labels_may_be_as_short_as_he_likes():
    require_time_for_labels(Rules(max_age=timedelta(minutes=10)), timedelta(days=31), "monthly", "defs.yaml")
