"""One row of named values, as JSON has them, to its scores: no frame is built where the model is LightGBM's trees, or
is made of such.

What a value must be is in `row_values`, the library's calls are in `lightgbm_library`. Scores are equal to the bit
with `Bundle.predict`.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from ml_assets.core.bundle import Bundle
from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.models.ensemble import EnsembleModel
from ml_assets.core.models.fitted import FittedModel
from ml_assets.core.models.leaf_tables import LeafTables, are_tabled
from ml_assets.core.models.lightgbm_library import RowScorer
from ml_assets.core.models.row_values import Coding, Columns, require_columns, row_in_order
from ml_assets.core.models.segmented import SegmentedModel
from ml_assets.core.models.trees_model import TreesModel
from ml_assets.core.models.trees_text import read_trees
from ml_assets.core.target_encoding import FittedEncoding

Predictions = list[float] | list[list[float]]
MATRIX_FROM_ROWS = 16
"""Rows from which one call for all costs less than a call for each."""


class Scorer(ABC):
    """Scores rows of named values; any number of threads may call it at once.

    Args:
        bundle: what scores, or a part of which does.
        specs: the features, with the vocabularies that the scoring model knows.
    """

    def __init__(self, bundle: Bundle, specs: Sequence[FeatureSpec]) -> None:
        self.bundle, self.specs = bundle, tuple(specs)
        self.names = tuple(s.name for s in specs)
        """Of the features, in their order."""
        self._known = frozenset(self.names)

    def scores(self, columns: Columns, rows: int) -> Predictions:
        """Scores of each row: a float, or a float per class.

        Args:
            columns: feature -> values (None, bool, int, float or str), `rows` of each; columns that are no features
                of the model are not looked at.
            rows: how many.

        Raises:
            InputRefused: a feature is missing or not as long as the others, or a value is not what it must be; lists
                every such column.
        """
        if row_in_order(columns, self.names) is None and (
            set(map(len, columns.values())) != {rows} or not columns.keys() >= self._known
        ):
            require_columns(self.specs, columns, rows)
        return self._scores(columns, rows) if rows else []

    def scores_each(self, rows: Sequence[Columns]) -> list[Predictions]:
        """Scores of single rows, each as `scores` gives them.

        Raises:
            InputRefused: as `scores`, of one of them.
        """
        return [self.scores(columns, 1) for columns in rows]

    @abstractmethod
    def _scores(self, columns: Columns, rows: int) -> Predictions:
        """As `scores`, of at least one row, where columns have their lengths."""


def scorer_of(bundle: Bundle) -> Scorer:
    """The fastest way to score rows by this bundle."""
    return _scorer(bundle, bundle.model, bundle.specs)


def _scorer(bundle: Bundle, model: FittedModel, specs: Sequence[FeatureSpec]) -> Scorer:
    if isinstance(model, TreesModel):
        return TreesScorer(bundle, specs, model)
    if isinstance(model, EnsembleModel):
        return EnsembleScorer(bundle, specs, model)
    if isinstance(model, SegmentedModel):
        return SegmentedScorer(bundle, specs, model)
    return FrameScorer(bundle, specs, model)


class TreesScorer(Scorer):
    """Scores by LightGBM's single-row call, and many rows by one call for a matrix."""

    def __init__(self, bundle: Bundle, specs: Sequence[FeatureSpec], model: TreesModel) -> None:
        super().__init__(bundle, specs)
        self._coding = Coding(specs)
        self._encodings = tuple(EncodingTable.made_of(e) for e in model.encodings)
        self._trees = model.trees
        # One set of tables may take 64 MB: there is room for those of one model, not of every segment's.
        self._one = _row_scorer(model) if model is bundle.model else model.trees.row_scorer()
        self._lock = threading.Lock()

    def _scores(self, columns: Columns, rows: int) -> Predictions:
        if rows == 1:
            numbers = self._coded(columns, 1, 0)
            with self._lock:
                scores = self._one.score(numbers)
            return [scores] if self._trees.outputs > 1 else scores
        if rows >= MATRIX_FROM_ROWS:
            return self._of_matrix(columns, rows)
        coded = [self._coded(columns, rows, at) for at in range(rows)]
        with self._lock:
            found = [self._one.score(numbers) for numbers in coded]
        return found if self._trees.outputs > 1 else [score for (score,) in found]

    def scores_each(self, rows: Sequence[Columns]) -> list[Predictions]:
        """Scores of single rows, by one call where there are tables."""
        tables = self._one
        if not isinstance(tables, LeafTables) or any(row_in_order(columns, self.names) is None for columns in rows):
            return super().scores_each(rows)
        coded = [self._coded(columns, 1, 0) for columns in rows]
        with self._lock:
            return [[score] for score in tables.score_each(coded)]

    def _coded(self, columns: Columns, rows: int, at: int) -> list[float]:
        coded = self._coding.row(columns, rows, at)
        if self._encodings:
            coded.extend(encoding.value(columns, at) for encoding in self._encodings)
        return coded

    def _of_matrix(self, columns: Columns, rows: int) -> Predictions:
        coded = self._coding.matrix(columns, rows)
        more = [np.array([e.value(columns, at) for at in range(rows)]) for e in self._encodings]
        matrix = np.column_stack([coded, *more]) if more else coded
        told: Predictions = self._trees.scores(matrix, threads=1).tolist()
        return told


