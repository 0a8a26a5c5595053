"""Tensors of the Open Inference Protocol as columns of values: what both of its wires, REST and gRPC, share.

How a tensor arrives is in `open_inference` and `open_inference_grpc`; rows of other protocols are in `rows`.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import Any

from ml_assets.core.models.row_values import Columns, OneRow
from ml_assets.serving.protocols.malformed import malformed, shown

PREDICTION = "prediction"
"""Name of the one output tensor."""

LETTERS = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b", "INT16": "h", "INT32": "i",
    "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
"""Datatype -> its letter in `struct`; BYTES, of no fixed width, has none."""

_NUMBERS, _WHOLE = {int, float, type(None)}, {int, type(None)}
_JSON_TYPES = {
    **{d: _NUMBERS if d.startswith("FP") else _WHOLE for d in LETTERS},
    "BOOL": {bool, type(None)},
    "BYTES": {str, type(None)},
}
_NARROW = {d: LETTERS[d] for d in LETTERS if d not in ("BOOL", "FP64")}
_LENGTH = struct.Struct("<I")

Part = tuple[str, Sequence[int], Sequence[Any]]
"""Name, shape and flat values of a tensor."""


def from_values(name: str, datatype: str, shape: Sequence[int], data: list[Any]) -> list[Any]:
    """The flat values of a tensor that came as values, in JSON perhaps nested; null is a missing value of any datatype.

    Numbers become what the datatype can hold (0.1 as FP32 is 0.10000000149011612), so that a tensor means the same
    in JSON, in binary and over gRPC.

    Raises:
        InputRefused: the values are not of the datatype, or not as many as the shape says.
    """
    while data and type(data[0]) is list:
        try:
            data = [value for inner in data for value in inner]
        except TypeError:
            raise malformed(_tensor(name), "data nested to different depths", "nested evenly, or flat") from None
    allowed = _JSON_TYPES.get(datatype)
    if allowed is None:
        raise _unknown(name, datatype)
    if not allowed.issuperset(map(type, data)):
        strange = next(v for v in data if type(v) not in allowed)
        raise malformed(_tensor(name), f"{_shown(strange)} in data of datatype {datatype}", f"values of {datatype}")
    _require_count(name, shape, len(data))
    return data if datatype not in _NARROW else _narrowed(name, datatype, data)


def from_raw(name: str, datatype: str, shape: Sequence[int], raw: bytes | memoryview) -> Sequence[Any]:
    """The flat values of a tensor's little-endian bytes; NaN is how they say that a number is missing.

    Raises:
        InputRefused: the bytes are not as many as datatype and shape say, or text is no UTF-8.
    """
    count = _count(name, shape)
    if datatype == "BYTES":
        values = _texts(name, raw)
        _require_count(name, shape, len(values))
        return values
    letter = LETTERS.get(datatype)
    if letter is None:
        raise _unknown(name, datatype)
    expected = count * struct.calcsize(letter)
    if len(raw) != expected:
        raise malformed(_tensor(name), f"{len(raw)} bytes", f"{expected}, for {count} values of {datatype}")
    return struct.unpack(f"<{count}{letter}", raw)


def columns_of(parts: Iterable[Part], features: Callable[[], Sequence[str]]) -> tuple[Columns, int]:
    """Columns of values by feature, and how many rows they have.

    Args:
        parts: a tensor per feature, of shape `[rows]` or `[rows, 1]`; or one of shape `[rows, features]` under a name
            that is no feature's.
        features: asked for the model's features in their order, where there is only one tensor of two dimensions.

    Raises:
        InputRefused: a name comes twice, shapes disagree, or a shape is neither of these.
    """
    parts = list(parts)
    if len(parts) == 1 and len(parts[0][1]) == 2 and parts[0][0] not in (names := features()):
        return _matrix(parts[0], names)
    columns: dict[str, Sequence[Any]] = {}
    rows = -1
    for name, shape, values in parts:
        if len(shape) != 1 and not (len(shape) == 2 and shape[1] == 1):
            raise malformed(_tensor(name), f"shape {list(shape)}", "[rows], or [rows, 1]")
        if name in columns:
            raise malformed(_tensor(name), "it comes twice", "one tensor for each feature")
        if rows not in (-1, shape[0]):
            raise malformed(_tensor(name), f"{shape[0]} rows", f"{rows}, as in the tensors before it")
        rows = shape[0]
        columns[name] = values
    if not columns:
        raise malformed("inputs", "no tensor", "one tensor for each feature")
    return columns, rows


def _matrix(part: Part, names: Sequence[str]) -> tuple[Columns, int]:
    name, (rows, width), values = part
    if width != len(names):
        found = f"{width} columns"
        raise malformed(_tensor(name), found, f"{len(names)}, the features in the model's order: {', '.join(names)}")
    if rows == 1:
        return OneRow(tuple(names), values), 1
    return {feature: values[i::width] for i, feature in enumerate(names)}, rows


def output_shape(predictions: Sequence[Any]) -> list[int]:
    """Shape of the output tensor: `[rows]`, of a multiclass model `[rows, classes]`."""
    width = [len(predictions[0])] if predictions and isinstance(predictions[0], list) else []
    return [len(predictions), *width]


def flat(predictions: Sequence[Any]) -> Sequence[float]:
    """The predictions one after the other, row by row."""
    if predictions and isinstance(predictions[0], list):
        return [value for row in predictions for value in row]
    return predictions


def to_raw(predictions: Sequence[Any]) -> bytes:
    """The predictions as little-endian FP64, row by row."""
    values = flat(predictions)
    return struct.pack(f"<{len(values)}d", *values)


def _count(name: str, shape: Sequence[int]) -> int:
    if len(shape) > 2:
        raise malformed(_tensor(name), f"{len(shape)} dimensions", "[rows], [rows, 1], or [rows, features]")
    if min(shape, default=0) < 0:
        raise malformed(_tensor(name), f"shape {list(shape)}", "no size below 0")
    return prod(shape)


def _require_count(name: str, shape: Sequence[int], found: int) -> None:
    expected = _count(name, shape)
    if found != expected:
        raise malformed(_tensor(name), f"{found} values", f"{expected}, as shape {list(shape)} says")


def _narrowed(name: str, datatype: str, data: list[Any]) -> list[Any]:
    if datatype == "BYTES":
        return data
    packed = struct.Struct("<" + _NARROW[datatype])
    whole = not datatype.startswith("FP")
    try:
        if whole:
            for value in data:
                if value is not None:
                    packed.pack(value)
            return data
        return [None if value is None else packed.unpack(packed.pack(value))[0] for value in data]
    except (struct.error, OverflowError):
        raise malformed(_tensor(name), "a value out of range", f"values of {datatype}") from None


def _texts(name: str, raw: bytes | memoryview) -> list[str]:
    texts, at, end = [], 0, len(raw)
    while at < end:
        stop = at + 4 + (_LENGTH.unpack_from(raw, at)[0] if at + 4 <= end else end)
        if stop > end:
            raise malformed(_tensor(name), "bytes that end within a text", "each text after its length in 4 bytes")
        try:
            texts.append(str(raw[at + 4 : stop], "utf-8"))
        except UnicodeDecodeError:
            raise malformed(_tensor(name), f"text {len(texts)} is no UTF-8", "texts in UTF-8") from None
        at = stop
    return texts


def _unknown(name: str, datatype: str) -> Exception:
    return malformed(_tensor(name), f"datatype {_shown(datatype)}", f"one of {', '.join(LETTERS)}, BYTES")


def _tensor(name: str) -> str:
    return f"tensor {shown([name])}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
