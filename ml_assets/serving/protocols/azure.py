"""Azure ML's contract of online endpoints: `POST /score`, and `GET /` for its liveness and readiness probes.

Source: learn.microsoft.com/azure/machine-learning, "Deploy MLflow models to online endpoints" for the body
(`input_data`, with columns, rows of named values, or lists in the model's order; `params` are ignored) and for the
answer, a bare list; "Inference HTTP server" for the paths.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.http import Call, Exposed, Reply, answered
from ml_assets.serving.openapi import Described
from ml_assets.serving.openapi_parts import (
    PREDICTION_LIST,
    columns_of_a_row,
    id_parameters,
    listed_row,
    named_row,
    of_models,
    operation,
    pipeline_parameter,
    reference,
    rows_of,
    split_table,
)
from ml_assets.serving.protocols.asking import asked
from ml_assets.serving.protocols.malformed import as_type, decode
from ml_assets.serving.protocols.open_inference import features_of
from ml_assets.serving.protocols.rows import Row, Split, Table, Value, instances, of_columns

PROTOCOL = "azure"
SPLIT = {"columns", "data"}
"""Keys by which a table of rows is told from columns by name."""


class Request(msgspec.Struct):
    """The JSON of a request."""

    input_data: dict[str, list[Any] | None] | list[Row]


_REQUEST = msgspec.json.Decoder(Request)
_ENCODER = msgspec.json.Encoder()


async def score(call: Call) -> Reply:
    """`POST /score`: the predictions of the rows."""
    body = await call.body()
    who = asked(call)
    columns, rows = table_of(decode(_REQUEST, body), partial(features_of, call.plane, who.pipeline, None))
    answer = await call.infer(who.pipeline, columns, rows, unit=who.unit, request_id=who.request_id)
    return answered(answer, _ENCODER.encode(answer.predictions))


def table_of(said: Request, features: Callable[[], Sequence[str]]) -> Table:
    """The rows of a request as columns.

    Raises:
        InputRefused: they are not of one of the forms.
    """
    data = said.input_data
    if isinstance(data, list):
        return instances(data, features)
    if data.keys() >= SPLIT:
        return as_type(data, Split).table()
    return of_columns(as_type(data, dict[str, list[Value]]))


async def alive(_: Call) -> Reply:
    """`GET /`: the server answers, as the probes want to hear."""
    return Reply(b"Healthy", content_type=b"text/plain; charset=utf-8")


def described(plane: DataPlane) -> Described:
    """The protocol's part of the OpenAPI description."""
    rows = [rows_of(of_models(plane, row)) for row in (named_row, listed_row)]
    tables = [of_models(plane, split_table), of_models(plane, columns_of_a_row)]
    score = operation(
        "Predictions, as Azure ML asks for them",
        PREDICTION_LIST,
        body={"type": "object", "properties": {"input_data": {"anyOf": [*tables, *rows]}}, "required": ["input_data"]},
        error=reference("Refusal"),
        refused=(400, 404, 408, 413, 503),
        parameters=[pipeline_parameter(plane), *id_parameters()],
    )
    probe = operation("That the server answers", {"type": "string"}, content="text/plain")
    return Described({"/score": {"post": score}, "/": {"get": probe}}, {})


EXPOSED = (Exposed("POST", "/score", score, PROTOCOL, at_once=True), Exposed("GET", "/", alive, PROTOCOL))
