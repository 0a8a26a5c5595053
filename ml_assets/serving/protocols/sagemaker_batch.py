"""What SageMaker's batch transform asks a container before it sends a file: `GET /execution-parameters`.

Source: SageMaker's "Custom Inference Code with Batch Transform" (docs.aws.amazon.com/sagemaker/latest/dg,
your-algorithms-batch-code); whatever a transform job says itself goes before the answer. The requests that follow are
those of `mlflow_scoring`.
"""

import msgspec

from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.http import Call, Exposed, Reply
from ml_assets.serving.limits import Limits
from ml_assets.serving.openapi import Described
from ml_assets.serving.openapi_parts import Schema, operation, reference
from ml_assets.serving.protocols.mlflow_scoring import PROTOCOL, told

PATH = "/execution-parameters"
MB = 2**20
"""Bytes: SageMaker does not say which megabyte it means, so the larger one."""
MOST_MB_AT_ONCE = 100
"""MaxConcurrentTransforms times MaxPayloadInMB, at most (CreateTransformJob)."""


class Parameters(msgspec.Struct):
    """The JSON of an answer.

    Args:
        most_at_once: requests at once.
        strategy: whether a request holds a line of the file or as many as fit.
        payload_mb: megabytes of a request.
    """

    most_at_once: int = msgspec.field(name="MaxConcurrentTransforms")
    strategy: str = msgspec.field(name="BatchStrategy")
    payload_mb: int = msgspec.field(name="MaxPayloadInMB")


async def execution_parameters(call: Call) -> Reply:
    """`GET /execution-parameters`: what a transform job may send, such that none of it is refused for its size."""
    features = [len(call.plane.model(pipeline).specs) for pipeline in call.plane.pipelines]
    return Reply(msgspec.json.encode(parameters(call.limits, min(features))))


def parameters(limits: Limits, features: int) -> Parameters:
    """What the limits of a request leave.

    Several lines a request are asked for only where as many of the shortest lines as fit are not too many rows. A
    line has a byte per feature at least: the commas and its end.

    Args:
        limits: of a request.
        features: of the model that has the fewest.
    """
    most = limits.rows * features // MB
    payload = max(1, limits.body_bytes // MB)
    payload, strategy = (min(payload, most), "MULTI_RECORD") if most else (payload, "SINGLE_RECORD")
    at_once = min(limits.all_bodies_bytes // (payload * MB), MOST_MB_AT_ONCE // payload)
    return Parameters(max(1, at_once), strategy, payload)


def described(_: DataPlane) -> Described:
    """The protocol's part of the OpenAPI description."""
    count: Schema = {"type": "integer", "minimum": 1}
    answer: Schema = {
        "type": "object",
        "properties": {
            "MaxConcurrentTransforms": count,
            "BatchStrategy": {"type": "string", "enum": ["SINGLE_RECORD", "MULTI_RECORD"]},
            "MaxPayloadInMB": count,
        },
        "required": ["MaxConcurrentTransforms", "BatchStrategy", "MaxPayloadInMB"],
    }
    get = operation("What SageMaker's batch transform may send", answer, error=reference("MlflowError"), refused=(503,))
    return Described({PATH: {"get": get}}, {})


EXPOSED = (Exposed("GET", PATH, execution_parameters, PROTOCOL, told),)
