"""The Open Inference Protocol over gRPC: messages to columns, an answer to a message.

Its REST form is in `open_inference`; what a tensor may hold, in `tensors`; how calls are served, in `grpc_server`. The
messages are generated, see open_inference.proto.
"""

from collections.abc import Iterator
from functools import partial

from ml_assets.core.models.row_values import Columns
from ml_assets.serving.data_plane import Answer, DataPlane
from ml_assets.serving.protocols import open_inference_pb2 as pb
from ml_assets.serving.protocols.malformed import malformed
from ml_assets.serving.protocols.open_inference import features_of, is_model_ready
from ml_assets.serving.protocols.open_inference_facts import (
    EXTENSIONS,
    PLATFORM,
    SERVER,
    TensorFacts,
    inputs_of,
    outputs_of,
    server_version,
    versions_of,
)
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

SERVICE = "inference.GRPCInferenceService"

CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
"""Datatype -> the field of its contents; FP16 comes in raw form only."""


def server_live(_: pb.ServerLiveRequest, __: DataPlane) -> pb.ServerLiveResponse:
    """The server answers."""
    return pb.ServerLiveResponse(live=True)


def server_ready(_: pb.ServerReadyRequest, plane: DataPlane) -> pb.ServerReadyResponse:
    """Whether every pipeline has a champion that answers."""
    return pb.ServerReadyResponse(ready=all(map(plane.is_ready, plane.pipelines)))


def model_ready(request: pb.ModelReadyRequest, plane: DataPlane) -> pb.ModelReadyResponse:
    """Whether the model answers.

    Raises:
        NotServed: there is no such model.
    """
    return pb.ModelReadyResponse(ready=is_model_ready(plane, request.name, request.version or None))


def server_metadata(_: pb.ServerMetadataRequest, __: DataPlane) -> pb.ServerMetadataResponse:
    """Name, version and extensions of the server."""
    return pb.ServerMetadataResponse(name=SERVER, version=server_version(), extensions=EXTENSIONS)


def model_metadata(request: pb.ModelMetadataRequest, plane: DataPlane) -> pb.ModelMetadataResponse:
    """A model's tensors, and the versions that may be asked for.

    Raises:
        NotServed, NotReady: there is no such model, or nothing is loaded.
    """
    model = plane.model(request.name, request.version or None)
    return pb.ModelMetadataResponse(
        name=request.name,
        versions=versions_of(plane, request.name),
        platform=PLATFORM,
        inputs=map(_tensor, inputs_of(model)),
        outputs=map(_tensor, outputs_of(model)),
    )


def columns(request: pb.ModelInferRequest, plane: DataPlane) -> tuple[Columns, int]:
    """The inputs of an inference request as columns by feature, and how many rows they have.

    Raises:
        InputRefused: they are not of the protocol's form, or another output is asked for.
    """
    for output in request.outputs:
        if output.name != PREDICTION:
            raise malformed(f"output {output.name}", "no such output", PREDICTION)
    features = partial(features_of, plane, request.model_name, request.model_version or None)
    return columns_of(_raw_parts(request) if request.raw_input_contents else _parts(request), features)


def response(answer: Answer, *, raw: bool) -> pb.ModelInferResponse:
    """The message of an answer; in raw form where the inputs came so."""
    predictions = answer.predictions
    tensor = pb.ModelInferResponse.InferOutputTensor(
        name=PREDICTION,
        datatype="FP64",
        shape=output_shape(predictions),
        contents=None if raw else pb.InferTensorContents(fp64_contents=flat(predictions)),
    )
    return pb.ModelInferResponse(
        model_name=answer.pipeline,
        model_version=answer.version,
        id=answer.request_id,
        outputs=[tensor],
        raw_output_contents=[to_raw(predictions)] if raw else [],
    )


def _parts(request: pb.ModelInferRequest) -> Iterator[Part]:
    for tensor in request.inputs:
        name, datatype, shape = tensor.name, tensor.datatype, tensor.shape
        field = CONTENTS.get(datatype)
        if datatype == "FP16":
            raise malformed(f"tensor {name}", "FP16 in contents", "FP16 in raw_input_contents, or FP32 or FP64")
        values = [] if field is None else list(getattr(tensor.contents, field))
        if datatype == "BYTES":
            values = [_text(name, value) for value in values]
        yield name, shape, from_values(name, datatype, shape, values)


def _raw_parts(request: pb.ModelInferRequest) -> Iterator[Part]:
    raws = request.raw_input_contents
    if len(raws) != len(request.inputs):
        found = f"{len(raws)} for {len(request.inputs)} inputs"
        raise malformed("raw_input_contents", found, "one for each input, or none at all")
    for tensor, raw in zip(request.inputs, raws, strict=True):
        if tensor.HasField("contents"):
            raise malformed(f"tensor {tensor.name}", "contents and raw_input_contents", "one of both")
        yield tensor.name, tensor.shape, from_raw(tensor.name, tensor.datatype, tensor.shape, raw)


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise malformed(f"tensor {name}", "bytes that are no UTF-8", "texts in UTF-8") from None


def _tensor(facts: TensorFacts) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(name=facts.name, datatype=facts.datatype, shape=facts.shape)
