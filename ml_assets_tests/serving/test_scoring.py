"""Requests that are scored together get what each would get alone, and fail alone."""

import pytest

from ml_assets.core.errors import InputRefused, NoFiniteScore
from ml_assets.core.routing import Arm, Routing, alone
from ml_assets.serving.picture import Picture
from ml_assets.serving.scoring import tried, tried_together

from .conftest import NEW, OLD, model


def row(miles):
    return {"miles": [miles], "zone": ["a"]}


def asked(plane, *miles):
    return [plane.begin("rides", row(m), 1, request_id=f"r{i}") for i, m in enumerate(miles)]


def test_single_rows_for_one_model_are_scored_by_one_call(plane, told):
    requests = asked(plane, 1.0, 2.0, None)
    scored = tried_together(requests)
    assert plane.model("rides").scorer.together == [3]
    answers = [plane.end(one, result) for one, result in zip(requests, scored, strict=True)]
    assert [(a.request_id, a.predictions) for a in answers] == [("r0", [1.0]), ("r1", [2.0]), ("r2", [0.0])]
    assert [(s.request_id, s.predictions, s.columns) for s in told] == [
        ("r0", [1.0], row(1.0)), ("r1", [2.0], row(2.0)), ("r2", [0.0], row(None)),
    ]  # fmt: skip
    assert len({(s.at_us, s.latency_us) for s in told}) == 1, "each has its share of the time"


def test_one_request_and_none_are_scored_as_they_are(plane):
    [scored] = tried_together(asked(plane, 3.0))
    assert (scored.predictions, plane.model("rides").scorer.together) == ([3.0], [])
    assert tried_together([]) == []


def test_one_that_fails_fails_alone(plane):
    requests = asked(plane, 1.0, "far", float("inf"), 4.0)
    scored = tried_together(requests)
    assert [s.predictions for s in scored] == [[1.0], None, None, [4.0]]
    assert isinstance(scored[1].error, InputRefused)
    with pytest.raises(InputRefused, match="column miles, row 0: 'far'"):
        plane.end(requests[1], scored[1])
    assert isinstance(scored[2].error, InputRefused | NoFiniteScore)


def test_several_rows_and_other_models_are_no_part_of_it(plane):
    plane.put("tips", Picture(alone(OLD), {OLD: model(OLD, 10.0)}, 1))
    requests = [
        *asked(plane, 1.0, 2.0),
        plane.begin("rides", {"miles": [5.0, 6.0], "zone": ["a", "b"]}, 2),
        plane.begin("tips", row(7.0), 1),
    ]
    assert [s.predictions for s in tried_together(requests)] == [[1.0], [2.0], [5.0, 6.0], [70.0]]
    assert plane.model("rides").scorer.together == [2]


def test_who_is_scored_beside_makes_no_difference(canary):
    models = canary.picture("rides").models
    arms = (Arm("champion", NEW, 10_000), Arm("candidate", OLD, 0))
    canary.put("rides", Picture(Routing(NEW, arms, "r", shadows=(OLD,)), models, 3))
    assert [s.predictions for s in tried_together(asked(canary, 1.0, 2.0))] == [[1.0], [2.0]]
    assert models[NEW].scorer.together == [2]


def test_while_models_are_compared_each_row_has_a_time_of_its_own(canary):
    requests = [canary.begin("rides", row(float(i)), 1, unit=f"u{i}") for i in range(20)]
    scored = tried_together(requests)
    assert [s.predictions for s in scored] == [tried(r.model, r.columns, 1).predictions for r in requests]
    assert {r.variant for r in requests} == {"champion", "candidate"}
    assert all(canary.model("rides", version).scorer.together == [] for version in (NEW, OLD))
