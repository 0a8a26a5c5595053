"""A fitted estimator of scikit-learn as ONNX: the same bytes in every process, and proven to say the same.

How it is run is in `onnx_scorer`, how it is fitted in `sklearn_onnx`.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from ml_assets.core.encoding import Floats
from ml_assets.core.errors import TrainingError
from ml_assets.core.models.onnx_scorer import OnnxScorer
from ml_assets.core.tasks import Task

AGREEMENT: dict[Task, float] = {"regression": 1e-4, "binary": 1e-5, "multiclass": 1e-5}
"""How far ONNX may be from the estimator: in standard deviations of the labels, or in probability.

Trees add up in float32; all that differs by more takes another branch somewhere.
"""
_MOST_NODES = 2_000_000
_MOST_NUMBERS = 1_000_000
"""Above these, exporting takes minutes and the file has hundreds of megabytes."""


def export(estimator: Any, sample: Floats, *, task: Task, deviation: float) -> OnnxScorer:
    """The estimator as ONNX: in float64 where its converter and the runtime can, else in float32.

    Args:
        estimator: fitted on values that float32 can hold.
        sample: training rows by which it is proven, `[rows, columns]`.
        task: of a classification the output is a probability for each class of `estimator.classes_`.
        deviation: standard deviation of the training labels.

    Raises:
        TrainingError: there is no converter, the ONNX model says something else, or it would be too large.
    """
    name = type(estimator).__name__
    _require_size(estimator, name)
    wanted = estimator.predict(sample) if task == "regression" else estimator.predict_proba(sample)
    scale = deviation if task == "regression" else 1.0
    found = []
    # ONNX's trees answer in float32 in any case.
    for double in (False,) if any(_trees(estimator)) else (True, False):
        outcome = _scorer(estimator, sample.shape[1], double, classifier=task != "regression")
        if isinstance(outcome, str):
            found.append(f"in {_float(double)}: {outcome}")
            continue
        try:
            scores = outcome.run(sample)
        except _refusals() as e:
            found.append(f"in {_float(double)}: {_first_line(e)}")
            continue
        apart = float(np.abs(scores - wanted.reshape(scores.shape)).max()) / scale
        if not apart <= AGREEMENT[task]:
            found.append(f"in {_float(double)}: scores differ by up to {apart:.2g}")
            continue
        for at_once in (0, 16, 1):
            scorer = OnnxScorer(outcome.content, double, at_once)
            if not scorer.depends_on_neighbours(sample):
                return scorer
        found.append(f"in {_float(double)}: the scores of a row change from run to run")
    raise TrainingError(
        f"{name} as ONNX",
        found=found,
        expected=f"an ONNX model whose scores of training rows are within {AGREEMENT[task]:g} of the estimator's",
        cure="choose an estimator from the list of skl2onnx (onnx.ai/sklearn-onnx/supported.html), or kind lightgbm",
    )


def _scorer(estimator: Any, columns: int, double: bool, *, classifier: bool) -> OnnxScorer | str:
    """What runs it; a text that says why not, where it can't be converted."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    given = [("input", (DoubleTensorType if double else FloatTensorType)([None, columns]))]
    options = {id(estimator): {"zipmap": False}} if classifier else None
    try:
        with warnings.catch_warnings():
            # Converters warn of what they do themselves.
            warnings.simplefilter("ignore")
            model = convert_sklearn(estimator, name="model", initial_types=given, options=options)
    except _refusals() as e:
        return _first_line(e)
    model.producer_name, model.producer_version, model.domain, model.doc_string = "", "", "", ""
    model.graph.doc_string = ""
    return OnnxScorer(model.SerializeToString(deterministic=True), double)


def _refusals() -> tuple[type[Exception], ...]:
    """What skl2onnx and onnxruntime raise of a model that they have no code for."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    runtime = (state.Fail, state.NotImplemented, state.InvalidGraph, state.InvalidArgument, state.RuntimeException)
    return (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError, *runtime)


def _require_size(estimator: Any, name: str) -> None:
    nodes = sum(int(tree.node_count) for tree in _trees(estimator))
    numbers = sum(value.size for value in vars(estimator).values() if isinstance(value, np.ndarray))
    found = [f"{nodes} nodes of trees"] if nodes > _MOST_NODES else []
    found += [f"{numbers} numbers, training rows among them"] if numbers > _MOST_NUMBERS else []
    if found:
        raise TrainingError(
            f"{name} as ONNX",
            found=found,
            expected=f"at most {_MOST_NODES} nodes and {_MOST_NUMBERS} numbers, so that the bundle stays small",
            cure="set max_leaf_nodes or min_samples_leaf, or choose an estimator that keeps no training rows",
        )


def _trees(estimator: Any) -> Iterator[Any]:
    for part in np.ravel(getattr(estimator, "estimators_", [estimator])):
        if hasattr(part, "tree_"):
            yield part.tree_


def _float(double: bool) -> str:
    return "float64" if double else "float32"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
