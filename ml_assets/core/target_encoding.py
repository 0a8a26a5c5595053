"""Target encodings: the smoothed mean of the label by one or several categories, as one more input of the model.

They learn from the label, so they are fitted on training rows alone, and a training row is given what the other
folds say of its categories, never its own label. They are no columns of the features table; how they become part
of the matrix that LightGBM reads is in `encoding`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from ml_assets.core.errors import ConfigError, TrainingError
from ml_assets.core.features import FIXED_COLUMNS, LABEL, SLICE_PREFIX, Kind
from ml_assets.core.split import UNIT
from ml_assets.core.stable_hash import mixed, salt

_CODE, _VALUE = "@code", "@value"
Floats = npt.NDArray[np.float64]


class Declared(Protocol):
    """What every entry of a pipeline's list of features tells about itself."""

    @property
    def name(self) -> str:
        """Its column's name."""

    @property
    def kind(self) -> Kind:
        """`number` or `category`."""

    @property
    def unit(self) -> str | None:
        """Of a number; None where it has none."""


@dataclass(frozen=True)
class TargetEncoding:
    """The mean label of training rows with the same categories, drawn towards the mean of all where they are few.

    With n rows, their mean m and the mean of all training rows p it is (n m + smoothing p) / (n + smoothing):
    Micci-Barreca 2001, A preprocessing scheme for high-cardinality categorical attributes in classification and
    prediction problems, for a continuous target, with n / (n + smoothing) as the weight of the category.

    Args:
        name: its name in the model, a Python identifier.
        of: category features of the same list; rows alike in all of them share a mean. A row where one of them
            is missing, and categories no training row has, are given the mean of all training rows.
        smoothing: how many rows the mean of all counts for, at least 0.
        folds: into how many parts training rows are divided, at random by row, or by group where the split is by
            group; each row is encoded by the means of the other folds.
        description: what it says about the event.
    """

    name: str
    of: tuple[str, ...] = field(kw_only=True)
    smoothing: float = field(kw_only=True, default=20.0)
    folds: int = field(kw_only=True, default=5)
    description: str = field(kw_only=True, default="")
    kind: Kind = field(init=False, default="number")
    unit: str | None = field(init=False, default=None)


def declared_json(declared: Declared) -> dict[str, Any]:
    """What a model's input depends on beside the columns of the features table, as JSON."""
    if isinstance(declared, TargetEncoding):
        return {**asdict(declared), "of": list(declared.of), "description": None}
    return {"name": declared.name, "kind": declared.kind}


def divided(declared: Sequence[Declared]) -> tuple[list[Declared], list[TargetEncoding]]:
    """The entries that are columns of the features table, and those that are learnt from them, in their order.

    Raises:
        ConfigError: an encoding can't be learnt from these features; lists all mistakes.
    """
    encodings = [d for d in declared if isinstance(d, TargetEncoding)]
    inputs = [d for d in declared if not isinstance(d, TargetEncoding)]
    names = [d.name for d in declared]
    categories = {d.name for d in inputs if d.kind == "category"}
    mistakes = [f"{e.name}: {m}" for e in encodings for m in _mistakes_of(e, categories, names)]
    if mistakes:
        raise ConfigError(
            "target encodings",
            found=mistakes,
            expected="names of their own, category features of the same list, a finite smoothing of at least 0, and "
            "at least 2 folds",
            cure="correct these encodings (in features.py beside defs.yaml)",
        )
    return inputs, encodings


def _mistakes_of(encoding: TargetEncoding, categories: set[str], names: Sequence[str]) -> list[str]:
    mistakes = []
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", encoding.name):
        mistakes.append("its name is no identifier of letters, digits and _")
    if encoding.name in FIXED_COLUMNS or encoding.name.startswith(SLICE_PREFIX):
        mistakes.append(f"its name is reserved, as are {', '.join(FIXED_COLUMNS)} and {SLICE_PREFIX}*")
    if names.count(encoding.name) > 1:
        mistakes.append(f"{names.count(encoding.name)} features have this name")
    if isinstance(encoding.of, str) or not encoding.of or len(set(encoding.of)) < len(encoding.of):
        mistakes.append(f"of={encoding.of!r} is no tuple of one or more different features")
    else:
        mistakes += [f"{name} is no category feature of the list" for name in encoding.of if name not in categories]
    if not 0 <= encoding.smoothing < float("inf"):
        mistakes.append(f"smoothing {encoding.smoothing}")
    if encoding.folds < 2:
        mistakes.append(f"folds {encoding.folds}")
    return mistakes


