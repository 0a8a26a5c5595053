"""The Open Inference Protocol's part of the OpenAPI description; its paths are answered in `open_inference`.

That a tensor's data are as many as its shape says and of its datatype, and that there is a tensor for each feature,
no JSON schema can say: a body may fit the description and still be refused with 400.
"""

from collections.abc import Sequence
from typing import Any

from ml_assets.core.encoding import FeatureSpec
from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.openapi import Described
from ml_assets.serving.openapi_parts import (
    TOKEN,
    Schema,
    example_of,
    example_row,
    id_parameters,
    live_model,
    operation,
    path_parameter,
    reference,
)
from ml_assets.serving.protocols.tensors import LETTERS, PREDICTION

_TEXT: Schema = {"type": "string"}
_SHAPE: Schema = {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2}
_TENSOR: Schema = {
    "type": "object",
    "properties": {"name": _TEXT, "datatype": {"enum": [*LETTERS, "BYTES"]}, "shape": _SHAPE},
    "required": ["name", "datatype", "shape"],
}
_VALUE: Schema = {"type": ["number", "string", "boolean", "null", "array"]}


def _tensor(**more: Schema) -> Schema:
    return {**_TENSOR, "properties": {**_TENSOR["properties"], **more}, "required": [*_TENSOR["required"], *more]}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: Schema, **more: int) -> Schema:
    return {"type": "array", "items": items, **more}


SCHEMAS: dict[str, Schema] = {
    "OpenInferenceError": _object(error=_TEXT),
    "TensorMetadata": _tensor(),
    "Server": _object(name=_TEXT, version=_TEXT, extensions=_list(_TEXT)),
    "Model": _object(
        name=_TEXT,
        versions=_list(_TEXT),
        platform=_TEXT,
        inputs=_list(reference("TensorMetadata")),
        outputs=_list(reference("TensorMetadata")),
    ),
    "InferRequest": {
        "type": "object",
        "properties": {
            "id": {**TOKEN, "type": ["string", "null"]},
            "parameters": {"type": ["object", "null"]},
            "inputs": _list(_tensor(data=_list(_VALUE)), minItems=1),
            "outputs": {
                **_list({"type": "object", "properties": {"name": {"const": PREDICTION}}, "required": ["name"]}),
                "type": ["array", "null"],
            },
        },
        "required": ["inputs"],
    },
    "InferResponse": _object(
        model_name=_TEXT, model_version=_TEXT, id=_TEXT, outputs=_list(_tensor(data=_list({"type": "number"})))
    ),
}
"""What the protocol calls `inference_request`, and so on. Binary data is none of JSON's, and not described."""


def _example(specs: Sequence[FeatureSpec]) -> dict[str, Any]:
    tensors = [
        {"name": name, "shape": [1], "datatype": "BYTES" if isinstance(value, str) else "FP64", "data": [value]}
        for name, value in example_row(specs).items()
    ]
    return {"id": "1", "inputs": tensors}


def described(plane: DataPlane) -> Described:
    """The protocol's part of the OpenAPI description."""
    error = reference("OpenInferenceError")
    first = plane.pipelines[0]
    model = path_parameter("model", {"type": "string", "enum": list(plane.pipelines)}, first)
    live = live_model(plane, first)
    version = path_parameter("version", _TEXT, None if live is None else live.version)
    paths: dict[str, Schema] = {
        "/v2": {"get": operation("The server", reference("Server"))},
        "/v2/health/live": {"get": operation("That the server answers", _object(live={"const": True}))},
        "/v2/health/ready": {
            "get": operation(
                "Whether every model answers", _object(ready={"const": True}), error=_object(ready={"const": False}),
                refused=(503,),
            )
        },
    }  # fmt: skip
    for path, parameters in (
        ("/v2/models/{model}", [model]),
        ("/v2/models/{model}/versions/{version}", [model, version]),
    ):
        told = operation("A model", reference("Model"), error=error, refused=(404, 503), parameters=parameters)
        ready = operation(
            "Whether a model answers", _object(name=_TEXT, ready={"const": True}), refused=(404, 503),
            parameters=parameters,
        )  # fmt: skip
        infer = operation(
            "Predictions, as KServe's and Triton's clients ask for them",
            reference("InferResponse"),
            body=reference("InferRequest"),
            example=example_of(plane, first, _example),
            error=error,
            refused=(400, 404, 408, 413, 503),
            parameters=[*parameters, *id_parameters()],
        )
        paths |= {path: {"get": told}, f"{path}/ready": {"get": ready}, f"{path}/infer": {"post": infer}}
    return Described(paths, SCHEMAS)
