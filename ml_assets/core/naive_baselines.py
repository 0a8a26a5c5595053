"""Baselines that learn nothing but a median, a rate or the last value, overall or by key.

All are fitted on training rows (train and validation) alone, and score any rows of a features table. Which of them
stand beside a candidate is in `baselines`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl

from ml_assets.core.errors import ContractError
from ml_assets.core.features import EVENT_AT, LABEL, LABEL_KNOWN_AT, SLICE_PREFIX
from ml_assets.core.measures import Floats
from ml_assets.core.tasks import Task

PRIOR = 20.0
"""Rows that what is known of all rows counts for, where a key's own rows are averaged."""

_KEY, _ROW, _ABSENT = "@key", "@row", "\x00"


class Baseline(ABC):
    """Something that scores rows."""

    @abstractmethod
    def scores(self, frame: pl.DataFrame) -> Floats:
        """Predictions as `tasks` says: `[rows]`, of a multiclass problem `[rows, classes]`."""


@dataclass(frozen=True)
class Naive(Baseline):
    """The same answer for every row: the median or a quantile of the labels, or the base rates.

    Args:
        value: the answer; of a multiclass problem one rate per class.
    """

    value: float | tuple[float, ...]

    def scores(self, frame: pl.DataFrame) -> Floats:
        """The answer, as often as there are rows."""
        answer = np.asarray(self.value, dtype=np.float64)
        return np.tile(answer, (frame.height, *[1] * answer.ndim))

    @classmethod
    def fit(cls, train: pl.DataFrame, *, task: Task, classes: int = 2, alpha: float | None = None) -> Self:
        """The answer of some rows.

        Args:
            train: rows with `label`, at least one.
            task: what kind of problem.
            classes: of a multiclass problem.
            alpha: the quantile that is predicted, in place of the median.
        """
        label = train[LABEL]
        if task == "regression":
            return cls(float(label.quantile(0.5 if alpha is None else alpha, "linear")))  # type: ignore[arg-type]
        rates = np.bincount(label.to_numpy().astype(np.intp), minlength=classes) / label.len()
        return cls(float(rates[1])) if task == "binary" else cls(tuple(map(float, rates)))


@dataclass(frozen=True)
class NaiveByKey(Baseline):
    """The median (or quantile, or base rates) of training rows with the same key, drawn towards that of all rows.

    With n rows of a key, their answer m and that of all rows p it is (n m + 20 p) / (n + 20); a key that no
    training row has gets p.

    Args:
        by: columns that make the key: features, or kept columns.
        answers: key -> answer, a row of `[keys, classes]`, or `[keys, 1]`.
        naive: of all rows.
    """

    by: tuple[str, ...]
    answers: Mapping[str, Floats]
    naive: Naive

    def scores(self, frame: pl.DataFrame) -> Floats:
        """The answer of each row's key."""
        keys = frame.select(key_of(frame, self.by))[_KEY]
        everyone = np.atleast_1d(np.asarray(self.naive.value, dtype=np.float64))
        table = np.stack([everyone, *self.answers.values()])
        position = {key: i for i, key in enumerate(self.answers, start=1)}
        at = keys.replace_strict(position, default=0, return_dtype=pl.Int64).to_numpy()
        answers: Floats = table[at]
        return answers if isinstance(self.naive.value, tuple) else answers[:, 0]

    @classmethod
    def fit(
        cls, train: pl.DataFrame, by: Sequence[str], *, task: Task, classes: int = 2, alpha: float | None = None
    ) -> Self:
        """The answers of some rows; see `Naive.fit`.

        Raises:
            ContractError: the rows lack a column of the key.
        """
        naive = Naive.fit(train, task=task, classes=classes, alpha=alpha)
        label = pl.col(LABEL)
        if task == "regression":
            own = [label.quantile(0.5 if alpha is None else alpha, "linear")]
        else:
            own = [(label == k).mean() for k in (range(classes) if task == "multiclass" else (1,))]
        named = [e.alias(f"answer_{i}") for i, e in enumerate(own)]
        grouped = train.select(key_of(train, by), LABEL).group_by(_KEY).agg(*named, rows=pl.len()).sort(_KEY)
        rows = grouped["rows"].to_numpy()[:, None].astype(np.float64)
        mine = grouped.select(f"answer_{i}" for i in range(len(own))).to_numpy()
        drawn = (rows * mine + PRIOR * np.atleast_1d(naive.value)) / (rows + PRIOR)
        return cls(tuple(by), dict(zip(grouped[_KEY].to_list(), drawn, strict=True)), naive)