@dataclass(frozen=True, eq=False)
class FittedEncoding:
    """A target encoding as a trained model knows it.

    Args:
        name: its name in the model.
        of: the categories it reads.
        prior: the mean label of all training rows, in the label's unit.
        table: the columns of `of`, sorted, and `@value`: what a row with these categories is given.
        declared: `smoothing` and `folds` it was fitted with.
    """

    name: str
    of: tuple[str, ...]
    prior: float
    table: pl.DataFrame
    declared: Mapping[str, float]

    def values(self, frame: pl.DataFrame) -> pl.Series:
        """What rows that it was not fitted on are given: Float64 `[rows]`, never null, in the label's unit.

        Args:
            frame: the columns of `of`, String.
        """
        found = frame.select(self.of).join(self.table, on=self.of, how="left", maintain_order="left")
        return found[_VALUE].fill_null(self.prior).alias(self.name)

    def to_json(self) -> dict[str, Any]:
        """As JSON: `keys` holds a list per feature of `of`, and the n-th of `values` is for the n-th of each."""
        return {
            "name": self.name,
            "of": list(self.of),
            **self.declared,
            "prior": self.prior,
            "keys": [self.table[name].to_list() for name in self.of],
            "values": self.table[_VALUE].to_list(),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        of = tuple(record["of"])
        columns = {name: pl.Series(keys, dtype=pl.String) for name, keys in zip(of, record["keys"], strict=True)}
        table = pl.DataFrame({**columns, _VALUE: pl.Series(record["values"], dtype=pl.Float64)})
        return cls(record["name"], of, record["prior"], table, {k: record[k] for k in ("smoothing", "folds")})


def fold_of(units: pl.Series, folds: int, seed: int) -> npt.NDArray[np.int64]:
    """The fold of each row, 0 to `folds` - 1: by a seeded hash of its unit, wherever it stands.

    Args:
        units: UInt64 `[rows]`, see `split.UNIT`.
        folds: how many.
        seed: another one is another division.
    """
    drawn = pl.select(mixed(pl.lit(units), salt("fold", seed)) % pl.lit(folds, pl.UInt64))
    return drawn.to_series().cast(pl.Int64).to_numpy()


def fit(encoding: TargetEncoding, train: pl.DataFrame, *, seed: int) -> tuple[FittedEncoding, pl.Series]:
    """Learn an encoding from the training rows.

    Args:
        encoding: what to learn.
        train: training rows: `label`, finite; `split.UNIT`; the columns of `of`, String.
        seed: of the folds.

    Returns:
        The encoding for rows it was not fitted on, and what each training row itself is given, out of fold:
        Float64 `[rows]` in the label's unit, which depends on the labels of the row's own fold by way of the mean
        of all only, and so tells nothing of one row that it does not tell of all.

    Raises:
        TrainingError: the rows have no `split.UNIT`.
    """
    if UNIT not in train.columns:
        raise TrainingError(
            f"target encoding {encoding.name}",
            found=f"training rows without the column {UNIT}",
            expected="rows that can be divided into folds",
            cure="take the rows from `Manifest.rows`",
        )
    label = train[LABEL].cast(pl.Float64).to_numpy()
    # Sums by `bincount`: one after the other in the order of the rows, so that they do not depend on threads.
    prior = float(np.bincount(np.zeros(label.size, np.int64), label)[0] / label.size)
    keys = train.select(encoding.of).drop_nulls().unique().sort(encoding.of).with_row_index(_CODE)
    coded = train.select(encoding.of).join(keys, on=encoding.of, how="left", maintain_order="left")
    code = coded[_CODE].cast(pl.Int64).fill_null(keys.height).to_numpy()
    rows, above = _sums(code, label - prior, (1, keys.height + 1))
    whole = prior + _shrunk(above, rows, encoding.smoothing)
    table = keys.drop(_CODE).with_columns(pl.Series(_VALUE, whole[0, :-1]))
    declared = {"smoothing": encoding.smoothing, "folds": encoding.folds}
    fitted = FittedEncoding(encoding.name, encoding.of, prior, table, declared)

    fold = fold_of(train[UNIT], encoding.folds, seed)
    rows, above = _sums(fold * (keys.height + 1) + code, label - prior, (encoding.folds, keys.height + 1))
    others = prior + _shrunk(_sum_of_others(above), _sum_of_others(rows), encoding.smoothing)
    return fitted, pl.Series(encoding.name, others[fold, code])


def _sums(at: npt.NDArray[np.int64], above: Floats, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """Rows and sums at each place of `shape`; the last column, of rows that miss a category, stays 0."""
    places = shape[0] * shape[1]
    rows: Floats = np.bincount(at, minlength=places).astype(np.float64).reshape(shape)
    sums: Floats = np.bincount(at, above, minlength=places).astype(np.float64, copy=False).reshape(shape)
    rows[:, -1], sums[:, -1] = 0, 0
    return rows, sums


def _sum_of_others(by_fold: Floats) -> Floats:
    """For each fold the sum over the others, `[folds, keys]`.

    Not the whole less the fold: its rounding would still tell of the fold's own labels.
    """
    before, after = np.zeros_like(by_fold), np.zeros_like(by_fold)
    np.cumsum(by_fold[:-1], axis=0, out=before[1:])
    after[:-1] = np.cumsum(by_fold[:0:-1], axis=0)[::-1]
    summed: Floats = before + after
    return summed


def _shrunk(above: Floats, rows: Floats, smoothing: float) -> Floats:
    """How far the smoothed mean lies above the prior; 0 where there is no row."""
    weight = rows + smoothing
    shrunk: Floats = np.divide(above, weight, out=np.zeros_like(above), where=weight > 0)
    return shrunk