def _row_scorer(model: TreesModel) -> LeafTables | RowScorer:
    """What scores one row of inputs: tables, where they know the trees."""
    text = read_trees(model.text)
    return LeafTables(text) if are_tabled(text) else model.trees.row_scorer()


class EncodingTable:
    """A target encoding by dictionary: what `FittedEncoding.values` gives, row by row and without a frame.

    Args:
        of: the category features it reads.
        values: their values, or the one value -> what a row is given.
        prior: what a row without such values is given.
    """

    def __init__(self, of: Sequence[str], values: Mapping[Any, float], prior: float) -> None:
        self._one = of[0] if len(of) == 1 else None
        self._of, self._values, self._prior = tuple(of), values, prior

    @classmethod
    def made_of(cls, encoding: FittedEncoding) -> "EncodingTable":
        """The table of a fitted encoding."""
        told = encoding.to_json()
        keys = told["keys"][0] if len(encoding.of) == 1 else zip(*told["keys"], strict=True)
        return cls(encoding.of, dict(zip(keys, told["values"], strict=True)), encoding.prior)

    def value(self, columns: Columns, at: int) -> float:
        """What a row is given, whose values are text or None."""
        key = columns[self._one][at] if self._one is not None else tuple(columns[name][at] for name in self._of)
        return self._values.get(key, self._prior)


class EnsembleScorer(Scorer):
    """Scores by each member, and combines what they say."""

    def __init__(self, bundle: Bundle, specs: Sequence[FeatureSpec], model: EnsembleModel) -> None:
        super().__init__(bundle, specs)
        self._combination = model.combination
        self._members = {n: _scorer(bundle, part.model, part.own(specs)) for n, part in model.members.items()}

    def _scores(self, columns: Columns, rows: int) -> Predictions:
        told = {name: np.array(member.scores(columns, rows)) for name, member in self._members.items()}
        combined: Predictions = self._combination.of(told).tolist()
        return combined


class SegmentedScorer(Scorer):
    """Scores each row by the model of its segment."""

    def __init__(self, bundle: Bundle, specs: Sequence[FeatureSpec], model: SegmentedModel) -> None:
        super().__init__(bundle, specs)
        self._per = model.per
        self._fallback = _scorer(bundle, model.fallback.model, model.fallback.own(specs))
        self._segments = {v: _scorer(bundle, p.model, p.own(specs)) for v, p in model.segments.items()}

    def _scores(self, columns: Columns, rows: int) -> Predictions:
        if rows == 1:
            return self._segment(columns, 0).scores(columns, 1)
        require_columns(self.specs, columns, rows)
        of_segment: dict[Scorer, list[int]] = {}
        for at in range(rows):
            of_segment.setdefault(self._segment(columns, at), []).append(at)
        found: list[Any] = [None] * rows
        for scorer, places in of_segment.items():
            own = {name: [columns[name][at] for at in places] for name in self._known}
            for at, score in zip(places, scorer.scores(own, len(places)), strict=True):
                found[at] = score
        return found

    def _segment(self, columns: Columns, at: int) -> Scorer:
        try:
            return self._segments.get(tuple(columns[name][at] for name in self._per), self._fallback)
        except TypeError:  # a list or an object, which the model for all refuses by name
            return self._fallback


class FrameScorer(Scorer):
    """Scores by way of a frame, for models of other kinds."""

    def __init__(self, bundle: Bundle, specs: Sequence[FeatureSpec], model: FittedModel) -> None:
        super().__init__(bundle, specs)
        self._model = model

    def _scores(self, columns: Columns, rows: int) -> Predictions:
        require_columns(self.specs, columns, rows)
        series = {
            s.name: pl.Series([None if v is None else float(v) for v in columns[s.name]], dtype=pl.Float64)
            if s.kind == "number"
            else pl.Series(columns[s.name], dtype=pl.String)
            for s in self.specs
        }
        told: Predictions = self._model.scores(pl.DataFrame(series), self.specs, threads=1).tolist()
        return told
