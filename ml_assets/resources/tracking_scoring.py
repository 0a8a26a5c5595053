"""The `pyfunc` flavour of a bundle: what MLflow calls to load it and to score with it. It imports no MLflow.

MLflow imports this module by name, as `loader_module`; in its model folder is a bundle and nothing that is executed.
Rows may come as a pandas frame (columns in any order), as what MLflow's scoring server makes of JSON
(`dataframe_split`, `dataframe_records`, `inputs`, `instances`), or as NumPy in the order of the features:

- a number is an integer, a float or a boolean; None, NaN and pandas' NA are a missing value;
- a category is its text. A number in its place is refused, not taken for a code: so a purely numeric array can be
  scored only where the model has no category, or where all of them are missing (NaN).

Every score is the bundle's own, to the bit. What is missing, unknown or of another type is refused, all at once.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_assets.core.errors import ScoringError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from ml_assets.core.bundle import Bundle
    from ml_assets.core.encoding import FeatureSpec

LOADER = "ml_assets.resources.tracking_scoring"
_SHOWN = 5
_BITS_OF_A_FLOAT = 1023


def _load_pyfunc(path: str) -> "ScoredBundle":
    """What MLflow calls with the bundle's folder, whose name is its SHA-256.

    Raises:
        BundleError: it is damaged.
    """
    from ml_assets.resources.bundle_files import load

    folder = Path(path)
    return ScoredBundle(load(folder.parent, folder.name))


class ScoredBundle:
    """A bundle that takes what MLflow hands over."""

    def __init__(self, bundle: "Bundle") -> None:
        self.bundle = bundle

    def predict(self, model_input: Any) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """Scores as `Bundle.predict` gives them.

        Raises:
            ScoringError: columns or values are not the model's; lists all.
        """
        specs = self.bundle.specs
        columns = _columns(model_input, [s.name for s in specs])
        wrong = [f"column {s.name} is missing" for s in specs if s.name not in columns]
        wrong += [
            f"column {name} is not a feature of the model" for name in columns if name not in {s.name for s in specs}
        ]
        read = {s.name: _read(s, columns[s.name], wrong) for s in specs if s.name in columns}
        if not wrong and len({len(values) for values in read.values()}) > 1:
            wrong = [f"column {name} has {len(values)} rows" for name, values in read.items()]
        if wrong:
            raise ScoringError(
                f"rows to be scored by bundle {self.bundle.sha256[:12]}",
                found=wrong,
                expected="a column per feature, numbers as numbers and categories as text: "
                + ", ".join(f"{s.name} ({s.kind})" for s in specs),
                cure="send the features by their names; see the model's input example",
            )
        return self.bundle.predict(_frame(specs, read))


def _frame(specs: "Sequence[FeatureSpec]", read: Mapping[str, Any]) -> "pl.DataFrame":
    import polars as pl

    frame = pl.DataFrame({s.name: pl.Series(read[s.name], dtype=s.dtype) for s in specs})
    return frame.with_columns(pl.col(s.name).fill_nan(None) for s in specs if s.kind == "number")


def _columns(given: Any, names: Sequence[str]) -> dict[str, Any]:
    """Name -> values; columns without names are the features in their order."""
    import numpy as np
    import pandas as pd

    if isinstance(given, pd.DataFrame):
        if list(given.columns) == list(range(given.shape[1])):
            return _in_order([given[i] for i in given.columns], names)
        repeated = sorted({str(c) for c in given.columns[given.columns.duplicated()]})
        if repeated:
            raise _unreadable(f"columns more than once: {', '.join(repeated)}")
        return {str(name): given[name] for name in given.columns}
    if isinstance(given, Mapping):
        return {str(name): np.atleast_1d(np.asarray(values)) for name, values in given.items()}
    if isinstance(given, list) and given and all(isinstance(row, Mapping) for row in given):
        # Row by row; a name that a row lacks is a missing value of that row, one that all lack a missing column.
        every = dict.fromkeys(str(name) for row in given for name in row)
        return {name: np.array([_bare(row.get(name)) for row in given], dtype=object) for name in every}
    rows = np.asarray(given, dtype=None if isinstance(given, np.ndarray) else object)
    if rows.ndim == 1 and len(rows) == len(names):
        rows = rows.reshape(1, -1)
    if rows.ndim != 2:
        raise _unreadable(f"{type(given).__name__} of {rows.ndim} dimensions")
    return _in_order(list(rows.T), names)


def _in_order(columns: list[Any], names: Sequence[str]) -> dict[str, Any]:
    if len(columns) != len(names):
        raise _unreadable(f"{len(columns)} columns without names")
    return dict(zip(names, columns, strict=True))


def _unreadable(found: str) -> ScoringError:
    return ScoringError(
        "rows to be scored",
        found=found,
        expected="a frame, a mapping of columns, records, or an array [rows, features] in the order of the features",
        cure="send the features by their names; see the model's input example",
    )


def _read(spec: "FeatureSpec", values: Any, wrong: list[str]) -> list[Any] | Any:
    """A column as numbers or texts, None where missing; what is neither is told in `wrong`."""
    import numpy as np
    import pandas as pd

    dtype = getattr(values, "dtype", None)
    if isinstance(values, np.ndarray) and values.ndim != 1:
        wrong.append(f"column {spec.name} has {values.ndim} dimensions, not one")
        return []
    if spec.kind == "number" and isinstance(dtype, np.dtype) and dtype.kind in "iufb":
        return np.asarray(values, dtype=np.float64)
    series = pd.Series([_bare(v) for v in values], dtype=object)
    missing = series.isna().to_numpy()
    # Rows of numbers and texts become an array of texts in MLflow's hands; the texts of numbers are exact.
    made_text = isinstance(values, np.ndarray) and values.dtype.kind == "U"
    kinds = str if spec.kind == "category" else (int, float, bool, np.integer, np.floating, np.bool_)
    read: list[Any] = []
    odd: list[Any] = []
    for value, is_missing in zip(series.tolist(), missing, strict=True):
        number = _number(value) if made_text and spec.kind == "number" else None
        if is_missing:
            read.append(None)
        elif number is not None:
            read.append(number)
        elif isinstance(value, kinds) and (spec.kind == "category" or _is_float(value)):
            read.append(value if spec.kind == "category" else float(value))
        else:
            odd.append(value)
    if odd:
        shown = ", ".join(repr(_bare(v))[:40] for v in odd[:_SHOWN])
        wanted = "text" if spec.kind == "category" else "a number"
        wrong.append(f"column {spec.name} is not {wanted} in {len(odd)} rows: {shown}")
    return read


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_float(value: Any) -> bool:
    return not isinstance(value, int) or value.bit_length() <= _BITS_OF_A_FLOAT


def _bare(value: Any) -> Any:
    """Python's own value of one of NumPy, also of an array without dimensions, as MLflow makes of records."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
