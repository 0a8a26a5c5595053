"""MLflow's scoring protocol, which is SageMaker's container contract as well: `/ping`, `/invocations`, `/version`.

Source: mlflow.org/docs/latest/ml/deployment (specification of the local inference server) and SageMaker's
"Use your own inference code with hosting services". Bodies are read as MLflow 3 reads them; other than there, rows
whose names differ are refused, and Parquet is not read. `params` are ignored, as MLflow does for a model that
declares none. For SageMaker's clients and its batch transform, which write no names in a CSV and may want one back,
`text/csv; header=absent` (RFC 4180) is rows in the model's order, and who accepts CSV only is answered a line a row.
What a batch transform asks before is in `sagemaker_batch`.

With several pipelines a request names its own: in the query (`?pipeline=`), in the header X-Pipeline or, through
SageMaker, which forwards no such headers, in CustomAttributes: `pipeline=…,unit_id=…`. SageMaker's InferenceId is the
request id.
"""

from functools import partial
from importlib.metadata import version

import msgspec
from msgspec import UNSET, UnsetType

from ml_assets.core.errors import RequestRefused
from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.http import Call, Exposed, Reply, answered
from ml_assets.serving.openapi import Described
from ml_assets.serving.openapi_parts import (
    PREDICTION_LIST,
    Schema,
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
from ml_assets.serving.protocols.malformed import UnsupportedMediaType, decode, malformed
from ml_assets.serving.protocols.open_inference import features_of
from ml_assets.serving.protocols.rows import Row, Split, Table, Value, instances, of_columns, of_csv

PROTOCOL = "mlflow_scoring"
TEXT = b"text/plain; charset=utf-8"
CSV = b"text/csv; charset=utf-8"
CODES = {404: "RESOURCE_DOES_NOT_EXIST", 503: "TEMPORARILY_UNAVAILABLE"}
"""HTTP's status of a refusal -> MLflow's error code; of any other it is BAD_REQUEST."""

HEADLESS = "text/csv; header=absent"
"""Media type of a CSV of rows alone."""

_TEXT: Schema = {"type": "string"}
ERROR: Schema = {"type": "object", "properties": {"error_code": _TEXT, "message": _TEXT}, "required": ["message"]}
_FORMS = "exactly one of dataframe_split, dataframe_records, instances and inputs"


class Invocation(msgspec.Struct):
    """The JSON of a request."""

    dataframe_split: Split | UnsetType = UNSET
    dataframe_records: list[dict[str, Value]] | UnsetType = UNSET
    instances: list[Row] | UnsetType = UNSET
    inputs: dict[str, list[Value]] | list[Row] | UnsetType = UNSET


class Predictions(msgspec.Struct):
    """The JSON of an answer."""

    predictions: list[float] | list[list[float]]


_INVOCATION = msgspec.json.Decoder(Invocation)
_ENCODER = msgspec.json.Encoder()


async def invocations(call: Call) -> Reply:
    """`POST /invocations`: the predictions of the rows."""
    who = asked(call)
    media, body = _media_type(call.header(b"content-type")), await call.body()
    if media == "application/json":
        columns, rows = table_of(decode(_INVOCATION, body), call, who.pipeline)
    else:
        specs = call.plane.model(who.pipeline).specs
        columns, rows = of_csv(_text(body), specs, call.limits.rows, named=media != HEADLESS)
    answer = await call.infer(who.pipeline, columns, rows, unit=who.unit, request_id=who.request_id)
    if _wants_csv(call.header(b"accept")):
        return answered(answer, csv_of(answer.predictions), CSV)
    return answered(answer, _ENCODER.encode(Predictions(answer.predictions)))


def table_of(said: Invocation, call: Call, pipeline: str) -> Table:
    """The rows of a request as columns.

    Raises:
        InputRefused: it holds none of the four forms, or several; or they are not of their form.
    """
    forms = (said.dataframe_split, said.dataframe_records, said.instances, said.inputs)
    found = [form for form in forms if form is not UNSET]
    if len(found) != 1:
        raise malformed("body", f"{len(found)} of them", _FORMS)
    [form] = found
    if isinstance(form, Split):
        return form.table()
    if isinstance(form, dict):
        return of_columns(form)
    return instances(form, partial(features_of, call.plane, pipeline, None))


async def ping(call: Call) -> Reply:
    """`GET /ping` and `GET /health`: every pipeline has a champion that answers; 503 if not."""
    status = 200 if all(map(call.plane.is_ready, call.plane.pipelines)) else 503
    return Reply(b"\n", status, content_type=TEXT)


async def mlflow_version(_: Call) -> Reply:
    """`GET /version`: the version of MLflow whose protocol this is."""
    return Reply(version("mlflow").encode(), content_type=TEXT)


def told(error: RequestRefused) -> bytes:
    """A refusal as MLflow tells one: `error_code` and `message`."""
    return msgspec.json.encode({"error_code": CODES.get(error.status, "BAD_REQUEST"), "message": str(error)})


def described(plane: DataPlane) -> Described:
    """The protocol's part of the OpenAPI description."""
    named, listed = rows_of(of_models(plane, named_row)), rows_of(of_models(plane, listed_row))
    forms: Schema = {
        "dataframe_split": of_models(plane, split_table),
        "dataframe_records": named,
        "instances": {"anyOf": [named, listed]},
        "inputs": {"anyOf": [of_models(plane, columns_of_a_row), named, listed]},
    }
    score = operation(
        "Predictions, as MLflow and SageMaker ask for them",
        {"type": "object", "properties": {"predictions": PREDICTION_LIST}, "required": ["predictions"]},
        body={"type": "object", "properties": forms, "oneOf": [{"required": [form]} for form in forms]},
        error=reference("MlflowError"),
        refused=(400, 404, 408, 413, 415, 503),
        parameters=[pipeline_parameter(plane), *id_parameters()],
    )
    score["responses"]["200"]["content"]["text/csv"] = {"schema": _TEXT}
    ping = operation("Whether every pipeline has a model that answers", _TEXT, refused=(503,), content="text/plain")
    text = operation("The version of MLflow whose protocol this is", _TEXT, content="text/plain")
    paths = {
        "/invocations": {"post": score},
        "/ping": {"get": ping},
        "/health": {"get": ping},
        "/version": {"get": text},
    }
    return Described(paths, {"MlflowError": ERROR})


def csv_of(predictions: list[float] | list[list[float]]) -> bytes:
    """A line a row, without names and without an end of the last line: who joins answers adds it.

    >>> csv_of([0.1, 2.0]), csv_of([[0.25, 0.75]])
    (b'0.1\\n2.0', b'0.25,0.75')
    """
    rows = (row if isinstance(row, list) else [row] for row in predictions)
    return "\n".join(",".join(map(repr, row)) for row in rows).encode()


def _wants_csv(accept: str | None) -> bool:
    """Whether the Accept header names CSV, and nothing that JSON is."""
    if accept is None or "csv" not in accept.lower():
        return False
    media = {part.partition(";")[0].strip() for part in accept.lower().split(",")}
    return "text/csv" in media and media.isdisjoint({"application/json", "application/*", "*/*"})


def _media_type(header: str | None) -> str:
    if header is None or header == "application/json":
        return "application/json"
    media, *parameters = (part.strip().lower() for part in header.split(";"))
    said = {part for part in parameters if part not in ("charset=utf-8", "")}
    if media == "text/csv" and said <= {"header=present"}:
        return media
    if media == "text/csv" and said == {"header=absent"}:
        return HEADLESS
    if media == "application/json" and not said:
        return media
    raise UnsupportedMediaType(
        "content-type", found=header[:100], expected=f"application/json, text/csv or {HEADLESS}; in UTF-8",
        cure="send the rows in one of these forms",
    )  # fmt: skip


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise malformed("body", "bytes that are no UTF-8", "CSV in UTF-8") from None


EXPOSED = (
    Exposed("POST", "/invocations", invocations, PROTOCOL, told, at_once=True),
    Exposed("GET", "/ping", ping, PROTOCOL, told),
    Exposed("GET", "/health", ping, PROTOCOL, told),
    Exposed("GET", "/version", mlflow_version, PROTOCOL, told),
)
