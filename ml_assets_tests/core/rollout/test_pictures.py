"""A rollout pictured: better is left of the champion, and figures are beside what is cut off."""

from typing import Any

import pytest

from ml_assets.core.rollout.pictures import FARTHEST, in_figures, in_unit, towards_limit, way_and_limits


def finding(guardrail: str, estimate: float, limit: float, *, rows: int = 300) -> dict[str, Any]:
    return {"guardrail": guardrail, "estimate": estimate, "limit": limit, "rows": rows, "broken": estimate > limit}


@pytest.mark.parametrize(
    ("guardrail", "estimate", "limit", "place", "words"),
    [
        ("loss", -0.2, 0.01, -20.0, "-20.0% (limit +1%)"),
        ("estimated_loss", 0.05, 0.1, 0.5, "+5.0% (limit +10%)"),
        ("errors", 0.0, 0.005, 0.0, "+0.0% (limit +0.5%)"),
        ("errors", 0.01, 0.0, FARTHEST, "+1.0% (limit +0%)"),
        ("p99_ratio", 1.0, 1.5, 0.0, "1.00 times (limit 1.5)"),
        ("p99_ratio", 1.5, 1.5, 1.0, "1.50 times (limit 1.5)"),
        ("p99_ratio", 0.9, 1.0, -FARTHEST, "0.90 times (limit 1)"),
        ("prediction_shift", -0.25, 0.5, 0.5, "-0.25 sd (limit 0.5)"),
    ],
)
def test_where_a_guardrail_stands(guardrail, estimate, limit, place, words):
    told = finding(guardrail, estimate, limit)
    assert towards_limit(told) == pytest.approx(place)
    assert in_figures(told) == words


def test_without_rows_there_is_nothing_to_compare():
    assert in_figures(finding("p99_ratio", 1.0, 1.5, rows=0)) == "nothing to compare yet"


@pytest.mark.parametrize(("span", "unit"), [(0, "seconds"), (119, "seconds"), (120, "minutes"), (5 * 86_400, "days")])
def test_times_are_told_in_a_unit_that_fits_them(span, unit):
    told, [first, last] = in_unit([0.0, float(span)])
    assert told == unit
    assert first == 0.0
    assert last == span / {"seconds": 1, "minutes": 60, "days": 86_400}[unit]


def test_the_picture_is_the_same_for_the_same_rollout_and_another_for_another():
    event = {"at": "2020-05-01T12:00:00+00:00", "weight": 0}
    told = {
        "rollout": "r", "state": {"phase": "rolled_back"}, "guardrails": [finding("loss", 0.3, 0.01)],
        "history": [event, {"at": "2020-05-01T12:10:00+00:00", "weight": 500}],
    }  # fmt: skip
    made = way_and_limits(told)
    assert made.startswith(b"\x89PNG")
    assert len(made) < 20_000, "previews are part of Dagster's event log"
    assert way_and_limits(told) == made
    assert way_and_limits({**told, "guardrails": [finding("loss", -0.3, 0.01)]}) != made
