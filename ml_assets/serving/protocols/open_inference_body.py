"""Bodies of the Open Inference Protocol over REST: JSON, and behind it the tensors that are sent as binary data.

Binary data is Triton's extension, which KServe's clients speak too: an input's parameter `binary_data_size` says how
many bytes behind the JSON are its values, the header Inference-Header-Content-Length how long the JSON is.
What the protocol's paths are is in `open_inference`; what a tensor may hold, in `tensors`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from ml_assets.core.models.row_values import Columns, OneRow
from ml_assets.serving.data_plane import Answer
from ml_assets.serving.protocols.malformed import decode, malformed
from ml_assets.serving.protocols.tensors import (
    PREDICTION,
    Part,
    columns_of,
    flat,
    from_raw,
    from_values,
    output_shape,
    to_raw,
)

SIMPLE: dict[str, frozenset[type]] = {
    "FP64": frozenset((float, int, type(None))),
    "BYTES": frozenset((str, type(None))),
    "BOOL": frozenset((bool, type(None))),
}
_NONE: frozenset[type] = frozenset()
"""Datatype -> types of JSON values that it holds as they are."""
JSON_LENGTH = "inference-header-content-length"


class TensorParameters(msgspec.Struct, gc=False):
    """What is read of a tensor's parameters; others are the client's own."""

    binary_data_size: int | None = None
    binary_data: bool | None = None


class RequestParameters(msgspec.Struct, gc=False):
    """What is read of a request's parameters; others are the client's own."""

    binary_data_output: bool = False


class Input(msgspec.Struct, gc=False):
    """An input tensor; `data` is there unless it is sent as binary data."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: TensorParameters | None = None


class RequestedOutput(msgspec.Struct, gc=False):
    """An output that is asked for."""

    name: str
    parameters: TensorParameters | None = None


class InferRequest(msgspec.Struct, gc=False):
    """The JSON of an inference request."""

    inputs: list[Input]
    id: str | None = None
    outputs: list[RequestedOutput] | None = None
    parameters: RequestParameters | None = None


class Output(msgspec.Struct, omit_defaults=True, gc=False):
    """The output tensor; `data` is there unless it is answered as binary data."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, int] | None = None
    data: Sequence[float] | None = None


class InferResponse(msgspec.Struct, gc=False):
    """The JSON of an answer."""

    model_name: str
    model_version: str
    id: str
    outputs: list[Output]


_REQUEST = msgspec.json.Decoder(InferRequest)
_ENCODER = msgspec.json.Encoder()
_NO_BYTES = memoryview(b"")


def read(body: bytes, json_length: str | None) -> tuple[InferRequest, memoryview]:
    """The JSON of a request and the binary data behind it.

    Args:
        body: of the request.
        json_length: value of the header that says how long the JSON is; None: all of it.

    Raises:
        InputRefused: the header is no such length, or the JSON is not the protocol's.
    """
    if json_length is None:
        return decode(_REQUEST, body), _NO_BYTES
    length = _length(json_length, len(body))
    return decode(_REQUEST, body[:length]), memoryview(body)[length:]


def _length(text: str, most: int) -> int:
    length = int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else -1
    if not 0 <= length <= most:
        raise malformed(JSON_LENGTH, text[:40], f"a length of at most the body's {most} bytes")
    return length


def columns(request: InferRequest, binary: memoryview, features: Callable[[], Sequence[str]]) -> tuple[Columns, int]:
    """The inputs as columns by feature, and how many rows they have; see `tensors.columns_of`."""
    inputs = request.inputs
    one_row: Columns | None = None
    if not binary:
        one_row = _of_one_tensor(inputs[0], features()) if len(inputs) == 1 else None
        one_row = one_row or _of_single_values(inputs)
    return (one_row, 1) if one_row else columns_of(_parts(inputs, binary), features)


def _of_one_tensor(tensor: Input, names: Sequence[str]) -> Columns | None:
    """The one row of a tensor that holds all features, as many requests are; None of all others, right or wrong."""
    data = tensor.data
    if (
        data is None
        or len(data) != len(names)
        or tensor.shape != [1, len(names)]
        or tensor.name in names
        or tensor.parameters is not None
        or not SIMPLE.get(tensor.datatype, _NONE).issuperset(map(type, data))
    ):
        return None
    return OneRow(tuple(names), data)


def _of_single_values(inputs: Sequence[Input]) -> dict[str, Sequence[Any]] | None:
    """The columns of tensors that are one value each, as most requests are; None of all others, right or wrong."""
    columns: dict[str, Sequence[Any]] = {}
    for tensor in inputs:
        data = tensor.data
        if (
            data is None
            or len(data) != 1
            or type(data[0]) not in SIMPLE.get(tensor.datatype, _NONE)
            or tensor.shape not in ([1], [1, 1])
            or tensor.parameters is not None
        ):
            return None
        columns[tensor.name] = data
    return columns if len(columns) == len(inputs) else None


def _parts(inputs: Sequence[Input], binary: memoryview) -> Iterator[Part]:
    at = 0
    for tensor in inputs:
        size = None if tensor.parameters is None else tensor.parameters.binary_data_size
        if size is None:
            if tensor.data is None:
                raise malformed(f"tensor {tensor.name}", "no data", "`data`, or the parameter binary_data_size")
            yield tensor.name, tensor.shape, from_values(tensor.name, tensor.datatype, tensor.shape, tensor.data)
            continue
        if tensor.data is not None:
            raise malformed(f"tensor {tensor.name}", "data and binary_data_size", "one of both")
        if size < 0 or at + size > len(binary):
            raise malformed(f"tensor {tensor.name}", f"binary_data_size {size}", f"at most {len(binary) - at} bytes")
        raw = binary[at : at + size]
        at += size
        yield tensor.name, tensor.shape, from_raw(tensor.name, tensor.datatype, tensor.shape, raw)
    if at != len(binary):
        raise malformed("body", f"{len(binary) - at} bytes behind the last tensor", "no more than the tensors say")


def wants_binary(request: InferRequest) -> bool:
    """Whether the output is to be answered as binary data.

    Raises:
        InputRefused: another output is asked for.
    """
    wanted = request.parameters is not None and request.parameters.binary_data_output
    for output in request.outputs or ():
        if output.name != PREDICTION:
            raise malformed(f"output {output.name}", "no such output", PREDICTION)
        if output.parameters is not None and output.parameters.binary_data is not None:
            wanted = output.parameters.binary_data
    return wanted


def answered(answer: Answer, *, binary: bool) -> tuple[bytes, int | None]:
    """The body of an answer, and where it holds binary data the length of its JSON."""
    predictions = answer.predictions
    output = Output(PREDICTION, "FP64", output_shape(predictions))
    response = InferResponse(answer.pipeline, answer.version, answer.request_id, [output])
    if not binary:
        output.data = flat(predictions)
        return _ENCODER.encode(response), None
    raw = to_raw(predictions)
    output.parameters = {"binary_data_size": len(raw)}
    told = _ENCODER.encode(response)
    return told + raw, len(told)
