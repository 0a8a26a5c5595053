"""The Open Inference Protocol (V2) over REST: its paths, as KServe's and Triton's clients call them.

Source: github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md. How requests and answers
are written is in `open_inference_body`; over gRPC the protocol is in `open_inference_grpc`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from ml_assets.core.errors import NotReady, RequestRefused
from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.http import Call, Exposed, Reply, answered
from ml_assets.serving.protocols import open_inference_body as body
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

PROTOCOL = "open_inference"
BINARY = b"application/octet-stream"


async def infer(call: Call) -> Reply:
    """`POST /v2/models/{model}[/versions/{version}]/infer`: the predictions of the rows."""
    model, version = call.path["model"], call.path.get("version")
    request, binary = body.read(await call.body(), call.header(body.JSON_LENGTH.encode()))
    wants_binary = body.wants_binary(request)
    columns, rows = body.columns(request, binary, partial(features_of, call.plane, model, version))
    answer = await call.infer(model, columns, rows, version=version, request_id=request.id)
    content, json_length = body.answered(answer, binary=wants_binary)
    if json_length is None:
        return answered(answer, content)
    reply = answered(answer, content, BINARY)
    length = (body.JSON_LENGTH.title().encode(), str(json_length).encode())
    return reply._replace(headers=(*reply.headers, length))


async def live(_: Call) -> Reply:
    """`GET /v2/health/live`: the server answers."""
    return _json({"live": True})


async def ready(call: Call) -> Reply:
    """`GET /v2/health/ready`: every pipeline has a champion that answers; 503 if not."""
    every = all(map(call.plane.is_ready, call.plane.pipelines))
    return _json({"ready": every}, 200 if every else 503)


async def model_ready(call: Call) -> Reply:
    """`GET /v2/models/{model}[/versions/{version}]/ready`: the model answers; 503 if it does not yet."""
    model, is_ready = call.path["model"], is_model_ready(call.plane, call.path["model"], call.path.get("version"))
    return _json({"name": model, "ready": is_ready}, 200 if is_ready else 503)


async def server(_: Call) -> Reply:
    """`GET /v2`: name, version and extensions of the server."""
    return _json({"name": SERVER, "version": server_version(), "extensions": EXTENSIONS})


async def model(call: Call) -> Reply:
    """`GET /v2/models/{model}[/versions/{version}]`: its tensors, and the versions that may be asked for."""
    name = call.path["model"]
    served = call.plane.model(name, call.path.get("version"))
    told = {
        "name": name,
        "versions": versions_of(call.plane, name),
        "platform": PLATFORM,
        "inputs": list(map(_tensor, inputs_of(served))),
        "outputs": list(map(_tensor, outputs_of(served))),
    }
    return _json(told)


def features_of(plane: DataPlane, model: str, version: str | None) -> Sequence[str]:
    """Names of a model's features, in its order.

    Raises:
        NotServed, NotReady: there is no such model, or nothing is loaded.
    """
    return plane.model(model, version).names


def is_model_ready(plane: DataPlane, model: str, version: str | None) -> bool:
    """Whether a pipeline answers, and the version of its model, if one is asked for, is loaded.

    Raises:
        NotServed: there is no such pipeline, or no such version.
    """
    try:
        plane.model(model, version)
    except NotReady:
        return False
    return plane.is_ready(model)


def told(error: RequestRefused) -> bytes:
    """A refusal as the protocol has it: `error`, in words."""
    return msgspec.json.encode({"error": str(error)})


def _tensor(facts: TensorFacts) -> dict[str, Any]:
    return facts._asdict()


def _json(content: Any, status: int = 200) -> Reply:
    return Reply(msgspec.json.encode(content), status)


_MODEL = "/v2/models/{model}"
_VERSION = _MODEL + "/versions/{version}"

EXPOSED = (
    *(Exposed("POST", f"{path}/infer", infer, PROTOCOL, told, at_once=True) for path in (_MODEL, _VERSION)),
    *(Exposed("GET", path, model, PROTOCOL, told) for path in (_MODEL, _VERSION)),
    *(Exposed("GET", f"{path}/ready", model_ready, PROTOCOL, told) for path in (_MODEL, _VERSION)),
    *(Exposed("GET", path, server, PROTOCOL, told) for path in ("/v2", "/v2/")),
    Exposed("GET", "/v2/health/live", live, PROTOCOL, told),
    Exposed("GET", "/v2/health/ready", ready, PROTOCOL, told),
)
