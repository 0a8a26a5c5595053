"""LightGBM's text of trees, read as far as scoring one row needs; its format is what `src/io/tree.cpp` writes.

What is made of it is in `leaf_tables`; LightGBM itself reads it in `lightgbm_library`.
"""

from collections.abc import Mapping
from typing import NamedTuple

_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING_SHIFT, _MISSING = 2, 3
_ZERO, _NAN = 1, 2
_BITS = 32
_PLAIN = ("regression", "regression_l1", "huber", "quantile")
"""Objectives whose scores are the sum of the leaves."""


class Node(NamedTuple):
    """A split.

    Attributes:
        feature: which input.
        threshold: a number goes left up to and with it.
        categories: the codes that go left; None of a number.
        missing_goes_left: where a missing value goes.
        zero_is_missing: whether zero counts as missing here.
        left, right: numbers of nodes, or -1 - number of a leaf.
    """

    feature: int
    threshold: float
    categories: tuple[int, ...] | None
    missing_goes_left: bool
    zero_is_missing: bool
    left: int
    right: int


class TreeText(NamedTuple):
    """A tree: its splits, the first is the root, and the values of its leaves."""

    nodes: tuple[Node, ...]
    values: tuple[float, ...]


class TreesText(NamedTuple):
    """All trees.

    Attributes:
        inputs: columns of the model's input.
        trees: in the order in which they are added.
        is_sum_of_leaves: whether the score is the sum of one value of each tree, or the logistic function of that.
        sigmoid: the logistic function's factor; None where there is none.
    """

    inputs: int
    trees: tuple[TreeText, ...]
    is_sum_of_leaves: bool
    sigmoid: float | None


def read_trees(text: str) -> TreesText:
    """Read a text that LightGBM wrote.

    Raises:
        KeyError, ValueError: it is none.
    """
    told, *trees = text.split("\nend of trees", 1)[0].split("\nTree=")
    head, blocks = _lines(told), [_lines(tree) for tree in trees]
    objective, *options = head["objective"].split()
    sigmoid = dict(o.partition(":")[::2] for o in options).get("sigmoid") if objective == "binary" else None
    is_sum = (objective in _PLAIN and not options) or sigmoid is not None
    is_sum &= head["num_tree_per_iteration"] == "1" and "average_output" not in told.split("\n")
    is_sum &= not any(block.get("is_linear", "0") != "0" for block in blocks)
    return TreesText(
        int(head["max_feature_idx"]) + 1,
        tuple(_tree(block) for block in blocks),
        is_sum,
        None if sigmoid is None else float(sigmoid),
    )


def _lines(block: str) -> Mapping[str, str]:
    pairs = (line.partition("=") for line in block.split("\n"))
    return {name: value for name, _, value in pairs}


def _tree(block: Mapping[str, str]) -> TreeText:
    values = tuple(map(float, block["leaf_value"].split()))
    if block["num_leaves"] == "1":
        return TreeText((), values[:1])
    features, decisions, left, right = (
        list(map(int, block[name].split())) for name in ("split_feature", "decision_type", "left_child", "right_child")
    )
    thresholds = list(map(float, block["threshold"].split()))
    bounds, words = (list(map(int, block.get(name, "").split())) for name in ("cat_boundaries", "cat_threshold"))
    nodes = []
    for at, decision in enumerate(decisions):
        missing = decision >> _MISSING_SHIFT & _MISSING
        categories = None
        goes_left = bool(decision & _DEFAULT_LEFT) if missing == _NAN else thresholds[at] >= 0.0
        if decision & _CATEGORICAL:
            which = int(thresholds[at])
            categories, goes_left = _members(words[bounds[which] : bounds[which + 1]]), False
        nodes.append(Node(features[at], thresholds[at], categories, goes_left, missing == _ZERO, left[at], right[at]))
    return TreeText(tuple(nodes), values)


def _members(words: list[int]) -> tuple[int, ...]:
    """The places of the bits that are set, 32 to a word."""
    return tuple(_BITS * i + bit for i, word in enumerate(words) for bit in range(_BITS) if word >> bit & 1)
