"""Rows in JSON or CSV as columns of values: what MLflow's, SageMaker's, Vertex AI's and Azure ML's forms share.

Tensors of the Open Inference Protocol are in `tensors`.
"""

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.models.row_values import Columns, OneRow
from ml_assets.serving.protocols.malformed import malformed, shown

Value = bool | int | float | str | None
Row = list[Value] | dict[str, Value]
Table = tuple[Columns, int]
"""Columns by name, and how many rows they have."""

MISSING = frozenset({"", "nan", "NaN", "NA", "N/A", "n/a", "<NA>", "null", "NULL", "None", "#N/A"})
"""What a CSV may write where a number is missing; where a category is, nothing."""


class Split(msgspec.Struct, forbid_unknown_fields=True):
    """A table as pandas' `to_dict(orient="split")` gives it."""

    columns: list[str]
    data: list[list[Value]]
    index: list[Any] | None = None

    def table(self) -> Table:
        """Its columns; the index is the client's own."""
        return positional(self.data, self.columns)


def positional(rows: Sequence[Sequence[Any]], names: Sequence[str]) -> Table:
    """Rows of values in the order of the names, as columns.

    Raises:
        InputRefused: a row has more or fewer values than there are names, or a name comes twice.
    """
    width = len(names)
    for number, row in enumerate(rows):
        if len(row) != width:
            raise malformed(f"row {number}", f"{len(row)} values", f"{width}: {shown(names)}")
    columns: Columns
    if len(rows) == 1 and len(set(names)) == width:
        columns = OneRow(tuple(names), rows[0])
    else:
        columns = dict(zip(names, zip(*rows, strict=True) if rows else [()] * width, strict=True))
    if len(columns) != width:
        twice = [name for name, times in Counter(names).items() if times > 1]
        raise malformed("columns", f"more than once {shown(twice)}", "each feature once")
    return columns, len(rows)


def records(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows of named values as columns. All have the same names: a missing value is a null, not a missing name.

    Raises:
        InputRefused: a row has other names than the first.
    """
    if not rows:
        return {}, 0
    names = rows[0].keys()
    for number, row in enumerate(rows):
        if row.keys() != names:
            other = sorted(row.keys() ^ names)
            raise malformed(f"row {number}", f"{shown(other)} in it or in row 0, not in both", "the same names")
    return {name: [row[name] for row in rows] for name in names}, len(rows)


def instances(rows: Sequence[Row], features: Callable[[], Sequence[str]]) -> Table:
    """Rows that are named values, or lists of values in the model's order, as columns.

    Args:
        rows: all of one of both kinds.
        features: asked for the model's features in their order, where rows are lists.

    Raises:
        InputRefused: rows of both kinds, or what `positional` and `records` raise.
    """
    kinds = set(map(type, rows))
    if len(kinds) > 1:
        raise malformed("instances", "lists and objects", "all lists, or all objects")
    return records(rows) if kinds != {list} else positional(rows, features())  # type: ignore[arg-type]


def of_columns(columns: Mapping[str, Sequence[Any]]) -> Table:
    """Columns as they are, if all have the same length.

    Raises:
        InputRefused: they don't.
    """
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        told = shown(f"{size} of {name}" for name, size in lengths.items())
        raise malformed("columns", f"{told} values", "as many values in each")
    return columns, next(iter(lengths.values()), 0)


def of_csv(text: str, specs: Sequence[FeatureSpec], most: int, *, named: bool = True) -> Table:
    """A CSV as columns; numbers are read where the model has a number.

    Args:
        text: of the CSV.
        specs: the model's features.
        most: rows that are read; of more, one more is, by which they are known to be too many.
        named: its first line has the names; otherwise all lines are rows, in the model's order.

    Raises:
        InputRefused: it has no line of names, a line is too long or too short, or a number is none.
    """
    form = "a line of names, then a line for each row" if named else "a line for each row"
    features = [spec.name for spec in specs]
    try:
        lines = list(islice(filter(None, csv.reader(io.StringIO(text, newline=""), strict=True)), most + 1 + named))
    except csv.Error as error:
        raise malformed("CSV", str(error), form) from None
    if not lines:
        raise malformed("CSV", "nothing", form)
    if named and set(features).isdisjoint(lines[0]):
        first = f"a first line without the name of a feature: {shown(lines[0])}"
        raise malformed("CSV", first, f"{form}; or, as text/csv; header=absent, the rows alone")
    columns, rows = positional(lines[1:], lines[0]) if named else positional(lines, features)
    categories = {s.name for s in specs if s.kind == "category"}
    read = {n: [v or None for v in c] if n in categories else _numbers(n, c) for n, c in columns.items()}
    return read, rows


def _numbers(name: str, texts: Sequence[str]) -> list[float | None]:
    try:
        return [None if text in MISSING else float(text.replace("_", "?")) for text in texts]
    except ValueError as error:
        raise malformed(f"column {name}", str(error), "numbers; nothing where one is missing") from None
