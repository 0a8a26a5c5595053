"""Slices that nobody declared: where the candidate's loss is high, as rules in words.

A shallow tree is grown on the losses of one half of the rows, and what is reported of its leaves is measured on the
other half, so that a high loss is no choice of the luckiest rows. Declared slices are in `slices`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from ml_assets.core.features import FIXED_COLUMNS, SLICE_PREFIX
from ml_assets.core.measures import Floats
from ml_assets.core.metrics import metric_of_loss

DEPTH = 3
LEAST_SHARE = 0.05
MOST_SLICES = 5
MOST_CATEGORIES = 20
LEAST_ROWS = 100
DIGITS = 6
"""Thresholds are rounded to so many digits, and rows then told by the rounded rule: it can be checked by hand."""


@dataclass(frozen=True)
class Question:
    """What a node of the tree asks of a row.

    Args:
        name: of the column, without its prefix.
        column: of the holdout.
        category: asked for; None of a number.
    """

    name: str
    column: str
    category: str | None = None

    def values(self, frame: pl.DataFrame) -> pl.Series:
        """What the tree reads: 0 or 1 of a category, the number otherwise; null where it is missing."""
        values = frame[self.column]
        if self.category is None:
            return values.cast(pl.Float64).fill_nan(None)
        return (values.cast(pl.String) == self.category).fill_null(value=False).cast(pl.Float64)


@dataclass(frozen=True)
class Rule:
    """Conditions that hold together.

    Args:
        bounds: question -> above which and up to which number, either may be infinite. Missing numbers are below all.
    """

    bounds: Mapping[Question, tuple[float, float]]

    def holds(self, frame: pl.DataFrame) -> npt.NDArray[np.bool_]:
        """Whether the rule holds, by row."""
        kept = np.ones(frame.height, dtype=bool)
        for question, (above, up_to) in self.bounds.items():
            values = question.values(frame).fill_null(-np.inf).to_numpy()
            kept &= (values > above) | (above == -np.inf)
            kept &= values <= up_to
        return kept

    def in_words(self, frame: pl.DataFrame) -> str:
        """The rule, as `4.5 < trip_miles <= 9.1 and pickup_zone is 132`."""
        return " and ".join(_words(q, bounds, frame) for q, bounds in self.bounds.items()) or "all rows"


def worst_slices(
    holdout: pl.DataFrame, loss: Mapping[str, Floats], *, metric: str, seed: int, most: int = MOST_SLICES
) -> list[dict[str, Any]]:
    """Where the first contender's loss is above its mean, the worst first.

    Args:
        holdout: rows of a features table; features and kept columns are asked.
        loss: contender -> the deciding loss of each row; the first is the candidate.
        metric: which.
        seed: says which half the tree is grown on.
        most: slices at most.

    Returns:
        Of each slice, on the half that the tree has not seen: `rule`, `rows`, `share_of_rows`, `share_of_loss` (the
        candidate's), and the deciding metric of each contender. Empty where there are fewer than `LEAST_ROWS` rows.
    """
    if holdout.height < LEAST_ROWS:
        return []
    half = np.random.default_rng(seed).permutation(holdout.height) < holdout.height // 2
    growing, judging = holdout.filter(half), holdout.filter(~half)
    candidate = next(iter(loss.values()))
    rules = grown_rules(growing, candidate[half], seed=seed)
    seen = {who: values[~half] for who, values in loss.items()}
    whole = next(iter(seen.values()))
    found: list[tuple[float, dict[str, Any]]] = []
    for rule in rules:
        rows = rule.holds(judging)
        if not rows.any() or whole[rows].mean() <= whole.mean():
            continue
        mean = float(whole[rows].mean())
        told = {
            "rule": rule.in_words(holdout),
            "rows": int(rows.sum()),
            "share_of_rows": float(rows.mean()),
            "share_of_loss": float(whole[rows].sum() / whole.sum()),
            **{who: metric_of_loss(metric, float(values[rows].mean())) for who, values in seen.items()},
        }
        found.append((mean, told))
    found.sort(key=lambda slice_: (-slice_[0], slice_[1]["rule"]))
    return [told for _, told in found[:most]]


def grown_rules(growing: pl.DataFrame, loss: Floats, *, seed: int) -> list[Rule]:
    """The leaves of a tree that tells high losses from low ones; losses are cut at their 99th percentile.

    Args:
        growing: rows of a features table.
        loss: `[rows]`.
        seed: of ties.
    """
    from sklearn.tree import DecisionTreeRegressor

    least = max(1, round(LEAST_SHARE * growing.height))
    questions = questions_on(growing, least)
    if not questions:
        return []
    columns = [_below_all(q.values(growing)) for q in questions]
    tree = DecisionTreeRegressor(max_depth=DEPTH, min_samples_leaf=least, random_state=seed)
    tree.fit(np.column_stack(columns), np.minimum(loss, np.quantile(loss, 0.99)))
    return _leaves(tree.tree_, questions)


def questions_on(frame: pl.DataFrame, least: int) -> list[Question]:
    """What may be asked: every number that differs, and every category of at least so many rows, the most first."""
    questions = []
    for column in frame.columns:
        name = column.removeprefix(SLICE_PREFIX)
        if column in FIXED_COLUMNS or column.startswith("@") or (name != column and name in frame.columns):
            continue
        values = frame[column]
        if values.dtype.is_numeric() or values.dtype == pl.Boolean:
            questions += [Question(name, column)] if values.n_unique() > 1 else []
        elif isinstance(values.dtype, pl.String | pl.Categorical | pl.Enum):
            counts = values.cast(pl.String).drop_nulls().rename("value").value_counts(name="rows")
            often = counts.filter(pl.col("rows").is_between(least, frame.height - least))
            often = often.sort(["rows", "value"], descending=[True, False]).head(MOST_CATEGORIES)
            questions += [Question(name, column, category) for category in often["value"]]
    return questions


def _below_all(values: pl.Series) -> Floats:
    """Values with a number below all others in place of those that are missing."""
    least = values.min()
    below = -1.0 if least is None else float(least) - 1 - abs(float(least))  # type: ignore[arg-type]
    return values.fill_null(below).to_numpy()


def _leaves(tree: Any, questions: Sequence[Question]) -> list[Rule]:
    leaves: list[Rule] = []

    def walk(node: int, bounds: dict[Question, tuple[float, float]]) -> None:
        left, right = int(tree.children_left[node]), int(tree.children_right[node])
        if left == right:
            leaves.append(Rule(bounds))
            return
        question, at = questions[tree.feature[node]], float(f"{tree.threshold[node]:.{DIGITS}g}")
        above, up_to = bounds.get(question, (-np.inf, np.inf))
        walk(left, {**bounds, question: (above, min(up_to, at))})
        walk(right, {**bounds, question: (max(above, at), up_to)})

    walk(0, {})
    return leaves


def _words(question: Question, bounds: tuple[float, float], frame: pl.DataFrame) -> str:
    name, (above, up_to) = question.name, bounds
    if question.category is not None:
        return f"{name} {'is' if above > -np.inf else 'is not'} {question.category}"
    values = question.values(frame)
    least = values.min()
    if least is not None and up_to < float(least):  # type: ignore[arg-type]
        return f"{name} is missing"
    if least is not None and above < float(least) and above > -np.inf and up_to == np.inf:  # type: ignore[arg-type]
        return f"{name} is known"
    if above == -np.inf:
        return f"{name} <= {up_to:.{DIGITS}g}" + (" or missing" if values.null_count() else "")
    if up_to == np.inf:
        return f"{name} > {above:.{DIGITS}g}"
    return f"{above:.{DIGITS}g} < {name} <= {up_to:.{DIGITS}g}"
