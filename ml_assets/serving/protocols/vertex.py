"""Vertex AI's contract of custom containers: `instances` in, `predictions` out, on paths that the environment names.

Source: cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements. Vertex forwards the body only, so
what other protocols say in headers is said in `parameters`: `pipeline` (needed where several are served) and
`unit_id`. Outside Vertex AI, where the environment names no paths, nothing is exposed.
"""

from collections.abc import Mapping
from functools import partial

import msgspec

from ml_assets.core.errors import ConfigError
from ml_assets.serving.http import Call, Exposed, Reply, answered
from ml_assets.serving.protocols.asking import asked
from ml_assets.serving.protocols.malformed import decode
from ml_assets.serving.protocols.mlflow_scoring import Predictions
from ml_assets.serving.protocols.open_inference import features_of
from ml_assets.serving.protocols.rows import Row, instances

PROTOCOL = "vertex"


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    """What a request may say beside its rows."""

    pipeline: str | None = None
    unit_id: str | None = None


class Request(msgspec.Struct):
    """The JSON of a request."""

    instances: list[Row]
    parameters: Parameters | None = None


_REQUEST = msgspec.json.Decoder(Request)
_ENCODER = msgspec.json.Encoder()
_NOTHING = Parameters()


async def predict(call: Call) -> Reply:
    """`POST $AIP_PREDICT_ROUTE`: the predictions of the rows."""
    body = await call.body()
    said = decode(_REQUEST, body)
    parameters = said.parameters or _NOTHING
    who = asked(call, parameters.pipeline, parameters.unit_id)
    columns, rows = instances(said.instances, partial(features_of, call.plane, who.pipeline, None))
    answer = await call.infer(who.pipeline, columns, rows, unit=who.unit, request_id=who.request_id)
    return answered(answer, _ENCODER.encode(Predictions(answer.predictions)))


async def health(call: Call) -> Reply:
    """`GET $AIP_HEALTH_ROUTE`: every pipeline has a champion that answers; 503 if not."""
    return Reply(b"{}", 200 if all(map(call.plane.is_ready, call.plane.pipelines)) else 503)


def exposed(environment: Mapping[str, str]) -> tuple[Exposed, ...]:
    """The paths that Vertex AI will call; none where it does not run us.

    Args:
        environment: of the process.

    Raises:
        ConfigError: a path is none.
    """
    found = {name: environment.get(name) for name in ("AIP_PREDICT_ROUTE", "AIP_HEALTH_ROUTE")}
    wrong = [f"{n}={path}" for n, path in found.items() if path and (path[0] != "/" or {*"{}"} & set(path))]
    if wrong:
        raise ConfigError(
            "environment", found=wrong, expected="a path that begins with / and has no braces",
            cure="set the container's predict and health routes as Vertex AI's documentation says",
        )  # fmt: skip
    handlers = {"AIP_PREDICT_ROUTE": ("POST", predict), "AIP_HEALTH_ROUTE": ("GET", health)}
    return tuple(
        Exposed(method, path, handle, PROTOCOL, at_once=handle is predict)
        for name, path in found.items()
        if path
        for method, handle in (handlers[name],)
    )


def port(environment: Mapping[str, str]) -> int | None:
    """The port that Vertex AI will call; None where it does not run us.

    Raises:
        ConfigError: it is no port.
    """
    said = environment.get("AIP_HTTP_PORT")
    if not said:
        return None
    if not (said.isascii() and said.isdecimal() and 0 < int(said) < 65_536):
        raise ConfigError("AIP_HTTP_PORT", found=said, expected="a port, 1 to 65535", cure="correct or unset it")
    return int(said)
