"""Trees as tables of the leaves that a feature's value leaves open: one row scores in two thirds of LightGBM's time.

After QuickScorer (Lucchese et al. 2015, A fast algorithm to rank documents with additive ensembles of regression
trees): the leaves of a tree, from left to right, are the bits of a word; a node whose answer is "right" shuts the
leaves to its left; the first leaf that is still open is the one that answers. A feature has few thresholds (LightGBM
bins it), so what all nodes on it shut together is tabled here for each interval between two of them, for a missing
value, and for each category. A row then takes a line per feature, and their conjunction.

Comparisons and the order of the sum are LightGBM's, so scores are the same to the bit. What these tables don't know
(linear leaves, random forests, several classes, more than 64 leaves, zero as missing) scores by LightGBM itself, see
`lightgbm_library`; how the text is read is in `trees_text`.
"""

from bisect import bisect_left
from collections.abc import Sequence
from math import exp
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ml_assets.core.models.trees_text import Node, TreesText, TreeText

WORD = 64
MOST_TOGETHER = 16
"""Rows that are scored at once: of more, what is worked on finds no place in a core's cache."""
LEAST_TOGETHER = 6
"""Rows whose lines are looked up at once; of fewer, each by itself is faster."""
MOST_BYTES = 64_000_000
"""Of all tables of a model; 500 trees with 25 features of 254 thresholds each take 25,500,000."""
_OPEN = np.uint64(2**64 - 1)
_ONE = np.uint64(1)
_LEAST = -709.0
"""Python's `exp` raises where C's is infinite; so little is 0 either way."""

Words = npt.NDArray[np.uint64]


class LeafTables:
    """Scores rows in buffers of its own; not for two threads at once.

    Args:
        text: trees that `are_tabled` says yes to.
    """

    def __init__(self, text: TreesText) -> None:
        nodes = [_Shutting(text.trees) for _ in range(text.inputs)]
        leaves = np.zeros((len(text.trees), WORD + 1))
        for at, tree in enumerate(text.trees):
            _spread(tree, at, nodes, leaves)
        tables = [n.table() for n in nodes]
        self._tables = np.concatenate([t for t, _ in tables])
        starts = np.cumsum([0, *(len(t) for t, _ in tables)]).tolist()
        self._lines = tuple(
            (n.thresholds if n.codes is None else None, n.codes or 0, start, start + missing)
            for n, start, (_, missing) in zip(nodes, starts[:-1], tables, strict=True)
        )
        self._numbers = tuple((t, start) for t, _, start, _ in self._lines if t is not None)
        self._only_numbers = len(self._numbers) == text.inputs
        self._columns = tuple((None if t is None else np.array(t), codes) for t, codes, _, _ in self._lines)
        self._starts, self._missing = (np.array([of[at] for of in self._lines])[:, None] for at in (2, 3))
        self._leaves, self._sigmoid = leaves.ravel(), text.sigmoid
        self._first = np.arange(len(text.trees)) * (WORD + 1)
        self._gathered = np.empty((text.inputs, len(text.trees)), np.uint64)
        shape = (MOST_TOGETHER, len(text.trees))
        still_open, below, counts = (np.empty(shape, dtype) for dtype in (np.uint64, np.uint64, np.uint8))
        places, found, sums = np.empty(shape, np.intp), np.empty(shape), np.empty(shape)
        self._buffers = [
            _Buffers(still_open[:n], below[:n], counts[:n], places[:n], found[:n], sums[:n])
            for n in range(MOST_TOGETHER + 1)
        ]
        self._open_of = tuple(still_open)

    def score(self, row: list[float]) -> list[float]:
        """The score of one row, as a list of one.

        Args:
            row: the inputs, NaN where missing.
        """
        return self.score_each([row])

    def score_each(self, rows: Sequence[list[float]]) -> list[float]:
        """The score of each row; what comes after the tables is done for some rows at once."""
        if len(rows) > MOST_TOGETHER:
            return self.score_each(rows[:MOST_TOGETHER]) + self.score_each(rows[MOST_TOGETHER:])
        lines = self._lines_of_each(rows) if len(rows) >= LEAST_TOGETHER else map(self._lines_of, rows)
        for of_row, still_open in zip(lines, self._open_of, strict=False):
            # `clip` is what lets NumPy write into the buffer without another; no line is out of range.
            np.bitwise_and.reduce(self._tables.take(of_row, 0, self._gathered, "clip"), 0, out=still_open)
        still_open, below, counts, places, found, sums = self._buffers[len(rows)]
        up_to_first = np.bitwise_xor(still_open, np.subtract(still_open, _ONE, below), below)
        np.add(np.bitwise_count(up_to_first, counts), self._first, places)
        np.add.accumulate(self._leaves.take(places, None, found, "clip"), 1, None, sums)
        # LightGBM adds to zero, so that a sum is never minus zero.
        raw = [0.0 + last for last in sums[:, -1].tolist()]
        return raw if self._sigmoid is None else [_logistic(self._sigmoid * value) for value in raw]

    def _lines_of(self, row: list[float]) -> list[int]:
        total = sum(row)
        if self._only_numbers and total == total:
            return [start + bisect_left(t, v) for (t, start), v in zip(self._numbers, row, strict=True)]
        return [_line(*of, v) for of, v in zip(self._lines, row, strict=True)]

    def _lines_of_each(self, rows: Sequence[list[float]]) -> npt.NDArray[np.intp]:
        """`[rows, inputs]`: what `_lines_of` tells of each, in half the time where they are many."""
        values = np.array(rows).T.copy()
        places, known = np.empty_like(values, np.intp), ~np.isnan(values)
        for (thresholds, codes), value, place, is_known in zip(self._columns, values, places, known, strict=True):
            if thresholds is not None:
                place[:] = thresholds.searchsorted(value)
            else:
                code = np.trunc(value)
                is_known &= (code >= 0) & (code < codes)
                place[:] = np.where(is_known, code, 0)
        lines = np.where(known, places + self._starts, self._missing)
        return lines.T.copy()


