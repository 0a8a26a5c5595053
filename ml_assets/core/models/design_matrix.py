"""Features as the columns of a linear model or of an estimator of scikit-learn; learnt from training rows alone.

Numbers are standardised, categories become one-hot columns and, where they are many, the mean label by category.
The columns of a single feature are in `design_columns`. What LightGBM reads is in `ml_assets.core.encoding`, the
means by category are fitted in `target_encoding`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any, Self

import numpy as np
import polars as pl

from ml_assets.core.encoding import FeatureSpec, Floats
from ml_assets.core.features import LABEL
from ml_assets.core.models.design_columns import Category, Mean, Number, moments
from ml_assets.core.models.design_params import DesignParams
from ml_assets.core.target_encoding import FittedEncoding, TargetEncoding, fit
from ml_assets.core.tasks import Task


@dataclass(frozen=True, eq=False)
class DesignMatrix:
    """What was learnt about the features.

    Args:
        inputs: the features, in the model's order.
        means: the target encodings that follow them.
    """

    inputs: tuple[Number | Category, ...]
    means: tuple[Mean, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in their order."""
        return tuple(label for i in self.inputs for label in i.labels) + tuple(m.encoding.name for m in self.means)

    @property
    def sources(self) -> tuple[str, ...]:
        """For each column the feature or declared target encoding that it comes from."""
        return tuple(i.name for i in self.inputs for _ in i.labels) + tuple(m.source for m in self.means)

    def matrix(self, frame: pl.DataFrame, specs: Sequence[FeatureSpec]) -> Floats:
        """float64 `[rows, columns]`, column by column in memory; no row depends on another.

        Args:
            frame: a column per feature; rows that it was not fitted on.
            specs: the features with the vocabularies it was learnt with.
        """
        known = _known(frame, specs)
        return self.filled(known, [m.encoding.values(known) for m in self.means])

    def filled(self, frame: pl.DataFrame, given: Sequence[pl.Series]) -> Floats:
        """As `matrix`, of known categories only, with the columns of the target encodings as given."""
        columns = [c for i in self.inputs for c in i.columns(frame)]
        columns += [m.column(values) for m, values in zip(self.means, given, strict=True)]
        filled: Floats = np.empty((frame.height, len(columns)), order="F")
        for j, column in enumerate(columns):
            filled[:, j] = column
        return filled

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "inputs": [
                {"kind": "number", **vars(i)}
                if isinstance(i, Number)
                else {"kind": "category", "name": i.name, "kept": list(i.kept), "missing": i.missing}
                for i in self.inputs
            ],
            "means": [
                {"source": m.source, "encoding": m.encoding.to_json(), "mean": m.mean, "scale": m.scale}
                for m in self.means
            ],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        inputs = tuple(_input(i) for i in record["inputs"])
        means = (
            Mean(m["source"], FittedEncoding.from_json(m["encoding"]), m["mean"], m["scale"]) for m in record["means"]
        )
        return cls(inputs, tuple(means))


def learn_design(
    train: pl.DataFrame,
    specs: Sequence[FeatureSpec],
    encodings: Sequence[TargetEncoding],
    *,
    params: DesignParams,
    task: Task,
    classes: int,
    seed: int,
) -> tuple[DesignMatrix, Floats]:
    """Learn a design matrix.

    Args:
        train: training rows: `label` and a column per feature; `split.UNIT` where there are target encodings.
        specs: the features.
        encodings: the declared target encodings.
        params: see `DesignParams`.
        task: of a multiclass problem a target encoding is a column per class: its share of the rows.
        classes: how many.
        seed: of the target encodings' folds.

    Returns:
        It, and the matrix of the training rows, in which target encodings are out of fold.

    Raises:
        TrainingError: there are target encodings, and the rows have no `split.UNIT`.
    """
    train = _known(train, specs)
    inputs: list[Number | Category] = []
    means: list[tuple[str, TargetEncoding]] = []
    for spec in specs:
        if spec.kind == "number":
            inputs.append(Number.learn(train[spec.name]))
            continue
        inputs.append(Category.learn(train[spec.name], params.one_hot_categories))
        if train[spec.name].drop_nulls().n_unique() > params.encode_above:
            means.append((spec.name, TargetEncoding(f"{spec.name} mean", of=(spec.name,))))
    means += [(e.name, e) for e in encodings]
    fitted, given = [], []
    for of_class in range(classes) if task == "multiclass" else [None]:
        rows = train if of_class is None else train.with_columns((pl.col(LABEL) == of_class).cast(pl.Float64))
        for source, declared in means:
            learnt, values = fit(declared, rows, seed=seed)
            mean, scale = moments(values.to_numpy())
            fitted.append(Mean(source, _named(learnt, of_class), mean, scale))
            given.append(values)
    design = DesignMatrix(tuple(inputs), tuple(fitted))
    return design, design.filled(train, given)


def _named(learnt: FittedEncoding, of_class: int | None) -> FittedEncoding:
    name = learnt.name if of_class is None else f"{learnt.name} class {of_class}"
    return FittedEncoding(name, learnt.of, learnt.prior, learnt.table, learnt.declared)


def _input(record: Mapping[str, Any]) -> Number | Category:
    if record["kind"] == "category":
        return Category(record["name"], tuple(record["kept"]), record["missing"])
    return Number(**{name: value for name, value in record.items() if name != "kind"})


def _known(frame: pl.DataFrame, specs: Sequence[FeatureSpec]) -> pl.DataFrame:
    """The frame with null for every category that is not in the vocabulary: such a one counts as missing."""
    categories = [pl.col(s.name).cast(pl.Enum(s.vocabulary), strict=False) for s in specs if s.kind == "category"]
    return frame.with_columns(c.cast(pl.String) for c in categories)


def shares(figures: Mapping[str, float]) -> dict[str, float]:
    """Figures of at least 0 as shares that sum to 1; alike where all are 0."""
    total = fsum(figures.values())
    return {name: figure / total if total > 0 else 1 / len(figures) for name, figure in figures.items()}
