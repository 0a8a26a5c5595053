"""LightGBM's C API, called directly: trees are read from text and score matrices and single rows.

Scoring needs none of LightGBM's Python package, whose import takes 5 CPU seconds and 100 MB for scikit-learn, SciPy
and pandas; growing trees does, and is in `trees`. Both call the same functions of the same library, so scores are
the same to the bit. The API is documented in LightGBM's `include/LightGBM/c_api.h`.
"""

import ctypes
import importlib.util
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import BundleError

Floats = npt.NDArray[np.float64]
_FLOAT64, _ROW_MAJOR = 1, 1
_SCORES, _CONTRIBUTIONS = 0, 3
_ALL_ITERATIONS = (0, -1)
_NAMES = {"win32": "lib_lightgbm.dll", "darwin": "lib_lightgbm.dylib"}


class Trees:
    """Trees that were read from LightGBM's text; they live in the library's memory, and go when this object goes.

    Args:
        text: the model; only one that is known to be ours, since the parser ends the process on a damaged one.

    Raises:
        BundleError: LightGBM refuses it.
    """

    def __init__(self, text: str) -> None:
        self._handle = ctypes.c_void_p()
        iterations, outputs, inputs = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        lib = library()
        # Kept here: when the process ends, the module's own names are gone before this object is.
        self._free = lib.LGBM_BoosterFree
        _called(lib.LGBM_BoosterLoadModelFromString(text.encode(), _ref(iterations), _ref(self._handle)))
        _called(lib.LGBM_BoosterGetNumClasses(self._handle, _ref(outputs)))
        _called(lib.LGBM_BoosterGetNumFeature(self._handle, _ref(inputs)))
        self.outputs = outputs.value
        """Numbers per row: the classes of a multiclass model, else 1."""
        self.inputs = inputs.value
        """Columns of its matrix."""

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._free(self._handle)

    def scores(self, matrix: Floats, *, threads: int) -> Floats:
        """Predictions, float64 `[rows]`, or `[rows, classes]` of several.

        Args:
            matrix: float64 `[rows, inputs]`, NaN where missing.
            threads: how many may be used; 0: all that there are.

        Raises:
            BundleError: the matrix has another number of columns.
        """
        scored = self._predicted(matrix, _SCORES, threads)
        return scored[:, 0] if self.outputs == 1 else scored

    def contributions(self, matrix: Floats, *, threads: int) -> Floats:
        """SHAP values and, last, the expected value: `[rows, inputs + 1]`, of several classes one after the other."""
        return self._predicted(matrix, _CONTRIBUTIONS, threads)

    def _predicted(self, matrix: Floats, what: int, threads: int) -> Floats:
        rows = np.ascontiguousarray(matrix, np.float64)
        size, length, lib = ctypes.c_int64(), ctypes.c_int64(), library()
        _called(lib.LGBM_BoosterCalcNumPredict(self._handle, len(rows), what, *_ALL_ITERATIONS, _ref(size)))
        told = np.empty(size.value)
        _called(
            lib.LGBM_BoosterPredictForMat(
                self._handle, rows.ctypes.data_as(ctypes.c_void_p), _FLOAT64, len(rows), rows.shape[1], _ROW_MAJOR,
                what, *_ALL_ITERATIONS, _parameters(threads), _ref(length), told.ctypes.data_as(ctypes.c_void_p),
            )
        )  # fmt: skip
        return told.reshape(len(rows), -1)

    def row_scorer(self) -> "RowScorer":
        """What scores one row at a time, with a buffer of its own."""
        return RowScorer(self)


class RowScorer:
    """Scores one row at a time in a buffer of its own; not for two threads at once.

    Args:
        trees: what scores; kept alive.
    """

    def __init__(self, trees: Trees) -> None:
        self._trees = trees
        self._row: ctypes.Array[Any] = (ctypes.c_double * trees.inputs)()
        self._scores: ctypes.Array[Any] = (ctypes.c_double * trees.outputs)()
        self._config, self._length = ctypes.c_void_p(), ctypes.c_int64()
        _called(
            library().LGBM_BoosterPredictForMatSingleRowFastInit(
                trees._handle, _SCORES, *_ALL_ITERATIONS, _FLOAT64, trees.inputs, _parameters(1), _ref(self._config)
            )
        )
        self._arguments = (self._config, self._row, _ref(self._length), self._scores)
        self._call = _single_row()

    def __del__(self) -> None:
        if getattr(self, "_config", None):
            library().LGBM_FastConfigFree(self._config)

    def score(self, row: list[float]) -> list[float]:
        """The scores of one row, a number per output.

        Args:
            row: the inputs, NaN where missing.

        Raises:
            BundleError: LightGBM refuses.
            ValueError: it is not as long as there are inputs.
        """
        self._row[:] = row
        if self._call(*self._arguments):
            _called(-1)
        return list(self._scores)


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """The shared library of the installed LightGBM; other Python threads run while it computes.

    Raises:
        BundleError: LightGBM is not installed.
    """
    return ctypes.CDLL(str(_file()))


@lru_cache(maxsize=1)
def _single_row() -> Any:
    """The call for one row, which keeps the interpreter's lock: it is back before another thread could have begun.

    Given away, the lock may come back only after 5 ms, when some other thread computes.
    """
    return ctypes.PyDLL(str(_file())).LGBM_BoosterPredictForMatSingleRowFast


def _file() -> Path:
    found = importlib.util.find_spec("lightgbm")
    folder = Path(found.origin).parent if found is not None and found.origin else None
    name = _NAMES.get(sys.platform, "lib_lightgbm.so")
    places = [] if folder is None else [folder / "lib" / name, folder / "bin" / name, folder.parent / name]
    file = next((p for p in places if p.is_file()), None)
    if file is None:
        raise BundleError(
            "LightGBM",
            found=f"no {name} in {folder}" if folder else "no package lightgbm",
            expected="the installed package with its library",
            cure="install what requirements.lock names",
        )
    return file


def _ref(value: Any) -> Any:
    return ctypes.byref(value)


def _parameters(threads: int) -> bytes:
    return f"num_threads={threads} verbosity=-1".encode()


def _called(code: int) -> None:
    if code:
        tell = library().LGBM_GetLastError
        tell.restype = ctypes.c_char_p
        raise BundleError(
            "LightGBM",
            found=tell().decode("utf-8", "replace"),
            expected="a model that this version reads, and as many columns as it has inputs",
            cure="use the version of lightgbm that requirements.lock names, or train again",
        )
