"""The median rule, as a table."""

import json

import pytest

from ml_assets.core.pruning import EVERY, Curves, MedianRule, kept

RULE = MedianRule(warm_up_trees=20, warm_up_trials=3)
CURVES = [
    Curves(0.1, ((9.0, 8.0, 7.0), (5.0, 4.0, 3.0))),
    Curves(0.1, ((9.0, 6.0, 5.0), (5.0, 4.0, 3.0))),
    Curves(0.1, ((9.0, 4.0), (1.0, 1.0, 1.0))),
]


@pytest.mark.parametrize(
    ("fold", "tree", "loss", "gives_up", "why"),
    [
        (0, 10, 99.0, False, "warming up"),
        (0, 20, 6.1, True, "above the median of 8, 6 and 4"),
        (0, 20, 6.0, False, "at the median"),
        (0, 21, 99.0, False, "between two looks"),
        (0, 30, 5.5, True, "the shorter curve keeps its 4"),
        (0, 30, 4.5, False, "below 5"),
        (0, 300, 5.5, True, "all curves keep their last value"),
        (1, 20, 4.5, True, "of its own fold"),
    ],
)
def test_the_rule(fold, tree, loss, gives_up, why):
    assert RULE.gives_up(fold, tree, loss, learning_rate=0.1, finished=CURVES) is gives_up, why


@pytest.mark.parametrize(
    ("tree", "rate", "median"), [(20, 0.05, 9.0), (40, 0.05, 6.0), (60, 0.05, 5.0), (20, 0.15, 5.0), (20, 0.01, 9.0)]
)
def test_a_smaller_learning_rate_is_compared_with_what_others_had_as_early(tree, rate, median):
    def given_up(loss):
        return RULE.gives_up(0, tree, loss, learning_rate=rate, finished=CURVES)

    assert given_up(median + 0.01)
    assert not given_up(median)


def test_too_few_trials_decide_nothing():
    for few in (CURVES[:2], []):
        assert not RULE.gives_up(0, 20, 99.0, learning_rate=0.1, finished=few)


@pytest.mark.parametrize("trees", [1, EVERY - 1, EVERY, EVERY + 1, 3 * EVERY])
def test_what_is_kept_of_a_curve_is_its_best_so_far_at_each_look(trees):
    curve = [100.0 - n if n % 3 else 200.0 for n in range(trees)]
    looks = [*range(EVERY, trees + 1, EVERY)] + ([trees] if trees % EVERY else [])
    assert kept(curve) == tuple(min(curve[:look]) for look in looks)


def test_json_brings_curves_back():
    assert [Curves.from_json(json.loads(json.dumps(c.to_json()))) for c in CURVES] == CURVES
