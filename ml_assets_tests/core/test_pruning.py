"""The rules by which trials are given up, as tables."""

import json

import pytest

from ml_assets.core.pruning import EVERY, Curves, Pruning, kept

RULE = Pruning(best_share=0.5, warm_up_trees=20, warm_up_trials=3)
CURVES = [
    Curves(0.1, ((9.0, 8.0, 7.0), (5.0, 4.0, 3.0))),
    Curves(0.1, ((9.0, 6.0, 5.0), (5.0, 4.0, 3.0))),
    Curves(0.1, ((9.0, 4.0), (1.0, 1.0, 1.0))),
]


@pytest.mark.parametrize(
    ("fold", "tree", "loss", "given_up", "why"),
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
def test_the_rule(fold, tree, loss, given_up, why):
    assert RULE.outpaced(fold, tree, loss, learning_rate=0.1, finished=CURVES) is given_up, why


@pytest.mark.parametrize(
    ("tree", "rate", "median"), [(20, 0.05, 9.0), (40, 0.05, 6.0), (60, 0.05, 5.0), (20, 0.15, 5.0), (20, 0.01, 9.0)]
)
def test_a_smaller_learning_rate_is_compared_with_what_others_had_as_early(tree, rate, median):
    def given_up(loss):
        return RULE.outpaced(0, tree, loss, learning_rate=rate, finished=CURVES)

    assert given_up(median + 0.01)
    assert not given_up(median)


def test_too_few_trials_decide_nothing():
    for few in (CURVES[:2], []):
        assert not RULE.outpaced(0, 20, 99.0, learning_rate=0.1, finished=few)


def test_a_curve_counts_on_the_folds_that_it_got_through():
    halfway = [*CURVES[:2], Curves(0.1, ((9.0, 4.0),))]
    assert RULE.outpaced(0, 20, 6.1, learning_rate=0.1, finished=halfway)
    assert not RULE.outpaced(1, 20, 99.0, learning_rate=0.1, finished=halfway)


def test_the_best_share_is_what_a_curve_is_compared_with():
    quarter = Pruning(best_share=0.25, warm_up_trees=20, warm_up_trials=3)
    # Between the 4 and the 6 of the two best.
    assert quarter.outpaced(0, 20, 5.1, learning_rate=0.1, finished=CURVES)
    assert not quarter.outpaced(0, 20, 5.0, learning_rate=0.1, finished=CURVES)


@pytest.mark.parametrize(
    ("loss", "others", "surpassed", "why"),
    [
        (9.0, [], False, "the first has none to be compared with"),
        (3.0, [4.0, 2.0], True, "one is better"),
        (2.0, [2.0, 4.0], False, "an equal is none that is better"),
        (1.0, [2.0, 4.0], False, "the best so far"),
    ],
)
def test_only_the_best_so_far_goes_on_to_a_further_fold(loss, others, surpassed, why):
    assert RULE.surpassed(loss, others) is surpassed, why


@pytest.mark.parametrize("trees", [1, EVERY - 1, EVERY, EVERY + 1, 3 * EVERY])
def test_what_is_kept_of_a_curve_is_its_best_so_far_at_each_look(trees):
    curve = [100.0 - n if n % 3 else 200.0 for n in range(trees)]
    looks = [*range(EVERY, trees + 1, EVERY)] + ([trees] if trees % EVERY else [])
    assert kept(curve) == tuple(min(curve[:look]) for look in looks)


def test_json_brings_curves_back():
    assert [Curves.from_json(json.loads(json.dumps(c.to_json()))) for c in CURVES] == CURVES