class _Buffers(NamedTuple):
    """Where some rows are worked on, `[rows, trees]` each."""

    still_open: Words
    below: Words
    counts: npt.NDArray[np.uint8]
    places: npt.NDArray[np.intp]
    found: npt.NDArray[np.float64]
    sums: npt.NDArray[np.float64]


def are_tabled(text: TreesText) -> bool:
    """Whether these trees are of the kind that tables know, and the tables not too large."""
    splits = [n for t in text.trees for n in t.nodes]
    largest = max((len(t.values) for t in text.trees), default=0)
    lines = len({(n.feature, n.threshold) for n in splits if n.categories is None}) + 3 * text.inputs
    lines += sum(_codes(splits, f) for f in {n.feature for n in splits if n.categories is not None})
    return (
        text.is_sum_of_leaves
        and 0 < largest <= WORD
        and not any(n.zero_is_missing for n in splits)
        and lines * len(text.trees) * 8 <= MOST_BYTES
    )


def _codes(splits: Sequence[Node], feature: int) -> int:
    return 1 + max(c for n in splits if n.feature == feature for c in n.categories or (0,))


class _Shutting:
    """What the nodes of one feature shut."""

    def __init__(self, trees: Sequence[TreeText]) -> None:
        self._trees = len(trees)
        self._nodes: list[tuple[Node, int, int]] = []
        self.thresholds: list[float] = []
        self.codes: int | None = None

    def add(self, node: Node, tree: int, left: int) -> None:
        self._nodes.append((node, tree, ~left & (2**WORD - 1)))

    def table(self) -> tuple[Words, int]:
        """A line of words, one per tree, for each interval or category; and which is that of a missing value."""
        self.thresholds = sorted({n.threshold for n, _, _ in self._nodes if n.categories is None})
        if any(n.categories is not None for n, _, _ in self._nodes):
            return self._of_categories()
        place = {t: i for i, t in enumerate(self.thresholds)}
        missing = len(place) + 1
        table = np.full((missing + 1, self._trees), _OPEN)
        # From the first interval on that is to the right of its threshold, a node shuts what is to its left.
        at = [(place[n.threshold] + 1, tree, kept) for n, tree, kept in self._nodes]
        at += [(missing, tree, kept) for n, tree, kept in self._nodes if not n.missing_goes_left]
        lines, trees, kept = zip(*at, strict=True) if at else ((), (), ())
        np.bitwise_and.at(table, (np.array(lines, np.intp), np.array(trees, np.intp)), np.array(kept, np.uint64))
        table[:missing] = np.bitwise_and.accumulate(table[:missing], axis=0)
        return table, missing

    def _of_categories(self) -> tuple[Words, int]:
        self.codes = _codes([n for n, _, _ in self._nodes], self._nodes[0][0].feature)
        table = np.full((self.codes + 1, self._trees), _OPEN)
        for node, tree, kept in self._nodes:
            shut = np.ones(self.codes + 1, dtype=bool)
            shut[list(node.categories or ())] = False
            table[shut, tree] &= np.uint64(kept)
        return table, self.codes


def _logistic(value: float) -> float:
    return 1.0 / (1.0 + exp(-value)) if value > _LEAST else 0.0


def _line(thresholds: list[float] | None, codes: int, start: int, missing: int, value: float) -> int:
    """The line of one value; a category that no node names goes where a missing one goes, as in LightGBM."""
    if value != value:
        return missing
    if thresholds is not None:
        return start + bisect_left(thresholds, value)
    code = int(value)
    return start + code if 0 <= code < codes else missing


def _spread(tree: TreeText, at: int, nodes: Sequence[_Shutting], leaves: npt.NDArray[np.float64]) -> None:
    """Number the leaves of a tree from left to right, note what each of its nodes shuts, and write the leaves' values.

    A value stands at the number of bits up to and with its leaf's, since counting bits is how a leaf is found.
    """
    begun: dict[int, int] = {}
    stack, number = [(0 if tree.nodes else -1, False)], 0
    while stack:
        reference, left_is_done = stack.pop()
        if reference < 0:
            number += 1
            leaves[at, number] = tree.values[~reference]
            continue
        node = tree.nodes[reference]
        if left_is_done:
            first = begun[reference]
            nodes[node.feature].add(node, at, (1 << number) - (1 << first))
            stack.append((node.right, False))
        else:
            begun[reference] = number
            stack += [(reference, True), (node.left, False)]
