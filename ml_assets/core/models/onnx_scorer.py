"""Running an ONNX model so that a row's scores depend on no other row, to the bit.

How an estimator becomes one is in `onnx_export`. ONNX Runtime computes matrix products of one row by other
instructions than those of many, so a model that shows it is run with a fixed number of rows at once.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ml_assets.core.encoding import Floats

_MOST_ROWS = 512
_SIZES = (1, 2, 3, 5, 8, 13, 50, 100, 300)
"""Numbers of rows at once that are compared; those in between are taken to behave alike."""


@dataclass(frozen=True, eq=False)
class OnnxScorer:
    """An ONNX model with one input and, as its last output, one prediction or the probability of each class.

    Args:
        content: the model; its hash has been checked, since a damaged one may crash the process.
        double: whether its input is float64; else float32.
        rows_at_once: how many rows every run is given, padded with zeros; 0: as many as there are.
    """

    content: bytes
    double: bool
    rows_at_once: int = 0

    @cached_property
    def _session(self) -> Any:
        import onnxruntime as ort

        ort.disable_telemetry_events()
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.use_deterministic_compute = True
        options.log_severity_level = 4
        return ort.InferenceSession(self.content, options, providers=["CPUExecutionProvider"])

    def run(self, matrix: Floats) -> Floats:
        """Its last output, float64 `[rows, outputs]`.

        Args:
            matrix: `[rows, columns]`, values that float32 can hold; at least one row.
        """
        size = self.rows_at_once or _MOST_ROWS
        rows = np.ascontiguousarray(matrix, np.float64 if self.double else np.float32)
        if self.rows_at_once:
            rows = np.concatenate([rows, np.zeros((-len(rows) % size, rows.shape[1]), rows.dtype)])
        session = self._session
        given, wanted = session.get_inputs()[0].name, session.get_outputs()[-1].name
        parts = [session.run([wanted], {given: rows[i : i + size]})[0] for i in range(0, len(rows), size)]
        scores: Floats = np.concatenate([p.reshape(len(p), -1) for p in parts]).astype(np.float64)
        return scores[: len(matrix)]

    def depends_on_neighbours(self, sample: Floats) -> bool:
        """Whether some row of a sample is given other scores alone, among others, or in another place."""
        whole = self.run(sample)
        if not np.array_equal(self.run(sample[::-1])[::-1], whole):
            return True
        cut = ([self.run(sample[i : i + n]) for i in range(0, len(sample), n)] for n in _SIZES)
        return any(not np.array_equal(np.concatenate(parts), whole) for parts in cut)
