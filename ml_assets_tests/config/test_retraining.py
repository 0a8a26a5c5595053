"""The sections `monitoring` and `retraining`: they work without being written, and every key changes a rule."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from ml_assets.config.monitoring import Monitoring
from ml_assets.config.retraining import Retraining
from ml_assets.core.errors import ConfigError
from ml_assets.core.retraining.decision import RetrainingRules
from ml_assets.core.retraining.plan import Learning
from ml_assets.core.retraining.staleness_rules import KOfN, StalenessRules

PIPELINE = {"window": 12, "held": 0.66, "min_rows": 500, "tunes": False}
DAY = timedelta(days=1)


def test_what_is_not_written_has_the_rules_own_defaults():
    assert Retraining().staleness_rules(Monitoring()) == StalenessRules(grace=timedelta(minutes=15))
    assert Retraining().rules(**PIPELINE) == RetrainingRules(Learning(12, 3, 0.66, 500))
    assert Retraining().schedule is None
    assert Retraining().attribution == 3


def test_the_example_of_the_design():
    written = {
        "on_drift": {"k": 2, "n": 3}, "on_stale": {"after": "7d"}, "cooldown": 1, "budget": {"runs": 4, "per": 12},
        "schedule": "0 6 2 * *",
    }  # fmt: skip
    told = Retraining.model_validate(written)
    assert told.staleness_rules(Monitoring()) == Retraining().staleness_rules(Monitoring())
    assert told.rules(**PIPELINE) == Retraining().rules(**PIPELINE)
    assert told.schedule == "0 6 2 * *"


@pytest.mark.parametrize(
    ("written", "rule", "value"),
    [
        ({"on_drift": {"k": 1, "n": 5}}, "drift", KOfN(1, 5)),
        ({"on_drift": {"n": 4}}, "drift", KOfN(2, 4)),
        ({"on_drift": None}, "drift", None),
        ({"on_performance": {"k": 2, "n": 3}}, "performance", KOfN(2, 3)),
        ({"on_performance": None}, "performance", None),
        ({"on_stale": {"after": "36h"}}, "after", 1.5 * DAY),
        ({"on_stale": {"empty": 5}}, "empty", 5),
        ({"on_stale": None}, "after", None),
    ],
)
def test_every_key_of_staleness_changes_its_rule(written, rule, value):
    rules = Retraining.model_validate(written).staleness_rules(Monitoring())
    assert getattr(rules, rule) == value != getattr(StalenessRules(), rule)


def test_grace():
    assert Retraining().staleness_rules(Monitoring(grace="1h30m")).grace == timedelta(minutes=90)


@pytest.mark.parametrize(
    ("written", "rule", "value"),
    [
        ({"cooldown": 0}, "cooldown", 0),
        ({"budget": {"runs": 6}}, "runs", 6),
        ({"budget": {"runs": 6}}, "reserve", 3),
        ({"budget": {"per": 24}}, "per", 24),
        ({"budget": {"reserve": 0}}, "reserve", 0),
        ({"on_drift": {"n": 5}}, "cause", 5),
        ({"on_drift": None, "on_performance": None}, "cause", 1),
    ],
)
def test_every_key_of_the_policy_changes_its_rule(written, rule, value):
    rules = Retraining.model_validate(written).rules(**PIPELINE)
    assert getattr(rules, rule) == value != getattr(RetrainingRules(Learning(12, 3, 0.66, 500)), rule)


def test_what_is_learnt_from():
    def learning(written, **pipeline):
        return Retraining.model_validate(written).rules(**PIPELINE | pipeline).learning

    assert [learning({}, window=w).shortest for w in (1, 4, 5, 12, 24)] == [1, 1, 2, 3, 6]
    assert learning({"on_abrupt": {"window": 6}}).shortest == 6
    assert learning({"min_labelled": 0.9}).min_labelled == 0.9
    assert learning({}, tunes=True).tunes
    with pytest.raises(ConfigError, match="shortest: 13"):
        learning({"on_abrupt": {"window": 13}})


@pytest.mark.parametrize("cron", ["0 6 2 * *", "@monthly", "*/15 * * * 1-5"])
def test_a_schedule(cron):
    assert Retraining(schedule=cron).schedule == cron


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ({"schedule": "monthly"}, "'monthly' is no cron expression"),
        ({"schedule": "0 6 31 2 *"}, "no cron expression"),
        ({"schedule": "0 0 6 2 * *"}, "no cron expression"),
        ({"schedule": ""}, "no cron expression"),
        ({"on_drift": {"k": 4}}, "k: 4 of the last n: 3"),
        ({"on_drift": {"k": 0}}, "greater than or equal to 1"),
        ({"on_performance": {"k": 2}}, "k: 2 of the last n: 1"),
        ({"on_stale": {"after": "1mo"}}, "a length of time"),
        ({"on_stale": {"after": "0d"}}, "no time at all"),
        ({"budget": {"runs": 1, "reserve": 2}}, "reserve: 2 of runs: 1"),
        ({"budget": {"runs": -1}}, "greater than or equal to 0"),
        ({"cooldown": -1}, "greater than or equal to 0"),
        ({"attribution": -1}, "greater than or equal to 0"),
        ({"attribution": 1.5}, "valid integer"),
        ({"min_labelled": 2}, "less than or equal to 1"),
        ({"on_drfit": {"k": 2}}, "Extra inputs"),
        ({"on_drift": {"k": 2, "m": 3}}, "Extra inputs"),
    ],
)
def test_a_bad_value_is_refused_by_name(written, told):
    with pytest.raises(ValidationError, match=told):
        Retraining.model_validate(written)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ({"drift": {"false_alarm_rate": 0}}, "greater than 0"),
        ({"drift": {"false_discovery_rate": 1}}, "less than 0.5"),
        ({"drift": {"min_rows": 0}}, "greater than or equal to 50"),
        ({"performance": {"tolerance": -0.1}}, "greater than or equal to 0"),
        ({"performance": {"min_labels": 0}}, "greater than or equal to 1"),
        ({"grace": "soon"}, "a length of time"),
        ({"drift": {"psi": 0.2}}, "Extra inputs"),
    ],
)
def test_a_bad_value_of_monitoring_is_refused(written, told):
    with pytest.raises(ValidationError, match=told):
        Monitoring.model_validate(written)


@pytest.mark.parametrize("section", [Monitoring, Retraining])
def test_every_key_is_described(section):
    schema = section.model_json_schema()
    parts = [schema, *schema.get("$defs", {}).values()]
    undescribed = [name for part in parts for name, p in part["properties"].items() if "description" not in p]
    assert not undescribed