@dataclass(frozen=True)
class LastValue(Baseline):
    """The last label of the same key that was known strictly before each event, as a deployed one would answer.

    Of a classification it is how often each class followed that class in the training rows, since a bare 0 or 1
    would be no probability. Rows without an earlier label of their key get the naive answer.

    Args:
        by: columns that make the key: features, or kept columns.
        known: the training rows' labels: key, `label_known_at`, `label`.
        naive: of all rows.
        follows: class -> probabilities of the next, `[classes, classes]`; None of a regression.
    """

    by: tuple[str, ...]
    known: pl.DataFrame
    naive: Naive
    follows: Floats | None = None

    def scores(self, frame: pl.DataFrame) -> Floats:
        """The last known label of each row's key; labels of the rows themselves count from when they were known.

        Args:
            frame: rows with `event_at`, the key's columns, `label` and `label_known_at`.
        """
        last = _last(pl.concat([self.known, _labels(frame, self.by)]), frame, self.by)
        if self.follows is None:
            return last.fill_null(self.naive.value).to_numpy()
        none = np.atleast_1d(np.asarray(self.naive.value, dtype=np.float64))
        everyone = none if isinstance(self.naive.value, tuple) else np.array([1 - none[0], none[0]])
        table = np.vstack([everyone, self.follows])
        chances: Floats = table[(last.fill_null(-1.0).to_numpy() + 1).astype(np.intp)]
        return chances if isinstance(self.naive.value, tuple) else chances[:, 1]

    @classmethod
    def fit(
        cls, train: pl.DataFrame, by: Sequence[str], *, task: Task, classes: int = 2, alpha: float | None = None
    ) -> Self:
        """Keep the labels of some rows; see `Naive.fit`.

        Raises:
            ContractError: the rows lack a column of the key.
        """
        naive = Naive.fit(train, task=task, classes=classes, alpha=alpha)
        known = _labels(train, by)
        if task == "regression":
            return cls(tuple(by), known, naive)
        last = _last(known, train, by)
        seen = last.is_not_null().to_numpy()
        before, after = (s.to_numpy()[seen].astype(np.intp) for s in (last.fill_null(0.0), train[LABEL]))
        counts = np.bincount(before * classes + after, minlength=classes**2).reshape(classes, classes)
        rates = np.bincount(train[LABEL].to_numpy().astype(np.intp), minlength=classes) / train.height
        follows = (counts + PRIOR * rates) / (counts.sum(axis=1, keepdims=True) + PRIOR)
        return cls(tuple(by), known, naive, follows)


def key_of(frame: pl.DataFrame, by: Sequence[str]) -> pl.Expr:
    """The key of each row as one text, from kept columns or features.

    Raises:
        ContractError: columns are missing; lists all.
    """
    columns = {name: SLICE_PREFIX + name if SLICE_PREFIX + name in frame.columns else name for name in by}
    missing = [f"no column {name}" for name, column in columns.items() if column not in frame.columns]
    if missing or not by:
        raise ContractError(
            "rows of a baseline by key",
            found=missing or "no columns that make the key",
            expected="features, or columns that are kept beside them",
            cure="correct evaluation.baselines.by, and materialize the features again",
        )
    parts = [pl.col(c).cast(pl.String).fill_null(_ABSENT) for c in columns.values()]
    return pl.concat_str(parts, separator="\x1f").alias(_KEY)


def _labels(frame: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """The known labels of some rows."""
    labels = frame.select(key_of(frame, by), pl.col(LABEL_KNOWN_AT), pl.col(LABEL).cast(pl.Float64))
    return labels.drop_nulls()


def _last(known: pl.DataFrame, frame: pl.DataFrame, by: Sequence[str]) -> pl.Series:
    """The newest label of each row's key that was known before its event; of equally new ones the last in order."""
    newest = known.sort(LABEL_KNOWN_AT, maintain_order=True)
    newest = newest.unique([_KEY, LABEL_KNOWN_AT], keep="last", maintain_order=True)
    asked = frame.select(key_of(frame, by), EVENT_AT).with_row_index(_ROW).sort(EVENT_AT)
    found = asked.join_asof(
        newest,
        left_on=EVENT_AT,
        right_on=LABEL_KNOWN_AT,
        by=_KEY,
        strategy="backward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    return found.sort(_ROW)[LABEL]
