"""What was seen of a rollout, from a log and a table on disk: labels by request id and by natural key."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from ml_assets.assets.rollout_log import seen_of
from ml_assets.core.bundle import Bundle
from ml_assets.core.releases import GENESIS, Event
from ml_assets.core.rollout.recorded import Rollout
from ml_assets.core.rollout.rules import Guardrails, Rules
from ml_assets.core.rollout.state import State
from ml_assets_tests.assets.test_served import SERVED_AT, Place, bundle, month  # noqa: F401

OTHER = "c" * 64


@pytest.fixture
def place(tmp_path, bundle):  # noqa: F811
    with dg.DagsterInstance.ephemeral(str(tmp_path)) as instance:
        yield Place(tmp_path, instance, bundle)


def rollout_of(place, **guardrails) -> Rollout:
    at = (SERVED_AT - timedelta(hours=1)).replace(tzinfo=UTC).isoformat()
    begun = datetime.fromisoformat(at)
    state = State("shadow", 0, 0, begun, begun)
    rules = Rules(guardrails=Guardrails(estimated_loss=None, **guardrails)).to_json()
    told = (Event("duration", 1, "rollout_begun", {"to": state.to_json(), "at": at}, GENESIS, ""),)
    return Rollout("r", place.bundle.sha256, OTHER, "2024-02", "", "canary", rules, state, told)


def both(place, rows):
    """Each request answered by the bundle, and scored beside by another that says two minutes more."""
    answered = place.entries(rows)
    return [*answered, *(e._replace(role="shadow", bundle=OTHER, prediction=e.prediction + 2.0) for e in answered)]


def seen(place, told: Rollout):
    [leg] = seen_of(place.pipeline, told, place.store, place.models, place.logs)
    return leg


def test_labels_come_by_the_natural_key_where_the_partition_has_landed(place):
    place.log(both(place, month()))
    told = rollout_of(place)
    leg = seen(place, told)
    assert (leg.champion.tried, leg.candidate.tried, leg.losses.rows) == (60, 60, 0)
    assert float(leg.predictions.difference().mean) == pytest.approx(2.0)
    place.land(month())
    leg = seen(place, told)
    assert leg.losses.rows == 60
    by_hand = (month()["label"] - place.bundle.predict(place.bundle.feature_frame(month()))).abs()
    assert leg.losses.champion.total == pytest.approx(by_hand.sum())


def test_labels_that_are_delivered_by_request_id_count_first(place):
    place.log(both(place, month()))
    place.land(month())
    exact = place.entries(month())[0]
    label = exact._replace(role="label", prediction=1_000.0, values=None, event_us=None)
    place.log([label], "labels")
    leg = seen(place, rollout_of(place))
    assert leg.losses.rows == 60
    assert leg.losses.champion.total > 900


def test_what_was_logged_before_it_began_is_not_of_it(place):
    place.log(both(place, month()))
    told = rollout_of(place)
    at = (SERVED_AT + timedelta(hours=1)).replace(tzinfo=UTC).isoformat()
    later = (replace(told.events[0], facts={**told.events[0].facts, "at": at}),)
    assert seen(place, replace(told, events=later)).champion.tried == 0


def test_the_bundles_own_estimator_is_asked_only_where_a_guardrail_looks(place):
    place.log(both(place, month()))
    told = rollout_of(place)
    asking = replace(told, rules={**told.rules, "guardrails": {**told.rules["guardrails"], "estimated_loss": 0.1}})
    with pytest.raises(Exception, match=OTHER[:12]):
        seen(place, asking)  # the other bundle is none that is kept: only who is asked needs one
    assert seen(place, told).estimated.pairs.rows == 0


def apart(place, other) -> list:
    """Of two requests each model answers one, and scores none beside."""
    scores = other.predict(other.feature_frame(month())).tolist()
    return [
        e if i % 2 else e._replace(bundle=other.sha256, variant="candidate", prediction=scores[i])
        for i, e in enumerate(place.entries(month()))
    ]


def canary(place, other: str, *, paired: bool, **guardrails) -> Rollout:
    told = rollout_of(place)
    moved = {
        **told.events[0].facts,
        "to": {**told.events[0].facts["to"], "phase": "canary", "step": 1, "weight": 5_000},
    }
    rules = {**told.rules, "paired": paired, "guardrails": {**told.rules["guardrails"], **guardrails}}
    return replace(told, candidate=other, rules=rules, events=(replace(told.events[0], facts=moved),))


def test_what_either_answered_is_scored_by_the_other_where_nothing_is_paired(place):
    other = Bundle({**place.bundle.facts, "as_of": "2024-03"}, place.bundle.files)
    place.models.save(other)
    place.log(apart(place, other))
    place.land(month())
    assert seen(place, canary(place, other.sha256, paired=True)).losses.rows == 0
    leg = seen(place, canary(place, other.sha256, paired=False))
    assert (leg.champion.tried, leg.candidate.tried) == (30, 30)
    assert (leg.losses.rows, leg.predictions.rows) == (60, 60)
    assert leg.losses.champion.total == leg.losses.candidate.total, "it is the same model"
    by_hand = (month()["label"] - place.bundle.predict(place.bundle.feature_frame(month()))).abs()
    assert leg.losses.champion.total == pytest.approx(by_hand.sum())
    assert leg.champion.losses.rows == leg.candidate.losses.rows == 30


def test_models_of_other_features_stay_apart(place):
    features = [{**f, "unit": "km"} for f in place.bundle.facts["features"]]
    other = Bundle({**place.bundle.facts, "features": features}, place.bundle.files)
    place.models.save(other)
    place.log(apart(place, other))
    place.land(month())
    leg = seen(place, canary(place, other.sha256, paired=False))
    assert (leg.losses.rows, leg.champion.losses.rows, leg.candidate.losses.rows) == (0, 30, 30)
