"""Any estimator of scikit-learn that exports to ONNX: fitted by scikit-learn, kept as ONNX, scored by its runtime.

Which estimators there are is in `sklearn_params`, what they are given in `design_matrix`. The values of its columns
are rounded to float32: scikit-learn's trees and ONNX's look at no more digits, so both take the same branch.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from ml_assets.core.encoding import FeatureSpec, Floats, learn_specs, require_fit
from ml_assets.core.errors import ConfigError, TrainingError
from ml_assets.core.models.design_matrix import DesignMatrix, learn_design
from ml_assets.core.models.fit import Fit, OnIteration
from ml_assets.core.models.fitted import FittedModel
from ml_assets.core.models.labels import OBJECTIVE_OF, mean_loss, over_all_classes, require_labels
from ml_assets.core.models.one_thread import one_thread
from ml_assets.core.models.onnx_export import export
from ml_assets.core.models.onnx_scorer import OnnxScorer
from ml_assets.core.models.permutation import permutation_importances
from ml_assets.core.models.sklearn_params import SklearnParams
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.target_encoding import Declared, divided
from ml_assets.core.tasks import Task

FILE = "model.onnx"
_BLOCK_ROWS = 65_536
_PROOF_ROWS, _CURVE_ROWS = 600, 10_000


@dataclass(frozen=True, eq=False)
class OnnxModel(FittedModel):
    """An exported estimator as a model.

    Args:
        design: the columns.
        scorer: the ONNX model.
        task: the kind of problem.
        present: classes that training rows have; empty of a regression.
        classes: how many there are.
        rows: training rows.
        converged: whether the estimator's own fitting came to an end.
    """

    kind: ClassVar[str] = "sklearn"
    design: DesignMatrix
    scorer: OnnxScorer
    task: Task
    present: tuple[int, ...]
    classes: int
    rows: int
    converged: bool = True

    def scores(self, frame: pl.DataFrame, specs: tuple[FeatureSpec, ...], *, threads: int) -> Floats:  # noqa: ARG002
        """Predictions, on one thread."""
        starts = range(0, frame.height, _BLOCK_ROWS)
        return np.concatenate([self.of(self.design.matrix(frame.slice(i, _BLOCK_ROWS), specs)) for i in starts])

    def of(self, matrix: Floats) -> Floats:
        """Predictions for rows of the design matrix, `[rows, columns]`."""
        output = self.scorer.run(_single(matrix))
        if self.task == "regression":
            return output[:, 0]
        by_class = [np.clip(output[:, i], 0.0, 1.0) for i in range(len(self.present))]
        total = sum(by_class[1:], by_class[0])
        seen: Floats = np.column_stack([share / total for share in by_class])
        every = over_all_classes(seen, self.present, self.classes, self.rows)
        return every[:, 1] if self.task == "binary" else every

    def facts(self) -> dict[str, Any]:
        """Everything that is not in the ONNX file."""
        return {
            "kind": self.kind,
            "file": FILE,
            "double": self.scorer.double,
            "rows_at_once": self.scorer.rows_at_once,
            "design": self.design.to_json(),
            "columns": list(self.design.columns),
            "task": self.task,
            "present": list(self.present),
            "classes": self.classes,
            "rows": self.rows,
            "converged": self.converged,
        }

    def files(self) -> dict[str, bytes]:
        """The ONNX file."""
        return {FILE: self.scorer.content}

    @classmethod
    def read(cls, facts: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        """Read what `facts` and `files` gave."""
        return cls(
            DesignMatrix.from_json(facts["design"]),
            OnnxScorer(files[facts["file"]], facts["double"], facts["rows_at_once"]),
            facts["task"],
            tuple(facts["present"]),
            facts["classes"],
            facts["rows"],
            facts["converged"],
        )


def fit_sklearn(
    spec: ModelSpec,
    train: pl.DataFrame,
    validation: pl.DataFrame | None,
    *,
    features: Sequence[Declared],
    seed: int,
    threads: int,
    weights: Floats | None = None,
    on_iteration: OnIteration | None = None,
    specs: tuple[FeatureSpec, ...] | None = None,
) -> Fit:
    """An estimator as `kinds.fit_model` says; validation rows only measure it, and say what it rests on.

    The loss of the curves is squared error or log loss, and that of training is of 10,000 rows at most. Importances
    are by permutation.
    """
    params, objective = spec.params, OBJECTIVE_OF[spec.task]
    if not isinstance(params, SklearnParams):
        raise ConfigError(
            f"model {spec.name}",
            found=type(params).__name__,
            expected="an estimator and its parameters",
            cure="correct its kind",
        )
    estimator = params.made(spec.task, seed=seed, threads=threads)
    inputs, encodings = divided(features)
    label = require_labels("train", train, objective=objective, classes=spec.classes)
    specs = specs or learn_specs(train, inputs, max_categories=params.max_categories)
    design, matrix = learn_design(
        train, specs, encodings, params=params.design, task=spec.task, classes=spec.classes, seed=seed
    )
    matrix = _single(matrix)
    converged = _fit(estimator, params.estimator, matrix, label, weights)
    with one_thread():
        proof = matrix[:: -(-len(matrix) // _PROOF_ROWS)]
        scorer = export(estimator, proof, task=spec.task, deviation=float(label.std()))
    present = tuple(int(c) for c in estimator.classes_) if spec.task != "regression" else ()
    model = OnnxModel(design, scorer, spec.task, present, spec.classes, train.height, converged)
    if np.ptp(model.of(proof), axis=0).max() == 0:
        raise TrainingError(
            f"training on {train.height} rows",
            found="one and the same score for all rows",
            expected="features that separate the label",
            cure="add rows or features, or correct model.params",
        )

    def loss(rows: Floats, labels: Floats) -> float:
        return mean_loss(objective, labels, model.of(rows))

    few = -(-len(matrix) // _CURVE_ROWS)
    judged, judged_label = matrix[::few], label[::few]
    train_loss = loss(judged, judged_label)
    curve: tuple[float, ...] = ()
    if validation is not None:
        require_fit(validation.select(s.name for s in specs if s.name in validation.columns), specs)
        judged_label = require_labels("validation", validation, objective=objective, classes=spec.classes)
        judged = design.matrix(validation, specs)
        curve = (loss(judged, judged_label),)
    if on_iteration is not None:
        on_iteration(1, 1, curve[0] if curve else float("nan"))
    names = [s.name for s in specs] + [e.name for e in encodings]
    importances = permutation_importances(loss, judged, judged_label, sources=design.sources, names=names, seed=seed)
    return Fit(model, specs, importances, objective, (train_loss,), curve, 1)


def _fit(estimator: Any, path: str, matrix: Floats, label: Floats, weights: Floats | None) -> bool:
    """Fit it in place; whether it came to an end."""
    from joblib import parallel_config
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.utils.validation import has_fit_parameter

    if weights is not None and not has_fit_parameter(estimator, "sample_weight"):
        raise ConfigError(
            f"estimator {path}",
            found="rows that count differently (half_life)",
            expected="an estimator whose fit takes sample_weight",
            cure="leave out half_life, or choose another estimator",
        )
    given = {} if weights is None else {"sample_weight": weights}
    try:
        # Threads, not processes: what they give is the same, and nothing is left behind.
        with warnings.catch_warnings(record=True) as told, one_thread(), parallel_config(backend="threading"):
            warnings.simplefilter("always")
            estimator.fit(matrix, label, **given)
    except ValueError as e:
        raise TrainingError(
            f"estimator {path}",
            found=str(e),
            expected="training rows that it can learn from",
            cure="correct model.params, or choose another estimator",
        ) from e
    for warning in told:
        if not issubclass(warning.category, ConvergenceWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return not any(issubclass(warning.category, ConvergenceWarning) for warning in told)


def _single(matrix: Floats) -> Floats:
    """The values that float32 can hold, as float64."""
    single: Floats = matrix.astype(np.float32).astype(np.float64)
    return single
